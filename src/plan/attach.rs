//! The plan of an attachment.

use super::builder::Builder;
use super::facts::Facts;
use super::step::{Object, Step};
use super::{Plan, bridged, conflict, container, filter, proxy, routed};
use crate::error::{Code, Error, Result};
use crate::model::{Addressing, Attachment, Family, Gateway, Mode};

/// The steps that are missing for `attachment`, in an order that is safe at every point: the record first,
/// leases before what uses them, host routes before the container's link is up (an ARP request that comes
/// earlier costs 0.9 s).
///
/// Refuses what cannot be or would harm somebody: a link name that is taken, an address that is the host's
/// or another attachment's.
pub fn attach(attachment: &Attachment, facts: &Facts) -> Result<Plan> {
    refuse_taken_names(attachment, facts)?;
    conflict::refuse(attachment, facts)?;
    refuse_missing_ipv6(attachment, facts)?;
    filter::refuse_taken_ports(attachment, facts)?;
    proxy::refuse(attachment, facts)?;
    let mut builder = Builder::new(&attachment.key, facts);
    builder.add(Object::Record(attachment.key.clone()));
    for lease in &attachment.leases {
        builder.add(Object::Lease(lease.clone()));
    }
    filter::plan(&mut builder, attachment)?;
    match &attachment.network.mode {
        Mode::Routed(gateway) => routed::plan(&mut builder, attachment, gateway)?,
        Mode::Bridged(bridge) => bridged::plan(&mut builder, attachment, bridge)?,
    }
    refuse_low_mtu(&builder, attachment)?;
    container::plan(&mut builder, attachment)?;
    for readiness in builder.readiness(&attachment.host_link, attachment.ifname()) {
        builder.push(Step::Await(readiness));
    }
    proxy::plan(&mut builder, attachment)?;
    if matches!(attachment.network.mode, Mode::Bridged(_)) && !attachment.addresses.is_empty() {
        builder.push(Step::Announce(attachment.ifname().clone(), attachment.mac));
    }
    filter::forget_stale(&mut builder, attachment);
    Ok(Plan { key: attachment.key.clone(), steps: builder.finish() })
}

impl Attachment {
    /// Whether the attachment has anything of this family: an address, a routed network, an interconnect.
    #[must_use]
    pub fn uses(&self, family: Family) -> bool {
        let interconnects = match &self.network.mode {
            Mode::Routed(Gateway::Interconnect(nets)) => nets.as_slice(),
            _ => &[],
        };
        self.addresses.iter().any(|address| address.net.family() == family)
            || self.network.routes.iter().any(|route| route.dst.family() == family)
            || interconnects.iter().any(|interconnect| interconnect.net.family() == family)
    }

    /// Whether the container's link needs IPv6: for addresses, or for `fe80::1` as everybody's next hop.
    #[must_use]
    pub fn needs_ipv6(&self) -> bool {
        let by_gateway = match &self.network.mode {
            Mode::Routed(gateway) => {
                let gateways = Family::BOTH.into_iter().filter(|family| self.uses(*family));
                let via = gateways.filter_map(|family| routed::next_hop_of_container(gateway, family));
                via.chain(routed::host_routes(self, gateway).iter().filter_map(|route| route.via))
                    .any(|via| via.is_ipv6())
            }
            Mode::Bridged(_) => false,
        };
        by_gateway || self.uses(Family::V6)
    }
}

fn refuse_taken_names(attachment: &Attachment, facts: &Facts) -> Result<()> {
    let (key, ifname) = (&attachment.key, attachment.ifname());
    let ours = facts.host_link(&attachment.host_link).is_some_and(|link| link.alias == Some(key.alias()));
    if let Some(link) = facts.container.links.get(ifname).filter(|_| !ours) {
        let what = format!("{ifname} already exists in {} ({}, mtu {})", attachment.netns, link.kind, link.mtu);
        return Err(Error::new(Code::InvalidEnvironment, what).context(format!("cannot create interface {ifname}")));
    }
    if ours && !facts.container.links.contains_key(ifname) {
        let what = format!(
            "{} is the host side of {key}, but its other end is not in {}",
            attachment.host_link, attachment.netns
        );
        return Err(Error::new(Code::TryAgainLater, what)
            .context("half a pair is left of an earlier attachment")
            .hint("call DEL first"));
    }
    match facts.host_link(&attachment.host_link).filter(|_| !ours) {
        Some(link) => {
            let owner = link.alias.as_deref().and_then(super::owner_of_alias);
            let owner = owner.map_or_else(|| "is not springline's".to_owned(), |owner| format!("belongs to {owner}"));
            Err(Error::new(Code::InvalidConfig, format!("a link of this name exists on the host and {owner}"))
                .context(format!("cannot create link {}", attachment.host_link))
                .hint("choose another name with \"hostInterface\""))
        }
        None => Ok(()),
    }
}

/// Below 1280 bytes (RFC 8200, section 5) the kernel takes IPv6 off a link (`addrconf_notify()`).
fn refuse_low_mtu(builder: &Builder<'_>, attachment: &Attachment) -> Result<()> {
    let host = builder.facts.host_link(&attachment.host_link);
    let peer = builder.facts.container.links.get(attachment.ifname());
    match host.into_iter().chain(peer).map(|link| link.mtu).min() {
        Some(mtu) if mtu < 1280 && attachment.needs_ipv6() => {
            Err(Error::new(Code::InvalidConfig, "IPv6 needs at least 1280 bytes (RFC 8200)")
                .context(format!("mtu {mtu} is too small for the network's IPv6 addresses")))
        }
        _ => Ok(()),
    }
}

fn refuse_missing_ipv6(attachment: &Attachment, facts: &Facts) -> Result<()> {
    if !attachment.needs_ipv6() || (facts.container_ipv6 && facts.host_ipv6) {
        return Ok(());
    }
    if !facts.host_ipv6 {
        return Err(Error::new(Code::InvalidConfig, "the network has IPv6 addresses, or fe80::1 as its gateway")
            .context("the host's kernel has no IPv6")
            .hint("leave IPv6 out of the network, or choose another gateway scheme"));
    }
    Err(without_ipv6(&format!("the container's namespace {}", attachment.netns)))
}

/// The refusal of IPv6 addresses. An administrator may have switched it off on purpose: it is not for us to switch it on
/// again.
#[must_use]
pub fn without_ipv6(namespace: &str) -> Error {
    Error::new(Code::InvalidConfig, "net.ipv6.conf.default.disable_ipv6 is 1 there, or the kernel has no IPv6")
        .context(format!("IPv6 is disabled in {namespace}"))
        .hint("enable it for the container, or leave IPv6 (and gateway \"inet6\") out of the network")
}
