//! The same case with the bad luck at every point in turn.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, thread};

use crate::scene::{Mode, Scene};
use crate::trace::{Effect, Fault, spelled, start};

/// How many points are tried at once: most of the time is spent waiting.
const WORKERS: usize = 3;
/// When a sweep that is not exhaustive ends early, as on an emulated machine.
const LIMIT: Duration = Duration::from_secs(6);

/// How many failures are worth reading.
const ENOUGH: usize = 10;

/// Whether every point is to be tried.
pub(crate) fn is_exhaustive() -> bool {
    env::var_os("SPRINGLINE_EXHAUSTIVE").is_some()
}

/// The points at which `effects` (a system call and what happens to it) can strike a clean run of `verb`.
pub(crate) fn faults(scene: &Scene, verb: &str, effects: &[(&'static str, Effect)], and_later: bool) -> Vec<Fault> {
    if verb == "DEL" {
        scene.call("ADD").run().result();
    }
    let (outcome, log) = start(&scene.lab, scene.call(verb), &[]).finish_all();
    outcome.success();
    scene.blind_del().run().success();
    let counts = log.counts();
    let points = spelled(effects).flat_map(|(syscall, effect)| {
        let count = counts.get(syscall).copied().unwrap_or_default();
        (1..=count).map(move |when| Fault { syscall, when, and_later, effect })
    });
    points.collect()
}

/// Every `step`th of `faults`; every mode begins elsewhere, so that together they take more of them.
fn sample(faults: Vec<Fault>, step: usize, mode: Mode) -> Vec<Fault> {
    let step = if is_exhaustive() { 1 } else { step };
    faults.into_iter().skip(mode as usize % step).step_by(step).collect()
}

/// Runs `case` with a scene of its own for every fault, or every `step`th; panics with all that failed.
#[track_caller]
pub(crate) fn sweep(
    faults: Vec<Fault>,
    step: usize,
    make: impl Fn() -> Scene + Sync,
    case: impl Fn(&Scene, Fault) + Sync,
) {
    let mode = make().mode;
    let faults = sample(faults, step, mode);
    assert!(!faults.is_empty(), "a sweep over nothing");
    let begin = Instant::now();
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::<String>::new());
    let work = || {
        let mut scene: Option<Scene> = None;
        while let Some(&fault) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
            let is_enough = begin.elapsed() > LIMIT || failures.lock().expect("nobody panics here").len() >= ENOUGH;
            if is_enough && !is_exhaustive() {
                return;
            }
            let here = scene.take().unwrap_or_else(&make);
            match catch_unwind(AssertUnwindSafe(|| case(&here, fault))) {
                Ok(()) => scene = Some(here),
                Err(panic) => {
                    let text = panic.downcast_ref::<String>().cloned();
                    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                    let mut failures = failures.lock().expect("nobody panics here");
                    let lines: Vec<&str> = text.as_deref().unwrap_or_default().lines().take(5).collect();
                    failures.push(format!("{fault:?}: {}", lines.join("\n")));
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..WORKERS.min(faults.len()) {
            scope.spawn(work);
        }
    });
    let failures = failures.into_inner().expect("nobody panics here");
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), faults.len(), failures.join("\n"));
}
