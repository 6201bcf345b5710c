//! VLANs of a bridge: a container's port is in one, untagged, and so is the host, by a link of its own.
//!
//! One bridge has many VLANs, each with its own gateway addresses. The host takes part in one as any port does: the bridge
//! itself becomes a member, with tag, and a link `BRIDGE.VLAN` on top takes the tag off and holds the addresses. (A veth
//! pair of which one end is a port would do as well, with two links and two neighbour tables where one does.)

use super::bridged::quiet;
use super::builder::Builder;
use super::link::LinkKind;
use super::made::{BridgeVlan, VlanLink};
use super::step::{Object, Setting, Shared, Side, Step};
use crate::error::{Code, Error, Result};
use crate::model::{Bridge, IfName};

/// Has the bridge keep its VLANs apart. One of ours, that until now no network with a VLAN was on, is made to: its ports
/// are in the default VLAN all along, and stay there. Others' are theirs to configure: ports would lose each other.
pub(super) fn keep_apart(builder: &mut Builder<'_>, bridge: &Bridge, ours: bool) -> Result<()> {
    let Some(id) = bridge.vlan else { return Ok(()) };
    let name = &bridge.name;
    if ours {
        builder.push_unless_recorded(Step::Set(Setting::VlanFiltering { bridge: name.clone(), on: true }));
        return Ok(());
    }
    if builder.facts.host_link(name).is_some_and(|link| link.vlans.0) {
        return Ok(());
    }
    Err(Error::new(Code::InvalidConfig, "it does not filter VLANs, and it is not springline's to change")
        .context(format!("containers cannot be put into VLAN {id} of bridge {name}"))
        .hint(format!(
            "ip link set dev {name} type bridge vlan_filtering 1, or another bridge.name: springline makes it"
        )))
}

/// Puts a port into its VLAN, and out of the one into which the bridge puts all of them. It is down until then.
pub(super) fn join(builder: &mut Builder<'_>, port: &IfName, bridge: &Bridge) {
    let Some(id) = bridge.vlan else { return };
    let member = |id| Object::Vlan(BridgeVlan { link: port.clone(), id, is_bridge: false });
    let default = builder.facts.host_link(&bridge.name).map_or(0, |link| link.vlans.1);
    builder.push_unless_recorded(Step::Add(member(id)));
    if ![0, id].contains(&default) {
        builder.push(Step::Del(member(default)));
    }
}

/// The link of the host that holds gateway addresses: the bridge, or the host's own in the VLAN, which is made with the
/// first of its users and goes with the last. One that was there before is used, and stays.
pub(super) fn enter(builder: &mut Builder<'_>, bridge: &Bridge) -> Result<IfName> {
    let (Some(id), Some(name)) = (bridge.vlan, bridge.vlan_link()) else { return Ok(bridge.name.clone()) };
    let own_vlan = (bridge.name.clone(), id);
    if builder.facts.vlans.get(&own_vlan).is_some_and(|untagged| *untagged) {
        let why = format!("VLAN {id} is the one in which bridge {} itself is, without a tag", bridge.name);
        return Err(Error::new(Code::InvalidConfig, why)
            .context(format!("the host cannot have a link {name} of its own in VLAN {id}"))
            .hint("leave bridge.vlan out: containers are in that VLAN then, and the gateway is on the bridge"));
    }
    refuse_taken(builder, &name, bridge, id)?;
    let (link, is_bridge) = (bridge.name.clone(), true);
    builder.hold(Shared::Vlan(link.clone(), id), Object::Vlan(BridgeVlan { link, id, is_bridge }));
    let there = builder.facts.host_link(&name);
    if there.is_none_or(|link| link.is_ours(VlanLink::ALIAS)) {
        let is_new = there.is_none();
        builder.claim(Shared::VlanLink(name.clone()));
        builder.add(Object::VlanLink(VlanLink { name: name.clone(), bridge: bridge.name.clone(), id }));
        builder.set(Setting::Alias { link: name.clone(), alias: VlanLink::ALIAS.to_owned() });
        if is_new {
            let mac = builder.facts.host_link(&name).and_then(|link| link.mac).unwrap_or(bridge.mac);
            quiet(builder, &name, mac);
        }
    }
    builder.set(Setting::State { side: Side::Host, link: name.clone(), up: true });
    Ok(name)
}

/// A link of that name is used only if it leads into that VLAN of that bridge.
fn refuse_taken(builder: &Builder<'_>, name: &IfName, bridge: &Bridge, id: u16) -> Result<()> {
    let Some(there) = builder.facts.host_link(name) else { return Ok(()) };
    if there.kind == LinkKind::Vlan(id) && there.lower.as_ref() == Some(&bridge.name) {
        return Ok(());
    }
    let on = there.lower.as_ref().map_or_else(String::new, |lower| format!(" on {lower}"));
    let why = format!("a link of this name exists on the host, a {}{on}", there.kind);
    Err(Error::new(Code::InvalidConfig, why)
        .context(format!("the host cannot have a link {name} of its own in VLAN {id} of bridge {}", bridge.name))
        .hint("rename it, or \"gateway\": false if the host is to have no address there"))
}
