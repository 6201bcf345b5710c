//! The state of a machine as lines: links, addresses, routes, rules, sysctls, queueing, bridge ports, nftables.
//!
//! Left out is what two machines that are alike do not share (indices, counters, MACs that the kernel draws) or what the
//! kernel does in its own time.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::OnceLock;

use serde_json::Value;

use crate::common::{Lab, Netns, text_of};

/// What is so, one line each.
pub(crate) struct State(BTreeSet<String>);

/// What no two machines have in common, or what moves by itself.
const VOLATILE: [&str; 16] = [
    "ifindex",
    "link_index",
    "link_netnsid",
    "operstate",
    "state",
    "hello_timer",
    "tcn_timer",
    "topology_change_timer",
    "gc_timer",
    "hold_timer",
    "message_age_timer",
    "forward_delay_timer",
    "tentative",
    "index",
    "expires",
    "linkmode",
];

/// Sysctls that are drawn by lot, count, or cannot be read.
const ODD: &str = "stable_secret|conntrack_count|fastopen_key|/flush|tcp_child_ehash|error_cost|nf_conntrack_buckets";

impl State {
    pub(crate) fn of(sides: &[(&str, &Netns)]) -> Self {
        let mut state = Self(BTreeSet::new());
        for (side, netns) in sides {
            state.look(side, netns);
        }
        state
    }

    fn look(&mut self, side: &str, netns: &Netns) {
        let mut drawn = BTreeSet::new(); // links with MACs that the kernel has drawn
        for mut link in netns.ip_json("address show") {
            let kind = text_of(&link["linkinfo"]["info_kind"]).to_owned();
            let name = text_of(&link["ifname"]).to_owned();
            if kind == "ifb" || kind == "dummy" {
                link["address"] = Value::Null;
                drawn.insert(name);
            }
            let addresses = link.as_object_mut().and_then(|link| link.remove("addr_info"));
            self.add(side, "link", &link);
            for address in addresses.iter().filter_map(Value::as_array).flatten() {
                self.add(side, &format!("address of {}", text_of(&link["ifname"])), address);
            }
        }
        for family in ["-4", "-6"] {
            netns.ip_json(&format!("{family} route show table all")).iter().for_each(|it| self.add(side, family, it));
            netns.ip_json(&format!("{family} rule show")).iter().for_each(|it| self.add(side, family, it));
        }
        // Link-local addresses, and their routes, that are made of such a MAC.
        self.0.retain(|line| !(line.contains("ff:fe") && drawn.iter().any(|link| line.contains(link.as_str()))));
        let read = "cd /proc/sys/net; grep -rs . ipv4/conf ipv6/conf; grep -s . ipv4/* core/* ipv6/* bridge/*";
        let sysctls = netns.shell(&format!("{{ {read}; }} | grep -vE '{ODD}' || true"));
        self.0.extend(sysctls.lines().map(|line| format!("{side} sysctl {line}")));
        for command in ["tc -j qdisc show", "bridge -j -d link show"] {
            let text = netns.shell(command);
            for it in serde_json::from_str::<Vec<Value>>(&text).unwrap_or_default() {
                self.add(side, command, &it);
            }
        }
        let ingress = netns.shell("tc qdisc show | grep ingress || true");
        for link in ingress.lines().filter_map(|line| line.split_whitespace().skip_while(|word| *word != "dev").nth(1))
        {
            let text = netns.shell(&format!("tc -j filter show dev {link} ingress"));
            for it in serde_json::from_str::<Vec<Value>>(&text).unwrap_or_default() {
                self.add(side, &format!("filter of {link}"), &it);
            }
        }
        self.ruleset(side, &netns.shell("nft list ruleset"));
    }

    fn add(&mut self, side: &str, noun: &str, it: &Value) {
        let mut it = it.clone();
        clean(&mut it);
        self.0.insert(format!("{side} {noun} {it}"));
    }

    /// The ruleset's lines with their places; elements by themselves, for the kernel lists them as its hashes fall.
    fn ruleset(&mut self, side: &str, text: &str) {
        let mut place: Vec<String> = Vec::new();
        let mut number = 0;
        let mut lines = text.lines().map(str::trim);
        while let Some(line) = lines.next() {
            if let Some(first) = line.strip_prefix("elements = {") {
                let mut all = first.to_owned();
                while !all.ends_with('}') {
                    all.extend([" ", lines.next().unwrap_or("}")]);
                }
                for element in all.trim_end_matches('}').split(',') {
                    self.0.insert(format!("{side} nft {} element {}", place.join(" "), element.trim()));
                }
            } else if let Some(block) = line.strip_suffix(" {") {
                place.push(block.to_owned());
                number = 0;
                self.0.insert(format!("{side} nft {}", place.join(" ")));
            } else if line == "}" {
                place.pop();
            } else if !line.is_empty() && !is_beyond_nft(&place, line) {
                number += 1;
                self.0.insert(format!("{side} nft {} {number}: {line}", place.join(" ")));
            }
        }
    }

    /// In which lines the two differ: `-` only here, `+` only there.
    pub(crate) fn differences(&self, there: &Self) -> String {
        let mut text = String::new();
        for (sign, line) in self
            .0
            .difference(&there.0)
            .map(|line| ('-', line))
            .chain(there.0.difference(&self.0).map(|line| ('+', line)))
        {
            writeln!(text, "{sign} {line}").expect("a string");
        }
        text
    }
}

/// What an old `nft` lists but does not take, and what such a part has no version for.
fn is_beyond_nft(place: &[String], line: &str) -> bool {
    if knows_targets() {
        return false;
    }
    let is_part = place.len() == 2 && place[1] == "chain guarding" && place[0] != "table arp springline";
    line.contains("@th,64,128") || is_part && line.starts_with("comment ")
}

/// Whether `nft` has a word for the target of a neighbour advertisement.
pub(crate) fn knows_targets() -> bool {
    static KNOWS: OnceLock<bool> = OnceLock::new();
    *KNOWS.get_or_init(|| {
        let lab = Lab::new();
        let rule = "add table inet x; add chain inet x x; add rule inet x x icmpv6 taddr ::1";
        lab.host().shell(&format!("nft -c '{rule}' 2>/dev/null && echo yes || true")).contains("yes")
    })
}

fn clean(it: &mut Value) {
    match it {
        Value::Object(pairs) => {
            pairs.retain(|key, value| !VOLATILE.contains(&key.as_str()) && !value.is_null());
            // Handles that the kernel gives out begin at 8000.
            pairs.retain(|key, value| !(key == "handle" && text_of(value).starts_with('8')));
            if let Some(Value::Array(flags)) = pairs.get_mut("flags") {
                let chosen = ["UP", "PROMISC", "ALLMULTI", "NOARP", "onlink"];
                flags.retain(|flag| chosen.contains(&text_of(flag)));
            }
            pairs.values_mut().for_each(clean);
        }
        Value::Array(values) => values.iter_mut().for_each(clean),
        _ => {}
    }
}
