//! A link as the kernel shows it.
//!
//! Read attribute by attribute from the kernel's answer: of the sixty that describe a link, a dozen are of use here.

use nix::errno::Errno;
use nix::libc::{IFF_ALLMULTI, IFF_LOWER_UP, IFF_PROMISC, IFF_UP};

use super::attributes::{attribute, each, half, number, text};
use super::socket::{Answer, KernelError, Reply};
use crate::model::{IfName, LinkFlags, Mac};
use crate::plan::{Link, LinkKind};

/// `RTM_NEWLINK` (`include/uapi/linux/rtnetlink.h`).
const NEW_LINK: u16 = 16;

/// `struct ifinfomsg`: family, type, index, flags, change mask.
const HEADER: usize = 16;

/// `IFLA_*` (`include/uapi/linux/if_link.h`).
mod ifla {
    pub(super) const ADDRESS: u16 = 1;
    pub(super) const IFNAME: u16 = 3;
    pub(super) const MTU: u16 = 4;
    pub(super) const LINK: u16 = 5;
    pub(super) const QDISC: u16 = 6;
    pub(super) const MASTER: u16 = 10;
    pub(super) const OPERSTATE: u16 = 16;
    pub(super) const LINKINFO: u16 = 18;
    pub(super) const IFALIAS: u16 = 20;
    pub(super) const AF_SPEC: u16 = 26;
    pub(super) const GROUP: u16 = 27;
    pub(super) const PROP_LIST: u16 = 52;
    /// Within `PROP_LIST`.
    pub(super) const ALT_IFNAME: u16 = 53;
    /// Within `LINKINFO`.
    pub(super) const INFO_KIND: u16 = 1;
    pub(super) const INFO_DATA: u16 = 2;
    pub(super) const INFO_SLAVE_KIND: u16 = 4;
    pub(super) const INFO_SLAVE_DATA: u16 = 5;
    /// Within the data of a VRF.
    pub(super) const VRF_TABLE: u16 = 1;
    /// Within the data of a link in a VLAN.
    pub(super) const VLAN_ID: u16 = 1;
    /// Within the data of a bridge, and of a bridge's port.
    pub(super) const BR_STP_STATE: u16 = 5;
    pub(super) const BR_VLAN_FILTERING: u16 = 7;
    pub(super) const BR_VLAN_DEFAULT_PVID: u16 = 39;
    pub(super) const BRPORT_STATE: u16 = 1;
    pub(super) const BRPORT_MODE: u16 = 4;
    pub(super) const BRPORT_ISOLATED: u16 = 33;
    /// Within what `AF_SPEC` has about IPv6.
    pub(super) const INET6_CONF: u16 = 2;
    pub(super) const INET6_ADDR_GEN_MODE: u16 = 8;
}

/// `AF_INET6`, as attributes are numbered within `AF_SPEC`.
const AF_INET6: u16 = 10;

/// `IF_OPER_UNKNOWN`, `IF_OPER_UP` (RFC 2863; `include/uapi/linux/if.h`).
const OPER_UNKNOWN: u8 = 0;
const OPER_UP: u8 = 6;

/// `BR_STATE_DISABLED` (`include/uapi/linux/if_bridge.h`).
const PORT_DISABLED: u8 = 0;

/// `DEVCONF_DISABLE_IPV6`, the place of `disable_ipv6` among the numbers of `INET6_CONF` (`include/uapi/linux/ipv6.h`).
const DISABLE_IPV6: usize = 26;

/// `IN6_ADDR_GEN_MODE_NONE`.
const ADDRESSES_NONE: u8 = 1;

/// A link as the kernel shows it.
#[derive(Debug, Clone)]
pub struct LinkView {
    /// Its name.
    pub name: IfName,
    /// Its index.
    pub index: u32,
    /// The index of its peer (veth) or lower link.
    pub peer: Option<u32>,
    /// The index of the bridge of which it is a port.
    pub master: Option<u32>,
    /// Whether it is operational (`IFF_LOWER_UP`, `IF_OPER_UP`), its transmit queue active, and if it is a
    /// port, the port enabled.
    pub carrier: bool,
    /// Whether it has IPv6, by its `disable_ipv6`. `None`: the kernel has none.
    pub ipv6: Option<bool>,
    /// What a plan needs to know; the master is left open.
    pub link: Link,
}

impl LinkView {
    /// What an answer about one link says; an error if it holds no link.
    pub(crate) fn from_answer(answer: Answer) -> Result<Self, KernelError> {
        let found = answer?.iter().find_map(Self::read);
        found.ok_or_else(|| KernelError::of(Errno::EPROTO, "the answer holds no link that can be read"))
    }

    /// What a message says; `None` for anything but a named link.
    pub(crate) fn read(reply: &Reply) -> Option<Self> {
        let (header, attributes) = reply.payload.split_at_checked(HEADER)?;
        let word = |at: usize| Some(u32::from_ne_bytes(header.get(at..at + 4)?.try_into().ok()?));
        let flags = word(8)?;
        let name = attribute(attributes, ifla::IFNAME).and_then(|name| IfName::parse(text(name)?).ok())?;
        let is_set = |flag: i32| flags & flag.cast_unsigned() != 0;
        let mut view = Self {
            name,
            index: word(4)?,
            peer: None,
            master: None,
            carrier: is_set(IFF_LOWER_UP),
            ipv6: None,
            link: Link::new(LinkKind::Other(String::new()), 0),
        };
        view.link.up = is_set(IFF_UP);
        view.link.flags = LinkFlags { promisc: is_set(IFF_PROMISC), allmulti: is_set(IFF_ALLMULTI) };
        view.read_attributes(attributes);
        (reply.kind == NEW_LINK).then_some(view)
    }

    fn read_attributes(&mut self, attributes: &[u8]) {
        let link = &mut self.link;
        let mut spans_tree = false;
        for (kind, value) in each(attributes) {
            match kind {
                ifla::ADDRESS => link.mac = Mac::from_kernel(value),
                ifla::MTU => link.mtu = number(value).unwrap_or(0),
                ifla::IFALIAS => link.alias = text(value).map(str::to_owned),
                ifla::GROUP => link.group = number(value).unwrap_or(0),
                ifla::PROP_LIST => {
                    let names = each(value).filter(|(kind, _)| *kind == ifla::ALT_IFNAME);
                    link.also_known_as.extend(names.filter_map(|(_, name)| Some(text(name)?.to_owned())));
                }
                ifla::LINK => self.peer = number(value),
                ifla::MASTER => self.master = number(value),
                // A link that was up from the start never leaves "unknown" (RFC 2863, operstates.rst).
                ifla::OPERSTATE => self.carrier &= matches!(*value, [OPER_UP | OPER_UNKNOWN, ..]),
                // Before dev_activate(), packets are given to a queue that drops them.
                ifla::QDISC => self.carrier &= text(value) != Some("noop"),
                ifla::LINKINFO => {
                    read_info(link, value);
                    self.carrier &= !is_disabled_port(value);
                    spans_tree |= has_stp(value);
                }
                ifla::AF_SPEC => {
                    let ipv6 = attribute(value, AF_INET6).unwrap_or_default();
                    if let Some([mode, ..]) = attribute(ipv6, ifla::INET6_ADDR_GEN_MODE) {
                        link.address_generation = *mode != ADDRESSES_NONE;
                    }
                    let disabled = attribute(ipv6, ifla::INET6_CONF).and_then(|conf| conf.get(4 * DISABLE_IPV6..));
                    self.ipv6 = disabled.and_then(number).map(|disabled| disabled == 0);
                }
                _ => {}
            }
        }
        // Its carrier is that of ports which forward, and with the protocol on that takes half a minute.
        self.carrier |= spans_tree;
    }
}

/// Whether it is a bridge with the spanning tree protocol on.
fn has_stp(info: &[u8]) -> bool {
    let is_bridge = attribute(info, ifla::INFO_KIND).and_then(text) == Some("bridge");
    let state = attribute(info, ifla::INFO_DATA).and_then(|data| number(attribute(data, ifla::BR_STP_STATE)?));
    is_bridge && state.is_some_and(|state| state != 0)
}

/// What is said of it as the port of a bridge.
fn port_of_bridge(info: &[u8]) -> Option<&[u8]> {
    let is_port = attribute(info, ifla::INFO_SLAVE_KIND).and_then(text) == Some("bridge");
    attribute(info, ifla::INFO_SLAVE_DATA).filter(|_| is_port)
}

/// Whether it is a bridge port that takes no packets. With STP, a port that listens or learns is on its way;
/// that takes half a minute and is not waited for.
fn is_disabled_port(info: &[u8]) -> bool {
    let state = port_of_bridge(info).and_then(|port| attribute(port, ifla::BRPORT_STATE));
    matches!(state, Some([PORT_DISABLED, ..]))
}

fn read_info(link: &mut Link, info: &[u8]) {
    let of_kind = |kind| attribute(attribute(info, ifla::INFO_DATA)?, kind);
    link.kind = match attribute(info, ifla::INFO_KIND).and_then(text) {
        Some("veth") => LinkKind::Veth,
        Some("bridge") => LinkKind::Bridge,
        Some("dummy") => LinkKind::Dummy,
        Some("vrf") => LinkKind::Vrf(of_kind(ifla::VRF_TABLE).and_then(number).unwrap_or(0)),
        Some("vlan") => LinkKind::Vlan(of_kind(ifla::VLAN_ID).and_then(half).unwrap_or(0)),
        other => LinkKind::Other(other.unwrap_or_default().to_owned()),
    };
    if link.kind == LinkKind::Bridge {
        let filters = matches!(of_kind(ifla::BR_VLAN_FILTERING), Some([on, ..]) if *on != 0);
        link.vlans = (filters, of_kind(ifla::BR_VLAN_DEFAULT_PVID).and_then(half).unwrap_or(0));
    }
    if let Some(port) = port_of_bridge(info) {
        let is_on = |kind| matches!(attribute(port, kind), Some([on, ..]) if *on != 0);
        link.port = (is_on(ifla::BRPORT_ISOLATED), is_on(ifla::BRPORT_MODE));
    }
}
