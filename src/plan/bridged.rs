//! The host's side of a bridged attachment.

use ipnet::IpNet;

use super::builder::Builder;
use super::link::LinkKind;
use super::made::{BridgeLink, Veth};
use super::routed::{link_local, with_length_of};
use super::step::{LinkAddress, Object, Port, Setting, Shared, Side, Sysctl};
use super::{filter, forwarding, vlan};
use crate::error::{Code, Error, Result};
use crate::model::{Addressing, Attachment, Bridge, Family, IfName, Mac, Mtu};

/// The steps on the host: the bridge if there is none, its gateway addresses, the pair, the port.
pub(super) fn plan(builder: &mut Builder<'_>, attachment: &Attachment, bridge: &Bridge) -> Result<()> {
    let (host, key) = (&attachment.host_link, &attachment.key);
    let (bridge_mtu, mtu) = mtus(builder, attachment, bridge)?;
    let ours = use_bridge(builder, bridge, bridge_mtu)?;
    vlan::keep_apart(builder, bridge, ours)?;
    if bridge.gateway.unwrap_or(ours) {
        hold_gateways(builder, attachment, bridge)?;
    }
    for family in Family::BOTH {
        filter::open_loopback(builder, attachment, family);
    }
    builder.add(Object::Veth(Veth {
        host: host.clone(),
        host_mac: attachment.host_mac,
        // The bridge's own, even if the container's is lower: a bridge takes the lowest MTU of its ports
        // (br_mtu_auto_adjust()), and one container must not slow down the others.
        host_mtu: bridge_mtu,
        alias: key.alias(),
        bridge: Some(bridge.name.clone()),
        peer: attachment.ifname().clone(),
        mac: attachment.mac,
        mtu,
        txqueuelen: attachment.network.txqueuelen,
    }));
    builder.set(Setting::Alias { link: host.clone(), alias: key.alias() });
    let isolated = bridge.isolated || attachment.network.isolation.ports;
    let hairpin = bridge.hairpin || filter::needs_hairpin(attachment, &builder.facts);
    builder.set(Setting::Port(Port { link: host.clone(), isolated, hairpin }));
    vlan::join(builder, host, bridge);
    if builder.facts.host_ipv6 {
        builder.set(Setting::AddressGeneration { side: Side::Host, link: host.clone(), on: false });
    }
    filter::limit(builder, attachment)?;
    builder.set(Setting::State { side: Side::Host, link: host.clone(), up: true });
    Ok(())
}

/// The bridge's MTU and the container's.
fn mtus(builder: &Builder<'_>, attachment: &Attachment, bridge: &Bridge) -> Result<(u32, u32)> {
    match (builder.facts.host_link(&bridge.name), attachment.network.mtu) {
        (Some(link), Mtu::Auto) => Ok((link.mtu, link.mtu)),
        (Some(link), Mtu::Fixed(mtu)) if mtu <= link.mtu => Ok((link.mtu, mtu)),
        (Some(link), Mtu::Fixed(mtu)) => {
            let why = format!("mtu {mtu} is more than bridge {} carries ({})", bridge.name, link.mtu);
            Err(Error::new(Code::InvalidConfig, why)
                .context("invalid configuration")
                .hint("raise the bridge's MTU first"))
        }
        (None, Mtu::Fixed(mtu)) => Ok((mtu, mtu)),
        (None, Mtu::Auto) => {
            let mtu = builder.facts.uplink_mtu.unwrap_or(1500).clamp(68, 65535);
            Ok((mtu, mtu))
        }
    }
}

/// Makes the bridge if there is none. Whether it is springline's own.
fn use_bridge(builder: &mut Builder<'_>, bridge: &Bridge, mtu: u32) -> Result<bool> {
    let name = &bridge.name;
    let there = builder.facts.host_link(name);
    if let Some(link) = there.filter(|link| link.kind != LinkKind::Bridge) {
        let why = format!("{:?} already exists but is not a bridge (it is a {})", name.as_str(), link.kind);
        return Err(Error::new(Code::InvalidConfig, why).context("invalid configuration: bridge.name"));
    }
    let ours = there.is_none_or(|link| link.is_ours(BridgeLink::ALIAS));
    if ours {
        builder.claim(Shared::Bridge(name.clone()));
        let is_new = builder.facts.host_link(name).is_none();
        builder.add(Object::Bridge(BridgeLink { name: name.clone(), mac: bridge.mac, mtu }));
        builder.set(Setting::Alias { link: name.clone(), alias: BridgeLink::ALIAS.to_owned() });
        if is_new {
            quiet(builder, name, bridge.mac);
        }
    }
    builder.set(Setting::State { side: Side::Host, link: name.clone(), up: true });
    Ok(ours)
}

/// Keeps a new link, which leads to containers, from configuring itself. Its link-local address is there at once.
pub(super) fn quiet(builder: &mut Builder<'_>, name: &IfName, mac: Mac) {
    if !builder.facts.host_ipv6 {
        return;
    }
    // A container may send router advertisements onto the bridge; they are not for the host.
    let sysctl = Sysctl::ipv6(Side::Host, name, "accept_ra", "0").precaution(forwarding::forwards_ipv6(builder));
    builder.set(Setting::Sysctl(sysctl));
    builder.set(Setting::AddressGeneration { side: Side::Host, link: name.clone(), on: false });
    let net = link_local(mac.link_local());
    builder.add(Object::Address(Side::Host, LinkAddress { link: name.clone(), net, host_scope: false }));
}

/// Puts the gateway of each address's range on the bridge, beside whatever is there.
fn hold_gateways(builder: &mut Builder<'_>, attachment: &Attachment, bridge: &Bridge) -> Result<()> {
    let gateways: Vec<IpNet> =
        attachment.addresses.iter().filter_map(|address| Some(with_length_of(address.gateway?, address.net))).collect();
    let in_use = |family: Family| gateways.iter().any(|gateway| gateway.family() == family);
    forwarding::plan(builder, attachment.network.forwarding, in_use)?;
    if gateways.is_empty() {
        return Ok(());
    }
    let link = vlan::enter(builder, bridge)?;
    for net in gateways {
        builder.hold_address(LinkAddress { link: link.clone(), net, host_scope: false });
    }
    Ok(())
}
