//! springline's own configuration out of a file of `/etc/cni/net.d`, as a runtime would derive it (CNI 1.1, section 1
//! and section 3, "Deriving runtime configuration").

use serde_json::{Map, Value};

use crate::error::{Code, Coded, Error, Result};

/// The type by which a configuration names this plugin.
const TYPE: &str = "springline";

/// A file of `/etc/cni/net.d`: a list of plugins (`.conflist`), or the configuration of one (`.conf`, `.json`).
#[derive(Debug, Clone)]
pub struct NetworkFile(Map<String, Value>);

impl NetworkFile {
    /// Reads the file's text; what is in it is looked at when it is asked for.
    pub fn parse(text: &[u8]) -> Result<Self> {
        serde_json::from_slice(text).map(Self).coded(Code::Decode, || "not a network configuration")
    }

    /// The network's name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.get("name")?.as_str()
    }

    /// springline's configuration in it: with the list's name and version, as a runtime would put it on stdin.
    ///
    /// Refuses lists with other plugins: nobody but a CNI runtime runs those, and a network that lacks half of what it
    /// is configured to have is worse than none.
    pub fn own_configuration(&self) -> Result<Map<String, Value>> {
        let Some(plugins) = self.0.get("plugins") else { return self.of_one(&self.0) };
        let plugins = plugins.as_array().map(Vec::as_slice).unwrap_or_default();
        let others: Vec<&str> = plugins.iter().filter_map(plugin_type).filter(|plugin| *plugin != TYPE).collect();
        match plugins {
            [Value::Object(one)] => self.of_one(one),
            [] => Err(wrong("its list of plugins is empty")),
            _ if others.is_empty() => Err(wrong("springline is in its list twice")),
            _ => Err(wrong(&format!("it chains {}, which only a CNI runtime runs", others.join(", "))).hint(
                "port maps, masquerade, rates, sysctls and isolation are springline's own keys: no chain is needed",
            )),
        }
    }

    /// springline's configuration in it, whatever other plugins there are; `None` if it is not of springline's at all.
    #[must_use]
    pub fn part_of_springline(&self) -> Option<Map<String, Value>> {
        let plugins = self.0.get("plugins").and_then(Value::as_array);
        let mut own = plugins.into_iter().flatten().filter_map(Value::as_object).chain([&self.0]);
        own.find_map(|plugin| self.of_one(plugin).ok())
    }

    fn of_one(&self, plugin: &Map<String, Value>) -> Result<Map<String, Value>> {
        match plugin.get("type").and_then(Value::as_str) {
            Some(TYPE) => {}
            Some(other) => return Err(wrong(&format!("it is of plugin {other}"))),
            None => return Err(wrong("it names no plugin")),
        }
        let mut own = plugin.clone();
        for key in ["cniVersion", "name"] {
            if let Some(value) = self.0.get(key) {
                own.insert(key.to_owned(), value.clone());
            }
        }
        Ok(own)
    }
}

fn plugin_type(plugin: &Value) -> Option<&str> {
    plugin.get("type")?.as_str()
}

fn wrong(why: &str) -> Error {
    Error::new(Code::InvalidConfig, why).context("not a network of springline's alone")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(text: &str) -> Result<Map<String, Value>> {
        NetworkFile::parse(text.as_bytes())?.own_configuration()
    }

    #[test]
    fn the_list_gives_name_and_version() {
        let list = r#"{"cniVersion": "1.0.0", "name": "a", "plugins": [{"type": "springline", "mtu": 1400}]}"#;
        let expected = r#"{"cniVersion":"1.0.0","mtu":1400,"name":"a","type":"springline"}"#;
        assert_eq!(Value::Object(own(list).unwrap()).to_string(), expected);
        let one = r#"{"cniVersion": "1.0.0", "name": "a", "type": "springline", "mtu": 1400}"#;
        assert_eq!(own(list).unwrap(), own(one).unwrap());
    }

    #[test]
    fn what_others_would_have_to_run_is_refused() {
        let chained = own(r#"{"name": "a", "plugins": [{"type": "springline"}, {"type": "tuning"}]}"#).unwrap_err();
        assert!(chained.to_string().contains("it chains tuning"), "{chained}");
        assert!(own(r#"{"name": "a", "type": "bridge"}"#).unwrap_err().to_string().contains("of plugin bridge"));
        assert!(own(r#"{"name": "a", "plugins": []}"#).is_err());
        assert!(own("[]").is_err());
    }
}
