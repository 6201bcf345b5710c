//! `springline doctor`: what is wrong with this host for containers, and what mends it.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::output::Output;
use super::{say, table};
use crate::doctor::{self, Finding, Level};
use crate::error::Result;
use crate::exec::Engine;
use crate::front::networks;
use crate::store::Store;

/// What is said behind `--help`.
pub(super) const EXIT_STATUS: &str = "Exit status:
  0  nothing is worse than a note
  1  the host could not be examined
  2  the command line is wrong
  3  there are warnings
  4  there are errors";

/// What to look at, and how to print.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print warnings and errors only
    #[arg(short, long)]
    quiet: bool,
    /// Look below DIR for /etc, /run and /usr/lib of systemd-networkd, `NetworkManager` and udev, and for /run/netns
    ///
    /// The kernel's state, and springline's own, are always those of the host that the command runs on.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// Prints what is found; the exit status is that of the worst.
pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<ExitCode> {
    let (networks, unreadable) = networks::defined();
    let engine = Engine::open(Store::open()?)?;
    let mut facts = engine.examine(networks, arguments.root.as_deref())?;
    facts.unreadable = unreadable;
    let findings = doctor::judge(&facts);
    let worst = doctor::worst(&findings);
    let is_shown = |finding: &&Finding| !arguments.quiet || finding.level >= Level::Warning;
    let shown: Vec<&Finding> = findings.iter().filter(is_shown).collect();
    if arguments.output.is_json() {
        say(out, format!("{:#}", json!({ "worst": worst, "findings": shown })))?;
    } else {
        shown.iter().try_for_each(|finding| show(finding, out))?;
    }
    Ok(match worst {
        Level::Ok | Level::Note => ExitCode::SUCCESS,
        Level::Warning => ExitCode::from(3),
        Level::Error => ExitCode::from(4),
    })
}

fn show(finding: &Finding, out: &mut impl Write) -> Result<()> {
    let Finding { level, check, what, why, mend, .. } = finding;
    say(out, format!("{}  {check}: {what}", coloured(*level)))?;
    if !why.is_empty() {
        say(out, format!("         why:  {why}"))?;
    }
    mend.iter().try_for_each(|mend| say(out, format!("         mend: {mend}")))
}

/// The level, in colour on a terminal.
fn coloured(level: Level) -> String {
    let word = format!("{level:<7}");
    match level {
        Level::Ok => table::in_colour(&word, table::GREEN),
        Level::Note => word,
        Level::Warning => table::in_colour(&word, table::YELLOW),
        Level::Error => table::in_colour(&word, table::RED),
    }
}
