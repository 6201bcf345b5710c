//! A failure half way: ADD ends with one error, and everything is as before.
//!
//! The host forwards already: whoever turns forwarding on is made to try again by the kernel as long as somebody
//! else holds the RTNL, which takes very long under strace. How forwarding is turned off again is tested by
//! [`crate::obstacles`].

use crate::common::cni::Outcome;
use crate::further_modes;
use crate::scene::{Mode, Scene};
use crate::sweep::{faults, sweep};
use crate::trace::{Effect::Error, Fault, start};

/// The code of a panic.
const PANIC: u64 = 102;

further_modes! {
    a_failing_file_operation_is_undone,
    a_failing_message_is_undone,
    a_lost_answer_is_undone,
    a_failing_entry_is_undone,
    an_undo_that_fails_too_says_so,
}

/// The disk is full, or has become read-only, at any file operation.
fn a_failing_file_operation_is_undone(mode: Mode) {
    let errors = [
        ("openat", Error("ENOSPC")),
        ("openat", Error("EMFILE")),
        ("write", Error("ENOSPC")),
        ("pwrite64", Error("ENOSPC")),
        ("pread64", Error("EIO")),
        ("ftruncate", Error("ENOSPC")),
        ("fsync", Error("EIO")),
        ("mkdir", Error("EROFS")),
        ("rename", Error("ENOSPC")),
        ("unlink", Error("EROFS")),
        ("flock", Error("ENOLCK")),
        ("statx", Error("EACCES")),
        ("read", Error("EIO")),
    ];
    let points = faults(&Scene::new(mode), "ADD", &errors, false);
    sweep(points, 6, || Scene::new(mode), fails_whole_or_works);
}

/// A message does not reach the kernel.
fn a_failing_message_is_undone(mode: Mode) {
    let points = faults(&Scene::new(mode), "ADD", &[("sendto", Error("ENOBUFS"))], false);
    sweep(points, 2, || Scene::new(mode), fails_whole_or_works);
}

/// The kernel has done what it was told, but its answer is lost.
fn a_lost_answer_is_undone(mode: Mode) {
    if mode == Mode::Delegated {
        return; // the standard library receives too, from its child, and waits for that for ever if it cannot
    }
    let errors = [("recvfrom", Error("ENOMEM"))];
    let points = faults(&Scene::new(mode), "ADD", &errors, false);
    sweep(points, 3, || Scene::new(mode), fails_whole_or_works);
}

/// There is no thread, no socket, no way into the namespace.
fn a_failing_entry_is_undone(mode: Mode) {
    let errors = [
        ("setns", Error("EPERM")),
        ("socket", Error("EMFILE")),
        ("socket", Error("ENOBUFS")),
        ("setsockopt", Error("ENOPROTOOPT")),
        ("getsockopt", Error("ENOPROTOOPT")),
        ("clone3", Error("EAGAIN")),
        ("epoll_create1", Error("EMFILE")),
        ("epoll_ctl", Error("ENOMEM")),
        ("eventfd2", Error("EMFILE")),
        ("fstatfs", Error("EIO")),
    ];
    let points = faults(&Scene::new(mode), "ADD", &errors, false);
    sweep(points, 6, || Scene::new(mode), fails_whole_or_works);
}

/// The same call keeps failing, so that the undo cannot do its work either.
fn an_undo_that_fails_too_says_so(mode: Mode) {
    let errors = [
        ("openat", Error("EMFILE")),
        ("write", Error("ENOSPC")),
        ("socket", Error("ENOBUFS")),
        ("rename", Error("EROFS")),
        ("unlink", Error("EROFS")),
        ("recvfrom", Error("ENOMEM")),
        ("sendto", Error("EPERM")),
        ("mkdir", Error("ENOSPC")),
    ];
    let mut points = faults(&Scene::new(mode), "ADD", &errors, true);
    points.retain(|fault| fault.syscall != "recvfrom" || mode != Mode::Delegated);
    sweep(points, 8, || Scene::new(mode), fails_whole_or_works);
}

/// ADD meets the fault: it fails and leaves nothing, or says that it left something and the next DEL removes
/// that, or works after all.
fn fails_whole_or_works(scene: &Scene, fault: Fault) {
    let (outcome, _) = start(&scene.lab, scene.call("ADD"), &[fault]).finish_all();
    if outcome.status.success() {
        scene.assert_works(&outcome);
        scene.blind_del().run().silent();
        scene.assert_restored("after DEL of what worked");
    } else {
        fails_whole(scene, &outcome);
    }
}

/// What an ADD that has failed leaves, and says of it.
fn fails_whole(scene: &Scene, outcome: &Outcome) {
    if outcome.stdout.is_empty() && outcome.stderr.is_empty() {
        // Neither stream could be written to, so there is nobody to be told.
        assert!(!outcome.status.success());
        scene.blind_del().run().silent();
        return scene.assert_restored("after an ADD that could say nothing, and a DEL");
    }
    if outcome.stderr.contains("cannot write the result") {
        // With an error document, a runtime would know as much; with a result, it knows something wrong.
        let printed = String::from_utf8_lossy(&outcome.stdout);
        assert!(!printed.contains("\"ips\""), "a result of what was taken back: {printed}");
        return scene.assert_restored("after a result that could not be printed");
    }
    let error = outcome.error();
    let codes = [3, 4, 5, 6, 7, 8, 11, 100, PANIC, 103];
    assert!(codes.contains(&error.code), "code of {error:?}");
    let is_incomplete = error.details.contains("not complete") || error.details.contains("could not begin");
    // The standard library and the runtime panic where they hold errors for impossible.
    if is_incomplete || error.code == PANIC {
        assert!(error.details.contains("run DEL") || error.code == PANIC, "{error:?}");
        scene.blind_del().run().silent();
        scene.assert_restored(&format!("after an incomplete undo and a DEL ({error:?})"));
    } else {
        let when = format!("after an undo that is said to be complete ({}; {})", error.msg, error.details);
        scene.assert_restored(&when);
    }
}
