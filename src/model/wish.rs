//! What is asked for one attachment beyond what its network says.

use ipnet::IpNet;

use super::{IfName, Mac, NetworkName, PortMap, RoutedNetwork};

/// What is asked for one attachment beyond what its network says, in whatever way: by a runtime, by options on a
/// hook's line, by annotations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// Addresses by name, with their prefix length if one was given.
    pub ips: Vec<IpNet>,
    /// The MAC of the container's interface.
    pub mac: Option<Mac>,
    /// Further networks that the host routes to the container, beside those of the network.
    pub routes: Vec<RoutedNetwork>,
    /// Ports of the host that lead to the container.
    pub ports: Vec<PortMap>,
}

/// One interface that a container is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// On which network.
    pub network: NetworkName,
    /// Its name inside the container.
    pub ifname: IfName,
    /// What is asked for beyond what the network says.
    pub wish: Wish,
}
