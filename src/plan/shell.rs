//! A plan as a shell script: run in the host's namespace, it leaves the kernel as the engine would.
//!
//! What `show.rs` prints is to be read; this is to be run. Each step becomes the `ip`, `bridge`, `tc`, `sysctl` or `nft`
//! lines that equal it, with the same choices at the same places: what the kernel may lack is tried as the engine tries
//! it. Steps in `nf_tables` that follow one another are one transaction, as they are one of the engine's. What is not
//! the kernel's (records, leases, stakes, waiting) is a comment. `tests/behaviour/differential.rs` runs both and
//! compares.

use std::fmt;

use ipnet::IpNet;

use super::made::{BridgeLink, BridgeVlan, Holder, Ifb, Veth, VlanLink};
use super::route::Route;
use super::ruleset::{IF_WHOLE, VERSION, is_recent};
use super::step::{Held, LinkAddress, Object, Setting, Side, Step, Sysctl};
use super::{Plan, localnet_key};
use crate::model::{AttachmentKey, Family, LINK_GROUP, Rate};

/// Where named namespaces are.
const NAMED: [&str; 2] = ["/run/netns/", "/var/run/netns/"];

/// A plan, printed as a script.
#[derive(Debug, Clone, Copy)]
pub struct Script<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The path of the container's namespace. The script takes another one of the same kind, a name or a path, as its
    /// argument.
    pub netns: &'a str,
    /// What the plan takes for granted: comments at the top.
    pub notes: &'a [String],
}

/// What a step comes to.
enum Part {
    /// Nothing that a shell does.
    Comment(String),
    /// A command; its side is for the heading.
    Command(Side, String),
    /// Lines for `nft -f`.
    Ruleset(Vec<String>),
}

impl Script<'_> {
    /// The commands of one step, by themselves.
    #[must_use]
    pub fn step(&self, step: &Step) -> String {
        match self.part(step) {
            Part::Comment(text) => format!("# {text}"),
            Part::Command(_, line) => line,
            Part::Ruleset(lines) => transaction("nft -f -", &lines),
        }
    }

    fn part(&self, step: &Step) -> Part {
        let words = Words { key: &self.plan.key, by_name: self.name().is_some() };
        match step {
            Step::Add(object) => words.object(object, true),
            Step::Del(object) => words.object(object, false),
            Step::Set(setting) => words.setting(setting),
            Step::Announce(link, mac) => {
                let set = format!("link set dev {} address {mac}", quoted(link.as_str()));
                Part::Command(Side::Container, words.ip(Side::Container, &set) + "  # announces its addresses")
            }
            Step::Await(_) | Step::Forget(_) | Step::Proclaim(..) => Part::Comment(step.to_string()),
        }
    }

    /// The namespace's name, if it has one.
    fn name(&self) -> Option<&str> {
        let name = NAMED.iter().find_map(|folder| self.netns.strip_prefix(folder))?;
        (!name.is_empty() && !name.contains('/')).then_some(name)
    }

    fn header(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, value) = self.name().map_or(("path", self.netns), |name| ("name", name));
        writeln!(f, "#!/bin/sh")?;
        writeln!(f, "# Attachment {}, as springline would make it. Nothing of it has been done.", self.plan.key)?;
        writeln!(f, "# Run it as root where the host's links are. An argument is the {kind} of another namespace.")?;
        for note in self.notes {
            writeln!(f, "# Assumed: {note}")?;
        }
        writeln!(f, "set -eu\nnetns=${{1:-{}}}", quoted(value))
    }
}

impl fmt::Display for Script<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.header(f)?;
        let parts: Vec<Part> = self.plan.steps.iter().map(|step| self.part(step)).collect();
        let lines = |part: &Part| match part {
            Part::Ruleset(lines) => lines.iter().any(|line| is_recent(line)),
            _ => false,
        };
        let needs_recent = parts.iter().any(lines);
        let nft = if needs_recent { "ruleset" } else { "nft -f -" };
        if needs_recent {
            write!(f, "\n{}", recent_nft())?;
        }
        let mut heading = "";
        let mut rest = parts.as_slice();
        while let [part, tail @ ..] = rest {
            rest = tail;
            let new = match part {
                Part::Comment(_) => heading,
                Part::Ruleset(_) => "The ruleset",
                Part::Command(Side::Host, _) => "The host's side",
                Part::Command(Side::Container, _) => "Inside",
            };
            if new != heading {
                writeln!(f, "\n# {new}.")?;
                heading = new;
            }
            match part {
                Part::Comment(text) => writeln!(f, "# {text}")?,
                Part::Command(_, line) => writeln!(f, "{line}")?,
                Part::Ruleset(lines) => {
                    let mut lines = lines.clone();
                    while let [Part::Ruleset(more), tail @ ..] = rest {
                        lines.extend(more.iter().cloned());
                        rest = tail;
                    }
                    writeln!(f, "{}", transaction(nft, &lines))?;
                }
            }
        }
        Ok(())
    }
}

fn transaction(command: &str, lines: &[String]) -> String {
    format!("{command} <<'END'\n{}\nEND", lines.join("\n"))
}

/// A function for lines that older versions of `nft` cannot say. A part that lacks them is not given its version, so
/// that springline's own next attachment makes it whole.
fn recent_nft() -> String {
    format!(
        r#"# Lines of nft, as one transaction. Before 1.0.8 it has no word for whom a neighbour advertisement is about.
ruleset() {{
  if nft -c 'add table inet x; add chain inet x x; add rule inet x x icmpv6 taddr ::1' 2>/dev/null; then
    nft -f -
  else
    echo 'this nft knows no "icmpv6 taddr": rules with it are left out' >&2
    sed -e 's/ comment "{VERSION}"; }}{IF_WHOLE}/ }}/' -e '/icmpv6 taddr/d' | nft -f -
  fi
}}
"#
    )
}

/// The words of one plan's commands.
struct Words<'a> {
    key: &'a AttachmentKey,
    /// Whether the container's namespace is known by its name.
    by_name: bool,
}

impl Words<'_> {
    fn ip(&self, side: Side, words: &str) -> String {
        match side {
            Side::Container if self.by_name => format!("ip -n \"$netns\" {words}"),
            _ => self.run(side, &format!("ip {words}")),
        }
    }

    fn run(&self, side: Side, line: &str) -> String {
        match side {
            Side::Host => line.to_owned(),
            Side::Container if self.by_name => format!("ip netns exec \"$netns\" {line}"),
            Side::Container => format!("nsenter --net=\"$netns\" {line}"),
        }
    }

    /// `sysctl` takes dots for slashes, and a link's name may have dots: then the file is written.
    fn sysctl(&self, side: Side, key: &str, value: &str) -> String {
        if !key.contains('.') {
            let assignment = format!("net.{}={value}", key.replace('/', "."));
            return self.run(side, &format!("sysctl -qw {}", quoted(&assignment)));
        }
        let line = format!("echo {} > {}", quoted(value), quoted(&format!("/proc/sys/net/{key}")));
        match side {
            Side::Host => line,
            Side::Container => self.run(side, &format!("sh -c {}", quoted(&line))),
        }
    }

    fn object(&self, object: &Object, add: bool) -> Part {
        let verb = if add { "add" } else { "del" };
        let host = |line: String| Part::Command(Side::Host, line);
        let gone = |name: &str| host(format!("ip link del dev {}", quoted(name)));
        match object {
            Object::Record(_) | Object::Lease(_) | Object::Delegation(_) | Object::Use(_) => {
                let step = if add { Step::Add(object.clone()) } else { Step::Del(object.clone()) };
                Part::Comment(step.to_string())
            }
            Object::Veth(veth) if add => host(veth_line(veth)),
            Object::Bridge(BridgeLink { name, mac, mtu }) if add => {
                let name = quoted(name.as_str());
                host(format!("ip link add dev {name} address {mac} mtu {mtu} group {LINK_GROUP} type bridge"))
            }
            Object::Vlan(vlan) => host(format!("bridge vlan {verb} {}", vlan_words(vlan, add))),
            Object::VlanLink(VlanLink { name, bridge, id }) if add => {
                let (name, bridge) = (quoted(name.as_str()), quoted(bridge.as_str()));
                host(format!("ip link add link {bridge} name {name} group {LINK_GROUP} type vlan id {id}"))
            }
            Object::Holder(Holder { name }) if add => {
                let line = format!("ip link add dev {} group {LINK_GROUP} type", quoted(name.as_str()));
                host(format!("{line} dummy 2>/dev/null || {line} bridge"))
            }
            Object::Ifb(Ifb { name, .. }) if add => {
                host(format!("ip link add dev {} group {LINK_GROUP} type ifb", quoted(name.as_str())))
            }
            Object::Veth(Veth { host: name, .. })
            | Object::Bridge(BridgeLink { name, .. })
            | Object::Holder(Holder { name })
            | Object::VlanLink(VlanLink { name, .. })
            | Object::Ifb(Ifb { name, .. }) => gone(name.as_str()),
            Object::Address(side, address) => {
                Part::Command(*side, self.ip(*side, &format!("address {verb} {}", address_words(address))))
            }
            Object::Route(side, route) => {
                Part::Command(*side, self.ip(*side, &format!("route {verb} {}", route_words(route))))
            }
            Object::Proxy(link, address) => {
                host(format!("ip neigh {verb} proxy {address} dev {}", quoted(link.as_str())))
            }
            // Others of the network may have made it.
            Object::Pool(pool) if add => host(format!("ip route add {pool} 2>/dev/null || true")),
            Object::Pool(pool) => host(format!("ip route del {pool}")),
            Object::Part(part) if add => Part::Ruleset(part.script()),
            Object::Part(part) => Part::Ruleset(vec![format!("delete table {} {}", part.table(), super::TABLE)]),
            Object::Chain(chain) => Part::Ruleset(if add { chain.script() } else { chain.removal() }),
            Object::Element(Held { element, shared, .. }) => {
                let owner = if *shared { Held::SHARED.to_owned() } else { self.key.comment() };
                Part::Ruleset(vec![if add { element.addition(&owner) } else { element.removal() }])
            }
            Object::Limit(link, rate) if add => host(limit_lines(&quoted(link.as_str()), rate)),
            Object::Limit(link, _) => host(format!("tc qdisc del dev {} root", quoted(link.as_str()))),
            Object::Redirect(from, to) if add => host(redirect_lines(&quoted(from.as_str()), &quoted(to.as_str()))),
            Object::Redirect(from, _) => host(format!("tc qdisc del dev {} ingress", quoted(from.as_str()))),
            Object::Loopback(Family::V4, link) => {
                host(self.sysctl(Side::Host, &localnet_key(link), if add { "1" } else { "0" }))
            }
            Object::Loopback(Family::V6, link) => {
                let verb = if add { "append" } else { verb };
                let link = quoted(link.as_str());
                host(format!("ip -6 route {verb} local ::1 dev {link} table local metric 171 proto 171"))
            }
        }
    }

    fn setting(&self, setting: &Setting) -> Part {
        let on_off = |on: bool| if on { "on" } else { "off" };
        let set = |side: Side, link: &crate::model::IfName, words: &str| {
            Part::Command(side, self.ip(side, &format!("link set dev {} {words}", quoted(link.as_str()))))
        };
        match setting {
            Setting::State { side, link, up } => set(*side, link, if *up { "up" } else { "down" }),
            Setting::AddressGeneration { side, link, on } => {
                set(*side, link, if *on { "addrgenmode eui64" } else { "addrgenmode none" })
            }
            Setting::Alias { link, alias } => set(Side::Host, link, &format!("alias {}", quoted(alias))),
            Setting::Name { link, name } => set(Side::Container, link, &format!("name {}", quoted(name.as_str()))),
            Setting::StrictArp { side, link } => {
                let values = [("arp_ignore", "1"), ("arp_announce", "2"), ("arp_notify", "1")];
                let lines = values.map(|(name, value)| self.sysctl(*side, &format!("ipv4/conf/{link}/{name}"), value));
                Part::Command(*side, lines.join("\n"))
            }
            Setting::Flags { side, link, flags } => {
                let words = format!("promisc {} allmulticast {}", on_off(flags.promisc), on_off(flags.allmulti));
                set(*side, link, &words)
            }
            Setting::Mtu { side, link, mtu } => set(*side, link, &format!("mtu {mtu}")),
            Setting::Port(port) => {
                let (link, isolated, hairpin) =
                    (quoted(port.link.as_str()), on_off(port.isolated), on_off(port.hairpin));
                Part::Command(Side::Host, format!("bridge link set dev {link} isolated {isolated} hairpin {hairpin}"))
            }
            Setting::VlanFiltering { bridge, on } => {
                set(Side::Host, bridge, &format!("type bridge vlan_filtering {}", u8::from(*on)))
            }
            Setting::Route(side, route) => {
                Part::Command(*side, self.ip(*side, &format!("route replace {}", route_words(route))))
            }
            Setting::Sysctl(Sysctl { side, key, value, precaution }) => {
                let line = self.sysctl(*side, key, value);
                let line = if *precaution { format!("{line} || true  # a precaution only") } else { line };
                Part::Command(*side, line)
            }
        }
    }
}

/// See `kernel::create_veth()`.
const ONE_QUEUE: &str = "numtxqueues 1 numrxqueues 1";

fn veth_line(veth: &Veth) -> String {
    let Veth { host, host_mac, host_mtu, alias: _, bridge, peer, mac, mtu, txqueuelen } = veth;
    let master = bridge.as_ref().map(|bridge| format!(" master {}", quoted(bridge.as_str()))).unwrap_or_default();
    let length = txqueuelen.map(|length| format!(" txqueuelen {length}")).unwrap_or_default();
    let (host, peer) = (quoted(host.as_str()), quoted(peer.as_str()));
    format!(
        "ip link add dev {host} address {host_mac} mtu {host_mtu} group {LINK_GROUP}{master} {ONE_QUEUE} \
         type veth peer name {peer} address {mac} mtu {mtu}{length} {ONE_QUEUE} netns \"$netns\""
    )
}

fn address_words(address: &LinkAddress) -> String {
    let mut words = String::new();
    let _ = address.show(&mut words, &quoted(address.link.as_str())); // a string takes everything
    match address.net {
        // As messages have it that are built by the netlink library; `ip` adds none by itself.
        IpNet::V4(net) if net.prefix_len() < 31 => format!("{words} brd {}", net.broadcast()),
        _ => words,
    }
}

fn vlan_words(vlan: &BridgeVlan, add: bool) -> String {
    let mut words = String::new();
    let _ = vlan.show(&mut words, &quoted(vlan.link.as_str()), add);
    words
}

fn route_words(route: &Route) -> String {
    let mut words = String::new();
    let _ = route.show(&mut words, &quoted(route.link.as_str()), true);
    words
}

/// The best queueing discipline that the kernel has, as `kernel::limit` finds it out.
fn limit_lines(link: &str, rate: &Rate) -> String {
    let (bits, burst, queue) = (rate.bytes() * 8, rate.burst(), rate.queue());
    format!(
        "tc qdisc replace dev {link} root handle 2: cake bandwidth {bits}bit 2>/dev/null || {{
  tc qdisc replace dev {link} root handle 1: tbf rate {bits}bit burst {burst} limit {queue}
  tc qdisc replace dev {link} parent 1:1 fq_codel 2>/dev/null || true
}}"
    )
}

/// The same for a filter that matches everything.
fn redirect_lines(from: &str, to: &str) -> String {
    let filter = format!("tc filter add dev {from} parent ffff: protocol all prio 1");
    let action = format!("action mirred egress redirect dev {to}");
    format!(
        "tc qdisc replace dev {from} handle ffff: ingress\n{filter} matchall {action} 2>/dev/null ||\n  \
         {filter} u32 match u32 0 0 {action}"
    )
}

/// A word that a shell takes as it is.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.,:/@%+=-".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_words_as_they_are() {
        assert_eq!(quoted("springline:n/c1/eth0"), "springline:n/c1/eth0");
        assert_eq!(quoted("a'b $c"), r"'a'\''b $c'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn sysctls_of_links_with_dots_are_written_as_files() {
        let key = AttachmentKey::parse("n/c1/eth0").unwrap();
        let words = Words { key: &key, by_name: true };
        let line = |side, key: &str| words.sysctl(side, key, "1");
        assert_eq!(line(Side::Host, "ipv4/conf/eth0/arp_ignore"), "sysctl -qw net.ipv4.conf.eth0.arp_ignore=1");
        assert_eq!(line(Side::Host, "ipv4/conf/a.5/arp_ignore"), "echo 1 > /proc/sys/net/ipv4/conf/a.5/arp_ignore");
        let inside = line(Side::Container, "ipv4/conf/a.5/arp_ignore");
        assert_eq!(inside, r#"ip netns exec "$netns" sh -c 'echo 1 > /proc/sys/net/ipv4/conf/a.5/arp_ignore'"#);
    }
}
