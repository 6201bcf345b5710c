//! `springline completions`: what a shell has to know to complete our commands and options.

use std::io::Write;

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::Generator;
use clap_complete::aot::{Bash, Fish, Zsh};

use crate::error::{Code, Coded, Result};

/// Whose completions.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    shell: Shell,
}

/// Ours, not `clap_complete`'s: that one has shells that do not run on Linux hosts.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Fish,
    Zsh,
}

/// Prints them.
pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<()> {
    let mut command = super::Arguments::command();
    command.set_bin_name("springline");
    command.build();
    let done = match arguments.shell {
        Shell::Bash => Bash.try_generate(&command, out),
        Shell::Fish => Fish.try_generate(&command, out),
        Shell::Zsh => Zsh.try_generate(&command, out),
    };
    done.coded(Code::Io, || "write to stdout")
}
