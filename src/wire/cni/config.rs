//! The network configuration as it stands in `/etc/cni/net.d` and comes on stdin: all of it, strictly. Unknown
//! keys are refused, each with the nearest known one. See [`super::base`] for what a verb needs at least.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::base::Base;
use super::filter::{IsolationKey, MasqueradeKey};
use super::forgiving;
use super::gateway::GatewayKey;
use super::link::{BandwidthKey, DefaultRouteKey};
use super::routes::{HostRoutesKey, ProxyKey, RoutedNetworkKey};
use crate::error::{Code, Error, Result};

/// Keys that we do not understand, with their values.
pub(super) type Unknown = BTreeMap<String, Value>;

/// The whole configuration of a network; see README for what the keys mean.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// Version of the CNI specification in which results are given.
    #[serde(default)]
    pub cni_version: String,
    /// The network's name: letters, digits and `_.-`, beginning with a letter or digit.
    pub name: String,
    /// The plugin's file name: `springline`.
    #[serde(default, rename = "type")]
    pub plugin: String,
    /// `routed`: the host routes to the container. `bridged`: the host side is a port of a bridge.
    #[serde(default)]
    pub mode: ModeKey,
    /// MTU of the container's interface in bytes, or `auto`: the uplink's (routed) or the bridge's.
    #[serde(default)]
    pub mtu: MtuKey,
    /// Template for host-side link names, at most 15 bytes, with `{hash}`, `{id}` and `{ifname}`.
    pub host_interface: Option<String>,
    /// Routed mode: who is the container's gateway. A scheme's name, or an object with its settings.
    pub gateway: Option<GatewayKey>,
    /// Further networks that are routed to the container.
    #[serde(default, deserialize_with = "forgiving::or_default")]
    pub routes: Vec<RoutedNetworkKey>,
    /// How the host's routes toward containers are marked.
    #[serde(default)]
    pub host_routes: HostRoutesKey,
    /// Routed mode, for addresses of a network that the host is connected to itself: the host answers for them there. `auto`,
    /// a link's name, or an object.
    pub proxy: Option<ProxyKey>,
    /// Bridged mode: the bridge.
    pub bridge: Option<BridgeKey>,
    /// Where addresses come from; absent or empty: the interface gets none from us.
    #[schemars(with = "Option<super::ipam::IpamKey>")]
    pub ipam: Option<Value>,
    /// Hide the container behind the host's addresses when its traffic leaves the host: `true`, or an object with
    /// the networks toward which it keeps its own.
    pub masquerade: Option<MasqueradeKey>,
    /// The reference plugins' name for `masquerade`.
    pub ip_masq: Option<MasqueradeKey>,
    /// Drop what the container sends from foreign addresses, and its router advertisements; on unless `false`.
    pub anti_spoof: Option<bool>,
    /// Which other containers the containers of this network reach: all (`none`), none at all (`ports`), or those
    /// of their own network (`network`).
    pub isolation: Option<IsolationKey>,
    /// `enable`: turn on what is needed on the host; `require`: refuse if it is off; `leave`: do nothing.
    #[serde(default)]
    pub forwarding: ForwardingKey,
    /// sysctls inside the container's namespace, `net.*` only, with `IFNAME` for the interface's name.
    #[serde(default, deserialize_with = "forgiving::or_default")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub sysctl: BTreeMap<String, Value>,
    /// To which rates the container is limited, unless the runtime says otherwise.
    pub bandwidth: Option<BandwidthKey>,
    /// Whether the container's interface takes every frame that comes by.
    #[serde(default)]
    pub promisc: bool,
    /// Whether it takes every multicast.
    #[serde(default)]
    pub allmulti: bool,
    /// How many packets may wait in its queue.
    #[serde(default, deserialize_with = "forgiving::optional_number")]
    #[schemars(with = "Option<u32>")]
    pub txqueuelen: Option<u64>,
    /// Default routes of a container with several networks: behind those that there are (`auto`), in front of them
    /// (`true`), or none (`false`).
    pub default_route: Option<DefaultRouteKey>,
    /// Metric of the default routes.
    #[serde(default, deserialize_with = "forgiving::optional_number")]
    #[schemars(with = "Option<u32>")]
    pub metric: Option<u64>,
    /// Name servers to report to the runtime.
    #[serde(default, deserialize_with = "forgiving::or_default")]
    pub dns: DnsKey,
    /// Which keys of `runtimeConfig` the runtime shall fill in.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, bool>")]
    pub capabilities: Option<Value>,
    /// Filled in by the runtime.
    #[serde(default)]
    pub runtime_config: Option<Value>,
    /// Optional data from the user.
    #[serde(default)]
    pub args: Option<Value>,
    /// Filled in by the runtime.
    #[serde(default)]
    pub prev_result: Option<Value>,
    /// Read by the runtime.
    #[serde(default)]
    pub cni_versions: Option<Value>,
    /// Read by the runtime.
    #[serde(default)]
    pub disable_check: Option<Value>,
    /// Read by the runtime.
    #[serde(default, rename = "disableGC")]
    pub disable_gc: Option<Value>,
    /// Whatever else was given.
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}

/// `mode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ModeKey {
    /// The host routes to the container.
    #[default]
    Routed,
    /// The host side is a port of a bridge.
    Bridged,
}

/// `mtu`: a number of bytes or `"auto"`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "Value")]
#[schemars(with = "AutoOrNumber")]
pub enum MtuKey {
    /// The uplink's or the bridge's.
    #[default]
    Auto,
    /// In bytes.
    Fixed(u32),
}

/// The schema of [`MtuKey`].
#[derive(JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code)]
enum AutoOrNumber {
    /// The only text is `auto`.
    Auto(String),
    /// In bytes, 68 to 65535.
    Number(u32),
}

impl TryFrom<Value> for MtuKey {
    type Error = String;
    fn try_from(value: Value) -> Result<Self, String> {
        match forgiving::optional_number(&value) {
            _ if value == "auto" => Ok(Self::Auto),
            // The reference plugins write 0 for "leave it to the kernel".
            Ok(None | Some(0)) => Ok(Self::Auto),
            // ETH_MIN_MTU and ETH_MAX_MTU, include/uapi/linux/if_ether.h.
            Ok(Some(mtu @ 68..=65535)) => Ok(Self::Fixed(u32::try_from(mtu).unwrap_or(u32::MAX))),
            Ok(Some(mtu)) => Err(format!("{mtu} is outside of 68..65535, what a veth pair can carry")),
            Err(_) => Err(format!("{value} is neither \"auto\" nor a number of bytes")),
        }
    }
}

/// A text or a list of texts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
pub enum OneOrMore {
    /// One.
    One(String),
    /// Several.
    More(Vec<String>),
}

impl OneOrMore {
    /// As a list.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::More(texts) => texts,
        }
    }
}

/// `bridge`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BridgeKey {
    /// The bridge's name, `spring0` unless given. Made on first use if there is none.
    pub name: Option<String>,
    /// Whether the host holds the ranges' gateway addresses on the bridge. Unless given: yes on a bridge
    /// that springline made, no on one that was there.
    pub gateway: Option<bool>,
    /// Whether containers on the bridge may not talk to one another.
    #[serde(default)]
    pub isolated: bool,
    /// Whether a frame may leave through the port it came in by.
    #[serde(default)]
    pub hairpin: bool,
    /// The VLAN in which the containers are, untagged: 1 to 4094. 0: that in which the bridge puts new ports. The host
    /// holds the gateway addresses on its own link in that VLAN, `BRIDGE.VLAN`.
    #[serde(default, deserialize_with = "forgiving::number")]
    #[schemars(with = "u16")]
    pub vlan: u64,
    /// Whatever else was given.
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}

/// `forwarding`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ForwardingKey {
    /// Turn on what is needed, without losing a default route learnt from router advertisements.
    #[default]
    Enable,
    /// Refuse if it is off.
    Require,
    /// Do nothing.
    Leave,
}

/// `dns`, in the configuration and in results.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DnsKey {
    /// Addresses of name servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "forgiving::or_default")]
    pub nameservers: Vec<String>,
    /// The local domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Search domains.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "forgiving::or_default")]
    pub search: Vec<String>,
    /// Resolver options.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "forgiving::or_default")]
    pub options: Vec<String>,
    /// Whatever else was given: handed on in a result, refused in a configuration.
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}

impl Config {
    /// The whole configuration, or the first thing that is wrong with it.
    pub fn parse(base: &Base) -> Result<Self> {
        let config: Self = crate::wire::read(&base.document).map_err(|error| {
            let at = error.path().to_string();
            Error::new(Code::InvalidConfig, format!("{at}: {}", error.into_inner()))
                .context(format!("network {}: invalid configuration", base.name))
        })?;
        super::unknown::refuse(&config)?;
        Ok(config)
    }
}
