//! `springline detach`: what was attached by hand, or by whomever, taken away.

use std::io::Write;

use clap::Args;
use serde_json::json;

use super::output::Output;
use super::progress::Progress;
use super::{check, say};
use crate::error::{Code, Error, Result};
use crate::exec::Engine;
use crate::front::definition::Definition;
use crate::store::Store;

/// What to detach.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Which attachments: NETWORK/ID/IFNAME, NETWORK/ID, or a container's ID
    #[arg(required = true)]
    attachments: Vec<String>,
    /// Their addresses are on another host now: have the kernel forget UDP flows from and to them, which it would go on
    /// to treat as if they were here (no masquerade toward them, for one)
    #[arg(long)]
    moved: bool,
    #[command(flatten)]
    output: Output,
}

/// Goes on after errors.
pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<()> {
    let (mut done, mut errors) = (Vec::new(), Vec::new());
    let engine = Engine::open(Store::open()?)?;
    let mut keys = engine.store.attachments()?;
    // A network's name alone would detach all that are on it: that is `gc`'s business, not a slip's.
    keys.retain(|key| check::is_named(key, &arguments.attachments));
    let whole =
        |key: &crate::model::AttachmentKey| arguments.attachments.iter().any(|name| *name == key.network.as_str());
    if let Some(key) = keys.iter().find(|key| whole(key) && key.container.as_str() != key.network.as_str()) {
        return Err(Error::new(Code::InvalidConfig, format!("{} is a network", key.network))
            .context("nothing was detached")
            .hint("name containers, or NETWORK/ID"));
    }
    let mut progress = Progress::new("detach", Some(keys.len()));
    for key in keys {
        progress.step(&key);
        let addresses = if arguments.moved { engine.addresses_of(&key)? } else { Vec::new() };
        match engine.detach(&key, Definition::today_by_name(&key)).and_then(|_| engine.forget_flows(&addresses)) {
            Ok(()) => done.push(key),
            Err(error) => errors.push(error.context(format!("detach {key}"))),
        }
    }
    drop(progress);
    if arguments.output.is_json() {
        let names: Vec<String> = done.iter().map(ToString::to_string).collect();
        say(out, format!("{:#}", json!({ "detached": names })))?;
    } else {
        done.iter().try_for_each(|key| say(out, format!("detached  {key}")))?;
    }
    if done.is_empty() && errors.is_empty() {
        return Err(Error::new(Code::UnknownContainer, arguments.attachments.join(", ")).context("no such attachment"));
    }
    Error::all(errors)
}
