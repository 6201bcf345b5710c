//! Steps as the `ip` and `sysctl` lines that they equal.

use std::fmt;

use super::made::{BridgeLink, BridgeVlan, Holder, Ifb, Veth, VlanLink};
use super::pool::Pool;
use super::route::Route;
use super::ruleset::{NetworkChain, TABLE};
use super::step::{Held, LinkAddress, Object, Readiness, Setting, Shared, Side, Stale, Step};
use crate::model::{Family, LINK_GROUP};

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add(object) => show_object(f, object, "add"),
            Self::Del(object) => show_object(f, object, "del"),
            Self::Set(setting) => show_setting(f, setting),
            Self::Await(Readiness { side, links, addresses }) => {
                let links = links.iter().map(ToString::to_string);
                let addresses = addresses.iter().map(|address| address.net.addr().to_string());
                let all = links.chain(addresses).collect::<Vec<_>>().join(", ");
                write!(f, "{}await {all}", prefix(*side))
            }
            Self::Forget(Stale { map, target, here }) => {
                let (which, port) = (if *here { "" } else { "not " }, map.host_port);
                write!(f, "conntrack -D -p {} --orig-port-dst {port}  # {which}answered by {target}", map.protocol)
            }
            Self::Proclaim(link, address) if address.is_ipv4() => write!(f, "arping -c 1 -U -I {link} {address}"),
            Self::Proclaim(link, address) => write!(f, "ndsend {address} {link}"),
            Self::Announce(link, mac) => {
                write!(f, "{}ip link set dev {link} address {mac}  # announces its addresses", prefix(Side::Container))
            }
        }
    }
}

fn prefix(side: Side) -> &'static str {
    match side {
        Side::Host => "",
        Side::Container => "[container] ",
    }
}

fn show_object(f: &mut fmt::Formatter<'_>, object: &Object, verb: &str) -> fmt::Result {
    match object {
        Object::Record(key) => write!(f, "record {verb} {key}"),
        Object::Lease(lease) => write!(f, "lease {verb} {} in {}", lease.address, lease.network),
        Object::Delegation(plugin) => write!(f, "ipam {verb} by plugin {plugin}"),
        Object::Use(shared) => write!(f, "use {verb} {shared}"),
        Object::Veth(veth) => show_veth(f, veth, verb),
        Object::Bridge(bridge) => show_bridge(f, bridge, verb),
        Object::Vlan(vlan) => {
            write!(f, "bridge vlan {verb} ")?;
            vlan.show(f, vlan.link.as_str(), verb == "add")
        }
        Object::VlanLink(VlanLink { name, bridge, id }) if verb == "add" => {
            write!(f, "ip link add link {bridge} name {name} group {LINK_GROUP} type vlan id {id}")
        }
        Object::Holder(Holder { name }) if verb == "add" => {
            write!(f, "ip link add {name} group {LINK_GROUP} type dummy  # or a bridge")
        }
        Object::Address(side, address) => write!(f, "{}ip address {verb} {address}", prefix(*side)),
        Object::Route(side, route) => write!(f, "{}ip route {verb} {route}", prefix(*side)),
        Object::Proxy(link, address) => write!(f, "ip neigh {verb} proxy {address} dev {link}"),
        Object::Pool(pool) => write!(f, "ip route {verb} {pool}"),
        Object::Part(part) => write!(f, "nft {verb} {part}"),
        Object::Chain(NetworkChain { name, .. }) => write!(f, "nft {verb} chain inet {TABLE} {name}"),
        Object::Element(Held { element, .. }) => {
            let verb = if verb == "del" { "delete" } else { verb };
            write!(f, "nft {verb} element {element}")
        }
        Object::Ifb(Ifb { name, .. }) if verb == "add" => write!(f, "ip link add {name} group {LINK_GROUP} type ifb"),
        Object::Ifb(Ifb { name, .. }) | Object::Holder(Holder { name }) | Object::VlanLink(VlanLink { name, .. }) => {
            write!(f, "ip link {verb} {name}")
        }
        Object::Limit(link, rate) => {
            write!(f, "tc qdisc {verb} dev {link} root cake bandwidth {rate}  # or tbf rate {rate}")
        }
        Object::Redirect(from, to) if verb == "add" => write!(
            f,
            "tc qdisc add dev {from} ingress; tc filter add dev {from} ingress matchall action mirred egress redirect dev {to}"
        ),
        Object::Redirect(from, _) => write!(f, "tc qdisc {verb} dev {from} ingress"),
        Object::Loopback(Family::V4, link) => {
            write!(f, "sysctl -w net/{}={}", super::localnet_key(link), u8::from(verb == "add"))
        }
        Object::Loopback(Family::V6, link) => {
            let verb = if verb == "add" { "append" } else { verb };
            write!(f, "ip route {verb} local ::1 dev {link} table local metric 171 proto 171")
        }
    }
}

fn show_veth(f: &mut fmt::Formatter<'_>, veth: &Veth, verb: &str) -> fmt::Result {
    if verb != "add" {
        return write!(f, "ip link {verb} {}", veth.host);
    }
    let Veth { host, host_mac, host_mtu, alias: _, bridge, peer, mac, mtu, txqueuelen } = veth;
    write!(f, "ip link add {host} address {host_mac} mtu {host_mtu} group {LINK_GROUP}")?;
    if let Some(bridge) = bridge {
        write!(f, " master {bridge}")?;
    }
    write!(f, " type veth peer name {peer} address {mac} mtu {mtu}")?;
    if let Some(length) = txqueuelen {
        write!(f, " txqueuelen {length}")?;
    }
    f.write_str(" netns <container>")
}

fn show_bridge(f: &mut fmt::Formatter<'_>, bridge: &BridgeLink, verb: &str) -> fmt::Result {
    let BridgeLink { name, mac, mtu } = bridge;
    if verb != "add" {
        return write!(f, "ip link {verb} {name}");
    }
    write!(f, "ip link add {name} address {mac} mtu {mtu} group {LINK_GROUP} type bridge")
}

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bridge(name) => write!(f, "bridge {name}"),
            Self::Vlan(bridge, id) => write!(f, "VLAN {id} of {bridge}"),
            Self::VlanLink(name) => write!(f, "link {name}"),
            Self::Holder(name) => write!(f, "holder {name}"),
            Self::Address(link, net) => write!(f, "address {net} on {link}"),
            Self::Chain(name) => write!(f, "chain {name}"),
            Self::Loopback(link) => write!(f, "loopback addresses by {link}"),
            Self::Isolated(link) => write!(f, "isolation of {link}"),
            Self::Pool(pool) => write!(f, "pool {} in table {}", pool.dst, pool.table),
        }
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unreachable {}", self.dst)?;
        if self.table != Route::MAIN {
            write!(f, " table {}", self.table)?;
        }
        write!(f, " metric {} proto {}", Self::METRIC, self.protocol)
    }
}

impl BridgeVlan {
    /// With `link` for the link's name, which a shell may want quoted; to take a port out of a VLAN, it is enough to name it.
    pub(super) fn show(&self, f: &mut dyn fmt::Write, link: &str, add: bool) -> fmt::Result {
        write!(f, "dev {link} vid {}", self.id)?;
        match (self.is_bridge, add) {
            (true, _) => f.write_str(" self"),
            (false, true) => f.write_str(" pvid untagged"),
            (false, false) => Ok(()),
        }
    }
}

impl fmt::Display for LinkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show(f, self.link.as_str())
    }
}

impl LinkAddress {
    /// With `link` for the link's name, which a shell may want quoted.
    pub(super) fn show(&self, f: &mut dyn fmt::Write, link: &str) -> fmt::Result {
        write!(f, "{} dev {link}", self.net)?;
        if self.host_scope {
            f.write_str(" scope host")?;
        }
        if self.net.addr().is_ipv6() { f.write_str(" nodad") } else { Ok(()) }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show(f, self.link.as_str(), self.protocol != Self::STATIC)
    }
}

impl Route {
    /// With `link` for the link's name, which a shell may want quoted, and if it is asked for, the protocol: that of
    /// what is inside a container goes without saying here, but not with `ip`, whose own is `boot`.
    pub(super) fn show(&self, f: &mut dyn fmt::Write, link: &str, with_protocol: bool) -> fmt::Result {
        if self.dst.prefix_len() == 0 {
            // To iproute2, "default" is of the next hop's family.
            let plain = self.dst.addr().is_ipv4() && self.via.is_none_or(|via| via.is_ipv4());
            f.write_str(if plain {
                "default"
            } else if self.dst.addr().is_ipv4() {
                "0.0.0.0/0"
            } else {
                "::/0"
            })?;
        } else {
            write!(f, "{}", self.dst)?;
        }
        if let Some(via) = self.via {
            let family = if via.is_ipv6() && self.dst.addr().is_ipv4() { "inet6 " } else { "" };
            write!(f, " via {family}{via}")?;
        }
        write!(f, " dev {link}")?;
        if self.onlink {
            f.write_str(" onlink")?;
        }
        if let Some(src) = self.src {
            write!(f, " src {src}")?;
        }
        if self.table != Self::MAIN {
            write!(f, " table {}", self.table)?;
        }
        if self.metric != 0 {
            write!(f, " metric {}", self.metric)?;
        }
        if with_protocol {
            write!(f, " proto {}", self.protocol)?;
        }
        match self.scope {
            Some(253) => f.write_str(" scope link")?,
            Some(scope) => write!(f, " scope {scope}")?,
            None => {}
        }
        for (name, value) in [("mtu", self.mtu), ("advmss", self.advmss)] {
            if let Some(value) = value {
                write!(f, " {name} {value}")?;
            }
        }
        Ok(())
    }
}

fn show_setting(f: &mut fmt::Formatter<'_>, setting: &Setting) -> fmt::Result {
    let on_off = |on: bool| if on { "on" } else { "off" };
    match setting {
        Setting::State { side, link, up } => {
            write!(f, "{}ip link set dev {link} {}", prefix(*side), if *up { "up" } else { "down" })
        }
        Setting::AddressGeneration { side, link, on } => {
            write!(f, "{}ip link set dev {link} addrgenmode {}", prefix(*side), if *on { "eui64" } else { "none" })
        }
        Setting::Name { link, name } => {
            write!(f, "{}ip link set dev {link} name {name}", prefix(Side::Container))
        }
        Setting::Alias { link, alias } => write!(f, "ip link set dev {link} alias {alias}"),
        Setting::StrictArp { side, link } => {
            let conf = format!("net/ipv4/conf/{link}");
            write!(f, "{}sysctl -w {conf}/arp_ignore=1 {conf}/arp_announce=2 {conf}/arp_notify=1", prefix(*side))
        }
        Setting::Flags { side, link, flags } => {
            let (promisc, allmulti) = (on_off(flags.promisc), on_off(flags.allmulti));
            write!(f, "{}ip link set dev {link} promisc {promisc} allmulticast {allmulti}", prefix(*side))
        }
        Setting::Mtu { side, link, mtu } => write!(f, "{}ip link set dev {link} mtu {mtu}", prefix(*side)),
        Setting::Port(port) => {
            let (isolated, hairpin) = (on_off(port.isolated), on_off(port.hairpin));
            write!(f, "bridge link set dev {} isolated {isolated} hairpin {hairpin}", port.link)
        }
        Setting::VlanFiltering { bridge, on } => {
            write!(f, "ip link set dev {bridge} type bridge vlan_filtering {}", u8::from(*on))
        }
        Setting::Route(side, route) => write!(f, "{}ip route replace {route}", prefix(*side)),
        Setting::Sysctl(sysctl) => write!(f, "{}sysctl -w net/{}={}", prefix(sysctl.side), sysctl.key, sysctl.value),
    }
}
