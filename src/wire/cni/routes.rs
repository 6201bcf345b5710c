//! `routes`, `hostRoutes` and `proxy`: how others find their way to the container.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::config::Unknown;
use super::forgiving;

/// A network routed to the container: its prefix, or an object with the next hop.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a network in CIDR notation, or an object with dst and via")]
pub enum RoutedNetworkKey {
    /// The network.
    Network(String),
    /// The network and its next hop inside the container.
    Via {
        /// The network.
        dst: String,
        /// The next hop: an address of the container's.
        via: Option<String>,
        /// Whatever else was given.
        #[serde(flatten)]
        #[schemars(skip)]
        unknown: Unknown,
    },
}

/// `hostRoutes`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostRoutesKey {
    /// Routing table number; 254 is `main`.
    #[serde(default = "main_table", deserialize_with = "forgiving::number")]
    #[schemars(with = "u32")]
    pub table: u64,
    /// Metric; 0 leaves it to the kernel.
    #[serde(default, deserialize_with = "forgiving::number")]
    #[schemars(with = "u32")]
    pub metric: u64,
    /// Routing protocol number, by which BIRD and FRR select routes.
    #[serde(default = "own_protocol", deserialize_with = "forgiving::number")]
    #[schemars(with = "u8")]
    pub protocol: u64,
    /// Whether the host answers "unreachable" for addresses of the network that no container has: `true` for the
    /// subnets of its ranges, or a list of networks.
    #[serde(default)]
    pub pool: PoolKey,
    /// Whether an address may be given out that a routing daemon has learnt to be on another host: so that it moves.
    #[serde(default)]
    pub take_over: bool,
    /// The VRF to which the host's links of containers belong, which must be there; `table` is its table.
    pub vrf: Option<String>,
    /// Whatever else was given.
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}

impl Default for HostRoutesKey {
    fn default() -> Self {
        Self {
            table: main_table(),
            metric: 0,
            protocol: own_protocol(),
            pool: PoolKey::default(),
            take_over: false,
            vrf: None,
            unknown: Unknown::new(),
        }
    }
}

fn main_table() -> u64 {
    254
}

fn own_protocol() -> u64 {
    171
}

/// `hostRoutes.pool`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected true, false or a list of networks in CIDR notation")]
pub enum PoolKey {
    /// The subnets of the ranges, or none.
    Ranges(bool),
    /// These networks.
    Networks(Vec<String>),
}

impl Default for PoolKey {
    fn default() -> Self {
        Self::Ranges(false)
    }
}

/// `proxy`: a link's name, `auto`, or an object.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(try_from = "Value")]
#[schemars(with = "LinkOrProxy")]
pub struct ProxyKey(pub ProxyObject);

/// The schema of [`ProxyKey`].
#[derive(JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code)]
enum LinkOrProxy {
    /// `auto`, or the link's name.
    Link(String),
    /// With settings.
    Object(ProxyObject),
}

/// The settings of `proxy`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct ProxyObject {
    /// The link on which the host answers; `auto`: that whose network the address is in.
    #[serde(default = "auto")]
    pub link: String,
    /// Whether somebody who has an address already is looked for before it is given out.
    #[serde(default = "yes")]
    pub probe: bool,
    /// Whatever else was given.
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}

impl TryFrom<Value> for ProxyKey {
    type Error = String;
    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::String(link) => Ok(Self(ProxyObject { link, probe: true, unknown: Unknown::new() })),
            Value::Object(_) => serde_json::from_value(value).map(Self).map_err(|error| error.to_string()),
            other => Err(format!("{other} is neither \"auto\", nor a link's name, nor an object")),
        }
    }
}

fn auto() -> String {
    "auto".to_owned()
}

fn yes() -> bool {
    true
}
