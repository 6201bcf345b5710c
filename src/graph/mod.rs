//! The host as a picture: what is plugged where, drawn for people, who look before they read.
//!
//! Pure: a [`Scene`] goes in, text comes out. [`svg()`] needs neither a browser nor graphviz, [`dot()`] is for those who
//! have the latter, [`tree()`] for terminals. Who gathers a scene is to put into it what the kernel shows, so that the
//! picture has what has drifted.

mod canvas;
mod dot;
mod svg;
mod text;
mod tree;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use dot::dot;
pub use svg::svg;
pub use text::natural_order;
pub use tree::{Charset, tree};

/// What is drawn.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scene {
    /// The host's name.
    pub host: String,
    /// Links of the host's own.
    pub links: Vec<HostLink>,
    /// The networks that anything is attached to.
    pub networks: Vec<Network>,
}

/// A link of the host that is nobody's attachment: an uplink, or what holds an address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostLink {
    /// Its name.
    pub name: String,
    /// What kind of link it is, in a word or two.
    pub kind: String,
    /// Whether it is up.
    pub up: bool,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// The default routes by it: `default via 192.0.2.1`.
    pub routes: Vec<String>,
}

/// A network, with all that is attached to it in one way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// Its name.
    pub name: String,
    /// How its containers are connected.
    pub carrier: Carrier,
    /// What is worth knowing of it: subnets, gateways, masquerading, isolation.
    pub notes: Vec<String>,
    /// What is attached to it.
    pub interfaces: Vec<Interface>,
}

/// How containers are connected to their host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "lowercase")]
pub enum Carrier {
    /// Each by a link of its own, to which the host routes.
    Routed,
    /// By a bridge.
    Bridged(Bridge),
    /// There is no readable record of it.
    Unknown,
}

/// A bridge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bridge {
    /// Its name.
    pub name: String,
    /// Whether it is there, and up.
    pub presence: Presence,
    /// Its addresses: the gateways of those on it, usually.
    pub addresses: Vec<String>,
    /// Its ports that are nobody's attachment.
    pub other_ports: Vec<String>,
}

/// Whether a link is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// It is, and it is up.
    #[default]
    Up,
    /// It is down.
    Down,
    /// It is not.
    Missing,
}

impl Presence {
    /// What there is to say of it, if it is not as one expects.
    fn remark(self) -> &'static str {
        match self {
            Self::Up => "",
            Self::Down => "down",
            Self::Missing => "missing",
        }
    }
}

/// A container's interface on a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Interface {
    /// The container's id.
    pub container: String,
    /// The interface's name inside.
    pub name: String,
    /// The host's end of the pair.
    pub host: HostEnd,
    /// Addresses inside.
    pub addresses: Vec<String>,
    /// Where the default routes inside lead.
    pub gateways: Vec<String>,
    /// The other routes inside.
    pub routes: Vec<String>,
    /// Ports of the host that lead to it: `8080/tcp→80`.
    pub ports: Vec<String>,
    /// Rates to which it is limited.
    pub limits: Vec<String>,
    /// How it is.
    pub state: State,
    /// What is missing, or what is wrong with it.
    pub missing: Vec<String>,
    /// By whom it was made.
    pub maker: String,
}

/// The host's end of a pair.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostEnd {
    /// Its name.
    pub name: String,
    /// Whether it is there, and up.
    pub presence: Presence,
    /// Whether it should be a port of the network's bridge and is not.
    pub unplugged: bool,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// The host's routes by it.
    pub routes: Vec<String>,
}

impl HostEnd {
    /// Whether packets can pass.
    fn is_connected(&self) -> bool {
        self.presence == Presence::Up && !self.unplugged
    }

    /// What there is to say of it, if it is not as one expects.
    fn remark(&self) -> &'static str {
        match self.presence {
            Presence::Up if self.unplugged => "not on the bridge",
            presence => presence.remark(),
        }
    }
}

/// How an attachment is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As recorded.
    #[default]
    Ok,
    /// Something is missing.
    Drifted,
    /// Its namespace is gone.
    Orphaned,
    /// It could not be looked at.
    Unknown,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Drifted, Self::Orphaned, Self::Unknown];

    /// In a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Drifted => "drifted",
            Self::Orphaned => "orphaned",
            Self::Unknown => "unknown",
        }
    }
}

impl Carrier {
    fn word(&self) -> &'static str {
        match self {
            Self::Routed => "routed",
            Self::Bridged(_) => "bridged",
            Self::Unknown => "unknown",
        }
    }

    fn bridge(&self) -> Option<&Bridge> {
        match self {
            Self::Bridged(bridge) => Some(bridge),
            Self::Routed | Self::Unknown => None,
        }
    }
}

impl Network {
    /// `routed`, and what else is worth knowing.
    fn description(&self) -> Vec<String> {
        [self.carrier.word().to_owned()].into_iter().chain(self.notes.iter().cloned()).collect()
    }
}

impl Scene {
    /// `60 containers on 4 networks, 1 drifted`.
    fn summary(&self) -> String {
        let interfaces: Vec<&Interface> = self.networks.iter().flat_map(|network| &network.interfaces).collect();
        let containers: BTreeSet<&str> = interfaces.iter().map(|interface| interface.container.as_str()).collect();
        let networks: BTreeSet<&str> = self.networks.iter().map(|network| network.name.as_str()).collect();
        if containers.is_empty() {
            return "nothing is attached".to_owned();
        }
        let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let not_well = State::ALL.into_iter().filter(|state| *state != State::Ok).filter_map(|state| {
            let count = interfaces.iter().filter(|interface| interface.state == state).count();
            (count > 0).then(|| format!("{count} {}", state.word()))
        });
        let (containers, networks) = (counted(containers.len(), "container"), counted(networks.len(), "network"));
        let words: Vec<String> = [format!("{containers} on {networks}")].into_iter().chain(not_well).collect();
        words.join(", ")
    }

    /// For containers with several interfaces: each as `eth1 on NETWORK`.
    fn several(&self) -> BTreeMap<&str, Vec<String>> {
        let mut all: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for network in &self.networks {
            for interface in &network.interfaces {
                let name = format!("{} on {}", interface.name, network.name);
                all.entry(interface.container.as_str()).or_default().push(name);
            }
        }
        all.retain(|_, names| names.len() > 1);
        all
    }
}

/// What else a container is attached to.
fn elsewhere(several: &BTreeMap<&str, Vec<String>>, network: &Network, interface: &Interface) -> Vec<String> {
    let own = format!("{} on {}", interface.name, network.name);
    let names = several.get(interface.container.as_str()).into_iter().flatten();
    names.filter(|name| **name != own).cloned().collect()
}
