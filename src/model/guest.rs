//! What a guest's own network service is told of its network: what the kernel inside has been given, in words that
//! configuration files have a place for.
//!
//! The guest itself will read these files as root, and some of them are run by a shell: so every text in here is
//! made of characters that mean the same in all formats.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Family, IfName, Mac};

/// All interfaces of a guest that are springline's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Guest {
    /// The interfaces, each name once.
    pub interfaces: Vec<GuestInterface>,
}

/// One interface as its guest is to keep it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GuestInterface {
    /// Its name inside.
    pub name: GuestIfName,
    /// Its MAC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// Its MTU in bytes; without one, the guest leaves it as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Who gives it addresses.
    #[serde(default)]
    pub addressing: GuestAddressing,
    /// Its addresses with their prefix lengths, link-local ones included: nothing else makes any.
    #[serde(default)]
    pub addresses: Vec<IpNet>,
    /// Its routes.
    #[serde(default)]
    pub routes: Vec<GuestRoute>,
    /// Name servers and search domains.
    #[serde(default, skip_serializing_if = "GuestDns::is_empty")]
    pub dns: GuestDns,
}

/// Who gives an interface its addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GuestAddressing {
    /// springline did: no DHCP, no router advertisements, no addresses of the guest's own making.
    #[default]
    Static,
    /// Nobody on the host: DHCP, and IPv6 by router advertisement.
    Automatic,
}

/// A route inside the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GuestRoute {
    /// The destination.
    pub dst: IpNet,
    /// The next hop; of IPv6 also for an IPv4 destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// The next hop is on the link even if no connected route says so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub onlink: bool,
    /// The preferred source address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub src: Option<IpAddr>,
    /// The metric; 0 is the kernel's default, which is 1024 for IPv6.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub metric: u32,
    /// The routing table, if it is not `main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// `rtm_scope`, if it is not to follow from the next hop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<u8>,
    /// MTU along the path, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Advertised maximum segment size, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advmss: Option<u32>,
}

/// Name servers of an interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GuestDns {
    /// Their addresses.
    #[serde(default)]
    pub nameservers: Vec<IpAddr>,
    /// Search domains.
    #[serde(default)]
    pub search: Vec<DomainName>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(metric: &u32) -> bool {
    *metric == 0
}

impl GuestDns {
    /// Whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nameservers.is_empty() && self.search.is_empty()
    }
}

impl GuestInterface {
    /// Whether it has an address of the family.
    #[must_use]
    pub fn has(&self, family: Family) -> bool {
        use super::Addressing as _;
        self.addresses.iter().any(|net| net.family() == family)
    }

    /// Whether springline gave it its addresses.
    #[must_use]
    pub fn is_static(&self) -> bool {
        self.addressing == GuestAddressing::Static
    }
}

impl GuestRoute {
    /// Whether it leads an IPv4 destination through an IPv6 next hop, for which few formats have words.
    #[must_use]
    pub fn crosses_families(&self) -> bool {
        self.via.is_some_and(|via| via.is_ipv6() && self.dst.addr().is_ipv4())
    }

    /// The metric as the kernel shows it (`IP6_RT_PRIO_USER` is 1024).
    #[must_use]
    pub fn effective_metric(&self) -> u32 {
        if self.metric == 0 && self.dst.addr().is_ipv6() { 1024 } else { self.metric }
    }
}

/// A text that cannot stand in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfitForFiles(String);

impl fmt::Display for UnfitForFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} cannot be written into configuration files: letters, digits and . _ - only", self.0)
    }
}

impl std::error::Error for UnfitForFiles {}

fn is_plain(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// The name of a link, without the characters that the kernel takes and a shell or a pattern means something by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GuestIfName(IfName);

/// A domain name, for a search list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DomainName(String);

impl GuestIfName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for GuestIfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<&IfName> for GuestIfName {
    type Error = UnfitForFiles;
    fn try_from(name: &IfName) -> Result<Self, UnfitForFiles> {
        if is_plain(name.as_str()) { Ok(Self(name.clone())) } else { Err(UnfitForFiles(name.to_string())) }
    }
}

impl TryFrom<String> for GuestIfName {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let name = IfName::parse(&text).map_err(|error| error.to_string())?;
        Self::try_from(&name).map_err(|error| error.to_string())
    }
}

impl From<GuestIfName> for String {
    fn from(name: GuestIfName) -> Self {
        name.0.into()
    }
}

impl DomainName {
    /// Checks `text` and wraps it.
    pub fn parse(text: &str) -> Result<Self, UnfitForFiles> {
        // 253 is the longest that DNS can carry (RFC 1035, section 2.3.4).
        let fits = is_plain(text) && text.len() <= 253;
        if fits { Ok(Self(text.to_owned())) } else { Err(UnfitForFiles(text.to_owned())) }
    }
}

impl TryFrom<String> for DomainName {
    type Error = UnfitForFiles;
    fn try_from(text: String) -> Result<Self, UnfitForFiles> {
        Self::parse(&text)
    }
}

impl From<DomainName> for String {
    fn from(name: DomainName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_shell_would_read_otherwise_are_refused() {
        let guest = |name: &str| serde_json::from_value::<GuestIfName>(serde_json::json!(name));
        for good in ["eth0", "eth0.5", "lan_a", "br-0"] {
            assert!(guest(good).is_ok(), "{good}");
        }
        for bad in ["$(reboot)", "eth*", "a;b", "-x", "a'b", "a\"b", "[Match]", "eth0\nX=1", ""] {
            assert!(guest(bad).is_err(), "{bad}");
        }
        assert!(DomainName::parse("a.example").is_ok());
        assert!(DomainName::parse("a.example\nnameserver 1.2.3.4").is_err());
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let text = r#"{"interfaces": [{"name": "eth0", "addresses": ["10.0.0.2/32"],
            "routes": [{"dst": "0.0.0.0/0", "via": "169.254.0.1", "onlink": true}]}]}"#;
        let guest: Guest = serde_json::from_str(text).unwrap();
        assert!(guest.interfaces[0].is_static() && guest.interfaces[0].has(Family::V4));
        assert_eq!(serde_json::from_str::<Guest>(&serde_json::to_string(&guest).unwrap()).unwrap(), guest);
        assert!(serde_json::from_str::<Guest>(r#"{"interfaces": [{"name": "eth0", "adresses": []}]}"#).is_err());
    }
}
