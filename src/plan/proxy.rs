//! Addresses of a network that the host itself is on: it answers there for its containers (proxy ARP, RFC 1027; proxy
//! neighbour discovery, RFC 4389), so that nobody has to know of a route to them.

use std::net::IpAddr;

use super::builder::Builder;
use super::facts::Facts;
use super::step::{Object, Setting, Side, Step, Sysctl};
use crate::error::{Code, Error, Result};
use crate::model::{Attachment, IfName, Proxy};

/// Refuses addresses for which there is no link to answer on, or somebody who answers already.
pub(super) fn refuse(attachment: &Attachment, facts: &Facts) -> Result<()> {
    let Some(proxy) = &attachment.network.proxy else { return Ok(()) };
    for address in addresses(attachment) {
        let link = link_for(proxy, address, facts)?;
        let is_ours = facts.proxies.contains(&(link.clone(), address));
        if let Some(mac) = facts.answering.get(&(link.clone(), address)).filter(|_| proxy.probe && !is_ours) {
            return Err(Error::new(Code::InvalidConfig, format!("{mac} answers for it on {link}"))
                .context(format!("{address} is in use on the network that the host is connected to"))
                .hint("choose another address (ipam.ranges: exclude); or if it is to move here, \"proxy\": {\"probe\": false}"));
        }
    }
    Ok(())
}

/// When the container is ready for what comes: entries, and word to the neighbours, who may have another's MAC for it.
pub(super) fn plan(builder: &mut Builder<'_>, attachment: &Attachment) -> Result<()> {
    let Some(proxy) = &attachment.network.proxy else { return Ok(()) };
    for address in addresses(attachment) {
        let link = link_for(proxy, address, &builder.facts)?;
        for (key, precaution) in sysctls(&link, address) {
            let value = if key.ends_with("proxy_ndp") { "1" } else { "0" };
            builder.set(Setting::Sysctl(Sysctl { side: Side::Host, key, value: value.to_owned(), precaution }));
        }
        let object = Object::Proxy(link.clone(), address);
        if !builder.facts.has(&object) {
            builder.add(object);
            builder.push(Step::Proclaim(link, address));
        }
    }
    Ok(())
}

/// The settings that it takes, and whether each is a precaution only.
///
/// For IPv6 both `all` and the link's: with the link's alone the kernel answers multicast solicitations, but not the
/// unicast ones by which neighbours make sure (`ip6_forward()` asks `all`, `ndisc_recv_ns()` either), so that every half
/// minute a packet waits for seconds. And proxies answer at once: the kernel would wait for up to 0.8 s, as if there were
/// several to choose from (`pneigh_enqueue()`).
#[must_use]
pub fn sysctls(link: &IfName, address: IpAddr) -> Vec<(String, bool)> {
    let delay = |family| (format!("{family}/neigh/{link}/proxy_delay"), true);
    if address.is_ipv4() {
        return vec![delay("ipv4")];
    }
    let ndp = |name: &str| (format!("ipv6/conf/{name}/proxy_ndp"), false);
    vec![ndp("all"), ndp(link.as_str()), delay("ipv6")]
}

/// The addresses that the host answers for.
pub fn addresses(attachment: &Attachment) -> impl Iterator<Item = IpAddr> + '_ {
    let all = attachment.addresses.iter().map(|address| address.net.addr());
    all.filter(|_| attachment.network.proxy.is_some() && !attachment.awaits_addresses())
}

/// The link on whose network an address is.
pub fn link_for(proxy: &Proxy, address: IpAddr, facts: &Facts) -> Result<IfName> {
    let wrong = |why: String| Error::new(Code::InvalidConfig, why).context(format!("nobody can answer for {address}"));
    if let Some(link) = &proxy.link {
        return match facts.host_link(link) {
            Some(_) => Ok(link.clone()),
            None => Err(wrong(format!("the host has no link {link}, which \"proxy\" names"))),
        };
    }
    let holding = facts.connected.iter().filter(|(net, _)| net.contains(&address));
    let nearest = holding.max_by_key(|(net, _)| net.prefix_len());
    nearest.map(|(_, link)| link.clone()).ok_or_else(|| {
        wrong("the host is connected to no network that it is in".to_owned())
            .hint("\"proxy\": \"LINK\" names the link on which the host is to answer")
    })
}
