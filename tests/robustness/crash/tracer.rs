//! ptrace(2), as a means to have bad luck at any one system call of a program, whichever of its threads and
//! children makes it.
//!
//! A clean run is recorded: it tells how many tasks there are and which calls each of them makes, so that nothing
//! about the program is written down here. A call is known by its task, in the order in which tasks come into being,
//! and its place among that task's calls.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// `NLMSG_ERROR`.
const ERROR: u16 = 2;
/// `NFNL_MSG_BATCH_BEGIN` and `NFNL_MSG_BATCH_END`.
const BRACKETS: [u16; 2] = [0x10, 0x11];

/// Only a hang takes as long.
const DEADLINE: Duration = Duration::from_mins(1);

/// One system call of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Point {
    /// The how manyth task: 0 is the program's first thread.
    pub(super) task: usize,
    /// The how manyth of its calls, from 0 on.
    pub(super) call: usize,
}

/// What happens there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strike {
    /// The call is not made, and the process is killed.
    Kill,
    /// The call is not made, and fails.
    Fail(Errno),
    /// The call is made, but the kernel refuses this message of the datagram that it sends.
    Refuse(usize, Errno),
}

/// What a recorded call was.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// Its number.
    pub(super) number: i64,
    /// The file that it is about, if any.
    pub(super) file: Option<String>,
    /// How many netlink messages it sends.
    pub(super) messages: usize,
}

/// How a run ended.
pub(super) struct Run {
    /// How the first process ended.
    pub(super) status: ExitStatus,
    /// What it printed.
    pub(super) stdout: Vec<u8>,
    /// What it complained of.
    pub(super) stderr: String,
    /// The calls of each task, of a run that was recorded.
    pub(super) tape: Vec<Vec<Call>>,
    /// The number of the call that was struck, if the point was reached.
    pub(super) struck: Option<i64>,
    /// All of it has not ended in [`DEADLINE`], and was killed.
    pub(super) hung: bool,
}

/// A thread or process that is traced.
struct Task {
    place: usize,
    calls: usize,
    in_call: bool,
    /// What it is to get at its exit instead of what the kernel says.
    result: Option<Errno>,
    /// The call in progress.
    number: i64,
    arguments: [u64; 3],
}

/// Runs `command` with `input`, and strikes, if that is wanted. `command` must read one line of its input before it
/// becomes `program`.
#[expect(clippy::zombie_processes, reason = "whoever traces it waits for it")]
pub(super) fn run(mut command: Command, program: &Path, input: &[u8], strike: Option<(Point, Strike)>) -> Run {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start a shell");
    let root = Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_EXITKILL;
    ptrace::seize(root, options).expect("trace a child of one's own");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    let input = [b"\n", input].concat();
    thread::spawn(move || drop(stdin.write_all(&input))); // a program may end without reading it
    let stdout = read_in_background(child.stdout.take().expect("stdout is a pipe"));
    let stderr = read_in_background(child.stderr.take().expect("stderr is a pipe"));
    let mut tracer = Tracer {
        program,
        strike,
        begun: false,
        root,
        status: None,
        tasks: HashMap::new(),
        known: Arc::new(Mutex::new(vec![root])),
        tape: Vec::new(),
        struck: None,
        refused: None,
        protocols: BTreeMap::new(),
        early: HashSet::new(),
    };
    let (done, wait) = channel::<()>();
    let known = Arc::clone(&tracer.known);
    let watch = thread::spawn(move || {
        let hung = matches!(wait.recv_timeout(DEADLINE), Err(RecvTimeoutError::Timeout));
        if hung {
            for pid in known.lock().expect("nobody panics here").iter() {
                let _ = kill(*pid, Signal::SIGKILL);
            }
        }
        hung
    });
    tracer.follow();
    drop(done);
    let hung = watch.join().expect("the watch ends");
    Run {
        status: tracer.status.expect("the first process has ended"),
        stdout: stdout.join().expect("stdout is read"),
        stderr: String::from_utf8_lossy(&stderr.join().expect("stderr is read")).into_owned(),
        tape: tracer.tape,
        struck: tracer.struck,
        hung,
    }
}

fn read_in_background(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        bytes
    })
}

struct Tracer<'a> {
    program: &'a Path,
    strike: Option<(Point, Strike)>,
    /// Whether `program` runs by now.
    begun: bool,
    root: Pid,
    status: Option<ExitStatus>,
    tasks: HashMap<Pid, Task>,
    /// All there are, for the watch.
    known: Arc<Mutex<Vec<Pid>>>,
    tape: Vec<Vec<Call>>,
    struck: Option<i64>,
    /// The sequence number of a message that was made unreadable, and the refusal that its sender is to see.
    refused: Option<(u32, Errno)>,
    /// The protocol of each netlink socket.
    protocols: BTreeMap<u64, u64>,
    /// Tasks that have stopped before the call that makes them was seen to.
    early: HashSet<Pid>,
}

impl Tracer<'_> {
    /// Until all have ended.
    fn follow(&mut self) {
        loop {
            // Only what this thread has started and traces: other threads follow runs of their own.
            match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)) {
                Ok(WaitStatus::Exited(pid, code)) => self.ended(pid, ExitStatus::from_raw(code << 8)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => self.ended(pid, ExitStatus::from_raw(signal as i32)),
                Ok(WaitStatus::PtraceSyscall(pid)) => self.at_call(pid),
                Ok(WaitStatus::PtraceEvent(pid, _, event)) => self.at_event(pid, event),
                Ok(WaitStatus::Stopped(pid, signal)) => self.go_on(pid, Some(signal)),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::ECHILD) => return,
                Err(errno) => panic!("waitpid: {errno}"),
            }
        }
    }

    fn ended(&mut self, pid: Pid, status: ExitStatus) {
        self.tasks.remove(&pid);
        self.known.lock().expect("nobody panics here").retain(|known| *known != pid);
        if pid == self.root {
            self.status = Some(status);
        }
    }

    fn at_event(&mut self, pid: Pid, event: i32) {
        let is_ours = || fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == self.program);
        if event == libc::PTRACE_EVENT_EXEC && !self.begun && is_ours() {
            self.begun = true;
            self.tasks.insert(pid, Task::new(0));
            self.tape.push(Vec::new());
        } else if [libc::PTRACE_EVENT_CLONE, libc::PTRACE_EVENT_FORK, libc::PTRACE_EVENT_VFORK].contains(&event)
            && self.begun
            && let Ok(child) = ptrace::getevent(pid)
        {
            // Numbered here, in the order of the calls that make them, not of their first steps.
            let child = Pid::from_raw(i32::try_from(child).expect("a pid"));
            self.tasks.insert(child, Task::new(self.tape.len()));
            self.known.lock().expect("nobody panics here").push(child);
            self.tape.push(Vec::new());
            if self.early.remove(&child) {
                self.go_on(child, None);
            }
        } else if pid != self.root && !self.tasks.contains_key(&pid) {
            self.early.insert(pid);
            return;
        }
        self.go_on(pid, None);
    }

    /// Lets a task run to where it is of interest again.
    fn go_on(&self, pid: Pid, signal: Option<Signal>) {
        let is_followed = match (&self.strike, self.tasks.get(&pid)) {
            (_, None) => false,
            // Whose socket it is that a message goes to, only all calls together tell.
            (None | Some((_, Strike::Refuse(..))), Some(_)) => true,
            (Some((point, _)), Some(task)) if self.struck.is_none() => task.place == point.task,
            (Some(_), Some(task)) => task.result.is_some(),
        };
        // An error says that it has been killed meanwhile; the next wait tells of that.
        let _ = if is_followed { ptrace::syscall(pid, signal) } else { ptrace::cont(pid, signal) };
    }

    fn at_call(&mut self, pid: Pid) {
        let info = ptrace::syscall_info(pid).map(|info| info.op);
        if let (Ok(op), true) = (info, self.tasks.contains_key(&pid)) {
            if op == libc::PTRACE_SYSCALL_INFO_ENTRY {
                self.at_entry(pid);
            } else if op == libc::PTRACE_SYSCALL_INFO_EXIT {
                self.at_exit(pid);
            }
        }
        self.go_on(pid, None);
    }

    fn at_entry(&mut self, pid: Pid) {
        let Ok(mut registers) = ptrace::getregs(pid) else { return };
        let number = registers.orig_rax.cast_signed();
        let Some(task) = self.tasks.get_mut(&pid) else { return };
        task.in_call = true;
        task.number = number;
        task.arguments = [registers.rdi, registers.rsi, registers.rdx];
        let at = Point { task: task.place, call: task.calls };
        task.calls += 1;
        let arguments = task.arguments;
        match self.strike {
            None => {
                let call = self.describe(pid, number, arguments);
                self.tape[at.task].push(call);
            }
            Some((point, strike)) if point == at && self.struck.is_none() => {
                self.struck = Some(number);
                match strike {
                    // There is no close(2) that fails and leaves the file open (`filp_flush()` in `fs/open.c`).
                    Strike::Fail(_) if number == libc::SYS_close => {}
                    Strike::Kill | Strike::Fail(_) => {
                        registers.orig_rax = u64::MAX; // no call at all
                        let _ = ptrace::setregs(pid, registers);
                    }
                    Strike::Refuse(message, errno) => self.refuse(pid, number, arguments, message, errno),
                }
                match strike {
                    Strike::Kill => drop(kill(process_of(pid), Signal::SIGKILL)),
                    Strike::Fail(errno) => {
                        self.tasks.entry(pid).and_modify(|task| task.result = Some(errno));
                    }
                    Strike::Refuse(..) => {}
                }
            }
            Some(_) => {}
        }
    }

    fn at_exit(&mut self, pid: Pid) {
        let Some(task) = self.tasks.get_mut(&pid) else { return };
        if !std::mem::take(&mut task.in_call) {
            return; // of a call that began before we looked
        }
        let Ok(mut registers) = ptrace::getregs(pid) else { return };
        if let Some(errno) = task.result.take() {
            registers.rax = (-i64::from(errno as i32)).cast_unsigned();
            let _ = ptrace::setregs(pid, registers);
            return;
        }
        let result = registers.rax.cast_signed();
        // What the kernel begins anew (`ERESTARTSYS` to `ERESTART_RESTARTBLOCK`, which programs never see: a sysctl
        // whose writer had to wait for the RTNL) is the same call.
        if (-516..=-512).contains(&result) && task.calls > 0 {
            task.calls -= 1;
            let place = task.place;
            if self.strike.is_none() {
                self.tape[place].pop();
            }
            return;
        }
        let (number, arguments) = (task.number, task.arguments);
        if number == libc::SYS_socket && result >= 0 && arguments[0] == libc::AF_NETLINK as u64 {
            self.protocols.insert(result.cast_unsigned(), arguments[2]);
        }
        if result > 0 && self.refused.is_some() && RECEIVING.contains(&number) {
            let (address, room) = buffer_of(pid, number, arguments);
            self.mend_refusal(pid, address, result.cast_unsigned().min(room));
        }
    }

    fn describe(&self, pid: Pid, number: i64, arguments: [u64; 3]) -> Call {
        let [first, second, _] = arguments;
        let by_path = [libc::SYS_open, libc::SYS_mkdir, libc::SYS_rmdir, libc::SYS_rename, libc::SYS_unlink];
        let below = [libc::SYS_openat, libc::SYS_mkdirat, libc::SYS_unlinkat, libc::SYS_renameat, libc::SYS_statx];
        let by_number = [
            libc::SYS_read,
            libc::SYS_write,
            libc::SYS_pread64,
            libc::SYS_pwrite64,
            libc::SYS_ftruncate,
            libc::SYS_fsync,
            libc::SYS_fdatasync,
            libc::SYS_flock,
            libc::SYS_getdents64,
            libc::SYS_fcntl,
        ];
        let file = if by_path.contains(&number) {
            text_at(pid, first)
        } else if below.contains(&number) {
            text_at(pid, second)
        } else if by_number.contains(&number) {
            fs::read_link(format!("/proc/{pid}/fd/{first}")).ok().map(|path| path.to_string_lossy().into_owned())
        } else {
            None
        };
        let messages = self.messages_sent(pid, number, arguments).map_or(0, |(_, messages)| messages.len());
        Call { number, file, messages }
    }

    /// The messages of a netlink datagram that is being sent, and where it is.
    fn messages_sent(&self, pid: Pid, number: i64, arguments: [u64; 3]) -> Option<(u64, Vec<(usize, u32)>)> {
        let protocol = SENDING.contains(&number).then(|| self.protocols.get(&arguments[0]))??;
        let (address, length) = buffer_of(pid, number, arguments);
        Some((address, messages_of(&bytes_at(pid, address, length), *protocol == libc::NETLINK_NETFILTER as u64)))
    }

    /// Gives one message of a datagram a type that no kernel knows.
    fn refuse(&mut self, pid: Pid, number: i64, arguments: [u64; 3], message: usize, errno: Errno) {
        let Some((address, messages)) = self.messages_sent(pid, number, arguments) else { return };
        let Some(&(at, sequence)) = messages.get(message) else { return };
        // Of a family that is none (`rtnetlink_rcv_msg()`), and of a subsystem that is none (`nfnetlink_rcv_msg()`).
        write_at(pid, address + at as u64 + 4, &0x7ff0u16.to_ne_bytes());
        self.refused = Some((sequence, errno));
    }

    /// Has the kernel's answer name another reason than that it does not know the type.
    fn mend_refusal(&mut self, pid: Pid, address: u64, length: u64) {
        let Some((refused, errno)) = self.refused else { return };
        let answer = bytes_at(pid, address, length);
        let errors = frames(&answer).filter(|(_, kind, _)| *kind == ERROR);
        for (at, _, sequence) in errors.collect::<Vec<_>>() {
            if sequence == refused && answer.get(at + 16..at + 20).is_some_and(|code| code != [0; 4]) {
                // It may be read twice: some look first how long it is.
                write_at(pid, address + at as u64 + 16, &(-(errno as i32)).to_ne_bytes());
            }
        }
    }
}

impl Task {
    fn new(place: usize) -> Self {
        Self { place, calls: 0, in_call: false, result: None, number: -1, arguments: [0; 3] }
    }
}

/// The calls by which datagrams are sent, and received.
const SENDING: [i64; 3] = [libc::SYS_sendto, libc::SYS_sendmsg, libc::SYS_write];
const RECEIVING: [i64; 3] = [libc::SYS_recvfrom, libc::SYS_recvmsg, libc::SYS_read];

/// Where the bytes of such a call are, and how many there is room for.
fn buffer_of(pid: Pid, number: i64, arguments: [u64; 3]) -> (u64, u64) {
    let [_, second, third] = arguments;
    if ![libc::SYS_sendmsg, libc::SYS_recvmsg].contains(&number) {
        return (second, third);
    }
    // The first `struct iovec` of a `struct msghdr`.
    let word = |address| bytes_at(pid, address, 8).try_into().map_or(0, u64::from_ne_bytes);
    let vector = word(second + 16);
    (word(vector), word(vector + 8))
}

/// The messages of a datagram: where each begins, its type, and its sequence number.
fn frames(datagram: &[u8]) -> impl Iterator<Item = (usize, u16, u32)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let header = datagram.get(at..at + 16)?;
        let length = u32::from_ne_bytes(header[..4].try_into().ok()?) as usize;
        let found =
            (at, u16::from_ne_bytes([header[4], header[5]]), u32::from_ne_bytes(header[8..12].try_into().ok()?));
        at += length.max(16).next_multiple_of(4);
        Some(found)
    })
}

/// Those that can be refused one by one: not the two that hold a transaction of nf_tables together.
fn messages_of(datagram: &[u8], is_nft: bool) -> Vec<(usize, u32)> {
    let all = frames(datagram).filter(|(_, kind, _)| !(is_nft && BRACKETS.contains(kind)));
    all.map(|(at, _, sequence)| (at, sequence)).collect()
}

/// The process that a thread is of.
fn process_of(thread: Pid) -> Pid {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
    let group = status.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok());
    Pid::from_raw(group.unwrap_or(thread.as_raw()))
}

fn bytes_at(pid: Pid, address: u64, length: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0).min(1 << 20)];
    let count = File::open(format!("/proc/{pid}/mem")).and_then(|memory| memory.read_at(&mut bytes, address));
    bytes.truncate(count.unwrap_or(0));
    bytes
}

fn write_at(pid: Pid, address: u64, bytes: &[u8]) {
    let memory = File::options().write(true).open(format!("/proc/{pid}/mem")).expect("a tracee's memory");
    memory.write_all_at(bytes, address).expect("write to a tracee's memory");
}

fn text_at(pid: Pid, address: u64) -> Option<String> {
    // Not beyond the end of the page, behind which there may be nothing.
    let length = 4096 - address % 4096;
    let mut bytes = bytes_at(pid, address, length);
    if !bytes.contains(&0) {
        bytes = bytes_at(pid, address, length + 4096);
    }
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
}
