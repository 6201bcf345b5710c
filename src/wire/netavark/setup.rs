//! `setup` and `teardown`: what netavark says of a container and its network, and what it is answered.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::options::unknown_option;
use super::{InterfaceOptions, Network, PortMapping};
use crate::error::{Code, Coded, Error, Result};
use crate::model::{
    AttachmentKey, ContainerId, IfName, NetworkName, Outcome, RoutedNetwork, parse_address, parse_network,
};

/// What netavark writes for `setup` and `teardown`.
#[derive(Debug, Clone, Deserialize)]
pub struct PluginCall {
    /// The container's id.
    pub container_id: String,
    /// The ports of the container: all of them, at each of its networks.
    #[serde(default)]
    pub port_mappings: Option<Vec<PortMapping>>,
    /// The network.
    pub network: Network,
    /// What is asked for this interface.
    pub network_options: InterfaceOptions,
}

impl PluginCall {
    /// Reads the document.
    pub fn parse(text: &[u8]) -> Result<Self> {
        serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(text)).map_err(|error| {
            let at = error.path().to_string();
            Error::new(Code::Decode, format!("{at}: {}", error.into_inner())).context("not a call of netavark's")
        })
    }

    /// The attachment that the call is about.
    pub fn key(&self) -> Result<AttachmentKey> {
        key(&self.network.name, &self.container_id, &self.network_options.interface_name)
    }

    /// The network's configuration for this container, with what is asked for it in `runtimeConfig`, where a CNI
    /// runtime would have put it.
    pub fn configuration(&self) -> Result<Map<String, Value>> {
        let options = &self.network_options;
        let texts = options.static_ips.as_deref().unwrap_or_default();
        let parse =
            |text: &String| parse_address(text).map(|net| net.addr()).coded(Code::InvalidConfig, || "static_ips");
        let ips = texts.iter().map(parse).collect::<Result<Vec<IpAddr>>>()?;
        let mut configuration = self.network.configuration(&ips)?;
        let is_fixed = |ip: &&IpAddr| {
            let fixed = configuration.get("ipam").and_then(|ipam| ipam["addresses"].as_array());
            let same = |address: &Value| address.as_str().is_some_and(|text| text.starts_with(&format!("{ip}/")));
            fixed.is_some_and(|fixed| fixed.iter().any(same))
        };
        let wished: Vec<String> = ips.iter().filter(|ip| !is_fixed(ip)).map(ToString::to_string).collect();
        let ports = if self.network.is_internal() { Vec::new() } else { self.ports()? };
        let mut runtime = json!({ "ips": wished, "portMappings": ports });
        if let Some(mac) = options.static_mac.as_deref().filter(|mac| !mac.is_empty()) {
            runtime["mac"] = mac.into();
        }
        configuration.insert("runtimeConfig".to_owned(), runtime);
        Ok(configuration)
    }

    /// The networks that the host is to route to this container: `--network NAME:route=NET`, several with `+` between
    /// them, since podman separates options by commas.
    pub fn routes(&self) -> Result<Vec<RoutedNetwork>> {
        let mut routes = Vec::new();
        for (key, text) in self.network_options.options.iter().flatten() {
            if key != "route" {
                return Err(unknown_option("option of a container's network", key, &[&"route"]));
            }
            for net in text.split('+') {
                let dst = parse_network(net.trim()).coded(Code::InvalidConfig, || format!("option route: {text}"))?;
                routes.push(RoutedNetwork { dst, via: None });
            }
        }
        Ok(routes)
    }

    /// The port maps, one port each, as a CNI runtime would write them.
    fn ports(&self) -> Result<Vec<Value>> {
        let mut ports = Vec::new();
        for mapping in self.port_mappings.iter().flatten() {
            let protocols = mapping.protocol.as_deref().unwrap_or_default();
            for offset in 0..mapping.range.unwrap_or(1).max(1) {
                let shifted = |port: u16| {
                    let too_high = || Error::new(Code::InvalidConfig, format!("{port} and {offset} more is too high"));
                    port.checked_add(offset).ok_or_else(too_high).map_err(|error| error.context("port_mappings"))
                };
                let (host, container) = (shifted(mapping.host_port)?, shifted(mapping.container_port)?);
                for protocol in protocols.split(',').map(str::trim) {
                    ports.push(json!({"hostPort": host, "containerPort": container, "protocol": protocol,
                        "hostIP": mapping.host_ip.as_deref().unwrap_or_default()}));
                }
            }
        }
        Ok(ports)
    }
}

/// What `teardown` needs to know: the rest may have become invalid since.
#[derive(Debug, Clone, Deserialize)]
pub struct Departure {
    container_id: String,
    network: NameOnly,
    network_options: IfNameOnly,
}

#[derive(Debug, Clone, Deserialize)]
struct NameOnly {
    name: String,
}

#[derive(Debug, Clone, Deserialize)]
struct IfNameOnly {
    interface_name: String,
}

impl Departure {
    /// Reads the document.
    pub fn parse(text: &[u8]) -> Result<Self> {
        serde_json::from_slice(text).coded(Code::Decode, || "not a call of netavark's")
    }

    /// The attachment that is to be removed.
    pub fn key(&self) -> Result<AttachmentKey> {
        key(&self.network.name, &self.container_id, &self.network_options.interface_name)
    }
}

fn key(network: &str, container: &str, ifname: &str) -> Result<AttachmentKey> {
    let wrong = |what: &'static str| move || what;
    Ok(AttachmentKey {
        network: NetworkName::parse(network).coded(Code::InvalidConfig, wrong("network.name"))?,
        container: ContainerId::parse(container).coded(Code::InvalidConfig, wrong("container_id"))?,
        ifname: IfName::parse(ifname).coded(Code::InvalidConfig, wrong("network_options.interface_name"))?,
    })
}

/// netavark's `StatusBlock`: what `podman inspect`, `/etc/hosts` and `/etc/resolv.conf` will say.
#[must_use]
pub fn status(outcome: &Outcome) -> Value {
    let subnets = outcome.addresses.iter().map(|address| match address.gateway {
        Some(gateway) => json!({"ipnet": address.net.to_string(), "gateway": gateway.to_string()}),
        None => json!({"ipnet": address.net.to_string()}),
    });
    let subnets: Vec<Value> = subnets.collect();
    let inside = outcome.links.iter().filter(|link| link.netns.is_some());
    let interfaces = inside.map(|link| {
        let mac = link.mac.map(|mac| mac.to_string()).unwrap_or_default();
        (link.name.clone(), json!({"mac_address": mac, "subnets": subnets}))
    });
    let interfaces: Map<String, Value> = interfaces.collect();
    json!({"interfaces": interfaces, "dns_server_ips": outcome.dns.nameservers, "dns_search_domains": outcome.dns.search})
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETUP: &str = r#"{"container_id":"7e64","container_name":"c1",
        "port_mappings":[{"container_port":80,"host_ip":"","host_port":8080,"protocol":"tcp,udp","range":1},
                         {"container_port":53,"host_ip":"127.0.0.1","host_port":8053,"protocol":"udp","range":3}],
        "network":{"dns_enabled":true,"driver":"springline","id":"c131","internal":false,"ipv6_enabled":true,"name":"n2",
            "network_interface":null,"options":{"mtu":"1400"},"ipam_options":null,
            "subnets":[{"gateway":"10.77.0.1","lease_range":null,"subnet":"10.77.0.0/24"}],"routes":null,
            "network_dns_servers":["10.77.0.1"]},
        "network_options":{"aliases":["web"],"interface_name":"eth5","static_ips":["10.77.0.5"],
            "static_mac":"02:aa:bb:cc:dd:ee","options":null}}"#;

    #[test]
    fn what_is_asked_stands_where_a_cni_runtime_puts_it() {
        let call = PluginCall::parse(SETUP.as_bytes()).unwrap();
        assert_eq!(call.key().unwrap().to_string(), "n2/7e64/eth5");
        let configuration = call.configuration().unwrap();
        let port = |host: u16, container: u16, protocol: &str, ip: &str| json!({"hostPort": host, "containerPort": container, "protocol": protocol, "hostIP": ip});
        let ports = [
            port(8080, 80, "tcp", ""),
            port(8080, 80, "udp", ""),
            port(8053, 53, "udp", "127.0.0.1"),
            port(8054, 54, "udp", "127.0.0.1"),
            port(8055, 55, "udp", "127.0.0.1"),
        ];
        let runtime = json!({"ips": ["10.77.0.5"], "mac": "02:aa:bb:cc:dd:ee", "portMappings": ports});
        assert_eq!(configuration["runtimeConfig"], runtime);
        assert_eq!(configuration["dns"], json!({"nameservers": ["10.77.0.1"]}));
    }

    #[test]
    fn an_internal_network_gets_no_ports_and_odd_options_are_refused() {
        let with = |from: &str, to: &str| PluginCall::parse(SETUP.replace(from, to).as_bytes()).unwrap();
        let internal = with(r#""internal":false"#, r#""internal":true"#).configuration().unwrap();
        assert_eq!(internal["runtimeConfig"]["portMappings"], json!([]));
        let odd = with(r#""options":null"#, r#""options":{"routes":"10.5.5.0/24"}"#);
        assert!(odd.routes().unwrap_err().to_string().contains("did you mean route?"));
        let routed = with(r#""options":null"#, r#""options":{"route":"10.5.5.0/24+fd05::/64"}"#);
        assert_eq!(routed.routes().unwrap().len(), 2);
        let high = with(r#""host_port":8053"#, r#""host_port":65534"#);
        assert!(high.configuration().unwrap_err().to_string().contains("too high"));
    }

    #[test]
    fn teardown_looks_at_names_only() {
        let broken = SETUP.replace(r#""mtu":"1400""#, r#""mtu":[1]"#);
        assert!(PluginCall::parse(broken.as_bytes()).is_err());
        assert_eq!(Departure::parse(broken.as_bytes()).unwrap().key().unwrap().to_string(), "n2/7e64/eth5");
    }
}
