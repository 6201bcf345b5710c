//! The interfaces that a container is to have, as people write them: in a file of the container's, in annotations,
//! as options. All of them come down to a list of [`InterfaceKey`].

use std::collections::BTreeMap;

use serde::Deserialize;

use super::cni::config::OneOrMore;
use crate::error::{Code, Coded, Error, Result};
use crate::model::{IfName, Mac, NetworkName, PortMap, RoutedNetwork, Wanted, Wish, parse_address, parse_network};

/// The file of a container: `{"interfaces": [{"network": "public", "ip": "198.51.100.7"}, …]}`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InterfacesFile {
    /// Its interfaces, in the order in which they are made.
    pub interfaces: Vec<InterfaceKey>,
}

/// One interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InterfaceKey {
    /// The network, by its name in `/etc/cni/net.d`.
    pub network: String,
    /// Its name inside; by default `eth0` for the first, `eth1` for the second, and so on.
    #[serde(default)]
    pub ifname: Option<String>,
    /// Addresses by name, beside or instead of those that the network gives.
    #[serde(default)]
    pub ip: Option<OneOrMore>,
    /// Further networks that the host routes to it: `NET`, or `NET via ADDRESS`.
    #[serde(default)]
    pub route: Option<OneOrMore>,
    /// Its MAC.
    #[serde(default)]
    pub mac: Option<String>,
    /// Ports of the host that lead to it: `[ADDRESS:]PORT[-PORT]:PORT[-PORT][/PROTOCOL]`.
    #[serde(default)]
    pub port: Option<OneOrMore>,
}

impl InterfacesFile {
    /// Reads the file's text.
    pub fn parse(text: &[u8]) -> Result<Vec<InterfaceKey>> {
        let file: Self = serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(text))
            .coded(Code::InvalidConfig, || "not a list of interfaces")
            .map_err(|error| {
                error.hint(r#"it looks like {"interfaces": [{"network": "public", "ip": "198.51.100.7"}]}"#)
            })?;
        Ok(file.interfaces)
    }
}

impl InterfaceKey {
    /// Sets the key called `name` to `value`, or adds it where there may be several. Several at once are separated by
    /// commas: an annotation can be given only once.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let twice = || Error::new(Code::InvalidConfig, format!("{name} is given twice for one interface"));
        let several = |list: &mut Option<OneOrMore>| {
            let texts = value.split(',').map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
            let there = list.as_ref().map(OneOrMore::as_slice).unwrap_or_default().to_vec();
            *list = Some(OneOrMore::More(there.into_iter().chain(texts).collect()));
        };
        let once = |there: &mut Option<String>| match there.replace(value.to_owned()) {
            Some(_) => Err(twice()),
            None => Ok(()),
        };
        match name {
            "network" if self.network.is_empty() => value.clone_into(&mut self.network),
            "network" => return Err(twice()),
            "ifname" => once(&mut self.ifname)?,
            "mac" => once(&mut self.mac)?,
            "ip" => several(&mut self.ip),
            "route" => several(&mut self.route),
            "port" => several(&mut self.port),
            other => {
                return Err(Error::new(Code::UnsupportedField, format!("unknown key {other}"))
                    .hint(format!("known keys are: {}", Self::NAMES.join(", "))));
            }
        }
        Ok(())
    }

    /// What [`InterfaceKey::set`] knows.
    pub const NAMES: [&str; 6] = ["network", "ifname", "ip", "route", "mac", "port"];
}

/// The interfaces that options name, in the order in which they were written: each `network` begins another one.
pub fn from_options<'a>(options: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Vec<InterfaceKey>> {
    let mut interfaces: Vec<InterfaceKey> = Vec::new();
    for (name, value) in options {
        if name == "network" {
            interfaces.push(InterfaceKey::default());
        }
        let Some(interface) = interfaces.last_mut() else {
            let what = format!("--{name} {value} stands before any --network");
            return Err(Error::new(Code::InvalidConfig, what).hint("--network begins an interface, its options follow"));
        };
        interface.set(name, value)?;
    }
    Ok(interfaces)
}

/// What the interfaces mean; names that are not given go by the order.
pub fn to_model(interfaces: &[InterfaceKey]) -> Result<Vec<Wanted>> {
    let mut wanted = BTreeMap::new();
    let mut order = Vec::new();
    for (at, interface) in interfaces.iter().enumerate() {
        let one = interface.to_model(at)?;
        let name = one.ifname.clone();
        if wanted.insert(name.clone(), one).is_some() {
            return Err(Error::new(Code::InvalidConfig, format!("two interfaces are to be called {name}")));
        }
        order.push(name);
    }
    Ok(order.iter().filter_map(|name| wanted.remove(name)).collect())
}

impl InterfaceKey {
    fn to_model(&self, at: usize) -> Result<Wanted> {
        let called = self.ifname.clone().unwrap_or_else(|| format!("eth{at}"));
        let place = |key: &str| format!("interface {}: {key}", called.escape_debug());
        let list = |list: &Option<OneOrMore>| list.as_ref().map(OneOrMore::as_slice).unwrap_or_default().to_vec();
        if self.network.is_empty() {
            return Err(Error::new(Code::InvalidConfig, "is missing").context(place("network")));
        }
        let network = NetworkName::parse(&self.network).coded(Code::InvalidConfig, || place("network"))?;
        let ifname = self.ifname.clone().unwrap_or_else(|| format!("eth{at}"));
        let ifname = IfName::parse(&ifname).coded(Code::InvalidConfig, || place("ifname"))?;
        let ips =
            list(&self.ip).into_iter().map(|text| parse_address(&text).coded(Code::InvalidConfig, || place("ip")));
        let routes = list(&self.route).into_iter().map(|text| route(&text, &place("route")));
        let ports = list(&self.port)
            .into_iter()
            .map(|text| PortMap::parse_several(&text).map_err(|error| error.context(place("port"))));
        let ports: Vec<Vec<PortMap>> = ports.collect::<Result<_>>()?;
        let mac = self.mac.as_deref().map(|text| Mac::parse(text).coded(Code::InvalidConfig, || place("mac")));
        Ok(Wanted {
            network,
            ifname,
            wish: Wish {
                ips: ips.collect::<Result<_>>()?,
                mac: mac.transpose()?,
                routes: routes.collect::<Result<_>>()?,
                ports: ports.concat(),
            },
        })
    }
}

/// `NET`, or `NET via ADDRESS`.
fn route(text: &str, place: &str) -> Result<RoutedNetwork> {
    let (dst, via) = match text.split_once(" via ") {
        Some((dst, via)) => (dst, Some(via.trim())),
        None => (text, None),
    };
    let dst = parse_network(dst.trim()).coded(Code::InvalidConfig, || place.to_owned())?;
    let via = via.map(|via| via.parse().coded(Code::InvalidConfig, || format!("{place}: {via:?}"))).transpose()?;
    Ok(RoutedNetwork { dst, via })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_belong_to_the_network_before_them() {
        let line = "network=public ip=198.51.100.7 ip=2001:db8::7 route=10.5.5.0/24 network=lan ifname=lan0 mac=02:00:00:00:00:07";
        let options = line.split(' ').filter_map(|word| word.split_once('='));
        let wanted = to_model(&from_options(options).unwrap()).unwrap();
        let names: Vec<_> = wanted.iter().map(|one| (one.network.as_str(), one.ifname.as_str())).collect();
        assert_eq!(names, [("public", "eth0"), ("lan", "lan0")]);
        assert_eq!((wanted[0].wish.ips.len(), wanted[0].wish.routes.len()), (2, 1));
        assert!(wanted[1].wish.mac.is_some() && wanted[1].wish.ips.is_empty());
        assert!(from_options([("ip", "192.0.2.1")]).unwrap_err().to_string().contains("before any --network"));
    }

    #[test]
    fn a_file_and_a_list_with_commas_mean_the_same() {
        let file = r#"{"interfaces": [{"network": "public", "ip": ["198.51.100.7", "2001:db8::7"], "route": "10.5.5.0/24 via 198.51.100.7"}]}"#;
        let mut other = InterfaceKey::default();
        for (name, value) in
            [("network", "public"), ("ip", "198.51.100.7, 2001:db8::7"), ("route", "10.5.5.0/24 via 198.51.100.7")]
        {
            other.set(name, value).unwrap();
        }
        let [file, other] =
            [InterfacesFile::parse(file.as_bytes()).unwrap(), vec![other]].map(|keys| to_model(&keys).unwrap());
        assert_eq!(file, other);
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |text: &str| {
            InterfacesFile::parse(text.as_bytes()).and_then(|keys| to_model(&keys)).unwrap_err().to_string()
        };
        assert!(refused(r#"{"interfaces": [{"netwrk": "a"}]}"#).contains("netwrk"));
        assert!(refused(r#"{"interfaces": [{"network": "a", "ip": "1.2.3"}]}"#).contains("interface eth0: ip"));
        assert!(
            refused(r#"{"interfaces": [{"network": "a"}, {"network": "b", "ifname": "eth0"}]}"#)
                .contains("two interfaces")
        );
        assert!(InterfaceKey::default().set("ipp", "x").unwrap_err().to_string().contains("known keys"));
    }
}
