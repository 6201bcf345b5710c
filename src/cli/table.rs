//! Tables for people: as wide as they need to be, and no colours but on a terminal.

use std::io::{IsTerminal, Write};

use super::say;
use crate::error::Result;

/// Prints rows under their heads; the last column is not padded.
pub(super) fn print(out: &mut impl Write, heads: &[&str], rows: &[Vec<String>]) -> Result<()> {
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        cells.chain(heads.get(at).map(|head| head.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let heads: Vec<String> = heads.iter().map(|head| head.to_uppercase()).collect();
    say(out, line(&heads))?;
    rows.iter().try_for_each(|row| say(out, coloured(&line(row), row.last().map_or("", String::as_str))))
}

/// On a terminal, what is not well stands out.
fn coloured(line: &str, state: &str) -> String {
    match state {
        "drifted" | "unknown" => in_colour(line, YELLOW),
        "orphaned" | "failed" => in_colour(line, RED),
        _ => line.to_owned(),
    }
}

/// `SGR` parameters (ECMA-48, 8.3.117): colours of the foreground.
pub(super) const RED: u8 = 31;
pub(super) const GREEN: u8 = 32;
pub(super) const YELLOW: u8 = 33;

/// The text in a colour, if stdout is a terminal and nobody objects (`NO_COLOR`).
pub(super) fn in_colour(text: &str, colour: u8) -> String {
    let wanted = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if wanted { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// The text, or its beginning.
pub(super) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}
