//! Progress of long work: one line on a terminal, rewritten as it goes, and nothing anywhere else.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// What is over sooner needs no progress.
const PATIENCE: Duration = Duration::from_millis(300);
/// How often the line is rewritten, at most.
const INTERVAL: Duration = Duration::from_millis(100);

/// The progress of some work on many things.
pub(super) struct Progress {
    doing: &'static str,
    total: Option<usize>,
    done: usize,
    begin: Instant,
    shown: Option<Instant>,
    is_terminal: bool,
}

impl Progress {
    /// Of `total` things, if their number is known beforehand.
    pub(super) fn new(doing: &'static str, total: Option<usize>) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self { doing, total, done: 0, begin: Instant::now(), shown: None, is_terminal }
    }

    /// One more, of which `name` comes now.
    pub(super) fn step(&mut self, name: &dyn std::fmt::Display) {
        let (now, done) = (Instant::now(), self.done);
        self.done += 1;
        let is_due = self.shown.is_none_or(|shown| now - shown >= INTERVAL) && now - self.begin >= PATIENCE;
        if self.is_terminal && is_due {
            self.shown = Some(now);
            let of = self.total.map(|total| format!(" of {total}")).unwrap_or_default();
            // Back to the first column, and what was there is gone (ECMA-48, EL).
            let _ = write!(std::io::stderr(), "\r\u{1b}[K{}: {done}{of}, {name}", self.doing);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = write!(std::io::stderr(), "\r\u{1b}[K");
        }
    }
}
