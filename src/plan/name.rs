//! The same steps for a link of the container that has another name.

use super::record::Record;
use super::route::Route;
use super::step::{LinkAddress, Object, Readiness, Setting, Side, Step, Sysctl};
use crate::model::IfName;

impl Record {
    /// The record as it is when the interface is called `name`. Its key stays: by it, whoever attached it knows it.
    #[must_use]
    pub fn renamed(&self, name: &IfName) -> Self {
        let mut record = self.naming_other(self.ifname(), name);
        if let Some(wanted) = &mut record.wanted {
            wanted.renamed = (*name != wanted.key.ifname).then(|| name.clone());
        }
        let links = record.outcome.iter_mut().flat_map(|outcome| &mut outcome.links);
        for link in links.filter(|link| link.netns.is_some()) {
            link.name = name.to_string();
        }
        record
    }

    /// The record with `to` for the name of a link of the container that was called `from`: a network whose default
    /// route leads has moved those of the container's other links, and has that in its own record.
    #[must_use]
    pub fn naming_other(&self, from: &IfName, to: &IfName) -> Self {
        let steps = self.steps.iter().map(|step| step.renamed(from, to)).collect();
        Self { steps, ..self.clone() }
    }
}

impl Step {
    /// The step with `to` for the name of the container's link `from`.
    #[must_use]
    pub(super) fn renamed(&self, from: &IfName, to: &IfName) -> Self {
        match self {
            Self::Add(object) => Self::Add(object.renamed(from, to)),
            Self::Del(object) => Self::Del(object.renamed(from, to)),
            Self::Set(setting) => Self::Set(setting.renamed(from, to)),
            Self::Await(Readiness { side: Side::Container, links, addresses }) => Self::Await(Readiness {
                side: Side::Container,
                links: links.iter().map(|link| other(link, from, to)).collect(),
                addresses: addresses.iter().map(|address| address.clone().renamed(from, to)).collect(),
            }),
            Self::Announce(link, mac) => Self::Announce(other(link, from, to), *mac),
            Self::Await(_) | Self::Forget(_) | Self::Proclaim(..) => self.clone(),
        }
    }
}

impl Object {
    fn renamed(&self, from: &IfName, to: &IfName) -> Self {
        match self {
            Self::Veth(veth) => {
                let mut veth = veth.clone();
                veth.peer = other(&veth.peer, from, to);
                Self::Veth(veth)
            }
            Self::Address(Side::Container, address) => {
                Self::Address(Side::Container, address.clone().renamed(from, to))
            }
            Self::Route(Side::Container, route) => Self::Route(Side::Container, route.clone().renamed(from, to)),
            _ => self.clone(),
        }
    }
}

impl Setting {
    fn renamed(&self, from: &IfName, to: &IfName) -> Self {
        let mut setting = self.clone();
        match &mut setting {
            Self::State { side: Side::Container, link, .. }
            | Self::AddressGeneration { side: Side::Container, link, .. }
            | Self::StrictArp { side: Side::Container, link }
            | Self::Flags { side: Side::Container, link, .. }
            | Self::Mtu { side: Side::Container, link, .. } => *link = other(link, from, to),
            Self::Route(Side::Container, route) => *route = route.clone().renamed(from, to),
            Self::Sysctl(Sysctl { side: Side::Container, key, .. }) => *key = renamed_key(key, from, to),
            _ => {}
        }
        setting
    }
}

impl LinkAddress {
    pub(super) fn renamed(self, from: &IfName, to: &IfName) -> Self {
        Self { link: other(&self.link, from, to), ..self }
    }
}

impl Route {
    pub(super) fn renamed(self, from: &IfName, to: &IfName) -> Self {
        Self { link: other(&self.link, from, to), ..self }
    }
}

fn other(link: &IfName, from: &IfName, to: &IfName) -> IfName {
    if link == from { to.clone() } else { link.clone() }
}

/// `ipv6/conf/LINK/…`, `ipv4/neigh/LINK/…`: the folder has the link's name.
pub(super) fn renamed_key(key: &str, from: &IfName, to: &IfName) -> String {
    let parts: Vec<&str> = key.split('/').collect();
    match parts.as_slice() {
        [family, group @ ("conf" | "neigh"), link, rest @ ..] if *link == from.as_str() => {
            [&[*family, *group, to.as_str()], rest].concat().join("/")
        }
        _ => key.to_owned(),
    }
}
