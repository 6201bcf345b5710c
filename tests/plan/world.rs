//! A host with several containers, and what one attachment gets to see of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use ipnet::IpNet;
use proptest::test_runner::TestCaseError;
use springline::model::{Attachment, AttachmentKey, Maker, single};
use springline::plan::{
    self, Facts, FibMatch, Namespace, NetnsIdentity, Phase, Plan, Record, RouteKind, Shared, Step, Users,
};

use crate::diff::diff;

/// `RTPROT_KERNEL`: a connected network, or an address of the host's own.
const KERNEL: u8 = 2;

/// The host, its containers and the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct World {
    /// All that is the same from every attachment's point of view.
    pub(crate) common: Facts,
    /// The containers' namespaces.
    pub(crate) containers: BTreeMap<AttachmentKey, Namespace>,
    /// Who uses what is shared.
    pub(crate) stakes: BTreeMap<Shared, BTreeSet<AttachmentKey>>,
}

impl World {
    /// The facts as `key` sees them, but for the FIB.
    fn view(&self, key: &AttachmentKey) -> Facts {
        let users = |stakes: &BTreeSet<AttachmentKey>| Users {
            mine: stakes.contains(key),
            others: stakes.iter().any(|other| other != key),
        };
        Facts {
            container: self.containers.get(key).cloned().unwrap_or_default(),
            users: self.stakes.iter().map(|(shared, stakes)| (shared.clone(), users(stakes))).collect(),
            ..self.common.clone()
        }
    }

    /// Does what the steps do, in the name of `key`.
    pub(crate) fn run(&mut self, key: &AttachmentKey, steps: &[Step]) {
        let facts = after(&self.view(key), key, steps);
        for (shared, users) in &facts.users {
            let stakes = self.stakes.entry(shared.clone()).or_default();
            let _ = if users.mine { stakes.insert(key.clone()) } else { stakes.remove(key) };
        }
        for (shared, stakes) in &mut self.stakes {
            if !facts.users.contains_key(shared) {
                stakes.remove(key);
            }
        }
        self.stakes.retain(|_, stakes| !stakes.is_empty());
        self.containers.insert(key.clone(), facts.container.clone());
        self.common = Facts { container: Namespace::default(), peer: None, users: BTreeMap::new(), ..facts };
    }

    /// Plans and runs an attachment.
    pub(crate) fn attach(&mut self, attachment: &Attachment) -> Record {
        let facts = with_fib(self.view(&attachment.key), attachment);
        let plan = plan::attach(attachment, &facts).unwrap();
        self.run(&attachment.key, &plan.steps);
        record(&plan)
    }

    /// Plans and runs the removal of an attachment.
    pub(crate) fn detach(&mut self, record: &Record) {
        let steps = plan::detach(record, &self.view(&record.key));
        self.run(&record.key, &steps);
    }

    /// What CHECK finds missing.
    pub(crate) fn drift(&self, record: &Record) -> Vec<Step> {
        plan::drift(record, &self.view(&record.key))
    }
}

/// `facts` once `key` has done the steps.
pub(crate) fn after<'a>(facts: &Facts, key: &AttachmentKey, steps: impl IntoIterator<Item = &'a Step>) -> Facts {
    let mut facts = facts.clone();
    steps.into_iter().for_each(|step| facts.apply(step, key));
    facts
}

/// Fails with the lines in which the two differ.
pub(crate) fn same<T: PartialEq + Debug>(found: &T, expected: &T, when: &str) -> Result<(), TestCaseError> {
    if found == expected {
        return Ok(());
    }
    let lines = diff(&format!("{expected:#?}"), &format!("{found:#?}"));
    let differing: Vec<&str> = lines.lines().filter(|line| !line.starts_with(' ')).collect();
    Err(TestCaseError::fail(format!("{when}:\n{}", differing.join("\n"))))
}

/// The record of an attachment that ran to its end.
pub(crate) fn record(plan: &Plan) -> Record {
    Record {
        version: Record::VERSION,
        phase: Phase::Ready,
        key: plan.key.clone(),
        boot: "boot".to_owned(),
        netns: NetnsIdentity { path: "/run/netns/c1".to_owned(), cookie: 1 },
        steps: plan.steps.clone(),
        maker: Maker::default(),
        made_at: 0,
        wanted: None,
        withdrawn: Vec::new(),
        changing: false,
        outcome: None,
        delegation: None,
    }
}

/// `facts` with the FIB's answers for what the attachment wants: those that were given stay.
pub(crate) fn with_fib(mut facts: Facts, attachment: &Attachment) -> Facts {
    let answers: Vec<FibMatch> =
        plan::wanted_prefixes(attachment).into_iter().flat_map(|asked| answers(&facts, asked)).collect();
    facts.fib.extend(answers);
    facts
}

fn answers(facts: &Facts, asked: IpNet) -> Vec<FibMatch> {
    let alias = |link| facts.host.links.get(link).and_then(|link| link.alias.clone());
    let own = facts.host.addresses.iter().filter(|own| asked.contains(&own.net.addr()));
    let own = own.map(|own| FibMatch {
        asked,
        dst: single(own.net.addr()),
        kind: RouteKind::Local,
        link: Some(own.link.clone()),
        alias: alias(&own.link),
        table: 255,
        metric: 0,
        protocol: KERNEL,
    });
    let touched = facts.host.routes.iter().filter(|route| route.dst.contains(&asked) || asked.contains(&route.dst));
    let routes = touched.map(|route| FibMatch {
        asked,
        dst: route.dst,
        kind: RouteKind::Unicast,
        link: Some(route.link.clone()),
        alias: alias(&route.link),
        table: route.table,
        metric: route.metric,
        protocol: route.protocol,
    });
    own.chain(routes).collect()
}
