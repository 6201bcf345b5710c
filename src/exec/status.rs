//! STATUS: could an ADD be served now?

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Engine, refused};
use crate::error::{Code, Error, Result};
use crate::kernel;
use crate::kernel::nft::Barrier;
use crate::model::{Family, Forwarding, Ipam, LINK_GROUP, Mode, Network};
use crate::plan::{self, BridgeLink, LinkKind};
use crate::store::RangeFull;

impl Engine {
    /// Refuses with code 50 if an ADD to the network would fail, as far as that can be known beforehand.
    pub fn status(&self, network: &Network) -> Result<()> {
        let unavailable = |error: Error| Error { code: Code::Unavailable, ..error };
        let _lock = self.store.lock().map_err(unavailable)?;
        self.refuse_full_ranges(network)?;
        self.refuse_foreign_link(network)?;
        self.refuse_closed_forwarding(network)?;
        self.refuse_barriers(network)
    }

    fn refuse_full_ranges(&self, network: &Network) -> Result<()> {
        let Some(Ipam::BuiltIn { ranges, data_dir, .. }) = &network.ipam else { return Ok(()) };
        for set in ranges {
            let RangeFull { used, total } = self.store.usage(&network.name, data_dir.as_deref(), set)?;
            if used >= total {
                let why = format!("{used} used of {total} total in {set}");
                return Err(
                    Error::new(Code::Unavailable, why).context(format!("no free address in network {}", network.name))
                );
            }
        }
        Ok(())
    }

    fn refuse_foreign_link(&self, network: &Network) -> Result<()> {
        let Mode::Bridged(bridge) = &network.mode else { return Ok(()) };
        let found = self.host.look_up(std::slice::from_ref(&bridge.name), &[]);
        let (views, _) = found.map_err(|error| refused(&error, "look at the host"))?;
        let unavailable = |why: String| {
            Error::new(Code::Unavailable, why).context(format!("network {} cannot be served", network.name))
        };
        let there = views.into_iter().flatten().next().map(|view| view.link);
        let is_ours = there.as_ref().is_none_or(|link| link.is_ours(BridgeLink::ALIAS));
        let filters = there.as_ref().is_some_and(|link| link.vlans.0);
        match (&there, bridge.vlan) {
            (Some(link), _) if link.kind != LinkKind::Bridge => {
                Err(unavailable(format!("{:?} already exists but is not a bridge", bridge.name.as_str())))
            }
            (Some(_), Some(_)) if !is_ours && !filters => {
                Err(unavailable(format!("bridge {} does not filter VLANs, and is not springline's", bridge.name)))
            }
            (_, Some(_)) if !filters => match kernel::probe_bridge_vlans() {
                Ok(Some(lack)) => Err(unavailable(format!("this kernel's bridges know no VLANs: {lack}"))),
                _ => Ok(()), // where nothing can be tried out, there is nothing to tell
            },
            _ => Ok(()),
        }
    }

    /// Code 51 if a firewall of somebody else's drops what containers send and receive.
    fn refuse_barriers(&self, network: &Network) -> Result<()> {
        let Some(barrier) = self.barrier_to(network) else { return Ok(()) };
        let Barrier { family, table, chain, by_policy, .. } = &barrier;
        let how = if *by_policy { "by its policy" } else { "by its last rule" };
        let why =
            format!("chain {chain} of table {family} {table} drops {how}, and no rule of it names these containers");
        let nets = network.ipam.as_ref().map(Ipam::networks).unwrap_or_default();
        let (command, remark) = what_to_allow(&barrier, &nets);
        let hint = if remark.is_empty() { command } else { format!("{command} ({remark})") };
        Err(Error::new(Code::LimitedConnectivity, why)
            .context(format!("containers of network {} are cut off by a firewall", network.name))
            .hint(hint))
    }

    /// The firewall of somebody else's that drops what containers of the network send and receive. Its verdict stands,
    /// whatever ours is: a packet must pass all chains of a hook.
    pub(super) fn barrier_to(&self, network: &Network) -> Option<Barrier> {
        // Where this cannot be looked at, there is nothing to tell.
        let barriers = self.nft().ok()?.barriers().ok()?;
        let links = match &network.mode {
            Mode::Bridged(bridge) => vec![bridge.ip_link().to_string()],
            Mode::Routed(_) => vec![network.host_link.prefix().to_owned()],
        };
        let nets = network.ipam.as_ref().map(Ipam::networks).unwrap_or_default();
        let addresses: Vec<IpAddr> = nets.iter().map(IpNet::network).collect();
        let families = network.ipam.as_ref().map(Ipam::families).unwrap_or_default();
        let concerns = |barrier: &Barrier| match barrier.family {
            "ip" => families.is_empty() || families.contains(&Family::V4),
            "ip6" => families.is_empty() || families.contains(&Family::V6),
            _ => true,
        };
        let closed = |barrier: &Barrier| !barrier.lets_pass(LINK_GROUP, &links, &addresses);
        barriers.into_iter().find(|barrier| concerns(barrier) && closed(barrier))
    }

    fn refuse_closed_forwarding(&self, network: &Network) -> Result<()> {
        if network.forwarding != Forwarding::Require {
            return Ok(());
        }
        let families = network.ipam.as_ref().map(Ipam::families).unwrap_or_default();
        for (_, key) in plan::FORWARDING.into_iter().filter(|(family, _)| families.contains(family)) {
            let value = self.sysctls.read(key).unwrap_or_default();
            if value != "1" {
                let why = format!("forwarding is \"require\", and net/{key} is {value:?}");
                return Err(
                    Error::new(Code::Unavailable, why).context(format!("network {} cannot be served", network.name))
                );
            }
        }
        Ok(())
    }
}

/// What lets our containers through a barrier, in the words of whoever has put it up: a command, and a remark.
pub(super) fn what_to_allow(barrier: &Barrier, nets: &[IpNet]) -> (String, &'static str) {
    let Barrier { family, table, chain, .. } = barrier;
    let is_iptables = (family, table.as_str(), chain.as_str()) != (&"inet", "filter", "FORWARD") && chain == "FORWARD";
    match (table.as_str(), is_iptables) {
        ("firewalld", _) => {
            let range = |net: String| format!("firewall-cmd --permanent --zone=trusted --add-source={net}");
            let nets = nets.iter().map(|net| range(net.to_string()));
            let mut commands: Vec<String> = if nets.len() == 0 { vec![range("RANGE".into())] } else { nets.collect() };
            commands.push("firewall-cmd --reload".into());
            (commands.join(" && "), "each range of the network in the zone \"trusted\"")
        }
        (_, true) => {
            let command = if *family == "ip6" { "ip6tables" } else { "iptables" };
            let allow = |side: &str| format!("{command} -I FORWARD -m devgroup --{side}-group {LINK_GROUP} -j ACCEPT");
            (
                format!("{} && {}", allow("src"), allow("dst")),
                "with Docker, in DOCKER-USER; with ufw, in /etc/ufw/before.rules, so that it stays",
            )
        }
        _ => {
            let allow = |way: &str| format!("nft insert rule {family} {table} {chain} {way}group {LINK_GROUP} accept");
            (format!("{} && {}", allow("iif"), allow("oif")), "")
        }
    }
}
