//! The protocol of netavark's plugins (API version 1.0.0): what podman and netavark write, and what they are answered.
//!
//! A network is podman's own document. [`Network::configuration`] says it in the words of our network configuration, so
//! that whatever is refused, and whatever a key means, is the same for every face.

mod create;
mod network;
mod options;
mod setup;
mod subnet;

pub use create::{Completed, complete};
pub use setup::{Departure, PluginCall, status};

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

/// The version of the protocol.
pub const API_VERSION: &str = "1.0.0";

/// A network as podman has it. What we do not know of it is passed over; `null` is the same as absent.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// Its id, 64 hexadecimal digits.
    #[serde(default)]
    pub id: Option<String>,
    /// The bridge, in bridged mode.
    #[serde(default)]
    pub network_interface: Option<String>,
    /// Its subnets, of which a container gets one address each.
    #[serde(default)]
    pub subnets: Option<Vec<Subnet>>,
    /// Routes inside its containers.
    #[serde(default)]
    pub routes: Option<Vec<Route>>,
    /// Whether it is to have IPv6 even if no subnet of that family is given.
    #[serde(default)]
    pub ipv6_enabled: Option<bool>,
    /// Whether it is cut off from the world.
    #[serde(default)]
    pub internal: Option<bool>,
    /// Name servers for its containers.
    #[serde(default)]
    pub network_dns_servers: Option<Vec<String>>,
    /// `podman network create --opt`.
    #[serde(default)]
    pub options: Option<BTreeMap<String, String>>,
    /// Who chooses addresses: `driver`.
    #[serde(default)]
    pub ipam_options: Option<BTreeMap<String, String>>,
}

/// A subnet of a network.
#[derive(Debug, Clone, Deserialize)]
pub struct Subnet {
    /// The subnet in CIDR notation.
    pub subnet: String,
    /// Its gateway.
    #[serde(default)]
    pub gateway: Option<String>,
    /// Of which part addresses are given out.
    #[serde(default)]
    pub lease_range: Option<LeaseRange>,
}

/// Which part of a subnet is given out.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct LeaseRange {
    /// The first address.
    #[serde(default)]
    pub start_ip: Option<String>,
    /// The last address.
    #[serde(default)]
    pub end_ip: Option<String>,
}

/// A route inside the containers of a network.
#[derive(Debug, Clone, Deserialize)]
pub struct Route {
    /// Where to.
    pub destination: String,
    /// By which next hop.
    #[serde(default)]
    pub gateway: Option<String>,
    /// Its metric.
    #[serde(default)]
    pub metric: Option<u32>,
    /// What it does, in newer versions: `unicast`, `blackhole`, ….
    #[serde(default)]
    pub route_type: Option<String>,
}

/// A port of the host, or several in a row.
#[derive(Debug, Clone, Deserialize)]
pub struct PortMapping {
    /// The container's port.
    pub container_port: u16,
    /// The host's address; empty for all.
    #[serde(default)]
    pub host_ip: Option<String>,
    /// The host's port.
    pub host_port: u16,
    /// Protocols, separated by commas.
    #[serde(default)]
    pub protocol: Option<String>,
    /// How many ports in a row.
    #[serde(default)]
    pub range: Option<u16>,
}

/// What is asked for one container's interface.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct InterfaceOptions {
    /// Its name inside.
    pub interface_name: String,
    /// Its addresses: those that podman has chosen, or that the user asks for.
    #[serde(default)]
    pub static_ips: Option<Vec<String>>,
    /// Its MAC.
    #[serde(default)]
    pub static_mac: Option<String>,
    /// `podman run --network NAME:KEY=VALUE`, as far as podman does not know the key itself.
    #[serde(default)]
    pub options: Option<BTreeMap<String, String>>,
}

/// The answer to `info`.
#[must_use]
pub fn about() -> Value {
    json!({ "version": env!("CARGO_PKG_VERSION"), "api_version": API_VERSION })
}

/// An error: exactly this one key, or podman cannot read it. One line, for podman shows nothing else to the user.
#[must_use]
pub fn error_document(error: &crate::error::Error) -> Value {
    let cause = format!("{:#}", error.source);
    let hints = error.hints.iter().map(|hint| format!("hint: {hint}"));
    let text = std::iter::once(cause).chain(hints).collect::<Vec<_>>().join("; ");
    let line = text.split(['\n', '\r']).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    json!({ "error": line })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Code, Error};

    #[test]
    fn an_error_is_one_key_and_one_line() {
        let error = Error::new(Code::Kernel, "two\n  lines").context("what").hint("do this").hint("or that");
        let expected = r#"{"error":"what: two lines; hint: do this; hint: or that"}"#;
        assert_eq!(error_document(&error).to_string(), expected);
    }
}
