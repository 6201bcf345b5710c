//! `gateway`: who is the container's gateway in routed mode.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::config::{OneOrMore, Unknown};

/// `gateway`: a scheme's name or an object.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(try_from = "Value")]
#[schemars(with = "NameOrGateway")]
pub struct GatewayKey(pub GatewayObject);

/// The schema of [`GatewayKey`].
#[derive(JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code)]
enum NameOrGateway {
    /// A scheme's name.
    Name(SchemeKey),
    /// A scheme with its settings.
    Object(GatewayObject),
}

/// The settings of a gateway scheme.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayObject {
    /// The scheme; `interconnect` if there is a `network`.
    pub scheme: Option<SchemeKey>,
    /// `shared`: the one address, 255.255.255.254 unless given.
    pub address: Option<String>,
    /// `interconnect`: the network between host and container, or a list with one of each family.
    pub network: Option<OneOrMore>,
    /// `interconnect`: the host's address, the first of the network unless given.
    pub host: Option<OneOrMore>,
    /// `interconnect`: the container's address, the second of the network unless given.
    pub container: Option<OneOrMore>,
    /// Whatever else was given.
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}

/// A gateway scheme's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SchemeKey {
    /// `169.254.0.1` and `fe80::1` on each host-side link.
    LinkLocal,
    /// `fe80::1` for both families.
    Inet6,
    /// One address on one link for all containers.
    Shared,
    /// A small network between host and container.
    Interconnect,
    /// No gateway.
    None,
}

impl TryFrom<Value> for GatewayKey {
    type Error = String;
    fn try_from(value: Value) -> Result<Self, String> {
        let parsed = match value {
            Value::String(_) => serde_json::from_value(value)
                .map(|scheme| GatewayObject { scheme: Some(scheme), ..GatewayObject::default() }),
            Value::Object(_) => serde_json::from_value(value),
            other => return Err(format!("{other} is neither a scheme's name nor an object")),
        };
        parsed.map(Self).map_err(|error| error.to_string())
    }
}
