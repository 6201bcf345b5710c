//! `springline man`: the manual, from the same words as `--help`, and from `man.roff` what those do not say.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use crate::error::{Code, Coded, Result};

/// FILES, ENVIRONMENT, EXIT STATUS and SEE ALSO of the main page.
const REST: &str = include_str!("man.roff");

/// Where to.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The folder to write the pages to; without one, the main page is printed
    dir: Option<PathBuf>,
}

/// Writes all pages, or prints the first.
pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<()> {
    // Without `help` and its copy of all commands, each of which would get a page.
    let mut command = super::Arguments::command().disable_help_subcommand(true);
    command.build();
    let Some(dir) = &arguments.dir else {
        return page(&command, out).coded(Code::Io, || "write to stdout");
    };
    fs::create_dir_all(dir).coded(Code::Io, || format!("create {}", dir.display()))?;
    for command in with_subcommands(&command) {
        let path = dir.join(format!("{}.1", name(command)));
        let mut text = Vec::new();
        page(command, &mut text)
            .and_then(|()| fs::write(&path, &text))
            .coded(Code::Io, || format!("write {}", path.display()))?;
    }
    Ok(())
}

/// A command and all below it.
fn with_subcommands(command: &Command) -> Vec<&Command> {
    let mut all = vec![command];
    all.extend(command.get_subcommands().filter(|below| !below.is_hide_set()).flat_map(with_subcommands));
    all
}

/// `springline-ip-add`, as the page is called and as others refer to it.
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

/// One page: `clap_mangen`'s sections in its order, with our last ones in place of the authors.
fn page(command: &Command, out: &mut impl Write) -> io::Result<()> {
    let man = Man::new(command.clone());
    let mut sections = Vec::new();
    man.render_name_section(&mut sections)?;
    man.render_synopsis_section(&mut sections)?;
    man.render_description_section(&mut sections)?;
    man.render_options_section(&mut sections)?;
    if command.has_subcommands() {
        writeln!(sections, ".SH COMMANDS")?;
        for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
            let about = below.get_about().map(ToString::to_string).unwrap_or_default();
            writeln!(sections, ".TP\n\\fB{}\\fR(1)\n{}", escaped(name(below)), escaped(&about))?;
        }
    }
    if command.get_after_long_help().is_some() {
        let mut extra = Vec::new();
        man.render_extra_section(&mut extra)?;
        // clap_mangen's heading says nothing.
        sections.extend(String::from_utf8_lossy(&extra).replace(".SH EXTRA\n", ".SH NOTES\n").into_bytes());
    }
    // The title is ours: clap_mangen leaves an empty date out, and what follows it moves into its place.
    let version = env!("CARGO_PKG_VERSION");
    writeln!(out, "{PREAMBLE}\n.TH {} 1 \"\" \"springline {version}\" springline", escaped(name(command)))?;
    out.write_all(tidied(&String::from_utf8_lossy(&sections)).as_bytes())?;
    out.write_all(
        if name(command) == "springline" { REST } else { ".SH \"SEE ALSO\"\n\\fBspringline\\fR(1)\n" }.as_bytes(),
    )
}

/// What the sections' text needs: the apostrophe by a name, for `'` begins a request.
const PREAMBLE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '";

/// The sections without the preamble, which each of them has, and with examples (indented lines) as they are: else
/// their lines would be broken and spread.
fn tidied(sections: &str) -> String {
    let (mut tidied, mut verbatim) = (String::new(), false);
    for line in sections.lines().filter(|line| !PREAMBLE.lines().any(|preamble| preamble == *line)) {
        if line.starts_with(' ') != verbatim {
            verbatim = !verbatim;
            tidied.push_str(if verbatim { ".nf\n" } else { ".fi\n" });
        }
        tidied.push_str(line);
        tidied.push('\n');
    }
    tidied
}

/// Text as roff takes it: `\\` and `-` mean something else there, and so do `.` and `'` at a line's beginning.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\(rs").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}
