//! On which links the host answers for whom, and who else does.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::exec::Engine;
use crate::kernel::{KernelError, LinkView};
use crate::model::{Attachment, IfName};
use crate::plan::{self, Facts, owner_of_alias};

impl Engine {
    /// Where the host is to answer for the attachment, for whom it does already, and who else does.
    pub(super) fn observe_proxies(&self, facts: &mut Facts, attachment: &Attachment) -> Result<(), KernelError> {
        let Some(proxy) = &attachment.network.proxy else { return Ok(()) };
        let views = if let Some(link) = &proxy.link {
            self.host.look_up(std::slice::from_ref(link), &[])?.0.into_iter().flatten().collect()
        } else {
            let connected = self.host.connected()?;
            let indices: BTreeSet<u32> = connected.iter().map(|(_, index)| *index).collect();
            let views = self.host.look_up_indices(&indices.into_iter().collect::<Vec<_>>())?;
            let ours = |view: &&LinkView| view.link.alias.as_deref().and_then(owner_of_alias).is_none();
            for view in views.iter().filter(ours) {
                let of_link = connected.iter().filter(|(_, index)| *index == view.index);
                facts.connected.extend(of_link.map(|(net, _)| (*net, view.name.clone())));
            }
            views
        };
        for view in views {
            facts.host.links.entry(view.name).or_insert(view.link);
        }
        facts.proxies = self.proxies()?;
        let mut asked = Vec::new();
        for address in plan::proxied(attachment) {
            let Ok(link) = plan::link_of_proxy(proxy, address, facts) else { continue }; // the plan says why
            for (key, _) in plan::sysctls_of_proxy(&link, address) {
                facts.host.sysctls.extend(self.sysctls.read(&key).ok().map(|value| (key, value)));
            }
            if proxy.probe && !facts.proxies.contains(&(link.clone(), address)) {
                asked.extend(self.host.index(&link).map(|index| (link, index, address)));
            }
        }
        let wanted: Vec<(u32, IpAddr)> = asked.iter().map(|(_, index, address)| (*index, *address)).collect();
        let answers = if wanted.is_empty() { Vec::new() } else { self.host.who_answers(&wanted)? };
        for ((link, _, address), mac) in asked.into_iter().zip(answers) {
            facts.answering.extend(mac.map(|mac| ((link, address), mac)));
        }
        Ok(())
    }

    /// For which addresses the host answers on which links.
    pub(super) fn proxies(&self) -> Result<BTreeSet<(IfName, IpAddr)>, KernelError> {
        let proxies = self.host.proxies()?;
        let unknown: BTreeSet<u32> =
            proxies.iter().map(|(index, _)| *index).filter(|index| self.host.name(*index).is_none()).collect();
        if !unknown.is_empty() {
            self.host.look_up_indices(&unknown.into_iter().collect::<Vec<_>>())?;
        }
        Ok(proxies.into_iter().filter_map(|(index, address)| Some((self.host.name(index)?, address))).collect())
    }
}
