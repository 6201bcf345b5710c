//! The picture for graphviz: `springline graph -o dot | dot -Tpdf`.

use super::svg::colour;
use super::text::clean;
use super::{Carrier, HostLink, Interface, Network, Scene, State, elsewhere};

/// Writes the scene in graphviz' language.
#[must_use]
pub fn dot(scene: &Scene) -> String {
    let mut out = Writer::default();
    out.line("graph springline {");
    out.line("  rankdir=LR; compound=true; ranksep=1.2; nodesep=0.15;");
    out.line("  node [shape=box, style=\"rounded,filled\", fillcolor=white, fontname=monospace, fontsize=10];");
    out.line("  edge [fontname=monospace, fontsize=9];");
    let host = [format!("host {}", scene.host), scene.summary()];
    out.line(&format!("  host [label={}, penwidth=2];", label(&host)));
    for (at, link) in scene.links.iter().enumerate() {
        out.line(&format!("  link{at} [label={}];", label(&link_lines(link))));
        out.line(&format!("  link{at} -- host;"));
    }
    let several = scene.several();
    for (at, network) in scene.networks.iter().enumerate() {
        out.network(at, network, |interface| elsewhere(&several, network, interface));
    }
    out.line("}");
    out.text
}

#[derive(Default)]
struct Writer {
    text: String,
}

impl Writer {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn network(&mut self, at: usize, network: &Network, elsewhere: impl Fn(&Interface) -> Vec<String>) {
        let colour = colour(at);
        let title = format!("{}: {}", network.name, network.description().join(", "));
        self.line(&format!("  subgraph cluster{at} {{"));
        self.line(&format!("    label={}; color={colour:?}; fontname=monospace; penwidth=2;", quoted(&title)));
        let centre = match &network.carrier {
            Carrier::Bridged(bridge) => {
                let mut lines = vec![format!("bridge {}", bridge.name)];
                lines.extend(Some(bridge.presence.remark().to_owned()).filter(|remark| !remark.is_empty()));
                lines.extend(bridge.addresses.iter().cloned());
                lines.extend(bridge.other_ports.iter().map(|port| format!("port {port}")));
                self.line(&format!(
                    "    bridge{at} [label={}, shape=box3d, style=filled, color={colour:?}];",
                    label(&lines)
                ));
                format!("bridge{at}")
            }
            Carrier::Routed | Carrier::Unknown => "host".to_owned(),
        };
        for (number, interface) in network.interfaces.iter().enumerate() {
            let lines = interface_lines(interface, &elsewhere(interface));
            let style = match interface.state {
                State::Ok => "",
                State::Drifted => ", penwidth=3, fillcolor=\"#ffe8a3\"",
                State::Orphaned | State::Unknown => ", style=\"rounded,filled,dashed\", fillcolor=\"#dddddd\"",
            };
            let tip = quoted(&interface.container);
            self.line(&format!("    c{at}_{number} [label={}, tooltip={tip}{style}];", label(&lines)));
        }
        self.line("  }");
        if network.carrier.bridge().is_some() {
            self.line(&format!("  host -- {centre} [color={colour:?}, penwidth=3];"));
        }
        for (number, interface) in network.interfaces.iter().enumerate() {
            let end = &interface.host;
            let mut lines = vec![end.name.clone()];
            lines.extend(Some(end.remark().to_owned()).filter(|remark| !remark.is_empty()));
            lines.extend(end.routes.iter().map(|route| format!("→ {route}")));
            let style = if end.is_connected() { "" } else { ", style=dashed" };
            self.line(&format!("  {centre} -- c{at}_{number} [label={}, color={colour:?}{style}];", label(&lines)));
        }
    }
}

fn link_lines(link: &HostLink) -> Vec<String> {
    let down = if link.up { "" } else { ", down" };
    let mut lines = vec![format!("{} ({}{down})", link.name, link.kind)];
    lines.extend(link.addresses.iter().chain(&link.routes).cloned());
    lines
}

fn interface_lines(interface: &Interface, elsewhere: &[String]) -> Vec<String> {
    let mut lines = vec![interface.container.clone(), format!("{}, {}", interface.name, interface.state.word())];
    lines.extend(Some(format!("by {}", interface.maker)).filter(|_| !interface.maker.is_empty()));
    lines.extend(interface.addresses.iter().cloned());
    lines.extend(interface.gateways.iter().map(|gateway| format!("gateway {gateway}")));
    lines.extend(interface.routes.iter().map(|route| format!("route {route}")));
    lines.extend(interface.ports.iter().map(|port| format!("port {port}")));
    lines.extend(interface.limits.iter().cloned());
    lines.extend(elsewhere.iter().map(|other| format!("also {other}")));
    lines.extend(interface.missing.iter().map(|what| format!("missing {what}")));
    lines
}

/// Lines, each to the left.
fn label(lines: &[String]) -> String {
    let lines: String = lines.iter().map(|line| escaped(line) + "\\l").collect();
    format!("\"{lines}\"")
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

/// In a quoted string, a quote ends it and a backslash begins an escape; nothing else has a meaning.
fn escaped(text: &str) -> String {
    // Graphviz reads entities of HTML even in plain labels.
    clean(text).replace('\\', "\\\\").replace('"', "\\\"").replace('&', "&amp;")
}
