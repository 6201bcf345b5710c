//! What somebody chose in a namespace, as comparable facts: one line each.
//!
//! Left out is what the kernel derives in its own time (carrier, timers, lifetimes, link-local addresses made
//! of a MAC, local and multicast routes, indices), so that two snapshots differ only if somebody changed something.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Netns, text_of, tool};

/// One thing that is so: of which link (if of any), and what.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Fact {
    link: String,
    text: String,
}

/// A set of facts; see [`State::of`] and [`assert_unchanged`].
#[derive(Clone, PartialEq, Eq, Default)]
pub struct State(BTreeSet<Fact>);

impl State {
    /// Links, addresses, routes of all tables and rules of a namespace.
    pub fn of(netns: &Netns) -> Self {
        let routes = ["-4", "-6"].map(|family| netns.ip_json(&format!("{family} route show table all")));
        let rules = ["-4", "-6"].map(|family| netns.ip_json(&format!("{family} rule show")));
        let links = netns.ip_json("address show");
        let mut state = Self::of_lists(&links, routes.each_ref(), rules.each_ref());
        if links.iter().any(|link| link["linkinfo"]["info_data"]["vlan_filtering"] == 1) {
            for (port, vlan) in bridge_vlans(netns) {
                state.insert(&port, format!("vlan {port} {vlan}"));
            }
        }
        state
    }

    /// The same from what `ip -json` has printed: of routes and rules first IPv4's, then IPv6's.
    pub fn of_lists(addresses: &[Value], routes: [&Vec<Value>; 2], rules: [&Vec<Value>; 2]) -> Self {
        let mut state = Self::default();
        for link in addresses {
            state.add_link(link);
        }
        for (family, (routes, rules)) in ["-4", "-6"].into_iter().zip(routes.into_iter().zip(rules)) {
            routes.iter().filter(|route| !is_derived(route)).for_each(|route| state.add("dev", "route", route, &ROUTE));
            for rule in rules {
                state.add("", family, rule, &RULE);
            }
        }
        state
    }

    /// The facts, a line each.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|fact| fact.text.as_str())
    }

    /// Together with the elements of all nftables sets and maps; tables, chains and empty sets may stay for ever.
    #[must_use]
    pub fn with_set_elements(mut self, netns: &Netns) -> Self {
        let output = netns.command(&tool("nft")).args(["-j", "list", "ruleset"]).output().expect("run nft");
        let ruleset: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let objects = ruleset["nftables"].as_array().cloned().unwrap_or_default();
        for set in objects.iter().filter_map(|object| object.get("set").or_else(|| object.get("map"))) {
            for element in set["elem"].as_array().into_iter().flatten() {
                let text = format!("element of {} {}: {element}", text_of(&set["table"]), text_of(&set["name"]));
                self.insert("", text);
            }
        }
        self
    }

    /// Together with the records and leases below a state directory; locks and cursors may stay.
    #[must_use]
    pub fn with_files(mut self, state_dir: &Path) -> Self {
        for file in files_below(state_dir) {
            let relative = file.strip_prefix(state_dir).expect("a file below the directory");
            if !is_housekeeping(relative) {
                self.insert("", format!("file {}", relative.display()));
            }
        }
        self
    }

    /// The facts about one link only.
    #[must_use]
    pub fn about(&self, link: &str) -> Self {
        Self(self.0.iter().filter(|fact| fact.link == link).cloned().collect())
    }

    /// The facts about all links but one.
    #[must_use]
    pub fn without(&self, link: &str) -> Self {
        Self(self.0.iter().filter(|fact| fact.link != link).cloned().collect())
    }

    /// Whether nothing is known at all, as of a link that is gone.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether any fact's line has all of `words`.
    pub fn mentions(&self, words: &[&str]) -> bool {
        self.0.iter().any(|fact| words.iter().all(|word| fact.text.contains(word)))
    }

    /// What is only there (`+`) or only here (`-`).
    pub fn changes(&self, later: &Self) -> Vec<String> {
        let gone = self.0.difference(&later.0).map(|fact| format!("- {}", fact.text));
        let new = later.0.difference(&self.0).map(|fact| format!("+ {}", fact.text));
        gone.chain(new).collect()
    }

    fn add_link(&mut self, link: &Value) {
        let name = text_of(&link["ifname"]);
        let up = link["flags"].as_array().is_some_and(|flags| flags.contains(&json!("UP")));
        let port = &link["linkinfo"]["info_slave_data"];
        let kind = &link["linkinfo"]["info_kind"];
        let data = &link["linkinfo"]["info_data"];
        let more = json!({"up": up, "kind": kind, "isolated": port["isolated"], "hairpin": port["hairpin"],
            "vlan_filtering": data["vlan_filtering"], "vlan": data["id"]});
        self.insert(name, format!("link {} {more}", chosen(link, &LINK)));
        let addresses = link["addr_info"].as_array().into_iter().flatten();
        for address in addresses.filter(|address| !is_made_of_the_mac(address)) {
            self.insert(name, format!("address {name} {}", chosen(address, &ADDRESS)));
        }
    }

    fn add(&mut self, link_key: &str, noun: &str, object: &Value, keys: &[&str]) {
        self.insert(text_of(&object[link_key]), format!("{noun} {}", chosen(object, keys)));
    }

    fn insert(&mut self, link: &str, text: String) {
        self.0.insert(Fact { link: link.to_owned(), text });
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|fact| writeln!(f, "{}", fact.text))
    }
}

/// In which VLANs ports and bridges are, as iproute2 shows it: `7 PVID Egress Untagged`.
pub fn bridge_vlans(netns: &Netns) -> Vec<(String, String)> {
    let text = netns.shell(&format!("{} -j vlan show", tool("bridge").display()));
    let ports: Vec<Value> = serde_json::from_str(&text).unwrap_or_default();
    let vlans = ports.iter().flat_map(|port| {
        let name = text_of(&port["ifname"]).to_owned();
        let vlans = port["vlans"].as_array().cloned().unwrap_or_default();
        vlans.into_iter().flat_map(move |vlan| {
            let flags = vlan["flags"].as_array().cloned().unwrap_or_default();
            let flags: String = flags.iter().flat_map(|flag| [" ", text_of(flag)]).collect();
            let first = vlan["vlan"].as_u64().unwrap_or_default();
            let last = vlan["vlanEnd"].as_u64().unwrap_or(first);
            let name = name.clone();
            (first..=last).map(move |id| (name.clone(), format!("{id}{flags}")))
        })
    });
    vlans.collect()
}

/// Panics with the differing lines only.
#[track_caller]
pub fn assert_unchanged(before: &State, after: &State) {
    let changes = before.changes(after);
    assert!(changes.is_empty(), "changed:\n  {}", changes.join("\n  "));
}

const LINK: [&str; 6] = ["ifname", "mtu", "master", "address", "ifalias", "group"];
const ADDRESS: [&str; 8] = ["family", "local", "address", "prefixlen", "scope", "label", "nodad", "noprefixroute"];
const ROUTE: [&str; 12] =
    ["type", "dst", "gateway", "via", "dev", "protocol", "scope", "metric", "table", "prefsrc", "metrics", "nexthops"];
const RULE: [&str; 7] = ["priority", "src", "srclen", "iif", "oif", "fwmark", "table"];

fn chosen(object: &Value, keys: &[&str]) -> Value {
    let pairs = keys.iter().filter_map(|key| Some(((*key).to_owned(), object.get(key)?.clone())));
    Value::Object(pairs.collect::<Map<_, _>>())
}

/// Routes that follow from addresses: the kernel's own of the local table, and those of link-local networks.
fn is_derived(route: &Value) -> bool {
    route["protocol"] == "kernel" && (route["table"] == "local" || route["dst"] == "fe80::/64")
}

fn is_made_of_the_mac(address: &Value) -> bool {
    address["family"] == "inet6" && address["scope"] == "link" && text_of(&address["local"]).contains("ff:fe")
}

fn files_below(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files.extend(files_below(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}

fn is_housekeeping(file: &Path) -> bool {
    let is_lease = file.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.parse::<IpAddr>().is_ok());
    file.starts_with("locks") || (file.starts_with("leases") && !is_lease)
}
