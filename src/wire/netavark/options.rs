//! `podman network create --opt KEY=VALUE`: the keys of our network configuration by their own names, and the words
//! that podman's users know from its bridge driver.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::error::{Code, Error, Result};
use crate::wire::cni::unknown::nearest;

/// Keys of our network configuration that may be given as they are. Values are texts; one that reads as JSON is taken
/// for that, so that a scheme with settings can be given, too.
const OWN: [&str; 18] = [
    "allmulti",
    "antiSpoof",
    "bandwidth",
    "defaultRoute",
    "forwarding",
    "gateway",
    "hostInterface",
    "hostRoutes",
    "isolation",
    "masquerade",
    "metric",
    "mode",
    "mtu",
    "promisc",
    "proxy",
    "routes",
    "sysctl",
    "txqueuelen",
];

/// What only this face knows, or calls otherwise.
const WORDS: [&str; 10] = [
    "bridge",
    "com.docker.network.bridge.name",
    "com.docker.network.driver.mtu",
    "hairpin",
    "ipam",
    "isolate",
    "isolated",
    "masqueradeExcept",
    "no_default_route",
    "vlan",
];

/// The options, read.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Options {
    /// Keys of our configuration with their values.
    pub(super) keys: Map<String, Value>,
    /// Keys of its `bridge`; the name apart.
    pub(super) bridge: Map<String, Value>,
    /// The bridge's name.
    pub(super) bridge_name: Option<String>,
    /// Who chooses addresses, if the network is to say so to podman.
    pub(super) ipam: Option<String>,
}

impl Options {
    /// Reads the options; refuses those that nobody knows, with the nearest known one.
    pub(super) fn read(given: &BTreeMap<String, String>) -> Result<Self> {
        let mut options = Self::default();
        for (key, text) in given {
            let value = value_of(text);
            match key.as_str() {
                "bridge" | "com.docker.network.bridge.name" => {
                    options.bridge_name = Some(once(options.bridge_name.as_ref(), text, "bridge")?);
                }
                "com.docker.network.driver.mtu" => options.set("mtu", &value)?,
                "isolate" => options.set("isolation", &isolation_of(text)?)?,
                "masqueradeExcept" => {
                    let nets: Vec<&str> = text.split([',', ' ']).filter(|net| !net.is_empty()).collect();
                    options.set("masquerade", &json!({ "except": nets }))?;
                }
                "no_default_route" if is_true(key, text)? => options.set("defaultRoute", &false.into())?,
                "no_default_route" => {}
                "hairpin" | "isolated" => {
                    let on = is_true(key, text)?;
                    options.bridge.insert(key.clone(), on.into());
                }
                "vlan" => drop(options.bridge.insert(key.clone(), value)),
                "ipam" => options.ipam = Some(text.clone()),
                own if OWN.contains(&own) => options.set(own, &value)?,
                unknown => {
                    return Err(unknown_option("option", unknown, &OWN.iter().chain(&WORDS).collect::<Vec<_>>()));
                }
            }
        }
        Ok(options)
    }

    fn set(&mut self, key: &str, value: &Value) -> Result<()> {
        match self.keys.insert(key.to_owned(), value.clone()) {
            Some(there) if there != *value => Err(Error::new(Code::InvalidConfig, format!("{there} and {value}"))
                .context(format!("options that both set {key} disagree"))),
            _ => Ok(()),
        }
    }
}

/// An option that nobody knows: better refused than ignored.
pub(super) fn unknown_option(what: &str, key: &str, known: &[&&str]) -> Error {
    let known: Vec<&str> = known.iter().map(|known| **known).collect();
    let error = Error::new(Code::UnsupportedField, format!("unknown {what} {key}"));
    match nearest(key, &known) {
        Some(known) => error.hint(format!("did you mean {known}?")),
        None => error.hint(format!("known are: {}", known.join(", "))),
    }
}

fn once(there: Option<&String>, text: &str, what: &str) -> Result<String> {
    match there {
        Some(there) if there != text => Err(Error::new(Code::InvalidConfig, format!("{there:?} and {text:?}"))
            .context(format!("options that both name the {what} disagree"))),
        _ => Ok(text.to_owned()),
    }
}

/// A text, or what it is in JSON: a number, `true` or `false`, an object, a list.
fn value_of(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Bool(_) | Value::Number(_) | Value::Object(_) | Value::Array(_))) => value,
        _ => text.into(),
    }
}

/// podman's users may write `1` for `true`, as its other drivers take it.
fn is_true(key: &str, text: &str) -> Result<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Error::new(Code::InvalidConfig, format!("{text:?} is neither true nor false"))
            .context(format!("option {key}"))),
    }
}

/// podman's bridge sets networks with `isolate=true` apart from each other, and with `strict` from all. Ours knows no
/// network that would be half open, so both are the latter.
fn isolation_of(text: &str) -> Result<Value> {
    match text {
        "strict" => Ok("network".into()),
        text => {
            let hint = "isolate is true, strict or false; isolation is none, ports or network";
            Ok(if is_true("isolate", text).map_err(|error| error.hint(hint))? { "network" } else { "none" }.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Options> {
        Options::read(&pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn values_are_what_they_look_like() {
        let options = read(&[
            ("mode", "bridged"),
            ("mtu", "1400"),
            ("masquerade", "false"),
            ("gateway", r#"{"scheme": "shared"}"#),
            ("isolate", "strict"),
            ("hairpin", "1"),
            ("bridge", "br7"),
            ("no_default_route", "true"),
        ]);
        let options = options.unwrap();
        let expected = json!({"mode": "bridged", "mtu": 1400, "masquerade": false, "gateway": {"scheme": "shared"},
            "isolation": "network", "defaultRoute": false});
        assert_eq!(Value::Object(options.keys), expected);
        assert_eq!(
            (Value::Object(options.bridge), options.bridge_name),
            (json!({"hairpin": true}), Some("br7".into()))
        );
    }

    #[test]
    fn unknown_and_contradicting_options_are_refused() {
        let said = |pairs: &[(&str, &str)]| read(pairs).unwrap_err().to_string();
        assert!(said(&[("hairpn", "true")]).contains("did you mean hairpin?"));
        assert!(said(&[("vrf", "red")]).contains("known are: allmulti"));
        assert!(
            said(&[("mtu", "1400"), ("com.docker.network.driver.mtu", "1500")]).contains("disagree: 1500 and 1400")
        );
        assert!(said(&[("isolate", "perhaps")]).contains("true, strict or false"));
        assert!(read(&[("mtu", "1400"), ("com.docker.network.driver.mtu", "1400")]).is_ok());
    }
}
