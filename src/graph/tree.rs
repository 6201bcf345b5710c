//! The picture for terminals.

use super::text::clean;
use super::{Carrier, HostLink, Interface, Network, Scene, elsewhere};

/// Which characters the lines are drawn with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    /// Those for boxes.
    Unicode,
    /// Those that every terminal and every log has.
    Ascii,
}

/// A line of the tree with what belongs to it.
#[derive(Default)]
struct Node {
    line: String,
    details: Vec<String>,
    children: Vec<Node>,
}

/// Draws the scene as a tree.
#[must_use]
pub fn tree(scene: &Scene, charset: Charset) -> String {
    let links = scene.links.iter().map(link);
    let networks = scene.networks.iter().map(|network| of_network(scene, network));
    let root = Node {
        line: format!("host {}: {}", scene.host, scene.summary()),
        details: Vec::new(),
        children: links.chain(networks).collect(),
    };
    let mut out = String::new();
    root.draw(&mut out, "", "", charset);
    out
}

fn link(link: &HostLink) -> Node {
    let down = if link.up { "" } else { ", down" };
    let head = format!("{} ({}{down})", link.name, link.kind);
    Node { line: joined(&head, &link.addresses), details: link.routes.clone(), children: Vec::new() }
}

fn of_network(scene: &Scene, network: &Network) -> Node {
    let several = scene.several();
    let containers = network.interfaces.iter().map(|interface| {
        let elsewhere = elsewhere(&several, network, interface);
        of_interface(interface, &elsewhere)
    });
    let containers: Vec<Node> = containers.collect();
    let line = format!("network {}: {}", network.name, network.description().join(", "));
    let Carrier::Bridged(bridge) = &network.carrier else {
        return Node { line, details: Vec::new(), children: containers };
    };
    let remark = bridge.presence.remark();
    let remark = if remark.is_empty() { String::new() } else { format!(" ({remark})") };
    let head = format!("bridge {}{remark}", bridge.name);
    let ports = Some(joined("other ports", &bridge.other_ports)).filter(|_| !bridge.other_ports.is_empty());
    let bridge =
        Node { line: joined(&head, &bridge.addresses), details: ports.into_iter().collect(), children: containers };
    Node { line, details: Vec::new(), children: vec![bridge] }
}

fn of_interface(interface: &Interface, elsewhere: &[String]) -> Node {
    let host = &interface.host;
    let remark = if host.is_connected() { "══".to_owned() } else { format!("═ ({}) ═", host.remark()) };
    let pair = format!("{} {remark} {}", host.name, interface.name);
    // Those to its own addresses go without saying: if one is missing, that is said.
    let to_others = |route: &&String| {
        let dst = route.split(' ').next().unwrap_or_default();
        !interface.addresses.iter().any(|address| address == dst)
    };
    let networks: Vec<String> = host.routes.iter().filter(to_others).cloned().collect();
    let facts = [
        ("gateway", &interface.gateways),
        ("routes", &interface.routes),
        ("networks", &networks),
        ("ports", &interface.ports),
        ("limits", &interface.limits),
    ];
    let mut details = vec![joined(&pair, &interface.addresses)];
    details.extend(facts.iter().filter(|(_, values)| !values.is_empty()).map(|(what, values)| joined(what, values)));
    details.extend(Some(format!("also {}", elsewhere.join(", "))).filter(|_| !elsewhere.is_empty()));
    details.extend(interface.missing.iter().map(|what| format!("missing  {what}")));
    let maker = if interface.maker.is_empty() { String::new() } else { format!(", by {}", interface.maker) };
    Node { line: format!("{}  {}{maker}", interface.container, interface.state.word()), details, children: Vec::new() }
}

fn joined(head: &str, values: &[String]) -> String {
    std::iter::once(head).chain(values.iter().map(String::as_str)).collect::<Vec<_>>().join("  ")
}

impl Node {
    /// Its line behind `first`, and all others behind `rest`.
    fn draw(&self, out: &mut String, first: &str, rest: &str, charset: Charset) {
        let (branch, last, pipe) = match charset {
            Charset::Unicode => ("├─ ", "└─ ", "│  "),
            Charset::Ascii => ("|- ", "`- ", "|  "),
        };
        push(out, first, &self.line, charset);
        let beside = if self.children.is_empty() { "   " } else { pipe };
        for detail in &self.details {
            push(out, &format!("{rest}{beside}   "), detail, charset);
        }
        for (at, child) in self.children.iter().enumerate() {
            let is_last = at + 1 == self.children.len();
            let (own, below) = if is_last { (last, "   ") } else { (branch, pipe) };
            child.draw(out, &format!("{rest}{own}"), &format!("{rest}{below}"), charset);
        }
    }
}

fn push(out: &mut String, before: &str, line: &str, charset: Charset) {
    let line = clean(line);
    let line = match charset {
        Charset::Unicode => line,
        Charset::Ascii => line.replace('→', "->").replace('═', "=").replace(|c: char| !c.is_ascii(), "?"),
    };
    out.push_str(before);
    out.push_str(&line);
    out.push('\n');
}
