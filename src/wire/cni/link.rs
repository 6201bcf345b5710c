//! The keys about the container's interface itself: rates, flags, sysctls, and whether it leads outside.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::config::Unknown;
use super::forgiving;
use super::ipam::invalid;
use crate::error::Result;
use crate::model::{DefaultRoute, Rate, Rates};

/// `bandwidth`: rates in bits a second, bursts in bits. Ingress is what the container receives.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BandwidthKey {
    /// What the container receives; 0: no limit.
    #[serde(default, alias = "ingressrate", deserialize_with = "forgiving::number")]
    #[schemars(with = "u64")]
    pub ingress_rate: u64,
    /// How much of it may come at once; 0: as much as the rate needs.
    #[serde(default, alias = "ingressburst", deserialize_with = "forgiving::number")]
    #[schemars(with = "u64")]
    pub ingress_burst: u64,
    /// What the container sends; 0: no limit.
    #[serde(default, alias = "egressrate", deserialize_with = "forgiving::number")]
    #[schemars(with = "u64")]
    pub egress_rate: u64,
    /// How much of it may go at once; 0: as much as the rate needs.
    #[serde(default, alias = "egressburst", deserialize_with = "forgiving::number")]
    #[schemars(with = "u64")]
    pub egress_burst: u64,
    /// Whatever else was given.
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}

impl BandwidthKey {
    /// Whether any limit is asked for.
    pub(super) fn asks(&self) -> bool {
        self.ingress_rate != 0 || self.egress_rate != 0
    }

    /// As the model has it. `place` is where it stands.
    pub(super) fn to_model(&self, place: &str) -> Result<Rates> {
        let rate = |name: &str, bits: u64, burst: u64| match (bits, burst) {
            (0, 0) => Ok(None),
            (0, _) if burst == u64::from(u32::MAX) => Ok(None),
            (0, _) => Err(invalid(place, format!("{name}Burst is {burst}, and there is no {name}Rate"))),
            // What CRI fills in where nobody has said anything: half a gigabyte, which would be no limit at all.
            (bits, burst) if burst == 0 || burst == u64::from(u32::MAX) => Ok(Some(Rate { bits, burst_bits: None })),
            (bits, burst) => Ok(Some(Rate { bits, burst_bits: Some(burst) })),
        };
        for (name, bits) in [("ingressRate", self.ingress_rate), ("egressRate", self.egress_rate)] {
            if (1..8000).contains(&bits) {
                return Err(invalid(place, format!("{name} is {bits}, less than 8000 bits a second"))
                    .hint("rates are in bits a second: 1000000 is one megabit"));
            }
        }
        Ok(Rates {
            received: rate("ingress", self.ingress_rate, self.ingress_burst)?,
            sent: rate("egress", self.egress_rate, self.egress_burst)?,
        })
    }
}

/// `defaultRoute`.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(try_from = "Value")]
#[schemars(with = "AutoOrWhether")]
pub struct DefaultRouteKey(pub(super) DefaultRoute);

/// The schema of [`DefaultRouteKey`].
#[derive(JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code)]
enum AutoOrWhether {
    /// The only text is `auto`: behind those that the container has already.
    Auto(String),
    /// In front of them; or none at all.
    Whether(bool),
}

impl TryFrom<Value> for DefaultRouteKey {
    type Error = String;
    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::Null => Ok(Self(DefaultRoute::Auto)),
            Value::String(text) if text == "auto" => Ok(Self(DefaultRoute::Auto)),
            Value::Bool(true) => Ok(Self(DefaultRoute::Lead)),
            Value::Bool(false) => Ok(Self(DefaultRoute::Never)),
            other => Err(format!("{other} is none of \"auto\", true and false")),
        }
    }
}

/// `sysctl`: values by key, as paths below `/proc/sys/net`, in which `IFNAME` stands for the interface.
pub(super) fn sysctls(keys: &BTreeMap<String, Value>) -> Result<Vec<(String, String)>> {
    let parse = |(key, value): (&String, &Value)| Ok((path(key)?, text(key, value)?));
    keys.iter().map(parse).collect()
}

fn path(key: &str) -> Result<String> {
    let wrong = |why: &str| invalid("sysctl", format!("{key:?} {why}"));
    // As with sysctl(8): with a slash in it, dots are part of names.
    let separator = if key.contains('/') { '/' } else { '.' };
    let parts: Vec<&str> = key.split(separator).collect();
    if parts.iter().any(|part| part.is_empty() || *part == "." || *part == ".." || part.contains('\0')) {
        return Err(wrong("is not the name of a sysctl"));
    }
    match parts.split_first() {
        Some((&"net", rest)) if !rest.is_empty() => Ok(rest.join("/")),
        _ => Err(wrong("is not below net: only those belong to the container's network namespace")),
    }
}

fn text(key: &str, value: &Value) -> Result<String> {
    match value {
        Value::String(text) if !text.contains('\0') => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(invalid("sysctl", format!("{key} is {other}, neither a text nor a number"))),
    }
}
