//! Whether bad luck was borne well.

use nix::errno::Errno;
use nix::libc;
use serde_json::{Deserializer, Value};

use super::stage::{Stage, Verb};
use super::tracer::{Run, Strike};
use super::{End, Try};
use crate::common::cni::Outcome;

/// How what a killed process left is cleared away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recovery {
    /// DEL.
    Del,
    /// GC with an empty list.
    Gc,
    /// The same again: ADD of the same key, or the same change.
    Again,
    /// `springline check --repair`.
    Repair,
}

impl Recovery {
    /// Of an attachment that comes or goes.
    pub(super) const OF_ALL: [Self; 3] = [Self::Del, Self::Gc, Self::Again];
    /// Of one that stays.
    pub(super) const OF_CHANGES: [Self; 4] = [Self::Del, Self::Gc, Self::Again, Self::Repair];
}

/// The code of a panic.
const PANIC: u64 = 102;

/// The verb is killed at the point.
pub(super) fn killed(stage: &Stage, verb: Verb, a_try: &Try) -> Result<End, String> {
    prepare(stage, verb);
    let run = stage.struck(verb, Some((a_try.point, a_try.strike)));
    not_hung(&run)?;
    match a_try.recovery {
        Recovery::Del | Recovery::Gc => {}
        Recovery::Again if verb.is_change() => changed_again(stage, verb)?,
        Recovery::Again => added_again(stage, verb)?,
        Recovery::Repair => repaired(stage, verb)?,
    }
    match a_try.recovery {
        Recovery::Gc => silent("GC", &stage.collect())?,
        _ => silent("DEL", &stage.delete())?,
    }
    nothing(&format!("after the kill, and {:?}", a_try.recovery), &stage.left())?;
    Ok(if run.struck.is_some() { End::ClearedAway } else { End::NotReached })
}

/// The next ADD succeeds. Only if the dead one had nothing left to do but to print its result, or a DEL had only begun,
/// may the attachment be told from a living one, which CNI forbids to add, by nobody: then a DEL has to come first.
fn added_again(stage: &Stage, verb: Verb) -> Result<(), String> {
    let outcome = stage.add();
    if !outcome.status.success() {
        let error = outcome.error().with_code(4).saying("call DEL first");
        if !error.text().contains("exists already") {
            return Err(format!("the next ADD: {error:?}"));
        }
        if verb == Verb::Add {
            nothing("an ADD that is said to have been done already", &stage.unfinished(Verb::Add))?;
        }
        silent("DEL", &stage.delete())?;
        nothing("after the kill, an ADD that was refused, and a DEL", &stage.left())?;
        stage.attach();
    }
    nothing("unlike a finished ADD", &stage.unfinished(Verb::Add))
}

fn changed_again(stage: &Stage, verb: Verb) -> Result<(), String> {
    match stage.again(verb) {
        Err(said) if !said.contains("already") => return Err(format!("the same again: {said}")),
        _ => {}
    }
    nothing("unlike a finished change", &stage.unfinished(verb))
}

fn repaired(stage: &Stage, verb: Verb) -> Result<(), String> {
    stage.repair().map_err(|said| format!("check --repair: {said}"))?;
    if stage.unfinished(verb).is_empty() {
        return Ok(());
    }
    nothing("after check --repair, unlike before the change", &stage.unfinished(Verb::Add))
}

/// The verb meets an error at the point.
pub(super) fn failing(stage: &Stage, verb: Verb, a_try: &Try) -> Result<End, String> {
    prepare(stage, verb);
    let run = stage.struck(verb, Some((a_try.point, a_try.strike)));
    not_hung(&run)?;
    let Some(struck) = run.struck else {
        silent("DEL", &stage.delete())?;
        return Ok(End::NotReached);
    };
    let end = if run.status.success() {
        worked(stage, verb, a_try, struck)?
    } else if run.status.code().is_none() {
        ended_itself(&run, struck)?
    } else if verb.is_change() {
        change_failed(stage, verb, &run, struck)?
    } else {
        failed(stage, verb, &run, struck)?
    };
    let has_been_seen = match end {
        End::Undone => verb == Verb::Add,
        End::Worked => matches!(verb, Verb::Del | Verb::Gc),
        _ => false,
    };
    if has_been_seen {
        return Ok(end);
    }
    silent("DEL", &stage.delete())?;
    nothing(&format!("call {struck}: after {end:?} and a DEL ({})", said(&run)), &stage.left())?;
    Ok(end)
}

fn worked(stage: &Stage, verb: Verb, a_try: &Try, struck: i64) -> Result<End, String> {
    match verb {
        Verb::Del | Verb::Gc => {
            // An empty folder that cannot be removed at the moment is no reason to fail.
            if struck == libc::SYS_rmdir {
                stage.remove_empty_folders();
            }
            nothing(&format!("call {struck}: after a success"), &stage.left())?;
        }
        _ => {
            let mut changes = stage.unfinished(verb);
            // On a read-only /proc/sys, some are precautions that are done without.
            if a_try.strike == Strike::Fail(Errno::EROFS) {
                changes.retain(|change| !change.contains(" sysctl "));
            }
            nothing(&format!("call {struck}: unlike finished, after a success"), &changes)?;
        }
    }
    Ok(End::Worked)
}

/// libc and the allocator give up at errors that cannot be, and without memory: that is like a kill.
fn ended_itself(run: &Run, struck: i64) -> Result<End, String> {
    let is_theirs = super::DEAF.contains(&struck) || [libc::SYS_futex, libc::SYS_poll].contains(&struck);
    if is_theirs { Ok(End::ClearedAway) } else { Err(format!("call {struck}: {} {}", run.status, said(run))) }
}

fn change_failed(stage: &Stage, verb: Verb, run: &Run, struck: i64) -> Result<End, String> {
    if super::DEAF.contains(&struck) && !run.stderr.contains("springline") {
        return Ok(End::NeedsDel); // before `main()`
    }
    if ["not complete", "could not begin", "panicked"].iter().any(|words| run.stderr.contains(words)) {
        return Ok(End::NeedsDel);
    }
    if !run.stderr.contains("springline: ") {
        return Err(format!("no word about the failure: {:?}", run.stderr));
    }
    if run.stderr.contains("write to stdout") && stage.unfinished(verb).is_empty() {
        return Ok(End::Worked);
    }
    nothing(&format!("after a change that failed ({})", run.stderr), &stage.unfinished(Verb::Add))?;
    Ok(End::Undone)
}

fn failed(stage: &Stage, verb: Verb, run: &Run, struck: i64) -> Result<End, String> {
    if run.stderr.contains("cannot write the result") {
        if String::from_utf8_lossy(&run.stdout).contains("\"ips\"") {
            return Err("a result of what was taken back".to_owned());
        }
        nothing("after a result that could not be printed", &stage.left())?;
        return Ok(End::Undone);
    }
    if run.stdout.is_empty() && super::DEAF.contains(&struck) && !run.stderr.contains("springline") {
        return Ok(End::NeedsDel); // before `main()`
    }
    let documents: Vec<Value> = Deserializer::from_slice(&run.stdout).into_iter().filter_map(Result::ok).collect();
    let [document] = documents.as_slice() else {
        return Err(format!("call {struck}: {} documents: {}", documents.len(), said(run)));
    };
    document["code"].as_u64().ok_or_else(|| format!("no code: {document}"))?;
    if verb != Verb::Add {
        return Ok(End::NeedsDel);
    }
    if ["not complete", "could not begin"].iter().any(|words| said(run).contains(words)) {
        super::say(&format!("  a DEL is needed after call {struck}: {document}"));
        return Ok(End::NeedsDel);
    }
    // A panic undoes nothing: the record says what there is to undo. Only errors that cannot be come to that, where the
    // standard library and the runtime give up.
    if document["code"] == PANIC && said(run).contains("panicked") {
        super::say(&format!("  a DEL is needed after call {struck}: {document}"));
        return Ok(End::NeedsDel);
    }
    nothing(&format!("call {struck}: after a failure with all undone ({document})"), &stage.not_undone())?;
    Ok(End::Undone)
}

fn prepare(stage: &Stage, verb: Verb) {
    stage.cool_down();
    if verb != Verb::Add {
        stage.attach();
    }
}

fn said(run: &Run) -> String {
    format!("{}{}", String::from_utf8_lossy(&run.stdout), run.stderr)
}

fn not_hung(run: &Run) -> Result<(), String> {
    if run.hung { Err(format!("it hangs: {}", said(run))) } else { Ok(()) }
}

fn silent(verb: &str, outcome: &Outcome) -> Result<(), String> {
    let is_silent = outcome.status.success() && outcome.stdout.is_empty();
    if is_silent { Ok(()) } else { Err(format!("{verb}: {}", String::from_utf8_lossy(&outcome.stdout))) }
}

fn nothing(when: &str, changes: &[String]) -> Result<(), String> {
    let short = |line: &String| line.chars().take(300).collect::<String>();
    let lines: Vec<String> = changes.iter().take(8).map(short).collect();
    if lines.is_empty() { Ok(()) } else { Err(format!("{when}:\n{}", lines.join("\n"))) }
}
