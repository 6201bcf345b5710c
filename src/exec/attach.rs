//! ADD: observe, choose addresses, plan, run; or undo.

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use super::run::Run;
use super::{Container, Engine, Today};
use crate::error::{Code, Error, Result};
use crate::ipam::{self, Delegate, Wishes};
use crate::kernel::Netns;
use crate::model::{Assigned, Attachment, AttachmentKey, Ipam, Maker, Mode, Outcome};
use crate::plan::{self, Facts, NetnsIdentity, Object, Phase, Plan, Record, Step};

/// An attachment to be made.
pub struct AttachRequest {
    /// What is wanted; its addresses are still open.
    pub attachment: Attachment,
    /// Which addresses would be liked.
    pub wishes: Wishes,
    /// By whom it is made.
    pub maker: Maker,
    /// The plugin that gives out the addresses, if the network delegates that.
    pub delegate: Option<Delegate>,
    /// Reads what the delegate printed, which only its front understands.
    pub read_delegated: ReadDelegated,
}

/// Reads what a delegated IPAM plugin printed.
pub type ReadDelegated = Box<dyn Fn(&[u8]) -> Result<Assigned>>;

impl Engine {
    /// Makes an attachment, whole or not at all.
    pub fn attach(&self, request: AttachRequest, container: &Container) -> Result<Outcome> {
        let key = request.attachment.key.clone();
        let _key_lock = self.store.lock_attachment(&key)?;
        let mut adding = Adding {
            engine: self,
            container,
            run: Run::new(self, &key, Some(container)),
            attachment: request.attachment,
            maker: request.maker,
            before: None,
        };
        adding.run.lock()?;
        let mut wishes = request.wishes;
        wishes.previous.extend(adding.take_over()?);
        let outcome = match request.delegate {
            None => adding.with_own_addresses(&wishes),
            Some(delegate) => adding.with_delegate(&delegate, &request.read_delegated),
        };
        match outcome {
            Ok(outcome) => Ok(outcome),
            Err(error) => Err(adding.undo(error)),
        }
    }
}

struct Adding<'a> {
    engine: &'a Engine,
    container: &'a Container,
    run: Run<'a>,
    attachment: Attachment,
    maker: Maker,
    /// The facts before the first change.
    before: Option<Facts>,
}

impl Adding<'_> {
    /// Clears away what an earlier ADD of the same key left: one that was killed half way, or one whose
    /// namespace has died without a DEL. Returns the addresses that it had.
    fn take_over(&mut self) -> Result<Vec<IpAddr>> {
        let key = &self.attachment.key;
        let Some(record) = self.engine.store.record(key)? else { return Ok(Vec::new()) };
        if record.phase == Phase::Ready && self.engine.is_alive(&record) {
            let what = format!("made by {}, it lives in {}; call DEL first", record.maker, record.netns.path);
            return Err(Error::new(Code::InvalidEnvironment, what).context(format!("attachment {key} exists already")));
        }
        let addresses = record.steps.iter().filter_map(|step| match step {
            Step::Add(Object::Lease(lease)) => Some(lease.address),
            _ => None,
        });
        let addresses = addresses.collect();
        let errors = self.engine.remove(&mut self.run, &record, None)?;
        self.run.done.clear();
        self.run.lock()?;
        match errors.into_iter().next() {
            Some(error) => Err(error.context(format!("clear away the earlier attachment {key}"))),
            None => Ok(addresses),
        }
    }

    fn with_own_addresses(&mut self, wishes: &Wishes) -> Result<Outcome> {
        if let Some(ipam @ Ipam::BuiltIn { .. }) = self.attachment.network.ipam.clone() {
            let chosen = self.engine.choose(&self.attachment.key, &ipam, wishes)?;
            chosen.give_to(&mut self.attachment);
        }
        let (plan, outcome) = self.plan()?;
        self.run.record = Some(Record { outcome: Some(outcome.clone()), ..self.record(&plan.steps, None) });
        self.run.run(&plan.steps)?;
        self.engine.store.complete_record(&self.attachment.key)?;
        Ok(outcome)
    }

    /// With a delegate, the link comes first: `dhcp` asks through it. The delegate is called without the
    /// state lock, for it may take long; then a second plan adds what is missing.
    fn with_delegate(&mut self, delegate: &Delegate, read: &ReadDelegated) -> Result<Outcome> {
        delegate.find()?; // before the first change, rather than after
        let delegation = delegate.delegation.clone();
        let step = Step::Add(Object::Delegation(delegation.plugin.clone()));
        let (first, first_outcome) = self.plan()?;
        let steps: Vec<Step> = first.steps.iter().cloned().chain([step]).collect();
        let mut record = self.record(&steps, Some(delegate));
        self.run.record = Some(record.clone());
        self.run.delegate = Some(delegate.clone());
        self.run.run(&steps)?;
        let given = read(&self.run.delegated)?;
        if given.addresses.is_empty() {
            return Err(Error::new(Code::Delegate, format!("IPAM plugin {}", delegation.plugin))
                .context("IPAM plugin returned missing IP config"));
        }
        self.attachment.addresses = given.addresses;
        self.attachment.container_routes = given.routes;
        if !given.dns.is_empty() && self.attachment.dns.is_empty() {
            self.attachment.dns = given.dns;
        }
        self.run.lock()?;
        let (second, outcome) = self.plan()?;
        let outcome = Outcome { links: first_outcome.links, ..outcome };
        record.steps.extend(second.steps.iter().cloned());
        record.outcome = Some(outcome.clone());
        record.wanted = Some(Box::new(self.attachment.clone()));
        self.engine.store.write_record(&record)?;
        self.run.run(&second.steps)?;
        self.engine.store.complete_record(&self.attachment.key)?;
        Ok(outcome)
    }

    fn plan(&mut self) -> Result<(Plan, Outcome)> {
        let mut facts = self.engine.facts_to_attach(self.container, &self.attachment)?;
        if self.is_forgotten(&facts) {
            self.clear_forgotten(&facts)?;
            facts = self.engine.facts_to_attach(self.container, &self.attachment)?;
        }
        if !facts.port_claims.is_empty() && self.engine.reclaim_ports(&self.attachment, &facts)? > 0 {
            facts = self.engine.facts_to_attach(self.container, &self.attachment)?;
        }
        let plan = plan::attach(&self.attachment, &facts)?;
        let bridge = match &self.attachment.network.mode {
            Mode::Bridged(bridge) => facts.host_link(&bridge.name).and_then(|link| link.mac),
            Mode::Routed(_) => None,
        };
        let outcome = plan::outcome(&self.attachment, &plan, bridge);
        self.before.get_or_insert(facts);
        Ok((plan, outcome))
    }

    /// Whether the host side is there, by name and alias, but no record of it: the state was lost.
    fn is_forgotten(&self, facts: &Facts) -> bool {
        let key = &self.attachment.key;
        let ours = facts.host_link(&self.attachment.host_link).is_some_and(|link| link.alias == Some(key.alias()));
        ours && !facts.records.contains(key)
    }

    /// Removes a forgotten pair, unless it ends in this very container: then it is alive.
    fn clear_forgotten(&mut self, facts: &Facts) -> Result<()> {
        let key = self.attachment.key.clone();
        let inside = self.engine.other_end(&self.attachment.host_link, self.container);
        let inside = inside.map_err(|error| super::refused(&error, "look at the pair"))?;
        let namesake = || facts.container.links.contains_key(&key.ifname).then(|| key.ifname.clone());
        if let Some(ifname) = inside.or_else(namesake) {
            let netns = &self.attachment.netns;
            let what = format!("{ifname} is in {netns} already, but its record is lost; call DEL first");
            return Err(Error::new(Code::InvalidEnvironment, what).context(format!("attachment {key} exists already")));
        }
        let today = Today { links: vec![self.attachment.host_link.clone()], ..Today::default() };
        if let Some(record) = self.engine.lost_record(&key, &today)? {
            let errors = self.engine.remove(&mut self.run, &record, None)?;
            self.run.done.clear();
            self.run.lock()?;
            errors.into_iter().next().map_or(Ok(()), Err)?;
        }
        Ok(())
    }

    fn record(&self, steps: &[Step], delegate: Option<&Delegate>) -> Record {
        Record {
            version: Record::VERSION,
            phase: Phase::Begun,
            key: self.attachment.key.clone(),
            boot: self.engine.store.boot().to_owned(),
            netns: NetnsIdentity {
                path: self.attachment.netns.clone(),
                cookie: self.container.endpoint.socket.cookie(),
            },
            steps: steps.to_vec(),
            maker: self.maker.clone(),
            made_at: seconds_since_1970(),
            wanted: Some(Box::new(self.attachment.clone())),
            withdrawn: Vec::new(),
            changing: false,
            outcome: None,
            delegation: delegate.map(|delegate| delegate.delegation.clone()),
        }
    }

    /// Goes back to the facts of before, and says with the error whether that worked.
    fn undo(mut self, error: Error) -> Error {
        let done = std::mem::take(&mut self.run.done);
        let Some(before) = self.before.take().filter(|_| !done.is_empty()) else { return error };
        let mut failures = match self.undo_steps(&done, &before) {
            Ok(steps) => self.run.run_all(&steps),
            Err(why) => vec![why],
        };
        if !failures.is_empty()
            && let Ok(Some(rest)) = self.undo_anew()
        {
            failures = rest;
        }
        match failures.as_slice() {
            [] => error.hint("everything was undone"),
            failures => {
                let failures: Vec<String> = failures.iter().map(|failure| format!("{:#}", failure.source)).collect();
                error.hint(format!("the undo is not complete, run DEL: {}", failures.join("; ")))
            }
        }
    }

    /// What is left of the undo as DEL would do it, by the record and with sockets of its own: after an error at a system
    /// call, the old ones may be of no use. What is left then; nothing is known without a record.
    fn undo_anew(self) -> Result<Option<Vec<Error>>> {
        let Self { engine, run, attachment, .. } = self;
        let delegate = run.delegate.clone();
        drop(run); // and with it the state lock, which DEL does not hold while a delegate is at work
        let engine = Engine::open(engine.store.clone())?;
        let mut run = Run::new(&engine, &attachment.key, None);
        run.lock()?;
        let record = engine.store.record(&attachment.key)?;
        record.map(|record| engine.remove(&mut run, &record, delegate)).transpose()
    }

    fn undo_steps(&mut self, done: &[Step], before: &Facts) -> Result<Vec<Step>> {
        self.run.lock()?;
        let key = &self.attachment.key;
        let mut now = before.clone();
        for step in done {
            now.apply(step, key);
        }
        // While the lock was open, others may have begun to use what we made.
        for (shared, users) in &mut now.users {
            users.others = self.engine.store.users(shared, key)?.others;
        }
        Ok(plan::undo(key, done, Some(before), &now))
    }
}

fn seconds_since_1970() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Engine {
    /// Whether the namespace of a record is provably alive: its path still leads to it.
    #[must_use]
    pub fn is_alive(&self, record: &Record) -> bool {
        if record.boot != self.store.boot() {
            return false;
        }
        let cookie = Netns::open(&record.netns.path).ok().and_then(|netns| netns.connect().ok());
        cookie.is_some_and(|endpoint| endpoint.socket.cookie() == record.netns.cookie)
    }

    /// Chooses addresses; if a range is full, of dead attachments' too, and if one is asked for by name, that of a dead
    /// attachment.
    fn choose(&self, key: &AttachmentKey, ipam: &Ipam, wishes: &Wishes) -> Result<ipam::Chosen> {
        let error = match ipam::choose(&self.store, key, ipam, wishes) {
            Err(error) => error,
            chosen => return chosen,
        };
        let is_full = error.code == Code::TryAgainLater;
        let is_asked = |address: IpAddr| wishes.requested.iter().any(|wish| wish.addr() == address);
        if self.reclaim(key, ipam, |address| is_full || is_asked(address))? == 0 {
            return Err(error);
        }
        ipam::choose(&self.store, key, ipam, wishes)
    }
}
