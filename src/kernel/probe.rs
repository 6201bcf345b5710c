//! What the kernel can do, tried out in a namespace that is made for it and goes with the attempt.

use rtnetlink::packet_route::RouteNetlinkMessage as Message;
use rtnetlink::{LinkBridge, LinkDummy};

use super::endpoint::Endpoint;
use super::netns::Netns;
use super::nft::{Change, Nft};
use super::socket::{KernelError, Request};
use super::{link, shape, vlan};
use crate::model::{IfName, Mac};
use crate::plan::{Ifb, Part, Veth, VlanLink};

/// Why a feature is not there; `None`: it is.
pub type Lack = Option<String>;

/// Tries everything that springline may ask a kernel for: each by its name. Modules that the kernel has are loaded by
/// it, as they would be by an ADD.
pub fn probe() -> Result<Vec<(&'static str, Lack)>, KernelError> {
    let netns = Netns::create()?;
    let endpoint = netns.connect()?;
    let lack = |answer: Result<(), KernelError>| answer.err().map(|error| error.to_string());
    let made = |answer: super::Answer| lack(answer.map(drop));
    let mut found = Vec::new();
    let cookie = (endpoint.socket.cookie() == 0).then(|| "SO_NETNS_COOKIE is 0".to_owned());
    found.push(("netns cookie", cookie));
    found.push(("nf_tables", lack(netns.inside(|| Ok(try_ruleset()))?)));
    let dummy = LinkDummy::new("probe-dummy").build();
    found.push(("dummy", made(endpoint.socket.request(Request::create(Message::NewLink(dummy))))));
    let bridge = LinkBridge::new("probe-bridge").build();
    found.push(("bridge", made(endpoint.socket.request(Request::create(Message::NewLink(bridge))))));
    found.extend(vlans(&endpoint)?);
    if let (Ok(ifb), Some(veth)) = (name("probe-ifb"), veth()) {
        let ifb = Ifb { name: ifb, alias: String::new() };
        found.push(("ifb", made(endpoint.socket.request(link::create_ifb(&ifb)))));
        let there = made(endpoint.socket.request(link::create_veth(&veth, None, &netns)));
        if there.is_none() {
            found.extend(disciplines(&endpoint, &veth.host)?);
        }
        found.push(("veth", there));
    }
    Ok(found)
}

/// Whether bridges know VLANs, and why not.
pub fn probe_bridge_vlans() -> Result<Lack, KernelError> {
    let endpoint = Netns::create()?.connect()?;
    let bridge = LinkBridge::new("probe-bridge").build();
    endpoint.socket.request(Request::create(Message::NewLink(bridge)))?;
    let found = vlans(&endpoint)?.into_iter().next();
    Ok(found.and_then(|(_, lack)| lack))
}

/// What VLANs on the bridge take, each tried there.
fn vlans(endpoint: &Endpoint) -> Result<Vec<(&'static str, Lack)>, KernelError> {
    let (Ok(bridge), Ok(link)) = (name("probe-bridge"), name("probe-vlan")) else { return Ok(Vec::new()) };
    let (views, _) = endpoint.look_up(std::slice::from_ref(&bridge), &[])?;
    let Some(view) = views.into_iter().flatten().next() else { return Ok(Vec::new()) };
    let lack = |request| endpoint.socket.request(request).err().map(|error| error.to_string());
    let filtering = lack(vlan::set_filtering(view.index, true));
    let link = lack(vlan::create_link(view.index, &VlanLink { name: link, bridge, id: 2 }));
    Ok(vec![("bridge VLANs", filtering), ("vlan", link)])
}

/// The queueing disciplines that limit rates, each tried on the link.
fn disciplines(endpoint: &Endpoint, link: &IfName) -> Result<Vec<(&'static str, Lack)>, KernelError> {
    let (views, _) = endpoint.look_up(std::slice::from_ref(link), &[])?;
    let Some(view) = views.into_iter().flatten().next() else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for (kind, request) in shape::each_discipline(view.index) {
        found.push((kind, endpoint.socket.request(request).err().map(|error| error.to_string())));
    }
    Ok(found)
}

/// Our own rules, as an ADD would make them.
fn try_ruleset() -> Result<(), KernelError> {
    let changes = [Part::Guard, Part::GuardArp, Part::Nat, Part::Isolation].map(Change::Ensure);
    Nft::open()?.transact(&changes).map_err(|failure| failure.error)
}

fn veth() -> Option<Veth> {
    let (host, peer) = (name("probe-veth").ok()?, name("probe-peer").ok()?);
    Some(Veth {
        host,
        host_mac: Mac::from_hash(1),
        host_mtu: 1500,
        alias: String::new(),
        bridge: None,
        peer,
        mac: Mac::from_hash(2),
        mtu: 1500,
        txqueuelen: None,
    })
}

fn name(text: &str) -> Result<IfName, crate::model::InvalidName> {
    IfName::parse(text)
}
