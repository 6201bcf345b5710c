//! Network namespaces by path.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::statfs::{NSFS_MAGIC, fstatfs};

use super::endpoint::Endpoint;
use super::process;

/// An open network namespace.
#[derive(Debug)]
pub struct Netns {
    inner: netns_rs::NetNs,
    home: OnceLock<Home>,
}

/// The namespace that this process is in.
#[derive(Debug)]
struct Home {
    file: File,
    /// Whether it is the very one that is to be visited.
    is_same: bool,
}

/// Why a path leads to no network namespace.
#[derive(Debug)]
pub enum NetnsError {
    /// Nothing is there, or a plain file, as `ip netns add` leaves it behind after a reboot.
    Gone(String),
    /// It is there, but cannot be entered.
    Unusable(String),
}

impl fmt::Display for NetnsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone(why) | Self::Unusable(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for NetnsError {}

impl Netns {
    /// Opens the namespace at `path`.
    pub fn open(path: &str) -> Result<Self, NetnsError> {
        // A namespace looks like a plain file; to open a pipe would be to wait for its other end.
        if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(NetnsError::Gone(format!("{path}: not a network namespace")));
        }
        let inner = netns_rs::get_from_path(path).map_err(|error| match error {
            netns_rs::Error::OpenNsError(_, cause) => NetnsError::Gone(format!("{path}: {cause}")),
            other => NetnsError::Unusable(format!("{path}: {other}")),
        })?;
        // setns() would tell only by failing, and a name space of another kind looks the same to it.
        match fstatfs(inner.file()) {
            Ok(stat) if stat.filesystem_type() == NSFS_MAGIC => Ok(Self { inner, home: OnceLock::new() }),
            Ok(_) => Err(NetnsError::Gone(format!("{path}: a file, but not a network namespace"))),
            Err(errno) => Err(NetnsError::Unusable(format!("{path}: {errno}"))),
        }
    }

    /// Whether it is the namespace that this process is in.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.home().is_ok_and(|home| home.is_same)
    }

    /// A path that leads to the namespace as long as the value lives.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.inner.file().as_raw_fd())
    }

    /// The open file, to be named in a message that creates a link inside.
    #[must_use]
    pub fn file(&self) -> &File {
        self.inner.file()
    }

    /// Makes a namespace that lasts as long as the value: no name, no mount, nothing to clean up.
    pub fn create() -> io::Result<Self> {
        let make = || -> io::Result<File> {
            unshare(CloneFlags::CLONE_NEWNET)?;
            current()
        };
        let file = on_own_thread(make)?;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        Self::open(&path).map_err(|error| io::Error::other(error.to_string()))
    }

    /// Moves this thread into the namespace, for a process that is about to become another program.
    pub(super) fn enter(&self) -> io::Result<()> {
        enter(self.file())
    }

    /// Its cookie, `SO_NETNS_COOKIE`: by this it is told from all others.
    #[must_use]
    pub fn cookie(&self) -> Option<u64> {
        self.connect().ok().map(|endpoint| endpoint.socket.cookie())
    }

    /// Runs `work` on a thread of its own inside the namespace. The thread ends there: nothing to restore when
    /// something fails, and 15 µs when nothing does.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        on_own_thread(|| {
            self.enter()?;
            work()
        })
    }

    /// A netlink socket inside the namespace: it belongs to the namespace in which it was opened.
    pub fn connect(&self) -> io::Result<Endpoint> {
        self.visit(Endpoint::own)?
    }

    /// Does `work` inside the namespace.
    ///
    /// This thread goes there and comes back, two system calls in all, where a thread of its own would cost a stack, an
    /// allocator's arena and a wake-up. Should there be no way back, it is as bad as a defect: main.rs tells the
    /// caller, and the process ends; all that it did from then on would happen in somebody else's namespace.
    pub fn visit<T>(&self, work: impl FnOnce() -> T) -> io::Result<T> {
        let home = self.home()?;
        if home.is_same {
            return Ok(work());
        }
        self.enter()?;
        let done = work();
        if let Err(error) = enter(&home.file) {
            panic!("there is no way back from the container's network namespace: {error}");
        }
        Ok(done)
    }

    fn home(&self) -> io::Result<&Home> {
        if self.home.get().is_none() {
            let file = current()?;
            let is_same = identity(&file)? == identity(self.file())?;
            let _ = self.home.set(Home { file, is_same }); // somebody else's would say the same
        }
        self.home.get().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// The namespace that this thread is in.
fn current() -> io::Result<File> {
    process::own_netns().or_else(|_| File::open("/proc/thread-self/ns/net"))
}

/// By which two files are known to be the same namespace, for as long as both are open.
fn identity(file: &File) -> io::Result<(u64, u64)> {
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Moves this thread into a namespace.
#[allow(clippy::disallowed_methods)] // here if anywhere
fn enter(file: &File) -> io::Result<()> {
    Ok(setns(file, CloneFlags::CLONE_NEWNET)?)
}

fn on_own_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    // A process or cgroup may have no more threads left (EAGAIN): `Scope::spawn` would panic.
    let joined = thread::scope(|scope| Ok(thread::Builder::new().spawn_scoped(scope, work)?.join()));
    let joined: io::Result<thread::Result<io::Result<T>>> = joined;
    joined?.unwrap_or_else(|_| Err(io::Error::other("the thread in the other namespace panicked")))
}
