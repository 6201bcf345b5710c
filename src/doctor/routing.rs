//! Whether routing daemons pick up the routes of containers.

use super::{Finding, HostFacts, Level};

/// What a routing daemon makes of one route of a container's, by which those of its family are judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcer {
    /// `BIRD` or `FRR`.
    pub name: &'static str,
    /// The route.
    pub route: String,
    /// Whether it knows it.
    pub knows: bool,
    /// Whether it announces it by any protocol.
    pub announces: bool,
}

pub(super) fn routing(facts: &HostFacts) -> Vec<Finding> {
    let silent = facts.announcers.iter().filter(|announcer| !announcer.announces);
    let found = silent.map(|announcer| {
        let Announcer { name, route, knows, .. } = announcer;
        let file = if *name == "BIRD" { "bird-bgp.conf" } else { "frr-bgp.conf" };
        let (what, missing) = match (knows, *name) {
            (false, "BIRD") => ("does not know", "`learn` in its protocol kernel, and an import filter that lets 171 through"),
            (false, _) => ("does not select", "another route to it is better, or zebra does not see the table"),
            (true, "BIRD") => ("knows but does not announce", "an export filter that lets it through"),
            (true, _) => ("knows but does not announce", "`redistribute kernel` with a route map that lets it through"),
        };
        let why = format!("other hosts do not learn from it where containers are; what it takes ({missing}) is in hooks/routing/{file}");
        Finding::new(Level::Warning, *name, format!("{name} {what} {route}"), why)
    });
    found.collect()
}
