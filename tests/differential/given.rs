//! The cases of `tests/plans/`, and machines that are as their `facts.json` say.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use springline::wire::netavark::PluginCall;

use crate::Case;
use crate::common::{Lab, Netns, text_of};

/// The cases, and those that cannot be had, with the reason.
pub(crate) fn cases() -> (Vec<Case>, Vec<(String, &'static str)>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans");
    let mut folders: Vec<_> =
        fs::read_dir(&root).expect("the cases").map(|entry| entry.expect("a case").path()).collect();
    folders.sort();
    let (mut cases, mut skipped) = (Vec::new(), Vec::new());
    for folder in folders {
        let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
        match case(&folder, &name) {
            Ok(case) => cases.push(Case { is_blind: cases.len() % 2 == 0 && case.facts == json!({}), ..case }),
            Err(why) => skipped.push((name, why)),
        }
    }
    (cases, skipped)
}

fn case(folder: &Path, name: &str) -> Result<Case, &'static str> {
    let read = |file: &str| fs::read(folder.join(file)).ok();
    let parsed = |file: &str| read(file).map_or_else(|| json!({}), |text| serde_json::from_slice(&text).expect("JSON"));
    let (env, facts) = (parsed("env.json"), parsed("facts.json"));
    if env.get("delegate_prints").is_some() {
        return Err("its addresses are another program's to give");
    }
    if facts["ipv6"]["host"] == false {
        return Err("it needs a kernel without IPv6");
    }
    let word = |key: &str, usual: &str| env[key].as_str().unwrap_or(usual).to_owned();
    let (mut container, mut ifname) = (word("container", "c1"), word("ifname", "eth0"));
    let conf = match read("setup.json") {
        None => parsed("conf.json"),
        Some(setup) => {
            // netavark's document is translated into a configuration first; from there on it is the same.
            let call = PluginCall::parse(&setup).expect("a call");
            let key = call.key().expect("a key");
            (container, ifname) = (key.container.to_string(), key.ifname.to_string());
            Value::Object(call.configuration().expect("a configuration"))
        }
    };
    Ok(Case { name: name.to_owned(), conf, container, ifname, facts, is_blind: false })
}

/// Makes a fresh machine as the facts say, as far as the kernel is concerned: other attachments' leases and stakes are
/// not made, nor processes that listen.
pub(crate) fn build(lab: &Lab, container: &Netns, facts: &Value) {
    let host = lab.host();
    for (family, key) in [("ipv4", "net/ipv4/ip_forward"), ("ipv6", "net/ipv6/conf/all/forwarding")] {
        if facts["forwarding"][family] == false {
            host.write_sysctl(key, "0");
        }
    }
    if facts["ipv6"]["container"] == false {
        container.write_sysctl("net/ipv6/conf/default/disable_ipv6", "1");
    }
    if let Some(mtu) = facts["uplink_mtu"].as_u64() {
        make_links(host, &json!({"upl0": {"mtu": mtu, "mac": "02:00:00:00:00:99"}}));
        host.ip("route add default dev upl0");
    }
    for (link, accept) in facts["advertised"].as_object().into_iter().flatten() {
        make_links(host, &json!({ link: {"mac": "02:00:00:00:00:98"} }));
        host.write_sysctl(&format!("net/ipv6/conf/{link}/accept_ra"), text_of(accept));
        host.ip(&format!("-6 route add default via fe80::99 dev {link} proto ra metric 1024"));
    }
    for (netns, facts) in [(host, &facts["host"]), (container, &facts["container"])] {
        make_links(netns, &facts["links"]);
        for route in facts["routes"].as_array().into_iter().flatten() {
            make_route(netns, route);
        }
    }
    for found in facts["fib"].as_array().into_iter().flatten() {
        make_fib(host, found);
    }
}

fn make_links(netns: &Netns, links: &Value) {
    let all = || links.as_object().into_iter().flatten().filter(|(name, _)| *name != "lo");
    for (number, (name, link)) in all().enumerate() {
        let usual = format!("02:00:00:00:01:{number:02x}");
        let mac = link["mac"].as_str().unwrap_or(&usual);
        let mtu = link["mtu"].as_u64().unwrap_or(1500);
        // Not every kernel has the other kinds; to springline, what is no bridge is the same.
        let (end, is_bridge) = (&name[name.len().saturating_sub(13)..], link["kind"] == "bridge");
        let peer = format!("p-{end}");
        let kind =
            if is_bridge { "bridge".to_owned() } else { format!("veth peer name {peer} address 06{}", &mac[2..]) };
        netns.ip(&format!("link add {name} address {mac} mtu {mtu} type {kind}"));
        if !is_bridge {
            netns.ip(&format!("link set {peer} up"));
        }
        if let Some(alias) = link["alias"].as_str() {
            netns.ip(&format!("link set {name} alias {alias}"));
            let ours = alias.starts_with("springline:");
            netns.ip(&format!("link set {name} group {}", if ours { 171 } else { 0 }));
        }
        for address in link["addresses"].as_array().into_iter().flatten().map(text_of) {
            netns.ip(&format!("address add {address} dev {name} {}", if address.contains(':') { "nodad" } else { "" }));
        }
    }
    for (name, link) in all() {
        if let Some(master) = link["master"].as_str() {
            netns.ip(&format!("link set {name} master {master}"));
        }
        if link["up"] != false {
            netns.ip(&format!("link set {name} up"));
        }
    }
}

fn make_route(netns: &Netns, route: &Value) {
    if route["protocol"] == 2 {
        return; // the kernel's own, of an address
    }
    let (dst, link) = (text_of(&route["dst"]), text_of(&route["link"]));
    let via = route["via"].as_str().map(|via| format!("via {via}")).unwrap_or_default();
    let onlink = if route["via"].is_null() { "" } else { "onlink" };
    let number = |key: &str, usual: u64| route[key].as_u64().unwrap_or(usual);
    let (metric, table, protocol) = (number("metric", 0), number("table", 254), number("protocol", 171));
    let metric = if metric == 0 { String::new() } else { format!("metric {metric}") };
    let family = if dst.contains(':') { "-6" } else { "-4" };
    netns.ip(&format!("{family} route add {dst} {via} dev {link} {onlink} {metric} table {table} proto {protocol}"));
}

/// What the FIB answers is there as a route; of a link that the facts do not have, as one of a link that is made for it.
fn make_fib(host: &Netns, found: &Value) {
    let dst = text_of(&found["dst"]);
    let number = |key: &str, usual: u64| found[key].as_u64().unwrap_or(usual);
    let (metric, table, protocol) = (number("metric", 0), number("table", 254), number("protocol", 4));
    let marks = format!("metric {metric} table {table} proto {protocol}");
    match text_of(&found["kind"]) {
        "reject" => drop(host.ip(&format!("route add blackhole {dst} {marks}"))),
        "local" => drop(host.ip(&format!("address add {dst} dev lo"))),
        _ => {
            let link = text_of(&found["link"]);
            if host.link(link).is_none() {
                make_links(host, &json!({ link: { "kind": "dummy", "alias": found["alias"] } }));
            }
            host.ip(&format!("route add {dst} dev {link} {marks}"));
        }
    }
}
