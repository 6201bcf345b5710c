//! Messages about routes.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::RouteNetlinkMessage as Message;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteProtocol, RouteScope, RouteType, RouteVia,
};

use super::socket::{KernelError, Reply, Request};
use crate::model::{Addressing, Family, IfName};
use crate::plan::{Pool, Route, RouteKind};

/// Adds a route; fails if one to the same destination with the same metric is in the table.
pub(crate) fn add(index: u32, route: &Route) -> Result<Request, KernelError> {
    Ok(Request::create(Message::NewRoute(build(index, route)?)))
}

/// Puts a route in the place of the one to the same destination with the same metric, at once.
pub(crate) fn replace(index: u32, route: &Route) -> Result<Request, KernelError> {
    Ok(Request::replace(Message::NewRoute(build(index, route)?)))
}

/// Deletes a route.
pub(crate) fn delete(index: u32, route: &Route) -> Result<Request, KernelError> {
    Ok(Request::plain(Message::DelRoute(build(index, route)?)))
}

/// `RT_TABLE_LOCAL`.
pub const LOCAL_TABLE: u32 = 255;

/// Has `::1` be good by a link too, behind the loopback link's own route and beside those of other links; see
/// [`crate::plan::Object::Loopback`].
pub(crate) fn add_loopback(index: u32) -> Request {
    Request::append(Message::NewRoute(loopback(index)))
}

/// The same, not any more.
pub(crate) fn delete_loopback(index: u32) -> Request {
    Request::plain(Message::DelRoute(loopback(index)))
}

fn loopback(index: u32) -> RouteMessage {
    let builder = RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(Ipv6Addr::LOCALHOST, 128);
    let builder = builder.output_interface(index).table_id(LOCAL_TABLE).protocol(RouteProtocol::from(171));
    let mut message = builder.priority(171).build();
    message.header.kind = RouteType::Local;
    message
}

/// Makes a network unreachable; fails if one to the same destination with the same metric is in the table.
pub(crate) fn add_pool(pool: &Pool) -> Result<Request, KernelError> {
    Ok(Request::create(Message::NewRoute(unreachable(pool)?)))
}

/// The same, not any more.
pub(crate) fn delete_pool(pool: &Pool) -> Result<Request, KernelError> {
    Ok(Request::plain(Message::DelRoute(unreachable(pool)?)))
}

fn unreachable(pool: &Pool) -> Result<RouteMessage, KernelError> {
    let builder = RouteMessageBuilder::<IpAddr>::new()
        .destination_prefix(pool.dst.addr(), pool.dst.prefix_len())
        .map_err(|why| KernelError::of(nix::errno::Errno::EINVAL, why.to_string()))?;
    let builder = builder.table_id(pool.table).protocol(RouteProtocol::from(pool.protocol)).priority(Pool::METRIC);
    let mut message = builder.build();
    message.header.kind = RouteType::Unreachable;
    message.header.scope = RouteScope::Universe;
    Ok(message)
}

/// Asks for the routes of a table that make networks unreachable, by their protocol: the kernel sends no others
/// (`ip_valid_fib_dump_req()`), however many there are.
pub(crate) fn dump_pools(wanted: Family, table: u32, protocol: u8) -> Message {
    let mut message = dump_request(wanted, table, None);
    message.header.kind = RouteType::Unreachable;
    message.header.protocol = RouteProtocol::from(protocol);
    Message::GetRoute(message)
}

/// Asks for the routes of table `main` that the kernel has made (`RTPROT_KERNEL`).
pub(crate) fn dump_connected(wanted: Family) -> Message {
    let mut message = dump_request(wanted, Route::MAIN, None);
    message.header.protocol = RouteProtocol::Kernel;
    Message::GetRoute(message)
}

fn build(index: u32, route: &Route) -> Result<RouteMessage, KernelError> {
    let invalid = |why: String| KernelError::of(nix::errno::Errno::EINVAL, why);
    let mut builder = RouteMessageBuilder::<IpAddr>::new()
        .destination_prefix(route.dst.addr(), route.dst.prefix_len())
        .map_err(|why| invalid(why.to_string()))?
        .output_interface(index)
        .table_id(route.table)
        .protocol(RouteProtocol::from(route.protocol));
    if let Some(via) = route.via {
        builder = builder.gateway(via).map_err(|why| invalid(why.to_string()))?;
    }
    if let Some(src) = route.src {
        builder = builder.pref_source(src).map_err(|why| invalid(why.to_string()))?;
    }
    if route.onlink {
        builder = builder.onlink();
    }
    if route.metric != 0 {
        builder = builder.priority(route.metric);
    }
    let mut message = builder.build();
    message.header.scope = match (route.scope, route.via, route.dst.family()) {
        (Some(scope), ..) => RouteScope::from(scope),
        // What is on the link itself: with scope universe, IPv4 would not take it for a next hop's network.
        (None, None, Family::V4) => RouteScope::Link,
        _ => RouteScope::Universe,
    };
    let mtu = route.mtu.map(RouteMetric::Mtu);
    let metrics: Vec<RouteMetric> = mtu.into_iter().chain(route.advmss.map(RouteMetric::Advmss)).collect();
    if !metrics.is_empty() {
        message.attributes.push(RouteAttribute::Metrics(metrics));
    }
    Ok(message)
}

/// Asks which route of the FIB answers for a destination (`RTM_F_FIB_MATCH`, Linux ≥ 5.1 for both families).
pub(crate) fn get(destination: IpAddr, link: Option<u32>) -> Request {
    let mut message = RouteMessage::default();
    message.header.address_family = family(destination.family());
    message.header.destination_prefix_length = if destination.is_ipv4() { 32 } else { 128 };
    message.header.flags = RouteFlags::FibMatch;
    message.attributes.push(RouteAttribute::Destination(destination.into()));
    message.attributes.extend(link.map(RouteAttribute::Oif));
    Request::plain(Message::GetRoute(message))
}

/// Asks for the routes of a table, those of one link only if an index is given.
pub(crate) fn dump_of(wanted: Family, table: u32, index: Option<u32>) -> Message {
    Message::GetRoute(dump_request(wanted, table, index))
}

fn dump_request(wanted: Family, table: u32, index: Option<u32>) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(wanted);
    if let Ok(small) = u8::try_from(table) {
        message.header.table = small;
    } else {
        message.attributes.push(RouteAttribute::Table(table));
    }
    if let Some(index) = index {
        message.attributes.push(RouteAttribute::Oif(index));
    }
    message
}

pub(super) fn family(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}

/// A route of the FIB.
#[derive(Debug, Clone)]
pub struct FibAnswer {
    /// Its destination.
    pub dst: IpNet,
    /// What it does.
    pub kind: RouteKind,
    /// The index of its link, if it has just one.
    pub link: Option<u32>,
    /// Its next hop, if it has just one.
    pub via: Option<IpAddr>,
    /// Its table.
    pub table: u32,
    /// Its metric.
    pub metric: u32,
    /// Its `rtm_protocol`.
    pub protocol: u8,
    /// Whether the next hop is on the link whatever routes say.
    pub onlink: bool,
    /// The preferred source address.
    pub src: Option<IpAddr>,
    /// MTU along the path, in bytes.
    pub mtu: Option<u32>,
    /// Advertised maximum segment size, in bytes.
    pub advmss: Option<u32>,
}

impl FibAnswer {
    /// What a message says; `None` for anything but an IP route.
    pub(crate) fn read(reply: &Reply) -> Option<Self> {
        let Message::NewRoute(message) = reply.message()? else { return None };
        let header = &message.header;
        let default = match header.address_family {
            AddressFamily::Inet => Family::V4,
            AddressFamily::Inet6 => Family::V6,
            _ => return None,
        }
        .default_route();
        let mut answer = Self {
            dst: IpNet::new(default.addr(), header.destination_prefix_length).ok()?,
            kind: match header.kind {
                RouteType::Unicast => RouteKind::Unicast,
                RouteType::Local | RouteType::Broadcast | RouteType::Anycast | RouteType::Multicast => RouteKind::Local,
                _ => RouteKind::Reject,
            },
            link: None,
            via: None,
            table: header.table.into(),
            metric: 0,
            protocol: header.protocol.into(),
            onlink: header.flags.contains(RouteFlags::Onlink),
            src: None,
            mtu: None,
            advmss: None,
        };
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Destination(dst) => {
                    answer.dst = IpNet::new(plain(dst)?, header.destination_prefix_length).ok()?;
                }
                RouteAttribute::Oif(index) => answer.link = Some(*index),
                RouteAttribute::Gateway(via) => answer.via = plain(via),
                RouteAttribute::Via(RouteVia::Inet6(via)) => answer.via = Some((*via).into()),
                RouteAttribute::Table(table) => answer.table = *table,
                RouteAttribute::Priority(metric) => answer.metric = *metric,
                RouteAttribute::PrefSource(src) => answer.src = plain(src),
                RouteAttribute::Metrics(metrics) => {
                    for metric in metrics {
                        match metric {
                            RouteMetric::Mtu(mtu) => answer.mtu = Some(*mtu),
                            RouteMetric::Advmss(size) => answer.advmss = Some(*size),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        Some(answer)
    }

    /// As a plan's route, on the link called `link`.
    #[must_use]
    pub fn to_route(&self, link: &IfName) -> Route {
        Route {
            via: self.via,
            onlink: self.onlink,
            src: self.src,
            mtu: self.mtu,
            advmss: self.advmss,
            table: self.table,
            metric: self.metric,
            protocol: self.protocol,
            ..Route::on(link, self.dst)
        }
    }
}

fn plain(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some((*v4).into()),
        RouteAddress::Inet6(v6) => Some((*v6).into()),
        _ => None,
    }
}
