//! Bad luck at *every* system call of a verb, of its helper threads and of the children that it leaves behind: a
//! `kill -9`, an error, a message that the kernel refuses. After each, the whole of host and container is compared with
//! what it was before, or with the finished work.
//!
//! Normally a sample of the points is tried; `tests/sweep` tries all of them and prints what came of it.

mod judge;
mod stage;
mod tracer;
mod world;

use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, io, thread};

use nix::errno::Errno;
use nix::libc;

use judge::Recovery;
use stage::{Network, Stage, Verb};
use tracer::{Point, Strike};

use crate::common::Lab;

/// How many points of each sweep are tried if nobody asks for more.
const SAMPLE: usize = 24;
/// How many are tried at once: a good part of the time is spent waiting, for the kernel's grace periods and for other
/// processes.
const WORKERS: usize = 4;
/// How many failures are worth reading.
const ENOUGH: usize = 40;
/// A run that takes longer is worth a word.
const SLOW: Duration = Duration::from_secs(8);

/// The calls that change nothing that is there when the process is not any more.
const HARMLESS: [i64; 38] = [
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_arch_prctl,
    libc::SYS_set_tid_address,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_prlimit64,
    libc::SYS_getrandom,
    libc::SYS_futex,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_sigaltstack,
    libc::SYS_sched_getaffinity,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_poll,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd2,
    libc::SYS_socket,
    libc::SYS_bind,
    libc::SYS_getsockname,
    libc::SYS_setsockopt,
    libc::SYS_getsockopt,
    libc::SYS_recvfrom,
    libc::SYS_read,
    libc::SYS_pread64,
    libc::SYS_statx,
    libc::SYS_fstat,
    libc::SYS_lseek,
    libc::SYS_fcntl,
    libc::SYS_close,
    libc::SYS_getdents64,
];

/// The calls of libc's and the allocator's of which nobody asks why they failed.
const DEAF: [i64; 16] = [
    libc::SYS_arch_prctl,
    libc::SYS_set_tid_address,
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_prlimit64,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_sigaltstack,
    libc::SYS_getrandom,
    libc::SYS_close,
];

/// One sweep for each verb on each network.
macro_rules! sweeps {
    ($kind:ident: $($name:ident($network:ident, $verb:ident)),* $(,)?) => { $(
        #[test]
        fn $name() { crate::crash::$kind(crate::crash::Network::$network, crate::crash::Verb::$verb); }
    )* };
}

mod killed {
    sweeps! { killed:
        routed_add(Routed, Add),
        routed_del(Routed, Del),
        routed_gc(Routed, Gc),
        routed_ip_add(Routed, IpAdd),
        routed_set(Routed, Set),
        bridged_add(Bridged, Add),
        bridged_del(Bridged, Del),
        bridged_gc(Bridged, Gc),
        bridged_ip_add(Bridged, IpAdd),
        vlan_add(Vlan, Add),
        vlan_del(Vlan, Del),
    }
}

mod failing {
    sweeps! { failing:
        routed_add(Routed, Add),
        routed_del(Routed, Del),
        routed_gc(Routed, Gc),
        routed_ip_add(Routed, IpAdd),
        routed_set(Routed, Set),
        bridged_add(Bridged, Add),
        bridged_del(Bridged, Del),
        bridged_gc(Bridged, Gc),
        bridged_ip_add(Bridged, IpAdd),
        vlan_add(Vlan, Add),
        vlan_del(Vlan, Del),
    }
}

/// One try.
#[derive(Clone, Debug)]
struct Try {
    point: Point,
    /// What is called there in a clean run.
    #[expect(dead_code, reason = "it is shown with what failed")]
    call: tracer::Call,
    strike: Strike,
    /// How it is cleared away, if a killed process is.
    recovery: Recovery,
}

/// `kill -9` at every call. Where something outside of the process may have changed since the last point, each of the
/// ways to clear away follows; elsewhere one of them, in turn.
fn killed(network: Network, verb: Verb) {
    if lacks(network) {
        return;
    }
    let tape = clean_run(&Stage::new(network), verb);
    let recoveries: &[Recovery] = if verb.is_change() { &Recovery::OF_CHANGES } else { &Recovery::OF_ALL };
    let mut tries = Vec::new();
    for calls in points_of_tasks(&tape) {
        let mut is_new = true;
        for (point, call) in calls {
            let here = if is_new { recoveries } else { &recoveries[point.call % recoveries.len()..][..1] };
            tries.extend(here.iter().map(|&recovery| Try {
                point,
                call: call.clone(),
                strike: Strike::Kill,
                recovery,
            }));
            is_new = !HARMLESS.contains(&call.number);
        }
    }
    sweep(&format!("kill -9 at {network:?} {verb:?}"), network, tries, |stage, a_try| {
        judge::killed(stage, verb, a_try)
    });
}

/// An error at every call, and a refusal of every message; all the errors at calls that change something or look for a
/// file, elsewhere one of them, in turn.
fn failing(network: Network, verb: Verb) {
    if lacks(network) {
        return;
    }
    let stage = Stage::new(network);
    let tape = clean_run(&stage, verb);
    let anywhere = [Errno::ENOMEM, Errno::EBUSY, Errno::EEXIST];
    let mut tries = Vec::new();
    for (point, call) in points_of_tasks(&tape).flatten() {
        // To end cannot fail.
        if [libc::SYS_exit, libc::SYS_exit_group, libc::SYS_rt_sigreturn].contains(&call.number) {
            continue;
        }
        let in_turn = &anywhere[point.call % anywhere.len()..][..1];
        let errors = if HARMLESS.contains(&call.number) { in_turn } else { &anywhere };
        let here = call.file.as_deref().map_or(&[][..], |file| stage.errors_of(file));
        let strikes = errors.iter().chain(here).map(|&errno| Strike::Fail(errno));
        let refusals = (0..call.messages).flat_map(|message| anywhere.map(|errno| Strike::Refuse(message, errno)));
        tries.extend(strikes.chain(refusals).map(|strike| Try {
            point,
            call: call.clone(),
            strike,
            recovery: Recovery::Del,
        }));
    }
    drop(stage);
    sweep(&format!("errors at {network:?} {verb:?}"), network, tries, |stage, a_try| {
        judge::failing(stage, verb, a_try)
    });
}

/// Whether the kernel has not what the network takes; says so.
fn lacks(network: Network) -> bool {
    if network != Network::Vlan {
        return false;
    }
    let lab = Lab::new();
    let said = lab.host().shell("ip link add probe type bridge vlan_filtering 1 2>&1 || true");
    let lacks = lab.host().link("probe").is_none();
    if lacks {
        let why = said.trim().replace('\n', "; ");
        let _ =
            writeln!(io::stderr(), "not run: crash::{network:?}: this kernel's bridges do not filter VLANs ({why})");
    }
    lacks
}

/// What a verb calls when nothing goes wrong.
fn clean_run(stage: &Stage, verb: Verb) -> Vec<Vec<tracer::Call>> {
    stage.cool_down();
    if verb != Verb::Add {
        stage.attach();
    }
    let run = stage.struck(verb, None);
    assert!(run.status.success(), "{}{}", String::from_utf8_lossy(&run.stdout), run.stderr);
    stage.delete().silent();
    assert!(run.tape.iter().map(Vec::len).sum::<usize>() > 50, "hardly a call was seen: {:?}", run.tape);
    run.tape
}

/// The points of each task.
fn points_of_tasks(tape: &[Vec<tracer::Call>]) -> impl Iterator<Item = impl Iterator<Item = (Point, &tracer::Call)>> {
    tape.iter()
        .enumerate()
        .map(|(task, calls)| calls.iter().enumerate().map(move |(call, what)| (Point { task, call }, what)))
}

/// Which of `count` tries: all, or as many as are asked for, or a sample.
fn step(count: usize) -> usize {
    match env::var("SPRINGLINE_SWEEP_EVERY") {
        Ok(every) => every.parse().ok().filter(|every| *every > 0).expect("SPRINGLINE_SWEEP_EVERY is a number"),
        Err(_) => count.div_ceil(SAMPLE),
    }
}

/// How a try ended that left nothing behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// The verb ended before it came to the point: its calls are not the same each time.
    NotReached,
    /// It worked all the same.
    Worked,
    /// It was killed, or ended itself, and what it left was cleared away.
    ClearedAway,
    /// It failed, and had undone all of it by itself.
    Undone,
    /// It failed, and said that a DEL is needed.
    NeedsDel,
}

/// Has every try, or every so manyth, judged; panics with what was left behind.
fn sweep(what: &str, network: Network, all: Vec<Try>, judge: impl Fn(&Stage, &Try) -> Result<End, String> + Sync) {
    let (total, step) = (all.len(), step(all.len()));
    // Each begins elsewhere, so that together they take more of them.
    let tries: Vec<Try> = all.into_iter().skip(what.len() % step).step_by(step).collect();
    assert!(!tries.is_empty(), "a sweep over nothing");
    let begin = Instant::now();
    let next = AtomicUsize::new(0);
    let (ends, failures) = (Mutex::new(BTreeMap::<End, usize>::new()), Mutex::new(Vec::<String>::new()));
    let work = || {
        let mut stage: Option<Stage> = None;
        while let Some(a_try) = tries.get(next.fetch_add(1, Ordering::Relaxed)) {
            if failures.lock().expect("nobody panics here").len() >= ENOUGH {
                return;
            }
            let here = stage.take().unwrap_or_else(|| Stage::new(network));
            let start = Instant::now();
            let judged = |stage: &Stage| {
                let judged = catch_unwind(AssertUnwindSafe(|| judge(stage, a_try)));
                judged.unwrap_or_else(|panic| {
                    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                    Err(text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default())
                })
            };
            let (mut here, mut outcome) = (here, None);
            // A machine that is busy with other things may hold up all of them at once: what did not come to its end
            // gets a second chance.
            for _ in 0..2 {
                let judged = judged(&here);
                let is_late =
                    judged.as_ref().is_err_and(|why| why.contains("not done within") || why.contains("it hangs"));
                outcome = Some(judged);
                if !is_late {
                    break;
                }
                here = Stage::new(network);
            }
            if start.elapsed() > SLOW {
                say(&format!("  {what}: {a_try:?} took {:?}", start.elapsed()));
            }
            match outcome.unwrap_or_else(|| Err(String::new())) {
                Ok(end) => {
                    stage = Some(here);
                    *ends.lock().expect("nobody panics here").entry(end).or_default() += 1;
                }
                Err(why) => {
                    let why: Vec<&str> = why.lines().take(12).collect();
                    let failure = format!("{a_try:?}: {}", why.join("\n    "));
                    say(&format!("  {what}: {failure}"));
                    failures.lock().expect("nobody panics here").push(failure);
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..WORKERS.min(tries.len()) {
            scope.spawn(work);
        }
    });
    let (ends, failures) = (ends.into_inner().expect("all are done"), failures.into_inner().expect("all are done"));
    let took = begin.elapsed().as_secs();
    say(&format!("sweep: {what}: {} of {total} tried, {} leaks, {took} s: {ends:?}", tries.len(), failures.len()));
    assert!(failures.is_empty(), "{what}: {} of {}:\n{}", failures.len(), tries.len(), failures.join("\n"));
    let reached: usize = ends.iter().filter(|(end, _)| **end != End::NotReached).map(|(_, count)| count).sum();
    assert!(reached * 10 >= tries.len() * 9, "{what}: of {} points only {reached} were reached", tries.len());
}

/// To whoever has asked for a report.
fn say(line: &str) {
    if env::var_os("SPRINGLINE_SWEEP_EVERY").is_some() {
        let _ = writeln!(io::stderr(), "{line}");
    }
}
