//! The five system calls that have no safe wrapper, each behind a function that is safe to call here.
//!
//! Unsafe code is denied everywhere else, but for the allocator of the program.

use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SaFlags, SigAction, SigEvent, SigHandler, SigSet, SigevNotify, Signal, sigaction};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;
use nix::unistd::ForkResult;

/// Runs `work` in a forked child, which then ends. The process must have no other thread (none of
/// springline's fronts has): a child of a threaded process may find the allocator locked for ever.
///
/// The child holds on to nothing of its parent's but `kept`: not its pipes, for whose end the runtime waits, not its
/// terminal, not its directory. Locks are the parent's to release (`store::Lock` does so explicitly).
#[allow(unsafe_code)]
pub(super) fn in_child(kept: &[BorrowedFd<'_>], work: impl FnOnce()) -> Result<(), Errno> {
    // SAFETY: no other thread exists, so the child may do whatever the parent may.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { .. } => Ok(()),
        ForkResult::Child => {
            let _ = nix::unistd::setsid();
            let _ = std::env::set_current_dir("/");
            if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
                let _ = nix::unistd::dup2_stdin(&null);
                let _ = nix::unistd::dup2_stdout(&null);
                let _ = nix::unistd::dup2_stderr(&null);
            }
            let_go_of_all_but(kept);
            work();
            leave(0) // a child that returned would run the parent's code a second time
        }
    }
}

/// Closes every descriptor but stdin, stdout, stderr and `kept`. Runtimes hand their plugins and hooks more than they
/// know of, such as their own caller's pipes, for whose end somebody waits.
fn let_go_of_all_but(kept: &[BorrowedFd<'_>]) {
    let names = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten().map(|entry| entry.file_name());
    // Listed first, so that the list's own descriptor is closed by its owner, and not found open here.
    let numbers: Vec<i32> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
    let is_kept = |number: i32| number <= 2 || kept.iter().any(|kept| kept.as_raw_fd() == number);
    for number in numbers.into_iter().filter(|number| !is_kept(*number)) {
        let _ = nix::unistd::close(number);
    }
}

/// Has the program end with us: a runtime that loses patience kills springline, but does not know of its
/// delegates, which would go on to allocate for nobody.
#[allow(unsafe_code)]
pub(crate) fn die_with_parent(command: &mut Command) {
    // SAFETY: between fork and exec the closure makes one system call, which is async-signal-safe.
    unsafe {
        command.pre_exec(|| set_pdeathsig(Signal::SIGKILL).map_err(Into::into));
    }
}

/// Has whatever the process blocks in be interrupted (`EINTR`) when so much time has passed, and each tenth of a second
/// from then on, until the timer is dropped: flock(2) and fcntl(2) wait for locks without a deadline of their own.
#[allow(unsafe_code)]
pub(crate) fn interrupt_after(patience: Duration) -> Result<Timer, Errno> {
    extern "C" fn do_nothing(_: i32) {}
    // Without SA_RESTART, by which the call would just go on.
    let action = SigAction::new(SigHandler::Handler(do_nothing), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing, and nobody else uses the signal.
    unsafe { sigaction(Signal::SIGALRM, &action) }?;
    // A program inherits from its caller which signals it does not get.
    SigSet::from(Signal::SIGALRM).thread_unblock()?;
    let signal = SigevNotify::SigevSignal { signal: Signal::SIGALRM, si_value: 0 };
    let mut timer = Timer::new(ClockId::CLOCK_MONOTONIC, SigEvent::new(signal))?;
    let from_then_on = Expiration::IntervalDelayed(patience.into(), Duration::from_millis(100).into());
    timer.set(from_then_on, TimerSetTimeFlags::empty())?;
    Ok(timer)
}

nix::ioctl_none_bad!(
    /// The network namespace of a socket, as a new descriptor.
    netns_of,
    nix::libc::SIOCGSKNS
);

/// The network namespace that this thread is in, as a socket made in it knows it (`SIOCGSKNS`, `net/socket.c`; it takes
/// `CAP_NET_ADMIN` there). The way through `/proc` makes the kernel set up six inodes of a process that has only begun:
/// 30 µs, with their removal when it ends.
#[allow(unsafe_code)]
pub(super) fn own_netns() -> Result<File, Errno> {
    let socket = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: it takes no argument, and answers with a descriptor that is nobody else's yet, and closed on exec.
    unsafe {
        let number = netns_of(socket.as_raw_fd())?;
        Ok(File::from_raw_fd(number))
    }
}

/// Ends the program, without the farewell of the standard library: that unmaps the stack for signals, which costs a
/// fiftieth of an ADD. What is buffered must have been written.
#[allow(unsafe_code)]
pub fn leave(status: u8) -> ! {
    // SAFETY: no destructor, and no function registered for the end, has anything to do that the kernel does not do.
    unsafe { nix::libc::_exit(status.into()) }
}
