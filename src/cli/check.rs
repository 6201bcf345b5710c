//! `springline check`: what has drifted from its record, and with `--repair`, not any more.

use std::io::Write;

use clap::Args;
use serde_json::{Value, json};

use super::output::Output;
use super::progress::Progress;
use super::say;
use crate::error::{Code, Error, Result};
use crate::exec::Engine;
use crate::model::AttachmentKey;
use crate::plan::Difference;
use crate::store::Store;

/// What to check.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Which attachments: NETWORK, NETWORK/ID or NETWORK/ID/IFNAME, or a container's ID; all of them if none is named
    attachments: Vec<String>,
    /// Put right what has drifted: only that, and without touching anything else
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    output: Output,
}

/// What came of one attachment.
struct Finding {
    key: AttachmentKey,
    outcome: Result<Vec<Difference>>,
}

/// Checks; the exit status is that of the worst.
pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<()> {
    let engine = Engine::open(Store::open()?)?;
    let mut findings = Vec::new();
    let mut keys = engine.store.attachments()?;
    keys.retain(|key| is_named(key, &arguments.attachments));
    let mut progress = Progress::new(if arguments.repair { "repair" } else { "check" }, Some(keys.len()));
    for key in keys {
        progress.step(&key);
        let outcome = if arguments.repair { engine.repair(&key) } else { engine.differences(&key) };
        findings.push(Finding { key, outcome });
    }
    drop(progress);
    if findings.is_empty() && !arguments.attachments.is_empty() {
        return Err(Error::new(Code::InvalidConfig, arguments.attachments.join(", ")).context("no such attachment"));
    }
    if arguments.output.is_json() {
        let list: Vec<Value> = findings.iter().map(|finding| finding.to_json(arguments.repair)).collect();
        say(out, format!("{:#}", Value::Array(list)))?;
    } else {
        findings.iter().try_for_each(|finding| finding.show(out, arguments.repair))?;
    }
    let bad = findings.iter().filter(|finding| !finding.is_well(arguments.repair)).count();
    if bad == 0 {
        return Ok(());
    }
    let error = Error::new(Code::Drift, format!("{bad} of {} attachments are not as recorded", findings.len()));
    Err(if arguments.repair { error } else { error.hint("springline check --repair") })
}

/// Whether `names` has the attachment, its container, or all of its network; nothing names all.
pub(super) fn is_named(key: &AttachmentKey, names: &[String]) -> bool {
    let text = key.to_string();
    let matches = |name: &String| {
        let name = name.trim_end_matches('/');
        name == key.container.as_str() || text == name || text.starts_with(&format!("{name}/"))
    };
    names.is_empty() || names.iter().any(matches)
}

impl Finding {
    fn is_well(&self, repaired: bool) -> bool {
        self.outcome.as_ref().is_ok_and(|missing| repaired || missing.is_empty())
    }

    fn state(&self, repaired: bool) -> &'static str {
        match &self.outcome {
            Ok(missing) if missing.is_empty() => "ok",
            Ok(_) if repaired => "repaired",
            Ok(_) => "drifted",
            Err(_) => "failed",
        }
    }

    fn show(&self, out: &mut impl Write, repaired: bool) -> Result<()> {
        say(out, format!("{:<9} {}", self.state(repaired), self.key))?;
        match &self.outcome {
            Ok(missing) => missing.iter().try_for_each(|Difference { expected, actual }| {
                say(out, format!("          missing: {expected}"))?;
                actual.iter().try_for_each(|actual| say(out, format!("          instead: {actual}")))
            }),
            Err(error) => say(out, format!("          {error}")),
        }
    }

    fn to_json(&self, repaired: bool) -> Value {
        let mut value = json!({"attachment": self.key.to_string(), "state": self.state(repaired)});
        match &self.outcome {
            Ok(missing) => {
                let one = |Difference { expected, actual }: &Difference| match actual {
                    Some(actual) => json!({"expected": expected.to_string(), "actual": actual}),
                    None => json!({ "expected": expected.to_string() }),
                };
                value["missing"] = missing.iter().map(one).collect();
            }
            Err(error) => value["error"] = error.to_string().into(),
        }
        value
    }
}
