//! Refuses addresses and networks that are somebody else's, and names the owner.
//!
//! The kernel alone does not: it takes a second route to a prefix under another metric, and a route to one
//! of the host's own addresses, which then silently does nothing because table `local` comes first.

use ipnet::IpNet;

use super::facts::{Facts, FibMatch, RouteKind};
use super::pool::Pool;
use super::routed::host_routes;
use super::step::owner_of_alias;
use crate::error::{Code, Error, Result};
use crate::model::{Attachment, Gateway, Lease, Mode, single};

/// Everything whose owner must be asked for in the host's FIB before the attachment gets it.
#[must_use]
pub fn wanted_prefixes(attachment: &Attachment) -> Vec<IpNet> {
    match &attachment.network.mode {
        Mode::Routed(gateway) => routed_prefixes(attachment, gateway),
        Mode::Bridged(_) => attachment.addresses.iter().map(|address| single(address.net.addr())).collect(),
    }
}

/// The prefixes that the host will route to a routed attachment.
#[must_use]
pub fn routed_prefixes(attachment: &Attachment, gateway: &Gateway) -> Vec<IpNet> {
    let mut prefixes: Vec<IpNet> = host_routes(attachment, gateway).iter().map(|route| route.dst).collect();
    // An address that a routed network covers has no route of its own, but may still be somebody else's.
    prefixes.extend(attachment.addresses.iter().map(|address| single(address.net.addr())));
    if let Gateway::Interconnect(nets) = gateway {
        prefixes.extend(nets.iter().map(|net| net.net));
    }
    prefixes.sort();
    prefixes.dedup();
    prefixes
}

/// Refuses the attachment if what it wants is taken.
pub(super) fn refuse(attachment: &Attachment, facts: &Facts) -> Result<()> {
    let leased = |lease: &&Lease| {
        facts.leases.get(&(lease.network.clone(), lease.address)).is_some_and(|owner| *owner != attachment.key)
    };
    if let Some(lease) = attachment.leases.iter().find(leased) {
        let owner =
            facts.leases.get(&(lease.network.clone(), lease.address)).map(ToString::to_string).unwrap_or_default();
        return Err(Error::new(Code::InvalidConfig, format!("it belongs to attachment {owner}"))
            .context(format!("address {} of network {} is taken", lease.address, lease.network)));
    }
    let mut foreign = facts.fib.iter().filter(|found| found.link.as_ref() != Some(&attachment.host_link));
    foreign.try_for_each(|found| refuse_one(attachment, found))
}

fn refuse_one(attachment: &Attachment, found: &FibMatch) -> Result<()> {
    let owner = found.alias.as_deref().and_then(owner_of_alias).filter(|owner| owner.contains('/'));
    let link = found.link.as_ref().map_or_else(String::new, |link| format!(" on {link}"));
    if found.kind == RouteKind::Reject && found.metric == Pool::METRIC {
        return Ok(()); // it says that nobody is there
    }
    let is_learnt = owner.is_none() && found.kind == RouteKind::Unicast && is_dynamic(found.protocol);
    if is_learnt && attachment.network.host_routes.take_over {
        return Ok(()); // from another host, which still has it
    }
    let inside = found.asked.contains(&found.dst);
    let why = match (found.kind, owner) {
        (RouteKind::Local, None) if inside => format!("{} is an address of the host itself{link}", found.dst.addr()),
        (_, Some(owner)) => format!("{} is routed{link} and belongs to attachment {owner}", found.dst),
        (RouteKind::Unicast | RouteKind::Reject, None) if found.dst == found.asked => format!(
            "{} has a route{link} already (table {}, metric {}, protocol {})",
            found.dst, found.table, found.metric, found.protocol
        ),
        // RTPROT_KERNEL: a network that the host is connected to.
        (RouteKind::Unicast, None) if inside && found.protocol == 2 => {
            format!("it contains {}, a network that the host is connected to{link}", found.dst)
        }
        _ => return Ok(()),
    };
    let what = format!("{} cannot be given to {}", found.asked, attachment.key);
    let error = Error::new(Code::InvalidConfig, why).context(what);
    Err(if is_learnt {
        error.hint("hostRoutes.takeOver lets an address that is on another host move here")
    } else {
        error
    })
}

/// Whether routes of the protocol are made by daemons that learn them from others: those from `RTPROT_GATED` on in
/// `include/uapi/linux/rtnetlink.h`, but for what routers advertise and DHCP, and FRR's own (191 to 198).
fn is_dynamic(protocol: u8) -> bool {
    matches!(protocol, 8 | 10..=15 | 17 | 18 | 42 | 99 | 186..=189 | 191..=198)
}
