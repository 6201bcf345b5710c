//! Reading a namespace: what its links, addresses and routes are.

use super::address;
use super::endpoint::Endpoint;
use super::link;
use super::route::{self, FibAnswer};
use super::socket::{KernelError, Reply, Request};
use super::view::LinkView;
use crate::model::{Family, IfName};
use crate::plan::{LinkAddress, Pool, Route, RouteKind};
use ipnet::IpNet;
use rtnetlink::packet_route::RouteNetlinkMessage as Message;
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};
use std::net::IpAddr;

/// What was found of links and of FIB entries that were asked for, in their order.
type Found = (Vec<Option<LinkView>>, Vec<Option<FibAnswer>>);

impl Endpoint {
    /// Looks links up by name and FIB entries by destination, all in one datagram. What is not there is
    /// `None`; any other refusal is an error.
    pub fn look_up(&self, links: &[IfName], destinations: &[IpAddr]) -> Result<Found, KernelError> {
        let requests = links.iter().map(link::get).chain(destinations.iter().map(|to| route::get(*to, None)));
        let mut answers = self.socket.batch(requests.collect())?.into_iter();
        let views = answers.by_ref().take(links.len()).map(|answer| match LinkView::from_answer(answer) {
            Ok(view) => Ok(Some(view)),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        });
        let views = views.collect::<Result<Vec<_>, _>>()?;
        for view in views.iter().flatten() {
            self.learn(&view.name, view.index);
        }
        // No route to a destination is an errno of its own kind for each reason; none of them is a conflict.
        let routes = answers.map(|answer| answer.ok()?.iter().find_map(FibAnswer::read));
        Ok((views, routes.collect()))
    }

    /// Looks links up by index; those that are gone are left out.
    pub fn look_up_indices(&self, indices: &[u32]) -> Result<Vec<LinkView>, KernelError> {
        let requests: Vec<Request> = indices.iter().map(|index| link::get_index(*index)).collect();
        let answers = self.socket.batch(requests)?;
        let views: Vec<LinkView> =
            answers.into_iter().filter_map(|answer| LinkView::from_answer(answer).ok()).collect();
        for view in &views {
            self.learn(&view.name, view.index);
        }
        Ok(views)
    }

    /// All links, or the ports of one bridge only.
    pub fn links(&self, master: Option<u32>) -> Result<Vec<LinkView>, KernelError> {
        let mut message = LinkMessage::default();
        if let Some(master) = master {
            message.attributes.push(LinkAttribute::Controller(master));
        }
        let messages = self.socket.dump(&Message::GetLink(message))?;
        let views: Vec<LinkView> = messages.iter().filter_map(LinkView::read).collect();
        for view in &views {
            self.learn(&view.name, view.index);
        }
        Ok(views)
    }

    /// The addresses of a link.
    pub fn addresses(&self, name: &IfName, index: u32) -> Result<Vec<LinkAddress>, KernelError> {
        let mut addresses = Vec::new();
        for family in Family::BOTH {
            match self.socket.dump(&address::dump_of(index, family)) {
                Ok(messages) => {
                    addresses.extend(messages.iter().filter_map(|message| address::read(&message.message()?, name)));
                }
                Err(error) if error.is_unsupported() || error.is_absent() => {} // no IPv6, or just gone
                Err(error) => return Err(error),
            }
        }
        Ok(addresses)
    }

    /// The IPv6 addresses of a link that have lifetimes, or are on trial: not there for good.
    pub fn passing_addresses(&self, name: &IfName, index: u32) -> Result<Vec<LinkAddress>, KernelError> {
        let messages = match self.socket.dump(&address::dump_of(index, Family::V6)) {
            Err(error) if error.is_unsupported() || error.is_absent() => Vec::new(), // no IPv6, or just gone
            messages => messages?,
        };
        let messages = messages.iter().filter_map(Reply::message);
        let passing = messages.filter(|message| !address::is_permanent(message));
        Ok(passing.filter_map(|message| address::read(&message, name)).collect())
    }

    /// The routes of a table; those through one link only if an index is given.
    pub fn fib(&self, family: Family, table: u32, index: Option<u32>) -> Result<Vec<FibAnswer>, KernelError> {
        match self.socket.dump(&route::dump_of(family, table, index)) {
            Ok(messages) => Ok(messages.iter().filter_map(FibAnswer::read).collect()),
            // Of a table that was never used the kernel says ENOENT ("FIB table does not exist").
            Err(error) if error.is_unsupported() || error.is_absent() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// The networks that the host is connected to: of the routes, the kernel sends those alone that it made itself.
    pub fn connected(&self) -> Result<Vec<(IpNet, u32)>, KernelError> {
        let mut found = Vec::new();
        for family in Family::BOTH {
            let replies = match self.socket.dump(&route::dump_connected(family)) {
                Ok(replies) => replies,
                Err(error) if error.is_unsupported() || error.is_absent() => continue,
                Err(error) => return Err(error),
            };
            let routes = replies.iter().filter_map(FibAnswer::read);
            let connected = routes.filter(|route| route.kind == RouteKind::Unicast && route.via.is_none());
            found.extend(connected.filter_map(|route| Some((route.dst, route.link?))));
        }
        Ok(found)
    }

    /// The networks that routes of a protocol make unreachable in a table.
    pub fn pools(&self, family: Family, table: u32, protocol: u8) -> Result<Vec<Pool>, KernelError> {
        let found = match self.socket.dump(&route::dump_pools(family, table, protocol)) {
            Ok(messages) => messages,
            Err(error) if error.is_unsupported() || error.is_absent() => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let answers = found.iter().filter_map(FibAnswer::read);
        let pools = answers.filter(|answer| answer.metric == Pool::METRIC && answer.kind == RouteKind::Reject);
        Ok(pools.map(|answer| Pool { dst: answer.dst, table, protocol }).collect())
    }

    /// The routes through one link, in the given tables.
    pub fn routes_of(&self, name: &IfName, index: u32, tables: &[u32]) -> Result<Vec<Route>, KernelError> {
        let mut routes = Vec::new();
        for (family, table) in Family::BOTH.iter().flat_map(|family| tables.iter().map(move |table| (*family, *table)))
        {
            let found = self.fib(family, table, Some(index))?;
            routes.extend(found.iter().map(|route| route.to_route(name)));
        }
        Ok(routes)
    }
}
