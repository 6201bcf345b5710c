//! CHECK: is everything still there?

use super::{Container, Engine};
use crate::error::{Code, Error, Result};
use crate::ipam::Delegate;
use crate::model::AttachmentKey;
use crate::plan::{self, Record, Step};

/// What an attachment's record says, and what of it does not hold.
#[derive(Debug)]
pub struct Drift {
    /// The record.
    pub record: Record,
    /// The steps whose effect is missing.
    pub missing: Vec<Step>,
    /// The addresses on the container's link now, and those that were taken away from it on purpose.
    pub addresses: Vec<ipnet::IpNet>,
    /// Whether the container's namespace is another one than at ADD.
    pub other_netns: bool,
}

impl Engine {
    /// Compares an attachment with its record.
    ///
    /// A delegated IPAM plugin is asked too: as `delegate` if the front knows better than the record.
    pub fn check(&self, key: &AttachmentKey, container: &Container, delegate: Option<Delegate>) -> Result<Drift> {
        let _key_lock = self.store.lock_attachment(key)?;
        let record = self.store.record(key)?.ok_or_else(|| {
            Error::new(Code::Drift, "there is no record of it: it was never made here, or has been removed")
                .context(format!("attachment {key} is not known"))
        })?;
        let facts = self.facts_to_check(&record, Some(container))?;
        let missing = plan::drift(&record, &facts);
        let cookie = container.endpoint.socket.cookie();
        let other_netns = record.netns.cookie != 0 && cookie != 0 && record.netns.cookie != cookie;
        if let Some(delegate) = Delegate::of(&record, delegate) {
            delegate.call("CHECK")?;
        }
        let here = facts.container.addresses.iter().filter(|address| address.link == *record.ifname());
        let addresses = here.map(|address| address.net).chain(record.withdrawn.iter().copied()).collect();
        Ok(Drift { record, missing, addresses, other_netns })
    }
}

impl Drift {
    /// An error that lists all that is missing, if anything is.
    pub fn refuse(&self) -> Result<()> {
        if self.other_netns {
            let why = format!("it was made in {}, which was another namespace", self.record.netns.path);
            return Err(Error::new(Code::Drift, why)
                .context(format!("attachment {} is not in this namespace", self.record.key)));
        }
        if self.missing.is_empty() {
            return Ok(());
        }
        let missing: Vec<String> = self.missing.iter().map(ToString::to_string).collect();
        let what = format!("attachment {} has drifted: {} of its steps do not hold", self.record.key, missing.len());
        Err(Error::new(Code::Drift, format!("missing: {}", missing.join("; "))).context(what))
    }
}
