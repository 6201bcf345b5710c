//! `springline watch`: what happens to containers' links, and what follows from it.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use super::output::Output;
use super::say;
use crate::error::{Code, Coded, Error, Result};
use crate::exec::{Engine, Reconciled};
use crate::front::definition::Definition;
use crate::kernel::{LinkView, News, Watcher};
use crate::model::{AttachmentKey, LINK_GROUP};
use crate::store::Store;

/// What has happened is looked at when this time has passed since: by then, what belongs together has happened, and a
/// runtime that is taking a container away has done so itself.
const SETTLE: Duration = Duration::from_millis(50);

/// For as long as an attachment is put right again and again, the time doubles, up to this.
const PATIENCE: Duration = Duration::from_secs(30);

/// After so long a peace, all is forgotten.
const PEACE: Duration = Duration::from_mins(1);

/// How to print, and how often to look at everything.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Look at all attachments every so many seconds, for what the kernel does not tell of: sysctls, rules, rates, and
    /// namespaces that died behind a bind mount; 0 never does
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    interval: u64,
    #[command(flatten)]
    output: Output,
}

/// Runs until it is told to end.
pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<()> {
    // First the ear, then the look: what happens in between is heard.
    let watcher =
        Watcher::open().coded(Code::Kernel, || "listen to the kernel").map_err(Error::with_permission_hint)?;
    let engine = Engine::open(Store::open()?)?;
    let interval = (arguments.interval > 0).then(|| Duration::from_secs(arguments.interval));
    let is_json = arguments.output.is_json();
    let mut watch = Watch { engine, links: BTreeMap::new(), watched: BTreeMap::new(), is_json, out };
    watch.look_at_all()?;
    let count = watch.watched.len();
    watch.print("watching", None, &format!("{count} attachments"), json!({ "attachments": count }))?;
    let mut next_round = interval.map(|interval| Instant::now() + interval);
    loop {
        let due = watch.watched.values().filter_map(|watched| watched.due).chain(next_round).min();
        let news = watcher
            .wait(due.map(|due| due.saturating_duration_since(Instant::now())))
            .coded(Code::Kernel, || "listen to the kernel")?;
        if news.iter().any(|news| matches!(news, News::End)) {
            return watch.end();
        }
        watch.hear(news)?;
        watch.do_what_is_due()?;
        if next_round.is_some_and(|round| round <= Instant::now()) {
            watch.look_at_all()?;
            next_round = interval.map(|interval| Instant::now() + interval);
        }
    }
}

/// What is remembered of an attachment.
#[derive(Default)]
struct Watched {
    /// When it is to be looked at.
    due: Option<Instant>,
    /// When something was last done about it, and how long it is left alone since.
    acted: Option<(Instant, Duration)>,
    /// Whether its routes are withdrawn, by us.
    withdrawn: bool,
    /// What was last said to be wrong with it: it is not said twice.
    complaint: String,
}

struct Watch<'a, W> {
    engine: Engine,
    /// Whose the links of the host are, by index.
    links: BTreeMap<u32, AttachmentKey>,
    watched: BTreeMap<AttachmentKey, Watched>,
    is_json: bool,
    out: &'a mut W,
}

impl<W: Write> Watch<'_, W> {
    /// Has every attachment looked at, now.
    fn look_at_all(&mut self) -> Result<()> {
        let links = self.engine.host.links(None).coded(Code::Kernel, || "list the links")?;
        self.links.clear();
        for link in &links {
            self.learn(link);
        }
        let keys = self.engine.store.attachments()?;
        self.watched.retain(|key, _| keys.contains(key));
        for key in &keys {
            self.watched.entry(key.clone()).or_default().due = Some(Instant::now());
        }
        self.do_what_is_due()
    }

    fn learn(&mut self, link: &LinkView) -> Option<AttachmentKey> {
        let alias = link.link.alias.as_deref().filter(|_| link.link.group == LINK_GROUP)?;
        let key = self.engine.key_of_alias(alias)?;
        self.links.insert(link.index, key.clone());
        Some(key)
    }

    /// Notes whom it concerns.
    fn hear(&mut self, news: Vec<News>) -> Result<()> {
        for news in news {
            let key = match news {
                News::Link(link) => self.learn(&link),
                News::LinkGone(link) => {
                    self.engine.host.forget(&link.name);
                    self.links.remove(&link.index)
                }
                News::LessOn(index) => self.links.get(&index).cloned(),
                News::Lost => {
                    self.print("lost", None, "more happened than could be heard: looking at everything", json!({}))?;
                    self.look_at_all()?;
                    None
                }
                News::End => None,
            };
            if let Some(key) = key {
                let watched = self.watched.entry(key).or_default();
                let now = Instant::now();
                let rested = watched.acted.map_or(now, |(acted, rest)| acted + rest);
                watched.due.get_or_insert((now + SETTLE).max(rested));
            }
        }
        Ok(())
    }

    fn do_what_is_due(&mut self) -> Result<()> {
        let now = Instant::now();
        let is_due = |watched: &Watched| watched.due.is_some_and(|due| due <= now);
        let due: Vec<AttachmentKey> =
            self.watched.iter().filter(|(_, watched)| is_due(watched)).map(|(key, _)| key.clone()).collect();
        due.iter().try_for_each(|key| self.reconcile(key))
    }

    fn reconcile(&mut self, key: &AttachmentKey) -> Result<()> {
        let outcome = self.engine.reconcile(key, || Definition::today_by_name(key));
        let watched = self.watched.entry(key.clone()).or_default();
        let was_withdrawn = watched.withdrawn;
        watched.due = None;
        match &outcome {
            Ok(Reconciled::Busy) => {
                watched.due = Some(Instant::now() + SETTLE);
                return Ok(());
            }
            Ok(Reconciled::Well) => return Ok(()),
            Ok(Reconciled::Withdrawn(_)) => watched.withdrawn = true,
            Ok(Reconciled::Repaired(_)) => watched.withdrawn = false,
            Ok(Reconciled::Reclaimed) => drop(self.watched.remove(key)),
            Err(_) => {}
        }
        if let Some(watched) = self.watched.get_mut(key) {
            watched.rest();
        }
        match outcome {
            Ok(Reconciled::Withdrawn(steps)) => {
                let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
                let text = format!("its interface is down: {}", steps.join("; "));
                self.print("withdrawn", Some(key), &text, json!({ "steps": steps }))
            }
            Ok(Reconciled::Repaired(differences)) => {
                let steps: Vec<String> = differences.iter().map(|one| one.expected.to_string()).collect();
                let event = if was_withdrawn { "restored" } else { "repaired" };
                self.print(event, Some(key), &steps.join("; "), json!({ "steps": steps }))
            }
            Ok(Reconciled::Reclaimed) => self.print("reclaimed", Some(key), "its namespace is gone", json!({})),
            Err(error) => self.complain(key, &error),
            Ok(_) => Ok(()),
        }
    }

    fn complain(&mut self, key: &AttachmentKey, error: &Error) -> Result<()> {
        let text = error.to_string();
        let watched = self.watched.entry(key.clone()).or_default();
        if watched.complaint == text {
            return Ok(());
        }
        watched.complaint.clone_from(&text);
        self.print("failed", Some(key), &text, json!({ "error": text }))
    }

    /// Leaves things as they would be without us: nobody else puts routes back when an interface comes up.
    fn end(mut self) -> Result<()> {
        let withdrawn: Vec<AttachmentKey> =
            self.watched.iter().filter(|(_, watched)| watched.withdrawn).map(|(key, _)| key.clone()).collect();
        for key in withdrawn {
            match self.engine.announce_again(&key) {
                Ok(0) => {}
                Ok(count) => {
                    self.print(
                        "restored",
                        Some(&key),
                        &format!("{count} routes, at the end"),
                        json!({ "routes": count }),
                    )?;
                }
                Err(error) => self.complain(&key, &error)?,
            }
        }
        self.print("ended", None, "told to end", json!({}))
    }

    fn print(&mut self, event: &str, key: Option<&AttachmentKey>, text: &str, more: Value) -> Result<()> {
        if self.is_json {
            let mut line = json!({ "event": event });
            if let Some(key) = key {
                line["attachment"] = key.to_string().into();
            }
            if let (Value::Object(line), Value::Object(more)) = (&mut line, more) {
                line.extend(more);
            }
            say(self.out, line)?;
        } else {
            let key = key.map(|key| format!("{key}: ")).unwrap_or_default();
            say(self.out, format!("{event:<9} {key}{text}"))?;
        }
        self.out.flush().coded(Code::Io, || "write to stdout")
    }
}

impl Watched {
    /// Something was done about it: the next time not so soon, if there was a last time not so long ago.
    fn rest(&mut self) {
        let now = Instant::now();
        let rest = match self.acted {
            Some((acted, rest)) if now.duration_since(acted) < rest.max(PEACE) => (rest * 2).min(PATIENCE),
            _ => SETTLE,
        };
        self.acted = Some((now, rest));
    }
}
