//! Runs steps, and remembers which took effect.
//!
//! Consecutive netlink steps of one side go as one datagram. The kernel goes on after an error in a batch,
//! so what counts as done is what it acknowledged, not what came before the first error.

use std::io;

use super::channel::{Channel, batch_length, channel, created_link};
use super::{Container, Engine, refused};
use crate::error::{Code, Coded, Error, Result};
use crate::ipam::Delegate;
use crate::kernel::{self, Answer, Endpoint, KernelError, LinkView, Request};
use crate::model::{AttachmentKey, Family, IfName};
use crate::plan::{self, BridgeLink, Holder, Link, Object, Record, Setting, Side, Step, VlanLink};
use crate::store::Lock;

/// A run of steps for one attachment.
pub(super) struct Run<'a> {
    pub(super) engine: &'a Engine,
    pub(super) key: &'a AttachmentKey,
    pub(super) container: Option<&'a Container>,
    /// What `Add(Record)` writes.
    pub(super) record: Option<Record>,
    pub(super) delegate: Option<Delegate>,
    /// What the delegate printed.
    pub(super) delegated: Vec<u8>,
    /// The steps that took effect.
    pub(super) done: Vec<Step>,
    /// The kernel has refused a step because its object was in use.
    pub(super) was_busy: bool,
    /// The state lock; not held during slow steps.
    lock: Option<Lock>,
    /// The caller holds the state lock, for the whole run.
    caller_has_lock: bool,
}

impl<'a> Run<'a> {
    pub(super) fn new(engine: &'a Engine, key: &'a AttachmentKey, container: Option<&'a Container>) -> Self {
        Self {
            engine,
            key,
            container,
            record: None,
            delegate: None,
            delegated: Vec::new(),
            done: Vec::new(),
            was_busy: false,
            lock: None,
            caller_has_lock: false,
        }
    }

    /// Takes the state lock, if it is not held.
    pub(super) fn lock(&mut self) -> Result<()> {
        if self.lock.is_none() && !self.caller_has_lock {
            self.lock = Some(self.engine.store.lock()?);
        }
        Ok(())
    }

    /// Says that the caller holds the state lock: flock(2) would have the same process wait for itself.
    pub(super) fn assume_locked(&mut self) {
        self.caller_has_lock = true;
    }

    /// Runs the steps up to the first that fails.
    pub(super) fn run(&mut self, steps: &[Step]) -> Result<()> {
        let mut rest = steps;
        while let [step, ..] = rest {
            let count = match channel(step) {
                Channel::Netlink(side) => {
                    self.lock()?;
                    let count = batch_length(rest, side);
                    self.run_batch(side, &rest[..count])?;
                    count
                }
                Channel::Transaction => {
                    self.lock()?;
                    let count = rest.iter().take_while(|step| matches!(channel(step), Channel::Transaction)).count();
                    self.run_transaction(&rest[..count])?;
                    count
                }
                Channel::Alone => {
                    self.lock()?;
                    self.run_alone(step)?;
                    1
                }
                Channel::Slow => {
                    self.lock = None;
                    self.run_slow(step)?;
                    1
                }
            };
            rest = &rest[count..];
        }
        Ok(())
    }

    /// Runs the steps of an undo: each by itself (those in nf_tables together), going on after errors. What is gone already is no error.
    /// The record is kept if anything failed, for the next DEL to try again.
    pub(super) fn run_all(&mut self, steps: &[Step]) -> Vec<Error> {
        let mut errors = Vec::new();
        let both_in_nft =
            |a: &Step, b: &Step| matches!((channel(a), channel(b)), (Channel::Transaction, Channel::Transaction));
        for steps in steps.chunk_by(both_in_nft) {
            if matches!(steps, [Step::Del(Object::Record(_))]) && !errors.is_empty() {
                break;
            }
            if let Err(error) = self.run(steps) {
                errors.push(error);
            }
        }
        errors
    }

    fn endpoint(&self, side: Side) -> Result<&'a Endpoint> {
        match (side, self.container) {
            (Side::Host, _) => Ok(&self.engine.host),
            (Side::Container, Some(container)) => Ok(&container.endpoint),
            (Side::Container, None) => {
                Err(Error::new(Code::Internal, "a step inside the container without the container"))
            }
        }
    }

    fn run_batch(&mut self, side: Side, steps: &[Step]) -> Result<()> {
        let endpoint = self.endpoint(side)?;
        let mut requests: Vec<Request> = Vec::new();
        // Of each step, whether the message of the one before it does it, too.
        let mut joined = Vec::new();
        for step in steps {
            let request = self.request(endpoint, step).map_err(|error| refused(&error, step))?;
            joined.push(requests.last_mut().is_some_and(|before| kernel::join(before, &request)));
            if joined.last() == Some(&false) {
                requests.push(request);
            }
            requests.extend(created_link(step).map(kernel::get_link));
        }
        let answers = endpoint.socket.batch(requests).map_err(|error| {
            // Nobody knows what the kernel has done: the undo looks for all of it.
            self.done.extend(steps.iter().cloned());
            refused(&error, &steps[0])
        })?;
        let mut answers = answers.into_iter();
        let mut first_error = None;
        let mut outcome = Ok(());
        for (step, is_joined) in steps.iter().zip(joined) {
            // The link may be there, and only the question for its index have been refused.
            let is_made = created_link(step).is_some() && answers.as_slice().first().is_some_and(Result::is_ok);
            if !is_joined {
                outcome = self.take_answers(step, &mut answers);
            }
            if is_made || outcome.is_ok() {
                self.done.push(step.clone());
            }
            match outcome.clone() {
                Ok(()) => {}
                Err(error) if is_removal(step) && error.is_absent() => {}
                // Another attachment of the network has made it, or somebody whose it stays: a DEL goes by our protocol.
                Err(error) if matches!(step, Step::Add(Object::Pool(_))) && error.is_exists() => {
                    self.done.push(step.clone());
                }
                Err(error) => {
                    self.was_busy |= error.is_busy();
                    first_error = first_error.or_else(|| Some(explain(step, &error)));
                }
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    /// One answer a step; one more, for its index, if it creates a link.
    fn take_answers(&self, step: &Step, answers: &mut impl Iterator<Item = Answer>) -> Result<(), KernelError> {
        let lost = || Err(KernelError { errno: nix::libc::EPROTO, message: Some("no answer".into()) });
        let answer = answers.next().unwrap_or_else(lost);
        if let (Step::Set(Setting::Name { link, name }), Some(container)) = (step, self.container) {
            container.endpoint.forget(if answer.is_ok() { link } else { name });
        }
        if created_link(step).is_none() {
            return answer.map(drop);
        }
        let view = answers.next().unwrap_or_else(lost);
        answer?;
        self.learn(step, &LinkView::from_answer(view)?);
        Ok(())
    }

    fn learn(&self, step: &Step, view: &LinkView) {
        self.engine.host.learn(&view.name, view.index);
        if let (Step::Add(Object::Veth(veth)), Some(container), Some(peer)) = (step, self.container, view.peer) {
            container.endpoint.learn(&veth.peer, peer);
        }
    }

    /// The message of a step.
    fn request(&self, endpoint: &Endpoint, step: &Step) -> Result<Request, KernelError> {
        let index = |name: &IfName| {
            let unknown = || KernelError { errno: nix::libc::ENODEV, message: Some(format!("{name} is not known")) };
            endpoint.index(name).ok_or_else(unknown)
        };
        Ok(match step {
            Step::Add(Object::Veth(veth)) => {
                let netns = &self.container.ok_or(KernelError { errno: nix::libc::EINVAL, message: None })?.netns;
                kernel::create_veth(veth, veth.bridge.as_ref().map(index).transpose()?, netns)
            }
            Step::Add(Object::Bridge(bridge)) => kernel::create_bridge(bridge),
            Step::Add(Object::Vlan(vlan)) => kernel::add_vlan(index(&vlan.link)?, vlan),
            Step::Del(Object::Vlan(vlan)) => kernel::delete_vlan(index(&vlan.link)?, vlan),
            Step::Add(Object::VlanLink(link)) => kernel::create_vlan_link(index(&link.bridge)?, link),
            Step::Set(Setting::VlanFiltering { bridge, on }) => kernel::set_vlan_filtering(index(bridge)?, *on),
            Step::Add(Object::Address(_, address)) => kernel::add_address(index(&address.link)?, address),
            Step::Del(Object::Address(_, address)) => kernel::delete_address(index(&address.link)?, address),
            Step::Add(Object::Route(_, route)) => kernel::add_route(index(&route.link)?, route)?,
            Step::Del(Object::Route(_, route)) => kernel::delete_route(index(&route.link)?, route)?,
            Step::Add(Object::Proxy(link, address)) => kernel::add_proxy(index(link)?, *address),
            Step::Del(Object::Proxy(link, address)) => kernel::delete_proxy(index(link)?, *address),
            Step::Add(Object::Pool(pool)) => kernel::add_pool(pool)?,
            Step::Del(Object::Pool(pool)) => kernel::delete_pool(pool)?,
            Step::Set(Setting::Route(_, route)) => kernel::replace_route(index(&route.link)?, route)?,
            Step::Set(Setting::State { link, up, .. }) => kernel::set_state(index(link)?, *up),
            Step::Set(Setting::AddressGeneration { link, on, .. }) => kernel::set_address_generation(index(link)?, *on),
            Step::Set(Setting::Name { link, name }) => {
                let index = index(link)?;
                endpoint.learn(name, index); // whatever becomes of it, both names mean this link
                kernel::set_name(index, name)
            }
            Step::Set(Setting::Alias { link, alias }) => kernel::set_alias(index(link)?, alias),
            Step::Set(Setting::Mtu { link, mtu, .. }) => kernel::set_mtu(index(link)?, *mtu),
            Step::Add(Object::Ifb(ifb)) => kernel::create_ifb(ifb),
            Step::Set(Setting::Flags { link, flags, .. }) => kernel::set_flags(index(link)?, *flags),
            Step::Add(Object::Loopback(Family::V4, link)) => kernel::route_loopback(index(link)?),
            Step::Add(Object::Loopback(Family::V6, link)) => kernel::add_loopback_route(index(link)?),
            Step::Del(Object::Loopback(Family::V6, link)) => kernel::delete_loopback_route(index(link)?),
            Step::Set(Setting::StrictArp { link, .. }) => kernel::set_strict_arp(index(link)?),
            Step::Set(Setting::Port(port)) => kernel::set_port(index(&port.link)?, port),
            Step::Announce(link, mac) => kernel::set_mac(index(link)?, *mac),
            _ => return Err(KernelError { errno: nix::libc::EINVAL, message: Some("not a netlink step".into()) }),
        })
    }

    fn run_alone(&mut self, step: &Step) -> Result<()> {
        let store = &self.engine.store;
        // What fails half way (a full disk, a lost answer) may have had an effect: the undo looks for it.
        self.done.push(step.clone());
        match step {
            Step::Add(Object::Record(_)) => match &self.record {
                Some(record) => store.write_record(record)?,
                None => return Err(Error::new(Code::Internal, "a record is to be written, and there is none")),
            },
            Step::Del(Object::Record(key)) => store.remove_record(key)?,
            Step::Add(Object::Lease(lease)) => store.reserve(lease, self.key)?,
            Step::Del(Object::Lease(lease)) => store.release(lease, self.key)?,
            Step::Add(Object::Use(shared)) => store.add_use(shared, self.key)?,
            Step::Del(Object::Use(shared)) => store.del_use(shared, self.key)?,
            Step::Add(Object::Holder(holder)) => {
                let created = kernel::create_holder(&self.engine.host, holder);
                let found = match created {
                    Ok(_) => self.engine.host.look_up(std::slice::from_ref(&holder.name), &[]).map(drop),
                    Err(error) => Err(error),
                };
                found.map_err(|error| explain(step, &error))?;
            }
            Step::Del(Object::Veth(veth)) => self.remove(step, &veth.host, |link| link.is_host_side(veth))?,
            Step::Del(Object::Ifb(ifb)) => {
                self.remove(step, &ifb.name, |link| link.is_ours(&ifb.alias))?;
            }
            Step::Add(Object::Limit(link, rate)) => {
                let limited = kernel::limit(&self.engine.host, self.index(link)?, rate);
                limited.map_err(|error| explain(step, &error))?;
            }
            Step::Add(Object::Redirect(from, to)) => {
                let redirected = kernel::redirect(&self.engine.host, self.index(from)?, self.index(to)?);
                redirected.map_err(|error| explain(step, &error))?;
            }
            Step::Del(Object::Limit(link, _)) => {
                let lifted = kernel::unlimit(&self.engine.host, self.index(link)?);
                lifted.or_else(unless_absent).map_err(|error| explain(step, &error))?;
            }
            Step::Del(Object::Redirect(link, _)) => {
                let lifted = kernel::undirect(&self.engine.host, self.index(link)?);
                lifted.or_else(unless_absent).map_err(|error| explain(step, &error))?;
            }
            Step::Del(Object::Bridge(bridge)) => {
                self.remove(step, &bridge.name, |link| link.is_ours(BridgeLink::ALIAS))?;
            }
            Step::Del(Object::VlanLink(link)) => {
                self.remove(step, &link.name, |there| there.is_ours(VlanLink::ALIAS))?;
            }
            Step::Del(Object::Holder(holder)) => {
                self.remove(step, &holder.name, |link| link.is_ours(Holder::ALIAS))?;
            }
            Step::Del(Object::Loopback(_, link)) => {
                let written = self.engine.sysctls.write(&plan::localnet_key(link), "0");
                match written {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {} // the link is gone
                    written => written.coded(Code::Kernel, || step.to_string()).map_err(Error::with_permission_hint)?,
                }
            }
            Step::Set(Setting::Sysctl(sysctl)) => {
                let written = match (sysctl.side, self.container) {
                    (Side::Container, Some(container)) => container.write_sysctl(&sysctl.key, &sysctl.value),
                    _ => self.engine.sysctls.write(&sysctl.key, &sysctl.value),
                };
                match written {
                    Err(error) if sysctl.precaution && error.kind() == io::ErrorKind::ReadOnlyFilesystem => {}
                    written => written.coded(Code::Kernel, || step.to_string()).map_err(Error::with_permission_hint)?,
                }
            }
            _ => return Err(Error::new(Code::Internal, format!("{step} is not to be done alone"))),
        }
        Ok(())
    }

    fn index(&self, link: &IfName) -> Result<u32> {
        let unknown = || Error::new(Code::Kernel, format!("{link} is not known"));
        self.engine.host.index(link).ok_or_else(unknown)
    }

    fn remove(&self, step: &Step, name: &IfName, is_ours: impl Fn(&Link) -> bool) -> Result<()> {
        let index = match self.engine.host.index(name) {
            Some(index) => index,
            None => match self.find_ours(name, is_ours).map_err(|error| explain(step, &error))? {
                Some(index) => index,
                None => return Ok(()),
            },
        };
        let remove = match step {
            Step::Del(Object::Bridge(_) | Object::Holder(_)) => kernel::remove_bridge,
            _ => kernel::remove_link,
        };
        match remove(&self.engine.host, name, index, self.engine.nft.get()) {
            Err(error) if !error.is_absent() => Err(explain(step, &error)),
            _ => Ok(()),
        }
    }

    /// The index of a link that we never heard of again after we asked for it.
    fn find_ours(&self, name: &IfName, is_ours: impl Fn(&Link) -> bool) -> Result<Option<u32>, KernelError> {
        let (views, _) = self.engine.host.look_up(std::slice::from_ref(name), &[])?;
        let ours = views.into_iter().flatten().find(|view| is_ours(&view.link));
        Ok(ours.map(|view| view.index))
    }

    fn run_slow(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Add(Object::Delegation(_)) => {
                // A plugin that was killed half way may hold a lease: once called, it must be undone.
                self.done.push(step.clone());
                let printed = self.delegate()?.call("ADD");
                if printed.as_ref().is_err_and(|error| error.code == Code::IncompatibleVersion) {
                    self.done.pop(); // it has not even looked at what was asked
                }
                self.delegated = printed?;
                return Ok(());
            }
            Step::Del(Object::Delegation(_)) => drop(self.delegate()?.call("DEL")?),
            Step::Await(readiness) => {
                let endpoint = self.endpoint(readiness.side)?;
                let missing = kernel::await_ready(endpoint, readiness).map_err(|error| explain(step, &error))?;
                if let Some(missing) = missing {
                    return Err(Error::new(Code::TryAgainLater, "the other end is down, or the host is very busy")
                        .context(format!("{missing} is not ready")));
                }
            }
            Step::Forget(stale) => self.engine.forget(stale).map_err(|error| explain(step, &error))?,
            Step::Proclaim(link, address) => {
                kernel::proclaim(link, *address).coded(Code::Kernel, || step.to_string())?;
            }
            Step::Announce(..) => return self.run_batch(Side::Container, std::slice::from_ref(step)),
            _ => return Err(Error::new(Code::Internal, format!("{step} is not slow"))),
        }
        self.done.push(step.clone());
        Ok(())
    }

    fn delegate(&self) -> Result<&Delegate> {
        self.delegate.as_ref().ok_or_else(|| Error::new(Code::Internal, "no IPAM plugin to delegate to"))
    }
}

/// What is gone already need not be taken away.
fn unless_absent(error: KernelError) -> Result<(), KernelError> {
    if error.is_absent() { Ok(()) } else { Err(error) }
}

pub(super) fn is_removal(step: &Step) -> bool {
    matches!(step, Step::Del(_))
}

/// What to do about a kernel that does not rename a link which is up.
const ONLY_DOWN: &str = "before Linux 6.2 a link must be down for that: springline rename --interrupt takes it down and up \
    again. What is sent meanwhile is lost, and so are, of what the container itself has put on it, IPv6 addresses with \
    lifetimes and routes with several next hops";

/// What to do about a kernel whose bridges do not filter VLANs.
const WITHOUT_VLANS: &str = "it was built without CONFIG_BRIDGE_VLAN_FILTERING: leave bridge.vlan out, and give each \
    network a bridge of its own";

/// What failed, with the kernel's reason; the object came into being under our eyes if the kernel says that
/// it exists, for the plan had looked.
fn explain(step: &Step, error: &KernelError) -> Error {
    let refusal = refused(error, step);
    match step {
        Step::Add(Object::Bridge(_) | Object::VlanLink(_) | Object::Holder(_)) if error.is_exists() => {
            Error { code: Code::TryAgainLater, ..refusal }.hint("another program made it at this very moment")
        }
        Step::Set(Setting::VlanFiltering { .. }) if error.is_unsupported() => {
            refusal.context("this kernel's bridges know no VLANs").hint(WITHOUT_VLANS)
        }
        Step::Add(Object::VlanLink(_)) if error.is_unsupported() => {
            refusal.context("this kernel has no links in VLANs").hint("modprobe 8021q (CONFIG_VLAN_8021Q)")
        }
        Step::Add(Object::Address(Side::Container, address))
            if error.is_forbidden() && address.net.addr().is_ipv6() =>
        {
            plan::without_ipv6("the container's namespace")
        }
        Step::Set(Setting::Name { link, name }) if error.is_busy() => {
            refusal.context(format!("{link} cannot become {name} while it is up")).hint(ONLY_DOWN)
        }
        _ => refusal,
    }
}
