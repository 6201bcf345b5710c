//! How to print: for people, or for programs.

use clap::Args;

/// The option that most commands have.
#[derive(Debug, Args)]
pub(super) struct Output {
    /// How to print: `text`, or `json` for programs
    #[arg(short, long, default_value = "text", value_parser = ["text", "json"])]
    output: String,
}

impl Output {
    /// Whether it is a program that reads.
    pub(super) fn is_json(&self) -> bool {
        self.output == "json"
    }
}
