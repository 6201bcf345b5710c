//! What is known of a link.

use crate::model::{IfName, LINK_GROUP, LinkFlags, Mac};

/// What is known of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// What it is.
    pub kind: LinkKind,
    /// Administratively up.
    pub up: bool,
    /// Its Ethernet address, if it has one.
    pub mac: Option<Mac>,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Its alias.
    pub alias: Option<String>,
    /// Names that it has besides (`IFLA_PROP_LIST`): no other link can get one of these.
    pub also_known_as: Vec<String>,
    /// Its group.
    pub group: u32,
    /// The bridge of which it is a port.
    pub master: Option<IfName>,
    /// Whether the kernel makes link-local addresses for it.
    pub address_generation: bool,
    /// Whether it speaks ARP for its own addresses only, and announces them.
    pub strict_arp: bool,
    /// Which frames it takes beside its own.
    pub flags: LinkFlags,
    /// The flags of a bridge port: isolated, hairpin.
    pub port: (bool, bool),
    /// Of a bridge: whether it keeps its VLANs apart, and into which it puts new ports (0: none).
    pub vlans: (bool, u16),
    /// Of a link in a VLAN: the link that it stands on.
    pub lower: Option<IfName>,
}

/// What kind of link it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkKind {
    /// One end of a pair.
    Veth,
    /// A bridge.
    Bridge,
    /// A link without a wire.
    Dummy,
    /// A VRF, by the number of its routing table.
    Vrf(u32),
    /// A link in a VLAN of another link, by the VLAN.
    Vlan(u16),
    /// Anything else, by the kernel's name for it.
    Other(String),
}

impl std::fmt::Display for LinkKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Veth => f.write_str("veth"),
            Self::Bridge => f.write_str("bridge"),
            Self::Dummy => f.write_str("dummy"),
            Self::Vrf(_) => f.write_str("vrf"),
            Self::Vlan(_) => f.write_str("vlan"),
            Self::Other(kind) if kind.is_empty() => f.write_str("physical link"),
            Self::Other(kind) => f.write_str(kind),
        }
    }
}

impl Link {
    /// A link that is down and has nothing set.
    #[must_use]
    pub fn new(kind: LinkKind, mtu: u32) -> Self {
        Self {
            kind,
            up: false,
            mac: None,
            mtu,
            alias: None,
            also_known_as: Vec::new(),
            group: 0,
            master: None,
            address_generation: true,
            strict_arp: false,
            flags: LinkFlags::default(),
            port: (false, false),
            vlans: (false, 0),
            lower: None,
        }
    }

    /// Whether it is a shared link of ours: the group agrees, and the alias, unless whoever made the link was
    /// killed before it could be set.
    #[must_use]
    pub fn is_ours(&self, alias: &str) -> bool {
        self.group == LINK_GROUP && self.alias.as_deref().is_none_or(|there| there == alias)
    }

    /// Whether it is the host side of this very pair: by its alias, or if it was killed in the making, by the
    /// group and a MAC that is made from the attachment's key.
    #[must_use]
    pub fn is_host_side(&self, veth: &super::Veth) -> bool {
        let unfinished = self.alias.is_none() && self.group == LINK_GROUP && self.mac == Some(veth.host_mac);
        unfinished || self.alias.as_ref() == Some(&veth.alias)
    }
}
