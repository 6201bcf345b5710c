//! All that a verb may change, as facts that can be compared: links, addresses, routes of all tables, rules,
//! neighbours, nf_tables, traffic control, the sysctls of all links and of those to come, and files. Read with the eyes of
//! iproute2, nft and the shell, in one go for each namespace: a sweep looks some ten thousand times.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::common::state::{State, bridge_vlans};
use crate::common::{Container, Lab, Netns, tool};

/// Facts, one line each, that begin with where they are from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct World(pub(super) BTreeSet<String>);

impl World {
    /// How it is now.
    pub(super) fn of(lab: &Lab, container: &Container) -> Self {
        let mut facts = BTreeSet::new();
        namespace("host", lab.host(), &mut facts);
        namespace("container", container.netns(), &mut facts);
        files(lab.dir(), lab.dir(), &mut facts);
        Self(facts)
    }

    /// What is only there (`+`) or only here (`-`).
    pub(super) fn changes(&self, later: &Self) -> Vec<String> {
        let gone = self.0.difference(&later.0).map(|fact| format!("- {fact}"));
        gone.chain(later.0.difference(&self.0).map(|fact| format!("+ {fact}"))).collect()
    }
}

fn namespace(place: &str, netns: &Netns, facts: &mut BTreeSet<String>) {
    let [ip, tc, nft] = ["ip", "tc", "nft"].map(|name| tool(name).display().to_string());
    // Few processes: to start them takes most of the time.
    let script = format!(
        "{ip} -j -d -batch - <<. ; echo ----\n\
         address show\nneighbour show nud permanent\nneighbour show proxy\n.\n\
         {ip} -j -d -batch - <<. ; echo ----\nroute show table all\nrule show\n.\n\
         {ip} -j -6 rule show; echo ----\n\
         lines='qdisc show'; while read -r name _; do case $name in *:) lines=\"$lines\n\
         filter show dev ${{name%:}} ingress\";; esac; done < /proc/net/dev\n\
         {tc} -force -batch - 2>/dev/null <<.\n$lines\n.\necho ----\n\
         {nft} -j list ruleset; echo ----\n\
         cd /proc/sys/net; set -- ipv4/ip_forward; for each in ipv[46]/conf/*; do case $each in */lo) ;; \
           *) set -- \"$@\" $each; esac; done; grep -rs . \"$@\"; true"
    );
    let printed = netns.shell(&script);
    let parts: Vec<&str> = printed.split("----\n").collect();
    let [links, routes, rules6, control, ruleset, sysctls] = parts.as_slice() else { panic!("too little: {printed}") };
    let [links, routes, rules6, ruleset] = [links, routes, rules6, ruleset].map(|part| objects(part));
    let (mut addresses, neighbours): (Vec<Value>, Vec<Value>) =
        links.into_iter().partition(|object| object.get("addr_info").is_some());
    if addresses.iter().any(|link| link["linkinfo"]["info_data"]["vlan_filtering"] == 1) {
        facts.extend(bridge_vlans(netns).into_iter().map(|(port, vlan)| format!("{place} vlan {port} {vlan}")));
    }
    // The kernel rolls dice for the MAC of an ifb link, which nobody ever sees in a packet.
    for link in addresses.iter_mut().filter(|link| link["linkinfo"]["info_kind"] == "ifb") {
        link["address"] = Value::Null;
    }
    let (rules4, routes): (Vec<Value>, Vec<Value>) =
        routes.into_iter().partition(|object| object.get("priority").is_some());
    let state = State::of_lists(&addresses, [&routes, &Vec::new()], [&rules4, &rules6]);
    facts.extend(state.lines().map(|line| format!("{place} {line}")));
    facts.extend(neighbours.iter().map(|neighbour| format!("{place} neighbour {neighbour}")));
    facts.extend(control.lines().map(|line| format!("{place} tc {}", without_handle(line))));
    nf_tables(place, &ruleset, facts);
    facts.extend(sysctls.lines().map(|line| format!("{place} sysctl {line}")));
}

/// `qdisc tbf 8001: dev …` without the number, which is the next one that is free where nobody chose one.
fn without_handle(line: &str) -> String {
    line.split(' ').filter(|word| !(word.ends_with(':') && word.starts_with('8'))).collect::<Vec<_>>().join(" ")
}

/// What is in the lists of several documents, one behind the other. (Of an empty list some print nothing.)
fn objects(text: &str) -> Vec<Value> {
    let lists = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let lists = lists.map(|list| list.unwrap_or_else(|error| panic!("no JSON ({error}): {text}")));
    lists.flat_map(|list| list.get("nftables").unwrap_or(&list).as_array().cloned().unwrap_or_default()).collect()
}

/// Each element of a set is a fact of its own, and each rule, with its place in its chain.
fn nf_tables(place: &str, objects: &[Value], facts: &mut BTreeSet<String>) {
    let mut rules = std::collections::BTreeMap::<String, usize>::new();
    for object in objects.iter().filter(|object| object.get("metainfo").is_none()) {
        let mut object = object.clone();
        let Some((kind, inner)) = object.as_object_mut().and_then(|object| object.iter_mut().next()) else { continue };
        let name = format!("{} {} {} {}", inner["family"], inner["table"], inner["chain"], inner["name"]);
        inner.as_object_mut().map(|inner| inner.remove("handle"));
        let elements = inner.as_object_mut().and_then(|inner| inner.remove("elem"));
        for element in elements.iter().filter_map(Value::as_array).flatten() {
            facts.insert(format!("{place} element {name}: {element}"));
        }
        let at = rules.entry(name).or_default();
        facts.insert(format!("{place} ruleset {kind} {at} {inner}"));
        *at += usize::from(kind == "rule");
    }
}

/// Files with what is in them, and folders, without what is written for the next reader only: locks, and which
/// addresses of a range are probably taken.
fn files(root: &Path, dir: &Path, facts: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = path.strip_prefix(root).expect("a path below the root").display().to_string();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            facts.insert(format!("file {name}/"));
            files(root, &path, facts);
        } else if !name.contains("/locks/") && !name.contains("/.ring-") {
            let text = fs::read_to_string(&path).unwrap_or_default();
            // Of a lease, it matters whose it is: it is the record's second name, or a file of its own.
            let kept: &[&str] = if name.contains("/leases/") { &["key", "boot"] } else { &LASTING };
            facts.insert(format!("file {name} {}", only(kept, &text)));
        }
    }
}

/// What of a record is the same each time: not when it was written, nor by which steps, which are fewer where something
/// was there already.
const LASTING: [&str; 10] =
    ["version", "phase", "key", "boot", "netns", "maker", "wanted", "withdrawn", "changing", "outcome"];

fn only(kept: &[&str], text: &str) -> String {
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(mut record)) => {
            record.retain(|key, _| kept.contains(&key.as_str()));
            Value::Object(record).to_string()
        }
        _ => text.to_owned(),
    }
}
