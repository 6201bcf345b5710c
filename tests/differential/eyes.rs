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
        // One shell for all of it: a case is looked at from four sides.
        let ip = |what: &str| format!("ip -json -details {what}");
        let sysctls = "cd /proc/sys/net; { grep -rs . ipv4/conf ipv6/conf; grep -s . ipv4/* core/* ipv6/* bridge/*; }";
        let filters = "tc qdisc show | sed -n 's/^qdisc ingress .* dev \\([^ ]*\\) .*/\\1/p' | \
            while read -r link; do echo \"$link\"; tc -j filter show dev \"$link\" ingress; done";
        let commands = [
            ip("address show"),
            ip("-4 route show table all"),
            ip("-6 route show table all"),
            ip("-4 rule show"),
            ip("-6 rule show"),
            "tc -j qdisc show".to_owned(),
            "bridge -j -d link show".to_owned(),
            "bridge -j vlan show".to_owned(),
            filters.to_owned(),
            "nft list ruleset".to_owned(),
            format!("{sysctls} | grep -vE '{ODD}' || true"),
        ];
        let text = netns.shell(&format!("set -e; {}", commands.join("; echo @@@; ")));
        let answers: Vec<&str> = text.split("@@@\n").collect();
        let [links, lists @ .., filters, ruleset, sysctls] = answers.as_slice() else {
            panic!("not all answers: {text}")
        };
        let drawn = self.links(side, links);
        for (command, answer) in commands[1..].iter().zip(lists) {
            for it in parsed(answer) {
                self.add(side, command, &it);
            }
        }
        // Link-local addresses, and their routes, that are made of such a MAC.
        self.0.retain(|line| !(line.contains("ff:fe") && drawn.iter().any(|link| line.contains(link.as_str()))));
        self.0.extend(filters.lines().map(|line| match serde_json::from_str::<Value>(line) {
            Ok(mut it) => {
                clean(&mut it);
                format!("{side} filter {it}")
            }
            Err(_) => format!("{side} filters of {line}"),
        }));
        self.ruleset(side, ruleset);
        self.0.extend(sysctls.lines().map(|line| format!("{side} sysctl {line}")));
    }

    /// Links and addresses; the links with MACs that the kernel has drawn.
    fn links(&mut self, side: &str, answer: &str) -> BTreeSet<String> {
        let mut drawn = BTreeSet::new();
        for mut link in parsed(answer) {
            let kind = text_of(&link["linkinfo"]["info_kind"]).to_owned();
            let name = text_of(&link["ifname"]).to_owned();
            if kind == "ifb" || kind == "dummy" || name == "springline0" {
                link["address"] = Value::Null;
                link["linkinfo"]["info_data"] = Value::Null; // of a bridge, with ids made of it
                drawn.insert(name);
            }
            let addresses = link.as_object_mut().and_then(|link| link.remove("addr_info"));
            self.add(side, "link", &link);
            for address in addresses.iter().filter_map(Value::as_array).flatten() {
                self.add(side, &format!("address of {}", text_of(&link["ifname"])), address);
            }
        }
        drawn
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

/// A list of JSON; older versions of iproute2 print nothing for an empty one.
fn parsed(answer: &str) -> Vec<Value> {
    if answer.trim().is_empty() {
        return Vec::new();
    }
    serde_json::from_str(answer).unwrap_or_else(|error| panic!("no list ({error}): {answer}"))
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
