//! Plans that nobody runs: against what is there, or against a host that there might be.

use std::collections::BTreeMap;
use std::io;

use super::observe::uplink_of;
use super::{AttachRequest, Container, Engine, refused};
use crate::error::Result;
use crate::ipam;
use crate::model::{Attachment, IfName, Ipam};
use crate::plan::{self, Facts, Link, LinkKind, Plan};
use crate::store::Store;

impl Engine {
    /// The plan of an attachment, with the addresses that it would get now. Nothing is changed or reserved.
    pub fn preview(&self, request: &AttachRequest, container: &Container) -> Result<Plan> {
        let _lock = self.store.lock()?;
        let attachment = with_addresses(&self.store, request)?;
        let facts = self.facts_to_attach(container, &attachment)?;
        plan::attach(&attachment, &facts)
    }

    /// The plan of an attachment in an empty namespace, on a host with nothing of ours on it; and what was assumed, as
    /// sentences. Needs no privileges and changes nothing: what cannot be read is taken for what is usual.
    pub fn sketch(&self, request: &AttachRequest) -> Result<(Plan, Vec<String>)> {
        let mut assumed = vec!["nothing on the host is in the way, and no other attachment is there".to_owned()];
        let attachment = if let Some(attachment) = self.with_addresses_of_today(request) {
            attachment?
        } else {
            if matches!(request.attachment.network.ipam, Some(Ipam::BuiltIn { .. })) {
                let root = self.store.root().display();
                assumed.push(format!("no address is given out yet ({root} is not there, or not for us to read)"));
            }
            with_addresses(&Store::imagined()?, request)?
        };
        if let Some(Ipam::Delegated { plugin }) = &attachment.network.ipam {
            assumed.push(format!("the addresses of plugin {plugin}, and what follows from them, are added later"));
        }
        let mut facts = Facts { container_ipv6: true, ..Facts::default() };
        let loopback = Link::new(LinkKind::Other("loopback".into()), 65536);
        facts.container.links.insert(IfName::loopback(), loopback);
        let uplink = uplink_of(&self.host).map_err(|error| refused(&error, "look for the uplink"))?;
        facts.uplink_mtu = uplink;
        assumed.push(match uplink {
            Some(mtu) => format!("the host's uplink has an MTU of {mtu}, as it has here"),
            None => "the host has no uplink, as here".to_owned(),
        });
        facts.host.sysctls = self.sysctls(&mut assumed);
        facts.host_ipv6 = facts.host.sysctls.contains_key(plan::FORWARDING[1].1);
        if !facts.host_ipv6 {
            assumed.push("the host's kernel has no IPv6, as here".to_owned());
        }
        Ok((plan::attach(&attachment, &facts)?, assumed))
    }

    /// With the addresses that it would get now, unless the state is not there, or not for us to look at.
    fn with_addresses_of_today(&self, request: &AttachRequest) -> Option<Result<Attachment>> {
        // A folder that is not there is not made for a plan.
        let _lock = self.store.root().exists().then(|| self.store.lock().ok()).flatten()?;
        match with_addresses(&self.store, request) {
            Err(error) if is_denied(&error) => None,
            done => Some(done),
        }
    }

    /// Whether the host forwards, and takes router advertisements, as far as that can be read.
    fn sysctls(&self, assumed: &mut Vec<String>) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for ((_, key), family) in plan::FORWARDING.into_iter().zip(["IPv4", "IPv6"]) {
            if let Ok(value) = self.sysctls.read(key) {
                let does = if value == "1" { "forwards" } else { "does not forward" };
                assumed.push(format!("the host {does} {family}, as it does here"));
                found.insert(key.to_owned(), value);
            }
        }
        let read = |key: &str| Some((key.to_owned(), self.sysctls.read(key).ok()?));
        found.extend(read(plan::DEFAULT_ACCEPT_RA));
        let bridges: Vec<(String, String)> = plan::BRIDGE_NETFILTER.into_iter().filter_map(read).collect();
        if bridges.iter().any(|(_, value)| value == "1") {
            assumed.push("frames on the host's bridges pass through its IP filters (br_netfilter), as here".to_owned());
        }
        found.extend(bridges);
        found
    }
}

/// The attachment with the addresses that a store would give it.
fn with_addresses(store: &Store, request: &AttachRequest) -> Result<Attachment> {
    let mut attachment = request.attachment.clone();
    if let Some(ipam @ Ipam::BuiltIn { .. }) = &attachment.network.ipam {
        ipam::choose(store, &attachment.key, ipam, &request.wishes)?.give_to(&mut attachment);
    }
    Ok(attachment)
}

fn is_denied(error: &crate::error::Error) -> bool {
    let kinds = error.source.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    let denied = [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem];
    kinds.into_iter().any(|kind| denied.contains(&kind))
}
