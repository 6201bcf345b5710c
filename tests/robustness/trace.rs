//! strace, as a means to have bad luck at a chosen moment.
//!
//! It is attached while the plugin waits for the end of its input: so it sees the plugin only, from the first
//! thing that it does on, and the plugin is run as everywhere else. Counters are per thread and per process.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Stdio};
use std::time::{Duration, Instant};

use crate::common::Lab;
use crate::common::cni::{Call, Outcome, Running};
use crate::common::eventually;

/// What happens to a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It is not done, and fails with this error.
    Error(&'static str),
    /// It is not done, and the process is killed.
    Kill,
    /// It is done, and returns two seconds later.
    Late,
}

/// One piece of bad luck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The system call.
    pub(crate) syscall: &'static str,
    /// The how manyth, from 1 on.
    pub(crate) when: usize,
    /// Whether all later ones suffer the same.
    pub(crate) and_later: bool,
    /// What happens.
    pub(crate) effect: Effect,
}

/// What is to befall a system call by its name, and where musl's library calls another one for the same, that one, too.
pub(crate) fn spelled(effects: &[(&'static str, Effect)]) -> impl Iterator<Item = (&'static str, Effect)> {
    let of_musl = [("openat", "open"), ("statx", "fstat"), ("clone3", "fork")];
    effects.iter().flat_map(move |&(syscall, effect)| {
        let others = of_musl.into_iter().filter(move |(glibc, _)| *glibc == syscall).map(|(_, musl)| musl);
        std::iter::once(syscall).chain(others).map(move |syscall| (syscall, effect))
    })
}

impl Fault {
    pub(crate) fn to_option(self) -> String {
        let Self { syscall, when, and_later, effect } = self;
        let what = match effect {
            Effect::Error(errno) => format!("error={errno}"),
            Effect::Kill => "signal=KILL".to_owned(),
            Effect::Late => "delay_exit=2000000".to_owned(),
        };
        format!("inject={syscall}:{what}:when={when}{}", if and_later { "+" } else { "" })
    }
}

/// A call that is traced; see [`start`].
pub(crate) struct Traced {
    running: Running,
    strace: Child,
    log: PathBuf,
    /// Kept open: strace goes on writing.
    said: BufReader<ChildStderr>,
}

/// Starts `call` with `faults` ahead of it.
#[track_caller]
pub(crate) fn start(lab: &Lab, call: Call, faults: &[Fault]) -> Traced {
    let mut running = call.keep_stdin_open().spawn();
    let pid = running.pid();
    eventually("the plugin waits for the rest of its input", || waits_for_input(pid));
    let log = lab.dir().join(format!("strace-{pid}"));
    let mut strace = lab.host().command(&strace());
    strace.args(["-f", "-o"]).arg(&log).args(["-p", &pid.to_string()]);
    for fault in faults {
        strace.args(["-e", &fault.to_option()]);
    }
    let strace = strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut strace = strace.spawn().expect("start strace");
    let mut said = BufReader::new(strace.stderr.take().expect("stderr is a pipe"));
    let mut line = String::new();
    said.read_line(&mut line).expect("read what strace says");
    assert!(line.contains("attached"), "strace could not attach: {line}");
    running.close_stdin();
    Traced { running, strace, log, said }
}

impl Traced {
    /// Waits for the plugin's end, not for that of children that it left behind.
    #[track_caller]
    pub(crate) fn finish(self) -> Outcome {
        let Self { running, mut strace, log, said } = self;
        let outcome = running.finish_within(Duration::from_mins(1));
        std::thread::spawn(move || {
            let _ = strace.wait();
            let _ = fs::remove_file(log);
            drop(said);
        });
        outcome
    }

    /// Waits for the end of all its processes too, and returns what they called.
    #[track_caller]
    pub(crate) fn finish_all(mut self) -> (Outcome, Log) {
        let outcome = self.running.finish_within(Duration::from_mins(1));
        let end = Instant::now() + Duration::from_secs(20);
        while self.strace.try_wait().expect("wait for strace").is_none() {
            if Instant::now() > end {
                let _ = self.strace.kill();
                panic!("a child of the plugin does not end");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let text = fs::read_to_string(&self.log).expect("read strace's log");
        let _ = fs::remove_file(&self.log);
        (outcome, Log(text))
    }
}

/// What was called, one line each.
pub(crate) struct Log(String);

impl Log {
    /// The lines, each with its process id.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.lines().filter_map(|line| line.split_once(char::is_whitespace)).map(|(pid, rest)| (pid, rest.trim()))
    }

    /// How often each system call was called by the process or thread that called it most.
    pub(crate) fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for (pid, line) in self.lines() {
            if let Some((name, _)) = line.split_once('(')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            {
                *counts.entry((name, pid)).or_default() += 1;
            }
        }
        let mut most = BTreeMap::new();
        for ((name, _), count) in counts {
            let entry = most.entry(name.to_owned()).or_default();
            *entry = count.max(*entry);
        }
        most
    }
}

/// Whether the plugin has started, and sleeps: the one thing that it waits for is its input.
fn waits_for_input(pid: u32) -> bool {
    let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start().chars().next();
    program.file_name().is_some_and(|name| name != "nsenter") && state == Some('S')
}

fn strace() -> PathBuf {
    let path = PathBuf::from("/usr/bin/strace");
    assert!(path.is_file(), "these tests need `strace`: install the package strace");
    path
}
