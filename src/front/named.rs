//! Attaching a container to networks by their names: what every face does that is not given a configuration.

use std::net::IpAddr;

use super::definition::Definition;
use crate::error::{Error, Result};
use crate::exec::{AttachRequest, Container, Engine, Today};
use crate::model::{AttachmentKey, ContainerId, Maker, Outcome, Wanted};
use crate::plan::Phase;

/// A container of a runtime that has at most one network namespace for it at a time, and its interfaces.
#[derive(Debug)]
pub struct Guest {
    /// Its id.
    pub container: ContainerId,
    /// By whom it is attached.
    pub maker: Maker,
    /// What it is to have.
    pub interfaces: Vec<Wanted>,
}

impl Guest {
    /// Attaches the container whose namespace is at `netns` to all networks, or to none.
    ///
    /// Whatever its maker has made for this id before is cleared away first, also if its namespace lives on: the
    /// runtime says that the container begins, so nothing of it can have been in use.
    pub fn attach(&self, engine: &Engine, netns: &str) -> Result<Vec<(AttachmentKey, Outcome)>> {
        let requests = self.interfaces.iter().map(|wanted| self.request(wanted, netns)).collect::<Result<Vec<_>>>()?;
        let container = Container::open(netns, false)?;
        let previous = self.clear(engine)?;
        let mut done = Vec::new();
        for mut request in requests {
            let key = request.attachment.key.clone();
            request.wishes.previous.clone_from(&previous);
            match engine.attach(request, &container) {
                Ok(outcome) => done.push((key, outcome)),
                Err(error) => {
                    let AttachmentKey { network, container, ifname } = &key;
                    let error = error.context(format!("attach {container} to network {network} as {ifname}"));
                    return Err(take_back(engine, &done, error));
                }
            }
        }
        Ok(done)
    }

    /// Whether all of it is there already, made by its maker for the very process whose namespace is at `netns`.
    pub fn is_attached(&self, engine: &Engine, netns: &str) -> Result<bool> {
        let mut cookie = None;
        for wanted in &self.interfaces {
            let Ok(Some(record)) = engine.store.record(&self.key(wanted)) else { return Ok(false) };
            let is_ready = record.phase == Phase::Ready && record.maker == self.maker;
            if !is_ready || record.netns.path != netns || record.boot != engine.store.boot() {
                return Ok(false);
            }
            if cookie.is_none() {
                cookie = Some(Container::open(netns, false)?.endpoint.socket.cookie());
            }
            if cookie != Some(record.netns.cookie) {
                return Ok(false);
            }
        }
        Ok(!self.interfaces.is_empty())
    }

    /// Removes all that its maker has made for this id, and what is left of the interfaces that it is to have, if
    /// their records are lost. Goes on after errors. How many attachments there were.
    pub fn detach(&self, engine: &Engine) -> Result<usize> {
        let mut keys = self.own(engine)?;
        for wanted in &self.interfaces {
            let key = self.key(wanted);
            let is_lost = matches!(engine.store.record(&key), Ok(None) | Err(_));
            if is_lost && !keys.contains(&key) {
                keys.push(key);
            }
        }
        let (mut count, mut errors) = (0, Vec::new());
        for key in keys {
            match engine.detach(&key, Definition::today_by_name(&key)) {
                Ok(known) => count += usize::from(known),
                Err(error) => errors.push(error.context(format!("detach {key}"))),
            }
        }
        Error::all(errors).map(|()| count)
    }

    fn key(&self, wanted: &Wanted) -> AttachmentKey {
        AttachmentKey {
            network: wanted.network.clone(),
            container: self.container.clone(),
            ifname: wanted.ifname.clone(),
        }
    }

    /// The attachments of this id whose record says that they are of the same maker.
    fn own(&self, engine: &Engine) -> Result<Vec<AttachmentKey>> {
        let mut keys = engine.store.attachments_of_container(&self.container)?;
        keys.retain(|key| matches!(engine.store.record(key), Ok(Some(record)) if record.maker == self.maker));
        Ok(keys)
    }

    /// Clears away what the container had before. Its addresses, which it gets back if they are free.
    fn clear(&self, engine: &Engine) -> Result<Vec<IpAddr>> {
        let mut addresses = Vec::new();
        for key in self.own(engine)? {
            if let Ok(Some(record)) = engine.store.record(&key) {
                addresses.extend(record.addresses());
            }
            let cleared = engine.detach(&key, Today::default());
            cleared.map_err(|error| error.context(format!("clear away the earlier attachment {key}")))?;
        }
        Ok(addresses)
    }

    fn request(&self, wanted: &Wanted, netns: &str) -> Result<AttachRequest> {
        Definition::request_by_name(self.key(wanted), netns, &wanted.wish, self.maker.clone())
    }
}

/// Detaches what was attached before the error. The error, with what could not be undone.
fn take_back(engine: &Engine, done: &[(AttachmentKey, Outcome)], error: Error) -> Error {
    let mut error = error;
    for (key, _) in done.iter().rev() {
        if let Err(why) = engine.detach(key, Today::default()) {
            error = error.hint(format!("{key} could not be taken back: {:#}", why.source));
        }
    }
    error
}
