//! podman's network in the words of our own network configuration.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use super::options::Options;
use super::{Network, Route, Subnet};
use crate::error::{Code, Coded, Error, Result};
use crate::model::{IfName, stable_hash};

/// The version in which our own documents are written; nobody outside sees them.
const CNI_VERSION: &str = "1.1.0";

/// Who chooses the addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chooser {
    /// podman, which hands them over (`host-local`); we do, if it has handed over none.
    Podman,
    /// We do.
    Own,
    /// Nobody: there are none.
    Nobody,
}

impl Network {
    /// The configuration of this network for a container that has been given, or asks for, the addresses `ips`.
    pub fn configuration(&self, ips: &[IpAddr]) -> Result<Map<String, Value>> {
        self.described(ips).map_err(|error| error.context(format!("network {}", self.name)))
    }

    fn described(&self, ips: &[IpAddr]) -> Result<Map<String, Value>> {
        let options = self.options()?;
        let (is_bridged, is_internal) = (options.is_bridged(), self.is_internal());
        let mut keys = options.keys.clone();
        keys.insert("cniVersion".to_owned(), CNI_VERSION.into());
        keys.insert("name".to_owned(), self.name.as_str().into());
        keys.insert("type".to_owned(), "springline".into());
        if let Some(bridge) = self.bridge(&options)? {
            keys.insert("bridge".to_owned(), bridge);
        }
        if is_internal {
            self.close(&mut keys, is_bridged)?;
        } else {
            // As with podman's own bridge: without it, a private address goes nowhere.
            keys.entry("masquerade").or_insert(Value::Bool(true));
        }
        let servers = self.network_dns_servers.as_deref().unwrap_or_default();
        if !servers.is_empty() {
            keys.insert("dns".to_owned(), json!({ "nameservers": servers }));
        }
        if let Some(ipam) = self.ipam(&options, ips)? {
            keys.insert("ipam".to_owned(), ipam);
        }
        Ok(keys)
    }

    pub(super) fn options(&self) -> Result<Options> {
        self.options.as_ref().map_or_else(|| Ok(Options::default()), Options::read)
    }

    pub(super) fn is_internal(&self) -> bool {
        self.internal.unwrap_or_default()
    }

    pub(super) fn subnets(&self) -> &[Subnet] {
        self.subnets.as_deref().unwrap_or_default()
    }

    /// Who chooses addresses: what the network says, or the option that has it say so.
    pub(super) fn chooser(&self, options: &Options) -> Result<Chooser> {
        let driver = self.ipam_options.as_ref().and_then(|options| options.get("driver")).map(String::as_str);
        match options.ipam.as_deref().or(driver) {
            None | Some("" | "host-local" | "podman") => Ok(Chooser::Podman),
            Some("springline") => Ok(Chooser::Own),
            Some("none") => Ok(Chooser::Nobody),
            Some(other) => {
                Err(Error::new(Code::UnsupportedField, format!("ipam driver {other} is not available here"))
                    .context("invalid configuration: ipam_options")
                    .hint("podman chooses the addresses unless told otherwise (--ipam-driver host-local)")
                    .hint("--ipam-driver none gives none, --opt ipam=springline has springline choose"))
            }
        }
    }

    /// What an internal network is: without a way out, and apart from other networks. What is not done: nobody keeps
    /// a container that may change its own routes from making itself one.
    fn close(&self, keys: &mut Map<String, Value>, is_bridged: bool) -> Result<()> {
        let refuse = |option: &str| {
            Err(Error::new(Code::InvalidConfig, format!("option {option} would lead out of it"))
                .context(format!("network {} is internal", self.name)))
        };
        match keys.get("masquerade") {
            Some(Value::Bool(false)) | None => {}
            Some(_) => return refuse("masquerade"),
        }
        match keys.insert("defaultRoute".to_owned(), false.into()) {
            Some(Value::Bool(false)) | None => {}
            Some(_) => return refuse("defaultRoute"),
        }
        keys.entry("isolation").or_insert("network".into());
        if is_bridged {
            keys.entry("forwarding").or_insert("leave".into()); // its containers need no router
        }
        Ok(())
    }

    /// The `bridge` object. Each network has a bridge of its own, unless the networks name the same one.
    fn bridge(&self, options: &Options) -> Result<Option<Value>> {
        let mut bridge = options.bridge.clone();
        if let Some(name) = self.bridge_name(options)? {
            bridge.insert("name".to_owned(), name.into());
        }
        Ok((!bridge.is_empty()).then_some(Value::Object(bridge)))
    }

    /// The bridge's name, in bridged mode.
    pub(super) fn bridge_name(&self, options: &Options) -> Result<Option<String>> {
        let interface = self.network_interface.as_deref().filter(|name| !name.is_empty());
        let named = match (interface, options.bridge_name.as_deref()) {
            (Some(interface), Some(option)) if interface != option => {
                return Err(Error::new(Code::InvalidConfig, format!("{interface:?} and {option:?}"))
                    .context("--interface-name and option bridge disagree"));
            }
            (interface, option) => interface.or(option),
        };
        match (named, options.is_bridged()) {
            (Some(name), true) => Ok(Some(name.to_owned())),
            (None, true) => Ok(Some(self.derived_bridge_name())),
            (None, false) => Ok(None),
            (Some(name), false) => {
                Err(Error::new(Code::InvalidConfig, format!("a bridge {name:?} is named, this network is routed"))
                    .context("invalid configuration")
                    .hint("add --opt mode=bridged; --opt hostInterface names the host sides of a routed network"))
            }
        }
    }

    /// `sl-NAME`, or, where that is no name of a link, `sl-` and a hash of the network's name.
    fn derived_bridge_name(&self) -> String {
        let plain = format!("sl-{}", self.name);
        if IfName::parse(&plain).is_ok() {
            return plain;
        }
        let hash = format!("{:032x}", stable_hash(&["bridge", &self.name]));
        format!("sl-{}", &hash[..12])
    }

    fn ipam(&self, options: &Options, ips: &[IpAddr]) -> Result<Option<Value>> {
        let chooser = self.chooser(options)?;
        if chooser == Chooser::Nobody || (self.subnets().is_empty() && ips.is_empty()) {
            return Ok(None);
        }
        let by_podman = chooser == Chooser::Podman && !ips.is_empty();
        self.refuse_strays(ips)?;
        let (mut ranges, mut addresses) = (Vec::new(), Vec::new());
        for subnet in self.subnets() {
            let net = subnet.net()?;
            let own: Vec<IpAddr> = ips.iter().copied().filter(|address| net.contains(address)).collect();
            if by_podman && own.is_empty() {
                continue; // podman gives none of this one
            }
            if by_podman && subnet.gateway().is_none() && options.is_bridged() {
                // Without a gateway podman gives out the subnet's first address, too, which a range would keep back.
                addresses.extend(own.iter().map(|address| format!("{address}/{}", net.prefix_len())));
                continue;
            }
            ranges.push(json!([subnet.range(net, !own.is_empty(), by_podman, options.is_bridged())]));
        }
        let mut ipam = json!({ "type": "springline", "ranges": ranges, "addresses": addresses });
        if let Some(routes) = self.container_routes(options)? {
            ipam["routes"] = routes;
        }
        Ok(Some(ipam))
    }

    /// An address of none of the subnets would have neither a length nor a gateway.
    fn refuse_strays(&self, ips: &[IpAddr]) -> Result<()> {
        let nets = self.subnets().iter().map(Subnet::net).collect::<Result<Vec<IpNet>>>()?;
        match ips.iter().find(|address| !nets.is_empty() && !nets.iter().any(|net| net.contains(*address))) {
            None => Ok(()),
            Some(stray) => {
                let nets: Vec<String> = nets.iter().map(ToString::to_string).collect();
                Err(Error::new(Code::InvalidConfig, format!("its subnets are {}", nets.join(", ")))
                    .context(format!("address {stray} is in none of its subnets")))
            }
        }
    }

    /// Routes inside the container, if they are not just the default ones.
    fn container_routes(&self, options: &Options) -> Result<Option<Value>> {
        let is_routed = !options.is_bridged();
        let scheme = options.keys.get("gateway").map(|gateway| gateway.get("scheme").unwrap_or(gateway));
        let has_gateway =
            |subnet: &Subnet| if is_routed { scheme != Some(&json!("none")) } else { subnet.gateway().is_some() };
        let given = self.routes.as_deref().unwrap_or_default();
        if given.is_empty() && !(is_routed && self.is_internal()) {
            return Ok(None);
        }
        // Beside those that are given: the default ones. Internal: routed, those to the other containers of the network,
        // by the host; bridged, none, for they are on the link.
        let is_internal = self.is_internal();
        let mut routes = Vec::new();
        for subnet in self.subnets().iter().filter(|subnet| has_gateway(subnet) && (is_routed || !is_internal)) {
            let net = subnet.net()?;
            let everything = if net.addr().is_ipv4() { "0.0.0.0/0" } else { "::/0" };
            let dst = if is_internal { net.to_string() } else { everything.to_owned() };
            let route = json!({ "dst": dst });
            if !given.iter().any(|given| given.destination == dst) && !routes.contains(&route) {
                routes.push(route);
            }
        }
        for route in given {
            routes.push(self.route(route, is_routed)?);
        }
        Ok(Some(routes.into()))
    }

    /// A route of podman's. In routed mode nobody but the host is next to the container: a route by the subnet's
    /// gateway is one by the host, whatever address that has there; any other next hop would never be found.
    fn route(&self, route: &Route, is_routed: bool) -> Result<Value> {
        let doing = || format!("route to {}", route.destination);
        if let Some(kind) = route.route_type.as_deref().filter(|kind| !matches!(*kind, "" | "unicast")) {
            return Err(Error::new(Code::UnsupportedField, format!("type {kind} is not available")).context(doing()));
        }
        let mut own = json!({ "dst": route.destination });
        if let Some(metric) = route.metric {
            own["priority"] = metric.into();
        }
        let Some(gateway) = route.gateway.as_deref().filter(|gateway| !gateway.is_empty()) else { return Ok(own) };
        if !is_routed {
            own["gw"] = gateway.into();
            return Ok(own);
        }
        let address: IpAddr = gateway.parse().coded(Code::InvalidConfig, || format!("{}: {gateway:?}", doing()))?;
        let mut is_host = false;
        for subnet in self.subnets() {
            is_host |= subnet.gateway_or_first()? == Some(address);
        }
        if is_host {
            return Ok(own);
        }
        Err(Error::new(Code::InvalidConfig, format!("{address} is not the gateway of a subnet of the network"))
            .context(doing())
            .hint("in routed mode nobody but the host is next to the container; --opt mode=bridged has neighbours"))
    }
}

impl Options {
    pub(super) fn is_bridged(&self) -> bool {
        self.keys.get("mode") == Some(&json!("bridged"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(more: &Value) -> Network {
        let mut document = json!({"name": "n2", "id": "c1", "driver": "springline", "labels": {"a": "b"},
            "subnets": [{"subnet": "10.77.0.0/24", "gateway": "10.77.0.1",
                         "lease_range": {"start_ip": "10.77.0.129", "end_ip": "10.77.0.255"}},
                        {"subnet": "fd77::/64", "gateway": "fd77::1", "lease_range": null}]});
        for (key, value) in more.as_object().unwrap() {
            document[key] = value.clone();
        }
        serde_json::from_value(document).unwrap()
    }

    fn described(more: &Value, ips: &[&str]) -> Value {
        let ips: Vec<IpAddr> = ips.iter().map(|text| text.parse().unwrap()).collect();
        Value::Object(network(more).configuration(&ips).unwrap())
    }

    fn refused(more: &Value) -> String {
        network(more).configuration(&[]).unwrap_err().to_string()
    }

    #[test]
    fn addresses_of_podmans_are_taken_also_outside_of_the_lease_range() {
        let ipam = described(&json!({}), &["10.77.0.5", "fd77::9"])["ipam"].clone();
        let expected = json!([
            [{"subnet": "10.77.0.0/24", "gateway": "10.77.0.1", "rangeStart": "10.77.0.0", "rangeEnd": "10.77.0.255"}],
            [{"subnet": "fd77::/64", "gateway": "fd77::1", "rangeStart": "fd77::", "rangeEnd": "fd77::ffff:ffff:ffff:ffff"}],
        ]);
        assert_eq!(ipam["ranges"], expected);
        let bridged = described(&json!({"options": {"mode": "bridged"}}), &["10.77.0.5"])["ipam"].clone();
        assert_eq!(bridged["ranges"], json!([[{"subnet": "10.77.0.0/24", "gateway": "10.77.0.1"}]]));
    }

    #[test]
    fn without_addresses_of_podmans_the_lease_range_is_ours() {
        let ipam = described(&json!({"ipam_options": {"driver": "springline"}}), &[])["ipam"].clone();
        let range = json!({"subnet": "10.77.0.0/24", "gateway": "10.77.0.1", "rangeStart": "10.77.0.129"});
        assert_eq!(ipam["ranges"], json!([[range], [{"subnet": "fd77::/64", "gateway": "fd77::1"}]]));
        assert_eq!(described(&json!({"ipam_options": {"driver": "none"}}), &[])["ipam"], Value::Null);
        assert!(refused(&json!({"ipam_options": {"driver": "dhcp"}})).contains("ipam driver dhcp is not available"));
    }

    #[test]
    fn without_a_gateway_the_first_address_may_be_given_out() {
        let subnets = json!([{"subnet": "10.77.0.0/24"}]);
        let bridged = json!({"subnets": subnets, "internal": true, "options": {"mode": "bridged"}});
        assert_eq!(described(&bridged, &["10.77.0.1"])["ipam"]["addresses"], json!(["10.77.0.1/24"]));
        let routed = described(&json!({"subnets": subnets, "internal": true}), &["10.77.0.1"]);
        assert_eq!(routed["ipam"]["ranges"][0][0]["gateway"], "10.77.0.0");
    }

    #[test]
    fn each_network_has_a_bridge_of_its_own() {
        let bridge = |more: &Value| described(more, &[])["bridge"]["name"].clone();
        let bridged = json!({"mode": "bridged"});
        assert_eq!(bridge(&json!({"options": bridged})), "sl-n2");
        assert_eq!(bridge(&json!({"options": bridged, "network_interface": "br7"})), "br7");
        let long = bridge(&json!({"options": bridged, "name": "a-network-with-a-long-name"}));
        assert!(long.as_str().is_some_and(|name| name.starts_with("sl-") && name.len() == 15), "{long}");
        assert_ne!(long, bridge(&json!({"options": bridged, "name": "a-network-with-a-longer-name"})));
        assert!(refused(&json!({"network_interface": "br7"})).contains("this network is routed"));
        let two = json!({"options": {"mode": "bridged", "bridge": "br8"}, "network_interface": "br7"});
        assert!(refused(&two).contains("disagree"));
    }

    #[test]
    fn an_internal_network_has_no_way_out() {
        let routed = described(&json!({"internal": true}), &["10.77.0.5", "fd77::9"]);
        assert_eq!((&routed["masquerade"], &routed["defaultRoute"]), (&Value::Null, &json!(false)));
        assert_eq!(routed["ipam"]["routes"], json!([{"dst": "10.77.0.0/24"}, {"dst": "fd77::/64"}]));
        assert_eq!(routed["isolation"], "network");
        let bridged = described(&json!({"internal": true, "options": {"mode": "bridged"}}), &[]);
        assert_eq!((&bridged["ipam"]["routes"], &bridged["forwarding"]), (&Value::Null, &json!("leave")));
        assert!(refused(&json!({"internal": true, "options": {"masquerade": "true"}})).contains("lead out"));
        assert_eq!(described(&json!({}), &[])["masquerade"], true);
    }

    #[test]
    fn routes_come_beside_the_default_ones() {
        let routes = json!([{"destination": "10.9.0.0/16", "gateway": "10.77.0.1", "metric": 5}]);
        let by_host = described(&json!({"routes": routes}), &[]);
        let expected = json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}, {"dst": "10.9.0.0/16", "priority": 5}]);
        assert_eq!(by_host["ipam"]["routes"], expected);
        let bridged = described(&json!({"routes": routes, "options": {"mode": "bridged"}}), &[]);
        assert_eq!(bridged["ipam"]["routes"][2], json!({"dst": "10.9.0.0/16", "priority": 5, "gw": "10.77.0.1"}));
        let elsewhere = json!([{"destination": "10.9.0.0/16", "gateway": "10.77.0.7"}]);
        assert!(refused(&json!({"routes": elsewhere})).contains("not the gateway of a subnet"));
    }
}
