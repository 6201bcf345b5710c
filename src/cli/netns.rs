//! `springline netns`: named network namespaces, so that trying something out takes no other tool.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

use clap::Subcommand;
use serde_json::{Value, json};

use super::output::Output;
use super::say;
use crate::error::{Code, Coded, Error, Result};
use crate::kernel::{Netns, named};
use crate::store::Store;

/// What to do with them.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a namespace called NAME, in /run/netns, with its loopback link up
    Add {
        /// Its name
        name: String,
    },
    /// Take the name away, and the namespace with it unless somebody is in it
    ///
    /// Detach what springline has attached to it first (`springline detach`); `springline gc` does so afterwards.
    Del {
        /// Its name
        name: String,
    },
    /// List the names, with what springline has attached to each
    Ls {
        #[command(flatten)]
        output: Output,
    },
    /// Run a command in a namespace: its name, or the path of one
    ///
    /// It sees the namespace's links in /sys, and the files of /etc/netns/NAME in place of those of /etc.
    Exec {
        /// The name, or a path such as /proc/42/ns/net
        name: String,
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
}

pub(super) fn run(command: &Command, out: &mut impl Write) -> Result<()> {
    match command {
        Command::Add { name } => named::add(name)
            .coded(Code::InvalidNetns, || format!("add network namespace {name}"))
            .map_err(Error::with_permission_hint),
        Command::Del { name } => named::delete(name)
            .coded(Code::InvalidNetns, || format!("delete network namespace {name}"))
            .map_err(Error::with_permission_hint),
        Command::Ls { output } => list(output.is_json(), out),
        Command::Exec { name, command } => exec(name, command),
    }
}

/// The path of a namespace that is given by name or by path.
pub(super) fn path(text: &str) -> Result<String> {
    if text.contains('/') {
        return Ok(text.to_owned());
    }
    let path = named::path_of(text).coded(Code::InvalidNetns, || "network namespace")?;
    Ok(path.to_string_lossy().into_owned())
}

fn exec(name: &str, command: &[OsString]) -> Result<()> {
    let path = path(name)?;
    let netns = Netns::open(&path).coded(Code::InvalidNetns, || format!("network namespace {name}"))?;
    let known_as = Path::new(&path).file_name().and_then(|file| file.to_str()).filter(|_| !name.contains('/'));
    let words = command.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    match named::exec(&netns, known_as, command).coded(Code::Io, || format!("run {words} in {name}"))? {}
}

fn list(as_json: bool, out: &mut impl Write) -> Result<()> {
    let names = named::list().coded(Code::Io, || "list the network namespaces")?;
    let attached = attached_by_cookie()?;
    let mut listed = Vec::new();
    for (name, netns) in names {
        let cookie = netns.as_ref().ok().and_then(Netns::cookie);
        let own = attached.iter().filter(|(known, _)| Some(*known) == cookie);
        let keys: Vec<String> = own.map(|(_, key)| key.clone()).collect();
        listed.push((name, netns.err().map(|error| error.to_string()), keys));
    }
    if as_json {
        let entries = listed.iter().map(|(name, problem, keys)| {
            let mut entry = json!({"name": name, "attachments": keys});
            if let Some(problem) = problem {
                entry["problem"] = problem.clone().into();
            }
            entry
        });
        return say(out, format!("{:#}", Value::Array(entries.collect())));
    }
    let width = listed.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
    listed.iter().try_for_each(|(name, problem, keys)| {
        let what = problem.clone().unwrap_or_else(|| keys.join(", "));
        say(out, format!("{name:<width$}  {what}").trim_end())
    })
}

/// The cookies of all recorded attachments' namespaces.
fn attached_by_cookie() -> Result<Vec<(u64, String)>> {
    let store = Store::open()?;
    let mut found = Vec::new();
    for key in store.attachments()? {
        if let Ok(Some(record)) = store.record(&key)
            && record.boot == store.boot()
        {
            found.push((record.netns.cookie, key.to_string()));
        }
    }
    Ok(found)
}
