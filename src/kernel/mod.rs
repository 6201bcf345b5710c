//! The kernel: netlink messages, namespaces, sysctls. The only floor that knows rtnetlink, netns-rs, nix
//! and tokio. Nothing is async but `events.rs`: what is asked of the kernel is answered at once.
//!
//! One [`Endpoint`] stands for one side of a pair: a netlink socket in its namespace, the indices of its
//! links, and a way to its `/proc/sys/net`. Namespaces are entered to open these, and left again at once.

mod address;
mod attributes;
mod conntrack;
mod counter;
mod dump;
mod endpoint;
mod events;
mod frame;
#[cfg(any(test, fuzzing))]
pub mod hostile;
mod link;
mod listener;
pub mod named;
mod neighbour;
mod netconf;
mod netfilter;
mod netns;
pub mod nft;
mod ping;
mod probe;
pub(crate) mod process;
mod remove;
mod rootfs;
mod route;
mod routing;
mod shape;
mod socket;
mod sysctl;
mod transport;
mod view;
mod vlan;
mod wait;
mod watch;

pub(crate) use address::{add as add_address, delete as delete_address};
pub use conntrack::{Connection, Conntrack};
pub use counter::Counters;
pub use endpoint::Endpoint;
pub use frame::proclaim;
pub(crate) use link::{
    create_bridge, create_holder, create_ifb, create_veth, get as get_link, join, route_loopback,
    set_address_generation, set_alias, set_flags, set_mac, set_mtu, set_name, set_port, set_state, set_strict_arp,
};
pub use listener::{callers, listener};
pub(crate) use neighbour::{add_proxy, delete_proxy};
pub use netns::{Netns, NetnsError};
pub use ping::ping;
pub use probe::{Lack, probe, probe_bridge_vlans};
pub use process::leave;
pub use remove::{remove_bridge, remove_link};
pub use rootfs::{Rootfs, Written};
pub use route::{FibAnswer, LOCAL_TABLE};
pub(crate) use route::{
    add as add_route, add_loopback as add_loopback_route, add_pool, delete as delete_route,
    delete_loopback as delete_loopback_route, delete_pool, replace as replace_route,
};
pub use routing::{Picked, RoutingDaemon};
pub use shape::{is_redirected, limit, rate_of, redirect, undirect, unlimit};
pub use socket::{Answer, KernelError, Reply, Request, Socket};
pub use sysctl::SysctlDir;
pub use view::LinkView;
pub(crate) use vlan::{
    add as add_vlan, create_link as create_vlan_link, delete as delete_vlan, set_filtering as set_vlan_filtering,
};
pub use wait::await_ready;
pub use watch::{News, Watcher};
