//! What a container's own network service is to be told, from the records of its attachments: so that files and
//! kernel agree, whatever the gateway scheme, for both follow from the same steps.

use super::made::Veth;
use super::record::Record;
use super::route::Route;
use super::step::{Object, Side, Step};
use crate::model::{
    Dns, DomainName, Guest, GuestAddressing, GuestDns, GuestIfName, GuestInterface, GuestRoute, IfName, UnfitForFiles,
};

/// The guest that the records of one container describe. An interface whose name cannot stand in a file is named
/// beside it, and left out.
#[must_use]
pub fn guest(records: &[Record]) -> (Guest, Vec<UnfitForFiles>) {
    let (mut interfaces, mut unfit) = (Vec::new(), Vec::new());
    for record in records {
        match GuestIfName::try_from(record.ifname()) {
            Ok(name) => interfaces.extend(interface(record, name, records)),
            Err(error) => unfit.push(error),
        }
    }
    interfaces.sort_by(|a, b| a.name.cmp(&b.name));
    (Guest { interfaces }, unfit)
}

/// `None` if the record names no link: an attachment that never came so far.
fn interface(record: &Record, name: GuestIfName, all: &[Record]) -> Option<GuestInterface> {
    let veth = record.veth()?;
    let addresses = record.steps.iter().filter_map(|step| match step {
        Step::Add(Object::Address(Side::Container, address)) if address.link == *record.ifname() => Some(address.net),
        _ => None,
    });
    let addresses: Vec<_> = addresses.collect();
    let addressing = addressing(veth, addresses.is_empty());
    let dns = record.outcome.as_ref().map(|outcome| dns(&outcome.dns)).unwrap_or_default();
    Some(GuestInterface {
        name,
        mac: Some(veth.mac),
        mtu: Some(veth.mtu),
        addressing,
        addresses,
        routes: routes(record.ifname(), all),
        dns,
    })
}

/// A port of a bridge to which springline gave nothing is the guest's own to address; a routed link is not, for
/// beyond it is nobody who would answer.
fn addressing(veth: &Veth, without_addresses: bool) -> GuestAddressing {
    if veth.bridge.is_some() && without_addresses { GuestAddressing::Automatic } else { GuestAddressing::Static }
}

/// The routes through a link. Those of all records count: a network whose default route leads may have moved this
/// one's to another metric.
fn routes(link: &IfName, all: &[Record]) -> Vec<GuestRoute> {
    let steps = || all.iter().flat_map(|record| &record.steps);
    let moved = |route: &Route| {
        steps().any(|step| matches!(step, Step::Del(Object::Route(Side::Container, gone)) if gone.is(route)))
    };
    let mut routes: Vec<&Route> = Vec::new();
    for step in steps() {
        if let Step::Add(Object::Route(Side::Container, route)) = step
            && route.link == *link
            && !moved(route)
            && !routes.contains(&route)
        {
            routes.push(route);
        }
    }
    routes.into_iter().map(GuestRoute::from).collect()
}

impl From<&Route> for GuestRoute {
    fn from(route: &Route) -> Self {
        Self {
            dst: route.dst,
            via: route.via,
            onlink: route.onlink,
            src: route.src,
            metric: route.metric,
            table: (route.table != Route::MAIN).then_some(route.table),
            scope: route.scope,
            mtu: route.mtu,
            advmss: route.advmss,
        }
    }
}

/// What of it is an address or a domain: the rest was never checked, and would be written into files.
fn dns(dns: &Dns) -> GuestDns {
    let search = dns.search.iter().chain(&dns.domain).filter_map(|domain| DomainName::parse(domain).ok());
    let mut unique: Vec<DomainName> = Vec::new();
    for domain in search {
        if !unique.contains(&domain) {
            unique.push(domain);
        }
    }
    GuestDns { nameservers: dns.nameservers.iter().filter_map(|server| server.parse().ok()).collect(), search: unique }
}
