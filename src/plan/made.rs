//! Links that steps make, and membership in VLANs.

use serde::{Deserialize, Serialize};

use crate::model::{IfName, Mac};

/// A veth pair. The peer is born inside the container under its final name: moved there, the pair would
/// cost an RCU grace period (22 ms instead of 0.3), and for a moment the host would have an `eth0`. Each end has one queue
/// each way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Veth {
    /// The host side's name.
    pub host: IfName,
    /// The host side's MAC.
    pub host_mac: Mac,
    /// The host side's MTU in bytes. A bridge follows the lowest of its ports, so this is the bridge's.
    pub host_mtu: u32,
    /// The host side's alias, by which it is known as ours.
    pub alias: String,
    /// The bridge of which the host side is a port, or the VRF that it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<IfName>,
    /// The container side's name.
    pub peer: IfName,
    /// The container side's MAC.
    pub mac: Mac,
    /// The container side's MTU in bytes.
    pub mtu: u32,
    /// The length of the container side's queue, in packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub txqueuelen: Option<u32>,
}

/// A bridge of our own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeLink {
    /// Its name.
    pub name: IfName,
    /// Its MAC, set so that it does not change with the ports.
    pub mac: Mac,
    /// Its MTU in bytes.
    pub mtu: u32,
}

impl BridgeLink {
    /// The alias by which a bridge is known as ours.
    pub const ALIAS: &'static str = "springline:bridge";

    /// The VLAN into which a new bridge puts its ports, and itself (`br_vlan_init()` in `net/bridge/br_vlan.c`).
    pub const DEFAULT_VLAN: u16 = 1;
}

/// Membership in a VLAN of a bridge that filters them (IEEE 802.1Q; `net/bridge/br_vlan.c`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeVlan {
    /// The port's link; the bridge itself for the host, to which frames of the VLAN come with its tag.
    pub link: IfName,
    /// The VLAN, 1..=4094.
    pub id: u16,
    /// It is the bridge itself. A port is in its VLAN without a tag: what comes in by it belongs there (PVID), what goes
    /// out has none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_bridge: bool,
}

/// The host's own link in a VLAN of a bridge: what the bridge itself gets with the VLAN's tag comes by it without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VlanLink {
    /// Its name.
    pub name: IfName,
    /// The bridge. Its MAC and MTU are the link's, too.
    pub bridge: IfName,
    /// The VLAN, 1..=4094.
    pub id: u16,
}

impl VlanLink {
    /// The alias by which such a link is known as ours.
    pub const ALIAS: &'static str = "springline:vlan";
}

/// The link that holds the gateway address of scheme `shared`: a dummy link, or where the kernel has none
/// a bridge without ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its name.
    pub name: IfName,
}

impl Holder {
    /// The alias by which the holder is known as ours.
    pub const ALIAS: &'static str = "springline:shared";
}

/// An `ifb` link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ifb {
    /// Its name.
    pub name: IfName,
    /// Its alias, by which it is known as ours.
    pub alias: String,
}
