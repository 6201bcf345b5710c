//! `runtimeConfig`: what a runtime fills in for the capabilities that a configuration declares.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::config::Config;
use super::filter::PortMappingKey;
use super::forgiving;
use super::link::BandwidthKey;
use crate::error::{Code, Error, Result};
use crate::model::PortMap;

/// What a runtime fills in for the capabilities that a configuration declares.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct RuntimeConfig {
    /// Addresses asked for.
    #[serde(default, deserialize_with = "forgiving::or_default")]
    pub ips: Vec<String>,
    /// The MAC asked for.
    #[serde(default)]
    pub mac: Option<String>,
    /// Range sets, put before those of the configuration.
    #[serde(default, rename = "ipranges", deserialize_with = "forgiving::or_default")]
    pub ip_ranges: Vec<Vec<super::ipam::RangeKey>>,
    /// Port maps.
    #[serde(default, rename = "portmappings", deserialize_with = "forgiving::or_default")]
    pub port_mappings: Vec<PortMappingKey>,
    /// Rates.
    #[serde(default)]
    pub bandwidth: Option<BandwidthKey>,
    /// Name servers; the names differ from those of the configuration's `dns`.
    #[serde(default)]
    pub dns: Option<RuntimeDns>,
}

/// `runtimeConfig.dns`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct RuntimeDns {
    /// Addresses of name servers.
    #[serde(default, deserialize_with = "forgiving::or_default")]
    pub servers: Vec<String>,
    /// Search domains.
    #[serde(default, deserialize_with = "forgiving::or_default")]
    pub searches: Vec<String>,
    /// Resolver options.
    #[serde(default, deserialize_with = "forgiving::or_default")]
    pub options: Vec<String>,
}

impl RuntimeConfig {
    /// The port maps asked for.
    pub fn ports(&self) -> Result<Vec<PortMap>> {
        super::filter::port_maps(&self.port_mappings)
    }
}

impl Config {
    /// What the runtime filled in.
    pub fn runtime(&self) -> Result<RuntimeConfig> {
        let value = self.runtime_config.clone().filter(|value| !value.is_null());
        let lower = forgiving::lower_keys(value.unwrap_or_else(|| Value::Object(Map::new())));
        crate::wire::read(&lower).map_err(|error| {
            let at = error.path().to_string();
            Error::new(Code::InvalidConfig, format!("{at}: {}", error.into_inner())).context("invalid runtimeConfig")
        })
    }
}
