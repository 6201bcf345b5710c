//! Desired state → steps. Pure: no I/O, no async, no clock.
//!
//! ```text
//! attach(&Attachment, &Facts) ──▶ Plan = Vec<Step>     what is missing, in an order that is safe at every point
//! detach(&Record, &Facts)     ──▶ Vec<Step>            the inverses of what record and facts show to be ours
//! change(&Record, &Attachment, &Facts) ──▶ Change       from what is recorded to what is wanted now, adding before deleting
//! drift(&Record, &Facts)      ──▶ Vec<Step>            the recorded steps that do not hold any more
//! undo(done, before, now)     ──▶ Vec<Step>            the way back from a failure half way
//! ```
//!
//! `Facts::apply` is a kernel in memory: with it the properties "attach then detach changes nothing" and
//! "fail after any step, undo, and nothing has changed" are tested by the thousand (`tests/plan.rs`).

mod apply;
mod attach;
mod bridged;
mod builder;
mod change;
mod check;
mod conflict;
mod container;
mod facts;
mod filter;
mod forwarding;
mod guest;
mod link;
mod made;
mod name;
mod outcome;
mod pool;
mod proxy;
mod record;
mod rename;
mod room;
mod route;
mod routed;
mod ruleset;
mod shell;
mod show;
mod step;
mod undo;
mod vlan;

pub use attach::{attach, without_ipv6};
pub use change::{Change, change, change_back};
pub use check::{Difference, drift};
pub use conflict::{routed_prefixes, wanted_prefixes};
pub use container::asked_sysctls;
pub use facts::{
    ElementFact, Facts, FibMatch, Namespace, PortClaim, PortHolder, Renames, RouteKind, Sibling, Users, localnet_key,
};
pub use filter::{BRIDGE_NETFILTER, Wanted, wanted as wanted_filter};
pub use forwarding::{DEFAULT_ACCEPT_RA, FORWARDING};
pub use guest::guest;
pub use link::{Link, LinkKind};
pub use made::{BridgeLink, BridgeVlan, Holder, Ifb, Veth, VlanLink};
pub use outcome::outcome;
pub use pool::Pool;
pub use proxy::{addresses as proxied, link_for as link_of_proxy, sysctls as sysctls_of_proxy};
pub use record::{Delegation, NetnsIdentity, Phase, Record};
pub use room::with_room;
pub use route::Route;
pub use routed::holder_name;
pub use ruleset::{
    Chain, Constant, Element, Field, GuardedLink, Hook, Key, Kind, Leads, NetworkChain, NetworkRules, Part, Rule,
    Selector, Set, TABLE, Table, Term, VERSION, Value,
};
pub use shell::Script;
pub use step::{
    Held, LinkAddress, Object, Port, Readiness, Setting, Shared, Side, Stale, Step, Sysctl, owner_of_alias,
};
pub use undo::{detach, undo};

pub use crate::model::Rate;

use crate::model::AttachmentKey;

/// Steps, in the order in which they are to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The attachment that the plan brings about.
    pub key: AttachmentKey,
    /// What to do.
    pub steps: Vec<Step>,
}
