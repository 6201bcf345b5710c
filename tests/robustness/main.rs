//! Bad luck and ill will, against the built binary: a failure half way is undone exactly, a process killed at
//! any instruction leaves something that the next DEL, GC or ADD clears away, many at once do not hurt each
//! other, and what a container or an administrator has done meanwhile harms nobody else.
//!
//! The product has no hook for any of this. [`crash`] has bad luck at every system call of whatever thread or child, by
//! ptrace(2), on a routed and on a bridged network. For the further modes, strace makes the calls of one kind fail, or
//! kills the program at them, see [`trace`]: a clean run tells how many there are; a [`sweep`] has each of them fail in
//! turn, or every third, unless `SPRINGLINE_EXHAUSTIVE=1`.

#[path = "../common/mod.rs"]
mod common;

// Registers are those of one architecture.
#[cfg(target_arch = "x86_64")]
mod crash;
mod crowd;
mod duel;
mod files;
mod hostile;
mod input;
mod kill;
mod obstacles;
mod races;
mod renaming;
mod scene;
mod strange;
mod sweep;
mod syscalls;
mod trace;
mod undo;

/// One case for each mode of attachment.
macro_rules! every_mode {
    ($($case:ident),* $(,)?) => { $(
        mod $case {
            use crate::scene::Mode;
            #[test]
            fn routed() { super::$case(Mode::Routed); }
            #[test]
            fn routed_shared() { super::$case(Mode::Shared); }
            #[test]
            fn routed_interconnect() { super::$case(Mode::Interconnect); }
            #[test]
            fn routed_durable() { super::$case(Mode::Durable); }
            #[test]
            fn bridged_new() { super::$case(Mode::NewBridge); }
            #[test]
            fn bridged_existing() { super::$case(Mode::OldBridge); }
            #[test]
            fn bridged_delegated() { super::$case(Mode::Delegated); }
        }
    )* };
}

/// One case for each mode but the two of which [`crash`] takes every call.
macro_rules! further_modes {
    ($($case:ident),* $(,)?) => { $(
        mod $case {
            use crate::scene::Mode;
            #[test]
            fn routed_shared() { super::$case(Mode::Shared); }
            #[test]
            fn routed_interconnect() { super::$case(Mode::Interconnect); }
            #[test]
            fn routed_durable() { super::$case(Mode::Durable); }
            #[test]
            fn bridged_existing() { super::$case(Mode::OldBridge); }
            #[test]
            fn bridged_delegated() { super::$case(Mode::Delegated); }
        }
    )* };
}

/// One case for routed mode and one for bridged.
macro_rules! both_modes {
    ($($case:ident),* $(,)?) => { $(
        mod $case {
            use crate::scene::Mode;
            #[test]
            fn routed() { super::$case(Mode::Routed); }
            #[test]
            fn bridged() { super::$case(Mode::NewBridge); }
        }
    )* };
}

/// Cases in which the mode makes no difference.
macro_rules! once {
    ($($case:ident),* $(,)?) => { $(
        mod $case {
            #[test]
            fn routed() { super::$case(crate::scene::Mode::Routed); }
        }
    )* };
}

pub(crate) use {both_modes, every_mode, further_modes, once};
