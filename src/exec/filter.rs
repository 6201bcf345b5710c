//! nf_tables and connection tracking: facts and transactions.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::run::Run;
use super::{Engine, refused};
use crate::error::{Code, Coded, Result};
use crate::kernel::nft::{ChainView, Change, ElementView, Failure, Nft};
use crate::kernel::{self, Conntrack, KernelError};
use crate::model::{Attachment, AttachmentKey, Family, IfName, Mode};
use crate::plan::{
    self, Element, ElementFact, Facts, Field, Held, Object, Part, Record, RouteKind, Set, Shared, Sibling, Stale, Step,
    Table, VERSION,
};

/// What to do about a kernel without nf_tables.
const WITHOUT: &str = "\"antiSpoof\": false, without masquerade, ports and isolation, does without nf_tables";

impl Engine {
    pub(super) fn nft(&self) -> Result<&Nft> {
        if let Some(nft) = self.nft.get() {
            return Ok(nft);
        }
        let nft =
            Nft::open().coded(Code::Kernel, || "open a socket to nf_tables").map_err(|error| error.hint(WITHOUT))?;
        Ok(self.nft.get_or_init(|| nft))
    }

    /// What of `wanted` is there: parts of the ruleset, chains, elements.
    fn observe_filter(&self, facts: &mut Facts, parts: &[Part], chains: &[String], elements: &[Element]) -> Result<()> {
        if parts.is_empty() && chains.is_empty() && elements.is_empty() {
            return Ok(());
        }
        let names: Vec<(Table, &str)> = parts
            .iter()
            .map(|part| (part.table(), part.first_chain().0))
            .chain(chains.iter().map(|name| (Table::Inet, name.as_str())))
            .collect();
        let wanted: Vec<&Element> = elements.iter().collect();
        let found = self.nft()?.look_up(&names, &wanted);
        let (views, elements_there) = found.map_err(|error| refused(&error, "look at nf_tables").hint(WITHOUT))?;
        let (views_of_parts, views_of_chains) = views.split_at(parts.len());
        let whole = parts.iter().zip(views_of_parts).filter(|(part, view)| is_whole(**part, view.as_ref()));
        facts.parts.extend(whole.map(|(part, _)| *part));
        let there = chains.iter().zip(views_of_chains).filter(|(_, view)| view.is_some());
        facts.chains.extend(there.map(|(name, _)| name.clone()));
        for (element, view) in elements.iter().zip(elements_there) {
            if let Some(view) = view {
                let fact = ElementFact { value: view.value, owner: view.comment };
                facts.elements.insert((element.set, element.key.clone()), fact);
            }
        }
        Ok(())
    }

    /// The facts in nf_tables for `plan::attach`; the links' must be there already.
    pub(super) fn observe_filter_to_attach(&self, facts: &mut Facts, attachment: &Attachment) -> Result<()> {
        // Siblings have links inside, unless those are gone.
        let may_be_there = |name: &IfName| *name != IfName::loopback() && *name != attachment.key.ifname;
        if facts.container.links.keys().any(may_be_there) {
            facts.siblings = self.siblings(&attachment.key, facts.container_cookie)?;
        }
        let wanted = plan::wanted_filter(attachment, facts)?;
        let stakes = wanted.chains.iter().map(|chain| Shared::Chain(chain.name.clone()));
        let stakes: BTreeSet<Shared> = stakes.chain(wanted.shared.iter().map(|(shared, _)| shared.clone())).collect();
        for shared in stakes {
            if let Shared::Loopback(link) = &shared {
                self.observe_loopback(facts, link)?;
            }
            let users = self.store.users(&shared, &attachment.key)?;
            facts.users.insert(shared, users);
        }
        if !attachment.ports.is_empty() && matches!(attachment.network.mode, Mode::Bridged(_)) {
            let read = |key: &str| Some((key.to_owned(), self.sysctls.read(key).ok()?));
            facts.host.sysctls.extend(plan::BRIDGE_NETFILTER.into_iter().filter_map(read));
        }
        let chains: Vec<String> = wanted.chains.into_iter().map(|chain| chain.name).collect();
        let shared = wanted.shared.into_iter().map(|(_, element)| element);
        let elements: Vec<Element> = wanted.elements.into_iter().chain(wanted.siblings).chain(shared).collect();
        self.observe_filter(facts, &wanted.parts, &chains, &elements)?;
        facts.port_claims = self.port_claims(attachment, facts)?;
        Ok(())
    }

    /// The facts in nf_tables for `plan::detach` and `plan::drift`: what the steps name. When shared elements go with
    /// their last user, they are known by the stake.
    pub(super) fn observe_filter_of(&self, facts: &mut Facts, record: &Record) -> Result<()> {
        let (mut parts, mut chains, mut elements) = (Vec::new(), Vec::new(), Vec::new());
        if self.store.may_have_siblings(&record.key.container) {
            facts.siblings = self.siblings(&record.key, record.netns.cookie)?;
        }
        for link in facts.siblings.iter().filter_map(|sibling| sibling.guarded.as_ref()) {
            elements.extend(record.addresses().into_iter().flat_map(|address| link.source(address)));
        }
        let steps = &record.steps;
        for step in steps {
            match step {
                Step::Add(Object::Part(part)) => parts.push(*part),
                Step::Add(Object::Chain(chain)) => chains.push(chain.name.clone()),
                Step::Add(Object::Use(Shared::Chain(name))) => chains.push(name.clone()),
                Step::Add(Object::Element(held)) => elements.push(held.element.clone()),
                Step::Add(Object::Use(Shared::Loopback(link))) => {
                    self.observe_loopback(facts, link)?;
                    elements.push(Element::of(Set::LoopbackLinks, [Field::Link(link.clone())]));
                }
                Step::Add(Object::Use(Shared::Isolated(link))) => {
                    let sets = [Set::IsolatedLinks, Set::IsolatedNetworks];
                    elements.extend(sets.map(|set| Element::of(set, [Field::Link(link.clone())])));
                }
                _ => {}
            }
        }
        self.observe_filter(facts, &parts, &chains, &elements)
    }

    /// The other attachments of a container: those of the same id whose namespace is the same.
    fn siblings(&self, key: &AttachmentKey, cookie: u64) -> Result<Vec<Sibling>> {
        let mut siblings = Vec::new();
        for other in self.store.attachments_of_container(&key.container)? {
            // An unreadable record is for its own DEL to settle.
            if other != *key
                && let Ok(Some(record)) = self.store.record(&other)
                && record.netns.cookie == cookie
            {
                siblings.push(record.as_sibling());
            }
        }
        Ok(siblings)
    }

    /// Takes the parts whose rules are not all there for missing, whichever chain they are missing from. It lists the
    /// rules of our tables, which are few; nobody but CHECK does.
    pub(super) fn observe_rules(&self, facts: &mut Facts) -> Result<()> {
        let parts: Vec<Part> = facts.parts.iter().copied().collect();
        for table in [Table::Inet, Table::Arp, Table::Bridge] {
            let parts: Vec<Part> = parts.iter().copied().filter(|part| part.table() == table).collect();
            if parts.is_empty() {
                continue;
            }
            let counts = self.nft()?.rules_of(table).map_err(|error| refused(&error, "look at nf_tables"))?;
            let is_short =
                |chain: &plan::Chain| counts.get(chain.name.as_ref()).copied().unwrap_or(0) < chain.rules.len();
            for part in parts.into_iter().filter(|part| part.chains().iter().any(is_short)) {
                facts.parts.remove(&part);
            }
        }
        Ok(())
    }

    /// Whether the host's loopback addresses are good by a link.
    pub(super) fn observe_loopback(&self, facts: &mut Facts, link: &IfName) -> Result<()> {
        if self.sysctls.read(&plan::localnet_key(link)).is_ok_and(|value| value == "1") {
            facts.loopback.insert((Family::V4, link.clone()));
        }
        let Some(index) = self.host.index(link) else { return Ok(()) };
        let routes = self.host.fib(Family::V6, kernel::LOCAL_TABLE, Some(index));
        let routes = routes.map_err(|error| refused(&error, "look at the host"))?;
        if routes.iter().any(|route| route.dst.addr().is_loopback()) {
            facts.loopback.insert((Family::V6, link.clone()));
        }
        Ok(())
    }

    /// All elements of an attachment, found by their comments. For when its record is lost: it looks at everybody's.
    pub(super) fn elements_of_owner(&self, key: &AttachmentKey) -> Result<Vec<Element>> {
        let comment = key.comment();
        let mut own = Vec::new();
        // Without nf_tables there are none.
        if self.nft().is_ok() {
            for set in Set::ALL {
                let elements = self.elements_of(set)?.into_iter();
                own.extend(elements.filter(|(_, owner)| owner.as_ref() == Some(&comment)).map(|(element, _)| element));
            }
        }
        Ok(own)
    }

    /// Whether one of these links is guarded for the attachment, even if it is gone.
    pub(super) fn has_guarded_link(&self, key: &AttachmentKey, links: &[IfName]) -> Result<bool> {
        let of_link = |link: &IfName| {
            let guarded = [Set::GuardedLinks, Set::GuardedPorts, Set::MacGuardedPorts];
            guarded.map(|set| Element::of(set, [Field::Link(link.clone())]))
        };
        let wanted: Vec<Element> = links.iter().flat_map(of_link).collect();
        if self.nft().is_err() {
            return Ok(false); // without nf_tables there are none
        }
        let views = self.look_up_elements(&wanted)?;
        Ok(views.iter().flatten().any(|view| view.comment.as_ref() == Some(&key.comment())))
    }

    pub(super) fn look_up_elements(&self, elements: &[Element]) -> Result<Vec<Option<ElementView>>> {
        let found = self.nft()?.look_up(&[], &elements.iter().collect::<Vec<_>>());
        found.map(|(_, views)| views).map_err(|error| refused(&error, "look at nf_tables"))
    }

    pub(super) fn elements_of(&self, set: Set) -> Result<Vec<(Element, Option<String>)>> {
        self.nft()?.elements_of(set).map_err(|error| refused(&error, "look at nf_tables"))
    }

    /// Removes the tables that have no elements any more. For when the last attachment is gone.
    pub(super) fn remove_empty_tables(&self) -> Result<()> {
        let names = Part::ALL.map(|part| (part.table(), part.first_chain().0));
        let Ok(nft) = self.nft() else { return Ok(()) }; // no nf_tables, no tables
        let Ok((views, _)) = nft.look_up(&names, &[]) else { return Ok(()) };
        for table in [Table::Inet, Table::Arp, Table::Bridge] {
            let there = Part::ALL.into_iter().zip(&views);
            let there = there.filter(|(part, view)| part.table() == table && view.is_some());
            let there: Vec<Part> = there.map(|(part, _)| part).collect();
            if there.is_empty() {
                continue;
            }
            match nft.transact(&[Change::Remove(table, there)]) {
                // Somebody with another state directory has elements in it, or has removed it just now.
                Err(Failure { error, .. }) if !error.is_busy() && !error.is_absent() => {
                    return Err(refused(&error, format!("remove table {table} springline")));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Has the kernel forget connections that lead where they should not any more.
    pub(super) fn forget(&self, stale: &Stale) -> Result<(), KernelError> {
        let Stale { map, target, here } = stale;
        let conntrack = Conntrack::open()?;
        let connections = conntrack.udp_to(map.host_port, target.is_ipv6())?;
        let mut suspects: Vec<_> =
            connections.into_iter().filter(|one| (one.answered_by == *target) == *here).collect();
        if let Some(host) = map.host.filter(|_| !map.is_on_all_addresses()) {
            suspects.retain(|one| one.to == host);
        } else if !here {
            // What merely passes through the host to such a port elsewhere goes on.
            let destinations: Vec<IpAddr> = suspects.iter().map(|one| one.to).collect();
            let (_, routes) = self.host.look_up(&[], &destinations)?;
            let is_local =
                routes.iter().map(|route| route.as_ref().is_some_and(|route| route.kind == RouteKind::Local));
            let is_local: Vec<bool> = is_local.collect();
            let mut is_local = is_local.into_iter();
            suspects.retain(|_| is_local.next().unwrap_or(false));
        }
        suspects.iter().try_for_each(|connection| conntrack.forget(connection))
    }
}

/// Whether a part is of this version and nobody has flushed its first chain.
fn is_whole(part: Part, first_chain: Option<&ChainView>) -> bool {
    let (_, rules) = part.first_chain();
    first_chain.is_some_and(|chain| chain.comment.as_deref() == Some(VERSION) && chain.uses as usize >= rules)
}

/// Steps in nf_tables as changes of one transaction.
pub(super) fn changes(steps: &[Step], key: &AttachmentKey) -> Vec<Change> {
    let change = |step: &Step| match step {
        Step::Add(Object::Part(part)) => Some(Change::Ensure(*part)),
        Step::Add(Object::Chain(chain)) => Some(Change::AddChain(chain.clone())),
        Step::Del(Object::Chain(chain)) => Some(Change::DeleteChain(chain.clone())),
        Step::Add(Object::Element(Held { element, shared, .. })) => {
            let owner = if *shared { Held::SHARED.to_owned() } else { key.comment() };
            Some(Change::AddElement(element.clone(), owner))
        }
        Step::Del(Object::Element(Held { element, .. })) => Some(Change::DeleteElement(element.clone())),
        _ => None,
    };
    steps.iter().filter_map(change).collect()
}

impl Run<'_> {
    /// Runs steps in nf_tables as one transaction: all of them take effect, or none.
    pub(super) fn run_transaction(&mut self, steps: &[Step]) -> Result<()> {
        let changes = changes(steps, self.key);
        let Err(failure) = self.engine.nft()?.transact(&changes) else {
            self.done.extend(steps.iter().cloned());
            return Ok(());
        };
        let Failure { change, error, is_refusal } = failure;
        let is_gone = is_refusal && error.is_absent() && steps.iter().all(super::run::is_removal);
        match steps {
            // Somebody was quicker to take it away: one by one, what is gone is no error.
            [_] if is_gone => Ok(()),
            _ if is_gone => steps.chunks(1).try_for_each(|step| self.run_transaction(step)),
            _ => {
                if !is_refusal {
                    self.done.extend(steps.iter().cloned()); // the undo looks for all of it
                }
                let refusal = refused(&error, &steps[change.min(steps.len() - 1)]);
                Err(if error.is_unsupported() { refusal.hint(WITHOUT) } else { refusal })
            }
        }
    }
}
