//! One container's interface on one network: what every verb is about.

use std::fmt;
use std::hash::Hasher;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128, SipHasher24};

use super::{ContainerId, ContainerRoute, Dns, IfName, Mac, Network, NetworkName, PortMap, Rates, is_default};

/// The link group of everything that springline creates, so that `ip link show group 171` lists it.
pub const LINK_GROUP: u32 = 171;

/// `IFALIASZ` (256) less the NUL: the kernel refuses longer aliases with EINVAL.
const MAX_ALIAS: usize = 255;

/// `NFTNL_UDATA_COMMENT_MAXLEN` (128) less the NUL: what `nft` takes for a comment.
const MAX_COMMENT: usize = 127;

/// What identifies an attachment: network × container id × interface name. All host state is keyed by
/// all three: two interfaces of one container on one network must not share any of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttachmentKey {
    /// The network's name.
    pub network: NetworkName,
    /// The container's id, as the runtime gives it.
    pub container: ContainerId,
    /// The interface's name inside the container, by which whoever attached it knows it. It may have got another since:
    /// see [`Attachment::ifname`].
    pub ifname: IfName,
}

impl AttachmentKey {
    /// The key that prints as `text`; the names in it have no slashes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let key = Self {
            network: NetworkName::parse(parts.next()?).ok()?,
            container: ContainerId::parse(parts.next()?).ok()?,
            ifname: IfName::parse(parts.next()?).ok()?,
        };
        parts.next().is_none().then_some(key)
    }

    /// The `IFALIAS` of the host-side link: the proof of ownership without which no link is deleted.
    #[must_use]
    pub fn alias(&self) -> String {
        let alias = format!("springline:{self}");
        if alias.len() <= MAX_ALIAS { alias } else { format!("springline:#{:032x}", self.hash("")) }
    }

    /// What the elements of the attachment in nf_tables say of their owner, in the comment that `nft` shows.
    #[must_use]
    pub fn comment(&self) -> String {
        let comment = self.to_string();
        if comment.len() <= MAX_COMMENT { comment } else { format!("#{:032x}", self.hash("")) }
    }

    /// A stable 128-bit hash of the key. `seed` sets hosts apart: two hosts on one LAN may both run a
    /// container `web`, and MAC addresses made from the hash must differ all the same.
    #[must_use]
    pub fn hash(&self, seed: &str) -> u128 {
        stable_hash(&[seed, self.network.as_str(), self.container.as_str(), self.ifname.as_str()])
    }
}

impl fmt::Display for AttachmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.network, self.container, self.ifname)
    }
}

/// `SipHash-2-4` with a zero key: the same on every machine and in every version, which std's hasher is not.
pub(crate) fn stable_hash(parts: &[&str]) -> u128 {
    let mut hasher = SipHasher24::new();
    for part in parts {
        hasher.write(part.as_bytes());
        hasher.write_u8(0xff); // no UTF-8 text contains it: ("a", "bc") and ("ab", "c") differ
    }
    hasher.finish128().as_u128()
}

/// An address that the container's interface holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The address with its prefix length.
    pub net: IpNet,
    /// The gateway that the range names for it; routed mode has its own and ignores this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
}

/// An address reserved in a network's lease store for one attachment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Lease {
    /// The network in which the address is unique.
    pub network: NetworkName,
    /// The address.
    pub address: IpAddr,
    /// Where the leases are if not below the state directory (`ipam.dataDir`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// The allocation ring and the place in it; fixed addresses have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<RingSlot>,
}

/// A place in an allocation ring.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RingSlot {
    /// The ring's name: a hash of the range set it belongs to.
    pub ring: String,
    /// The address's index in the ring.
    pub index: u32,
}

/// Everything that is wanted for one attachment, validated: the input of `plan::attach`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Who it is.
    pub key: AttachmentKey,
    /// The name that the interface has got inside the container since it was attached. The key keeps the one by which
    /// its runtime asks for it, and by which all that the host has of it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renamed: Option<IfName>,
    /// The path of the container's network namespace, verbatim as the runtime gave it.
    pub netns: String,
    /// The network's settings.
    pub network: Network,
    /// The name of the host-side link.
    pub host_link: IfName,
    /// The MAC of the host side; set explicitly so that udev's `MACAddressPolicy` leaves it alone.
    pub host_mac: Mac,
    /// The MAC of the container side.
    pub mac: Mac,
    /// What the container's interface holds.
    pub addresses: Vec<Address>,
    /// Routes inside the container; `None`: a default route for each family in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_routes: Option<Vec<ContainerRoute>>,
    /// The leases that back the addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leases: Vec<Lease>,
    /// Name servers to report.
    #[serde(default, skip_serializing_if = "Dns::is_empty")]
    pub dns: Dns,
    /// Ports of the host that lead to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortMap>,
    /// Whether those who call us listen on the ports already, to keep them from others: podman does, before it sets up
    /// the network.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ports_are_held: bool,
    /// To which rates it is limited.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rates: Rates,
}

impl Attachment {
    /// The interface's name inside the container.
    #[must_use]
    pub fn ifname(&self) -> &IfName {
        self.renamed.as_ref().unwrap_or(&self.key.ifname)
    }

    /// Whether a delegated IPAM plugin has yet to give the addresses: then there is nothing to route.
    #[must_use]
    pub fn awaits_addresses(&self) -> bool {
        matches!(self.network.ipam, Some(super::Ipam::Delegated { .. })) && self.addresses.is_empty()
    }

    /// The name of the link by which what it sends is led, if that is limited.
    pub fn ifb(&self) -> crate::error::Result<IfName> {
        let name = format!("ifb{:012x}", self.key.hash("") >> 80);
        IfName::parse(&name).map_err(|why| crate::error::Error::new(crate::error::Code::Internal, why.to_string()))
    }

    /// Names, MACs and everything else that follows from who the attachment is.
    ///
    /// `seed` is this host's identity (`/etc/machine-id`); see [`AttachmentKey::hash`].
    pub fn new(
        key: AttachmentKey,
        netns: String,
        network: Network,
        mac: Option<Mac>,
        seed: &str,
    ) -> Result<Self, super::InvalidName> {
        let hash = key.hash(seed).to_be_bytes();
        let [high, low] = [0, 8].map(|at| u64::from_be_bytes(std::array::from_fn(|i| hash[at + i])));
        let name_hash = key.hash("");
        Ok(Self {
            host_link: network.host_link.render(name_hash, key.container.as_str(), key.ifname.as_str())?,
            host_mac: Mac::from_hash(high),
            mac: mac.unwrap_or_else(|| Mac::from_hash(low)),
            addresses: Vec::new(),
            container_routes: None,
            leases: Vec::new(),
            dns: network.dns.clone(),
            ports: Vec::new(),
            ports_are_held: false,
            rates: network.rates.clone(),
            renamed: None,
            key,
            netns,
            network,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(network: &str, container: &str, ifname: &str) -> AttachmentKey {
        AttachmentKey {
            network: NetworkName::parse(network).unwrap(),
            container: ContainerId::parse(container).unwrap(),
            ifname: IfName::parse(ifname).unwrap(),
        }
    }

    #[test]
    fn hashes_are_stable_across_versions() {
        // Links and MACs of running containers depend on it: never change this value.
        assert_eq!(format!("{:032x}", key("public", "c1", "eth0").hash("")), "62112e14ec51c30db862f745431bd5bd");
    }

    #[test]
    fn keys_that_join_alike_hash_apart() {
        assert_ne!(key("a", "bc", "eth0").hash(""), key("ab", "c", "eth0").hash(""));
        assert_ne!(key("a", "b", "eth0").hash("host1"), key("a", "b", "eth0").hash("host2"));
    }

    #[test]
    fn aliases_fit_the_kernel() {
        assert_eq!(key("public", "c1", "eth0").alias(), "springline:public/c1/eth0");
        let long = key(&"n".repeat(200), &"c".repeat(200), "eth0").alias();
        assert!(long.len() <= MAX_ALIAS && long.starts_with("springline:#"), "{long}");
    }
}
