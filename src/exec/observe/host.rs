//! The host: links, what leads to whom, and whether it forwards.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::shared::{shared_link, vlan_link};
use crate::exec::Engine;
use crate::kernel::{Endpoint, FibAnswer, KernelError, LinkView};
use crate::model::{Addressing, Attachment, Family, Forwarding, IfName, Mode, Mtu};
use crate::plan::{self, Facts, FibMatch, Route, Shared, owner_of_alias};

/// Destinations that no route but a default route leads to: "this" network (RFC 1122) and the unassigned
/// part beside the loopback address (RFC 4291).
const NOWHERE: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(0, 0, 0, 1)), IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 2))];

/// `RTPROT_RA`: learnt from router advertisements.
const ROUTER_ADVERTISEMENT: u8 = 9;

impl Engine {
    pub(super) fn observe_host(&self, facts: &mut Facts, attachment: &Attachment) -> Result<(), KernelError> {
        let prefixes = plan::wanted_prefixes(attachment);
        let mut destinations: Vec<IpAddr> = prefixes.iter().map(IpNet::addr).collect();
        if attachment.network.mtu == Mtu::Auto {
            destinations.extend(NOWHERE);
        }
        let names: Vec<IfName> =
            [Some(attachment.host_link.clone()), shared_link(attachment), attachment.network.host_routes.vrf.clone()]
                .into_iter()
                .flatten()
                .chain(vlan_link(attachment))
                .collect();
        let (views, mut answers) = self.host.look_up(&names, &destinations)?;
        let uplinks = answers.split_off(prefixes.len());
        let mut found: Vec<(IpNet, FibAnswer)> =
            prefixes.iter().copied().zip(answers).filter_map(|(asked, answer)| Some((asked, answer?))).collect();
        found.extend(self.look_into_tables(attachment, &prefixes)?);
        let uplink =
            uplinks.iter().flatten().find(|answer| answer.dst.prefix_len() == 0).and_then(|answer| answer.link);
        let views: Vec<LinkView> = views.into_iter().flatten().collect();
        let is_seen = |index: &u32| views.iter().any(|view| view.index == *index);
        let indices: BTreeSet<u32> = found.iter().filter_map(|(_, answer)| answer.link).chain(uplink).collect();
        let unseen: Vec<u32> = indices.into_iter().filter(|index| !is_seen(index)).collect();
        let others = self.host.look_up_indices(&unseen)?;
        let by_index = |index: u32| views.iter().chain(&others).find(|view| view.index == index);
        facts.uplink_mtu = uplink.and_then(by_index).map(|view| view.link.mtu);
        facts.fib =
            found.iter().map(|(asked, answer)| fib_match(*asked, answer, answer.link.and_then(by_index))).collect();
        for view in views {
            self.observe_link(facts, view)?;
        }
        match &attachment.network.mode {
            Mode::Bridged(bridge) if bridge.vlan.is_some() => {
                [&bridge.name, &attachment.host_link].into_iter().try_for_each(|link| self.observe_vlans(facts, link))
            }
            _ => Ok(()),
        }
    }

    /// In which VLANs a bridge or a port of it is; the link was looked up before.
    pub(super) fn observe_vlans(&self, facts: &mut Facts, link: &IfName) -> Result<(), KernelError> {
        let Some(index) = self.host.index(link) else { return Ok(()) };
        let vlans = self.host.vlans(index)?.into_iter();
        facts.vlans.extend(vlans.map(|(id, untagged)| ((link.clone(), id), untagged)));
        Ok(())
    }

    /// Wider networks may contain routes that a single look-up does not show, and tables of their own are
    /// not looked up by the host's rules at all: both are read.
    fn look_into_tables(
        &self,
        attachment: &Attachment,
        prefixes: &[IpNet],
    ) -> Result<Vec<(IpNet, FibAnswer)>, KernelError> {
        let table = match &attachment.network.mode {
            Mode::Routed(_) => attachment.network.host_routes.table,
            Mode::Bridged(_) => return Ok(Vec::new()),
        };
        let mut found = Vec::new();
        for family in Family::BOTH {
            let wanted = |prefix: &&IpNet| prefix.family() == family && (table != Route::MAIN || !is_single(**prefix));
            let wanted: Vec<&IpNet> = prefixes.iter().filter(wanted).collect();
            if wanted.is_empty() {
                continue;
            }
            for route in self.host.fib(family, table, None)? {
                let touched = wanted.iter().filter(|asked| asked.contains(&route.dst) || route.dst.contains(**asked));
                found.extend(touched.map(|asked| (**asked, route.clone())));
            }
        }
        Ok(found)
    }

    /// A link by name, with what stands on it; and whose ports it has, if nobody else has a stake in it and so
    /// it may be time for it to go. (Never otherwise: there may be thousands.)
    fn observe_link(&self, facts: &mut Facts, view: LinkView) -> Result<(), KernelError> {
        let LinkView { name, index, peer, link, .. } = view;
        facts.host.addresses.extend(self.host.addresses(&name, index)?);
        if matches!(link.kind, plan::LinkKind::Vlan(_)) {
            let lower = peer.and_then(|lower| self.host.name(lower));
            facts.host.links.insert(name, plan::Link { lower, ..link });
            return Ok(());
        }
        let stakes = [Shared::Bridge(name.clone()), Shared::Holder(name.clone())];
        if link.kind == plan::LinkKind::Veth {
            facts.host.routes.extend(self.host.routes_of(&name, index, &[Route::MAIN])?);
        } else if link.alias.as_deref().and_then(owner_of_alias).is_some()
            && !stakes.iter().any(|shared| facts.users(shared).others)
        {
            for port in self.host.links(Some(index))?.into_iter().filter(|port| port.master == Some(index)) {
                facts.host.links.insert(port.name, plan::Link { master: Some(name.clone()), ..port.link });
            }
        }
        facts.host.links.insert(name, link);
        Ok(())
    }

    pub(super) fn observe_named(&self, facts: &mut Facts, names: &[IfName]) -> Result<(), KernelError> {
        let (views, _) = self.host.look_up(names, &[])?;
        for view in views.into_iter().flatten() {
            if view.link.kind == plan::LinkKind::Veth {
                facts.host.links.insert(view.name.clone(), view.link); // goes with all that stands on it
            } else {
                self.observe_link(facts, view)?;
            }
        }
        Ok(())
    }

    pub(super) fn observe_forwarding(&self, facts: &mut Facts, attachment: &Attachment) -> Result<(), KernelError> {
        let read = |key: &str| self.sysctls.read(key).ok();
        let forwards = self.host.forwards()?;
        for ((_, key), forwards) in plan::FORWARDING.into_iter().zip(forwards) {
            facts.host.sysctls.extend(forwards.map(|forwards| (key.to_owned(), u8::from(forwards).to_string())));
        }
        let [_, ipv6] = forwards;
        facts.host_ipv6 = ipv6.is_some();
        // What it is matters to hosts that forward only.
        if ipv6 == Some(true) {
            let key = plan::DEFAULT_ACCEPT_RA;
            facts.host.sysctls.extend(read(key).map(|value| (key.to_owned(), value)));
        }
        // Looked at only when forwarding is about to be turned on: a host may have a full BGP table.
        let is_off = ipv6 == Some(false);
        if is_off && attachment.uses(Family::V6) && attachment.network.forwarding == Forwarding::Enable {
            let routes = self.host.fib(Family::V6, Route::MAIN, None)?;
            let learnt =
                routes.iter().filter(|route| route.dst.prefix_len() == 0 && route.protocol == ROUTER_ADVERTISEMENT);
            let indices: BTreeSet<u32> = learnt.filter_map(|route| route.link).collect();
            for view in self.host.look_up_indices(&indices.into_iter().collect::<Vec<_>>())? {
                let key = format!("ipv6/conf/{}/accept_ra", view.name);
                let value = read(&key).unwrap_or_default();
                facts.host.links.entry(view.name.clone()).or_insert(view.link);
                facts.host.sysctls.insert(key, value);
                facts.advertised_uplinks.push(view.name);
            }
        }
        Ok(())
    }
}

/// The MTU of the link that a host's default route uses.
pub(in crate::exec) fn uplink_of(host: &Endpoint) -> Result<Option<u32>, KernelError> {
    let (_, answers) = host.look_up(&[], &NOWHERE)?;
    let uplink = answers.iter().flatten().find(|answer| answer.dst.prefix_len() == 0).and_then(|answer| answer.link);
    let links = host.look_up_indices(&uplink.into_iter().collect::<Vec<_>>())?;
    Ok(links.first().map(|view| view.link.mtu))
}

fn is_single(net: IpNet) -> bool {
    net.prefix_len() == net.max_prefix_len()
}

fn fib_match(asked: IpNet, answer: &FibAnswer, link: Option<&LinkView>) -> FibMatch {
    FibMatch {
        asked,
        dst: answer.dst,
        kind: answer.kind,
        link: link.map(|view| view.name.clone()),
        alias: link.and_then(|view| view.link.alias.clone()),
        table: answer.table,
        metric: answer.metric,
        protocol: answer.protocol,
    }
}
