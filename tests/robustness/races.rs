//! Many runtimes at once, over networks that share their ranges and a bridge: no address is given twice, no release is
//! lost, nobody waits for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::{Value, json};

use crate::common::cni::{Call, Outcome, Plugin, merged, with_prev_result};
use crate::common::{Container, Lab};
use crate::scene::addresses;
use crate::sweep::is_exhaustive;

const WORKERS: usize = 16;
const CONTAINERS: usize = 24;

/// The networks, each with its own interface in every container: two routed ones, and two bridged ones on one bridge with one
/// gateway. Each has a part of a subnet: a lease is its network's.
const NETWORKS: [&str; 4] = ["r1", "r2", "b1", "b2"];

/// A network and a container, by their places.
type Key = (usize, usize);

/// What is known of the attachments while they come and go.
#[derive(Default)]
struct Known {
    /// Whose an address is: reported by an ADD, and no DEL or GC of it has begun since.
    owners: BTreeMap<String, Key>,
    /// The last result of an attachment.
    results: BTreeMap<Key, Value>,
    /// How often the end of an attachment has begun, and how many of these are under way: an ADD that overlaps with one
    /// has proved nothing, whichever of them began first.
    ends: BTreeMap<Key, (usize, usize)>,
    /// What went wrong.
    wrongs: Vec<String>,
}

impl Known {
    fn ends(&mut self, key: Key) {
        let (begun, under_way) = self.ends.entry(key).or_default();
        (*begun, *under_way) = (*begun + 1, *under_way + 1);
        self.owners.retain(|_, owner| *owner != key);
        self.results.remove(&key);
    }

    fn ended(&mut self, key: Key) {
        self.ends.entry(key).or_default().1 -= 1;
    }
}

struct Race {
    lab: Lab,
    confs: Vec<Value>,
    containers: Vec<Container>,
    known: Mutex<Known>,
}

#[test]
fn mixed_verbs_of_sixteen_workers() {
    let calls = if is_exhaustive() { 2000 } else { 240 };
    let race = Race::new();
    let before = race.lab.host_state();
    let begin = Instant::now();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (race, next) = (&race, &next);
            scope.spawn(move || {
                let mut dice = Dice(worker as u64 + 1);
                while next.fetch_add(1, Ordering::Relaxed) < calls {
                    race.one(&mut dice);
                }
            });
        }
    });
    let took = begin.elapsed();
    race.assert_whole();
    let known = race.known.lock().expect("nobody panics");
    let reports = known.results.len();
    assert!(known.wrongs.is_empty(), "{} of {calls} calls:\n{}", known.wrongs.len(), known.wrongs.join("\n"));
    assert!(reports > 5, "hardly anything was attached in the end: {reports}");
    drop(known);
    for network in 0..NETWORKS.len() {
        for container in 0..CONTAINERS {
            race.call("DEL", (network, container)).run().silent();
        }
    }
    let changes = before.changes(&race.lab.host_state());
    assert!(changes.is_empty(), "after the DEL of all:\n{}", changes.join("\n"));
    if is_exhaustive() {
        let seconds = took.as_secs();
        let line =
            format!("races: {calls} calls by {WORKERS} workers, no address twice, no release lost, {seconds} s\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

impl Race {
    fn new() -> Self {
        let lab = Lab::new();
        let conf = |name: &&str| {
            let is_routed = name.starts_with('r');
            let plugin = if is_routed { Plugin::Routed } else { Plugin::Bridged };
            // Twenty addresses for twenty-four containers: now and then there is none left.
            let (at, from) = (if is_routed { 22 } else { 23 }, if name.ends_with('1') { 2 } else { 42 });
            let v4 = [from, from + 19].map(|n| format!("10.{at}.0.{n}"));
            let v6 = [from, from + 19].map(|n| format!("2001:db8:{at}::{n:x}"));
            let ranges = json!([
                [{"subnet": format!("10.{at}.0.0/24"), "rangeStart": v4[0], "rangeEnd": v4[1]}],
                [{"subnet": format!("2001:db8:{at}::/64"), "rangeStart": v6[0], "rangeEnd": v6[1]}],
            ]);
            merged(&plugin.conf(&lab), &json!({"name": name, "ipam": {"ranges": ranges}, "masquerade": true}))
        };
        let confs = NETWORKS.iter().map(conf).collect();
        let containers = (0..CONTAINERS).map(|n| lab.container(&format!("racer{n}"))).collect();
        Self { lab, confs, containers, known: Mutex::default() }
    }

    fn call(&self, verb: &str, (network, container): Key) -> Call<'_> {
        let cni = self.lab.cni(if network < 2 { Plugin::Routed } else { Plugin::Bridged });
        cni.call(verb).of(&self.containers[container], NETWORKS[network]).conf(&self.confs[network])
    }

    /// One call, whichever the dice say, of whichever attachment: others may be at work on the same.
    fn one(&self, dice: &mut Dice) {
        let key = (dice.below(NETWORKS.len()), dice.below(CONTAINERS));
        match dice.below(20) {
            0..9 => self.add(key),
            9..15 => {
                self.known().ends(key);
                let outcome = self.call("DEL", key).run();
                self.known().ended(key);
                self.expect("DEL", key, &outcome, &[]);
            }
            15..18 => {
                let result = self.known().results.get(&key).cloned();
                let result = result.unwrap_or_else(|| json!({"cniVersion": "1.1.0", "interfaces": [], "ips": []}));
                let conf = with_prev_result(&self.confs[key.0], &result);
                // It may have gone meanwhile, or be about to.
                let outcome = self.call("CHECK", key).conf(&conf).run();
                self.expect("CHECK", key, &outcome, &[100, 101, 103, 104, 7]);
            }
            _ => self.collect(key),
        }
    }

    fn add(&self, key: Key) {
        let ends = |known: &Known| known.ends.get(&key).copied().unwrap_or_default();
        let (begun, under_way) = ends(&self.known());
        let outcome = self.call("ADD", key).run();
        // It is there already; or the range is full, by what others have.
        self.expect("ADD", key, &outcome, &[4, 11]);
        if !outcome.status.success() {
            return;
        }
        let result = outcome.result();
        let mut known = self.known();
        if under_way > 0 || ends(&known).0 != begun {
            return;
        }
        for address in addresses(&result) {
            if let Some(other) = known.owners.insert(address.clone(), key) {
                known.wrongs.push(format!("{address} was given to {} and to {}", name(other), name(key)));
            }
        }
        known.results.insert(key, result);
    }

    /// GC for which all are valid but those of one container.
    fn collect(&self, (network, spared_not): Key) {
        self.known().ends((network, spared_not));
        let others = self.containers.iter().enumerate().filter(|(n, _)| *n != spared_not);
        let valid: Vec<Value> =
            others.map(|(_, container)| json!({"containerID": container.id, "ifname": NETWORKS[network]})).collect();
        let conf = merged(&self.confs[network], &json!({"cni.dev/valid-attachments": valid}));
        let outcome = self.call("GC", (network, spared_not)).no_container().conf(&conf).run();
        self.known().ended((network, spared_not));
        self.expect("GC", (network, spared_not), &outcome, &[]);
    }

    fn expect(&self, verb: &str, key: Key, outcome: &Outcome, codes: &[u64]) {
        if outcome.status.success() {
            return;
        }
        let error = outcome.error();
        if !codes.contains(&error.code) {
            self.known().wrongs.push(format!("{verb} {}: {error:?}", name(key)));
        }
    }

    /// Everything is at rest: what containers have is what was reported and what is leased, and none of it twice.
    fn assert_whole(&self) {
        let mut found = BTreeMap::<String, usize>::new();
        for container in &self.containers {
            for link in NETWORKS {
                for address in container.netns().addresses(link) {
                    *found.entry(address.split('/').next().unwrap_or_default().to_owned()).or_default() += 1;
                }
            }
        }
        let twice: Vec<&String> = found.iter().filter(|(_, count)| **count > 1).map(|(address, _)| address).collect();
        assert!(twice.is_empty(), "in two containers each: {twice:?}");
        let leases: BTreeSet<String> = NETWORKS.iter().flat_map(|network| self.leases(network)).collect();
        let there: BTreeSet<String> = found.into_keys().collect();
        assert_eq!(leases, there, "leases, and what containers have");
        let known = self.known();
        let missing: Vec<&String> = known.owners.keys().filter(|address| !there.contains(*address)).collect();
        assert!(missing.is_empty(), "reported, never released, and gone: {missing:?}");
        for (&key, result) in &known.results {
            let conf = with_prev_result(&self.confs[key.0], result);
            self.call("CHECK", key).conf(&conf).run().silent();
        }
    }

    fn leases(&self, network: &str) -> Vec<String> {
        let entries = fs::read_dir(self.lab.state_dir().join("leases").join(network)).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.parse::<std::net::IpAddr>().is_ok()).collect()
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().expect("nobody panics")
    }
}

fn name((network, container): Key) -> String {
    format!("{}/racer{container}", NETWORKS[network])
}

/// The same throws each time (xorshift64, of Marsaglia's).
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % count as u64).expect("less than count")
    }
}

/// As many at once as there are addresses, and some more: all addresses are given, the rest is told so with numbers, and
/// after the DEL of all it is the same again.
#[test]
fn a_range_driven_to_exhaustion_and_back() {
    let rounds = if is_exhaustive() { 20 } else { 3 };
    let lab = Lab::new();
    let before = lab.host_state();
    let containers: Vec<Container> = (0..20).map(|n| lab.container(&format!("racer{n}"))).collect();
    for plugin in [Plugin::Routed, Plugin::Bridged] {
        let conf = plugin.conf_with_ranges(&lab, &json!([[{"subnet": "10.22.0.0/28", "gateway": "10.22.0.1"}]]));
        let at_once = |verb: &str| -> Vec<Outcome> {
            thread::scope(|scope| {
                let call = |container| {
                    let call = lab.cni(plugin).call(verb).of(container, "eth0").conf(&conf);
                    scope.spawn(|| call.run())
                };
                let threads: Vec<_> = containers.iter().map(call).collect();
                threads.into_iter().map(|thread| thread.join().expect("no call panics")).collect()
            })
        };
        for round in 0..rounds {
            let outcomes = at_once("ADD");
            let (winners, losers): (Vec<_>, Vec<_>) = outcomes.iter().partition(|outcome| outcome.status.success());
            let given: BTreeSet<String> = winners.iter().flat_map(|winner| addresses(&winner.result())).collect();
            // Sixteen, without the network's, the broadcast and the gateway's.
            assert_eq!((winners.len(), given.len()), (13, 13), "{plugin:?}, round {round}: {given:?}");
            for loser in losers {
                loser.error().with_code(11).saying("13 used of 13 total");
            }
            at_once("DEL").iter().for_each(Outcome::silent);
        }
    }
    let changes = before.changes(&lab.host_state());
    assert!(changes.is_empty(), "after the DEL of all:\n{}", changes.join("\n"));
}

/// An ADD is stuck in a delegated plugin that never ends. Whoever wants the same attachment is told by whom it is held;
/// others are not held up.
#[test]
fn a_holder_of_an_attachment_is_named() {
    let lab = Lab::new();
    let (held, other) = (lab.container("held"), lab.container("other"));
    let plugins = lab.dir().join("plugins");
    fs::create_dir(&plugins).expect("make a directory");
    lab.host()
        .shell(&format!("printf '#!/bin/sh\\nexec sleep 120\\n' > {0}/stuck && chmod +x {0}/stuck", plugins.display()));
    let conf = merged(&Plugin::Bridged.conf(&lab), &json!({"ipam": {"type": "stuck", "ranges": null}}));
    let cni = lab.cni(Plugin::Bridged);
    let path = plugins.display().to_string();
    let adding = cni.call("ADD").of(&held, "eth0").conf(&conf).env("CNI_PATH", &path).spawn();
    crate::common::eventually("the link is there", || held.netns().link("eth0").is_some());
    let begin = Instant::now();
    let beside = merged(&Plugin::Bridged.conf(&lab), &json!({"name": "beside"}));
    cni.add(&beside, &other, "eth0").result();
    cni.del(&beside, &other, "eth0").silent();
    assert!(begin.elapsed() < Duration::from_secs(10), "another attachment waited for it: {:?}", begin.elapsed());
    let outcome = cni.call("DEL").of(&held, "eth0").conf(&conf).spawn().finish_within(Duration::from_mins(1));
    outcome.error().with_code(11).saying(&format!("process {}", adding.pid()));
    adding.kill();
    // The plugin fails at its DEL, too, which is no reason to keep anything but the record of its lease.
    let script = "printf '#!/bin/sh\\nexit 0\\n'";
    lab.host().shell(&format!("{script} > {}/stuck", plugins.display()));
    cni.call("DEL").of(&held, "eth0").conf(&conf).env("CNI_PATH", &path).run().silent();
    assert!(held.netns().link("eth0").is_none(), "the link is still there");
}
