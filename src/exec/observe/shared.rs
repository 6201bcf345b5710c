//! What an attachment shares with others, and which links steps and stakes are about.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{Attachment, Gateway, IfName, Mode};
use crate::plan::{self, Object, Pool, Shared, Step};

/// The link besides the pair that the attachment needs on the host.
pub(super) fn shared_link(attachment: &Attachment) -> Option<IfName> {
    match &attachment.network.mode {
        Mode::Bridged(bridge) => Some(bridge.name.clone()),
        Mode::Routed(Gateway::Shared(_)) => plan::holder_name().ok(),
        Mode::Routed(_) => None,
    }
}

/// The host's own link in the VLAN that the attachment is in.
pub(super) fn vlan_link(attachment: &Attachment) -> Option<IfName> {
    match &attachment.network.mode {
        Mode::Bridged(bridge) => bridge.vlan_link(),
        Mode::Routed(_) => None,
    }
}

/// The bridge or port whose VLANs the step is about.
pub(super) fn link_of_vlan(step: &Step) -> Option<&IfName> {
    match step {
        Step::Add(Object::Vlan(vlan)) | Step::Del(Object::Vlan(vlan)) => Some(&vlan.link),
        _ => None,
    }
}

/// The link on which the host answers for an address.
pub(super) fn link_of_proxy(step: &Step) -> Option<&IfName> {
    match step {
        Step::Add(Object::Proxy(link, _)) => Some(link),
        _ => None,
    }
}

/// The link that a shared object is about.
pub(super) fn link_of(shared: &Shared) -> Option<IfName> {
    match shared {
        Shared::Bridge(link)
        | Shared::Vlan(link, _)
        | Shared::VlanLink(link)
        | Shared::Holder(link)
        | Shared::Address(link, _) => Some(link.clone()),
        Shared::Loopback(_) | Shared::Isolated(_) | Shared::Chain(_) | Shared::Pool(_) => None,
    }
}

pub(super) fn vlan_of(shared: &Shared) -> Option<(IfName, u16)> {
    match shared {
        Shared::Vlan(bridge, id) => Some((bridge.clone(), *id)),
        _ => None,
    }
}

pub(super) fn pool_of(shared: &Shared) -> Option<Pool> {
    match shared {
        Shared::Pool(pool) => Some(pool.clone()),
        _ => None,
    }
}

/// What the attachment may have to share with others.
pub(super) fn shared_objects(attachment: &Attachment) -> Vec<Shared> {
    let pools = Pool::of(attachment).map(Shared::Pool);
    let mut objects = match &attachment.network.mode {
        Mode::Bridged(bridge) => {
            let addresses = attachment.addresses.iter().filter_map(|address| {
                let net = IpNet::new(address.gateway?, address.net.prefix_len()).ok()?;
                Some(Shared::Address(bridge.ip_link(), net))
            });
            let vlan = bridge.vlan.map(|id| Shared::Vlan(bridge.name.clone(), id));
            let vlan_link = bridge.vlan_link().map(Shared::VlanLink);
            addresses.chain([Shared::Bridge(bridge.name.clone())]).chain(vlan).chain(vlan_link).collect()
        }
        Mode::Routed(Gateway::Shared(address)) => {
            let link = shared_link(attachment).into_iter();
            link.flat_map(|link| {
                [Shared::Address(link.clone(), IpNet::from(IpAddr::V4(*address))), Shared::Holder(link)]
            })
            .collect()
        }
        Mode::Routed(_) => Vec::new(),
    };
    objects.extend(pools);
    objects
}
