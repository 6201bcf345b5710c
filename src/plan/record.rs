//! What is written down about an attachment: enough to undo it without netns, runtime or configuration.

use serde::{Deserialize, Serialize};

use std::net::IpAddr;

use ipnet::IpNet;

use super::facts::Sibling;
use super::made::Veth;
use super::ruleset::{Field, GuardedLink, Set};
use super::step::{Object, Step};
use crate::model::{Attachment, AttachmentKey, IfName, Maker, Outcome};

/// The record of one attachment: `attachments/<network>/<container>@<ifname>.json` below the state directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The format's version.
    pub version: u32,
    /// Whether ADD has succeeded.
    pub phase: Phase,
    /// Who it is.
    pub key: AttachmentKey,
    /// `/proc/sys/kernel/random/boot_id` at the time: a record of an earlier boot describes nothing.
    pub boot: String,
    /// The container's namespace.
    pub netns: NetnsIdentity,
    /// The steps that were to be run: what stands here may exist, what does not is not ours.
    pub steps: Vec<Step>,
    /// By whom it was made.
    #[serde(default)]
    pub maker: Maker,
    /// When, in seconds since 1970; 0 if that is not known.
    #[serde(default)]
    pub made_at: u64,
    /// What is wanted for it, from which changes to it start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<Box<Attachment>>,
    /// Addresses that ADD reported and that were taken away on purpose since: no CHECK shall miss them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withdrawn: Vec<IpNet>,
    /// A change has begun and not ended: `steps` are those of before and those of after, all else is of before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub changing: bool,
    /// What ADD reports when it succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The configuration for a delegated IPAM plugin, which DEL and GC must be able to call without help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation: Option<Delegation>,
}

/// How far ADD has come. Both words have five letters: the store turns one into the other in place, by one
/// small write instead of a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The steps may or may not have been run: nobody was ever told of the attachment.
    Begun,
    /// All of them took effect.
    Ready,
}

/// Which namespace it was. Paths are re-used, and so are inode numbers, at once; the cookie is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetnsIdentity {
    /// The path that the runtime gave, verbatim.
    pub path: String,
    /// `SO_NETNS_COOKIE`: unique per boot (Linux ≥ 5.14). 0 if the kernel has none.
    pub cookie: u64,
}

/// How a delegated IPAM plugin was called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegation {
    /// The plugin's file name.
    pub plugin: String,
    /// The configuration that was on its stdin.
    pub config: String,
    /// `CNI_ARGS` of the time.
    pub args: String,
    /// `CNI_PATH` of the time.
    pub path: String,
}

impl Record {
    /// The addresses that the container has by it.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.outcome.iter().flat_map(|outcome| &outcome.addresses).map(|address| address.net.addr()).collect()
    }

    /// The host's end of the pair.
    #[must_use]
    pub fn host_link(&self) -> Option<&IfName> {
        self.veth().map(|veth| &veth.host)
    }

    /// The interface's name inside the container.
    #[must_use]
    pub fn ifname(&self) -> &IfName {
        self.veth().map_or(&self.key.ifname, |veth| &veth.peer)
    }

    /// The pair.
    pub(super) fn veth(&self) -> Option<&Veth> {
        self.steps.iter().find_map(|step| match step {
            Step::Add(Object::Veth(veth)) => Some(veth),
            _ => None,
        })
    }

    /// What it is to the container's other attachments.
    #[must_use]
    pub fn as_sibling(&self) -> Sibling {
        let guarded = self.steps.iter().find_map(|step| match step {
            Step::Add(Object::Element(held)) => match (held.element.set, held.element.key.first()) {
                (Set::GuardedLinks, Some(Field::Link(link))) => {
                    Some(GuardedLink { link: link.clone(), is_port: false })
                }
                (Set::GuardedPorts | Set::MacGuardedPorts, Some(Field::Link(link))) => {
                    Some(GuardedLink { link: link.clone(), is_port: true })
                }
                _ => None,
            },
            _ => None,
        });
        Sibling { guarded, addresses: self.addresses() }
    }

    /// Whether it lets the container's other links send from its addresses, or its own from theirs.
    #[must_use]
    pub fn knows_siblings(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Add(Object::Element(held)) if held.sibling))
    }

    /// The version that this program writes.
    pub const VERSION: u32 = 1;
}
