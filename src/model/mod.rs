//! The vocabulary: every string that crosses a floor is parsed here, once, into a type.
//!
//! Nothing in here does I/O or knows how outsiders spell things; `wire` turns their documents into
//! these types, `plan` turns these types into steps.

mod address;
mod attachment;
mod guest;
mod mac;
mod maker;
mod name;
mod network;
mod outcome;
mod port;
mod range;
mod rate;
mod wish;

pub use address::{Addressing, Family, HostRoutes, InvalidPrefix, parse_address, parse_network, single};
pub(crate) use attachment::stable_hash;
pub use attachment::{Address, Attachment, AttachmentKey, LINK_GROUP, Lease, RingSlot};
pub use guest::{DomainName, Guest, GuestAddressing, GuestDns, GuestIfName, GuestInterface, GuestRoute, UnfitForFiles};
pub use mac::{InvalidMac, Mac};
pub use maker::{Face, Maker};
pub use name::{ContainerId, HostLinkTemplate, IfName, InvalidName, NetworkName};
pub use network::{
    Bridge, ContainerRoute, DefaultRoute, Dns, FixedAddress, Forwarding, Gateway, Interconnect, Ipam, Isolation,
    LinkFlags, Masquerade, Mode, Mtu, Network, Proxy, RoutedNetwork,
};
pub use outcome::{Assigned, Outcome, OutcomeAddress, OutcomeLink};
pub use port::{PortMap, Protocol};
pub use range::{Range, RangeSet};
pub use rate::{Rate, Rates};
pub use wish::{Wanted, Wish};

/// What is as it is unless somebody wants otherwise is left out of records, which are written at each ADD.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
