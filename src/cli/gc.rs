//! `springline gc`: what dead containers have left, removed.

use std::cell::RefCell;
use std::io::Write;

use clap::Args;
use serde_json::{Value, json};

use super::output::Output;
use super::progress::Progress;
use super::say;
use crate::error::{Error, Result};
use crate::exec::{Engine, Spared};
use crate::front::definition::Definition;
use crate::model::AttachmentKey;
use crate::store::Store;

/// What to keep, and how to print.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Containers that are to be kept even if their namespaces are gone; repeatable
    #[arg(long, value_name = "ID")]
    keep: Vec<String>,
    #[command(flatten)]
    output: Output,
}

/// Collects in all networks. Goes on after errors; the exit status tells of them.
pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<()> {
    let (mut removed, mut errors) = (Vec::new(), Vec::new());
    let engine = Engine::open(Store::open()?)?;
    let progress = RefCell::new(Progress::new("remove what dead containers have left", None));
    for network in engine.store.networks()? {
        let definition = Definition::named(&network).ok();
        let today = |key: &AttachmentKey| {
            progress.borrow_mut().step(key);
            definition.as_ref().map(|network| network.today(key, "")).unwrap_or_default()
        };
        match engine.collect(&network, Spared::AliveOr(&arguments.keep), today) {
            Ok(keys) => removed.extend(keys),
            Err(error) => errors.push(error),
        }
    }
    drop(progress);
    if arguments.output.is_json() {
        let names: Vec<Value> = removed.iter().map(|key| key.to_string().into()).collect();
        say(out, format!("{:#}", json!({ "removed": names })))?;
    } else {
        removed.iter().try_for_each(|key| say(out, format!("removed   {key}")))?;
        if removed.is_empty() && errors.is_empty() {
            say(out, "nothing is left of dead containers")?;
        }
    }
    Error::all(errors)
}
