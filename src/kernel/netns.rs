//! Network namespaces by path.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::thread;

use nix::sys::statfs::{NSFS_MAGIC, fstatfs};

use super::endpoint::Endpoint;
use super::socket::Socket;
use super::sysctl::SysctlDir;

/// An open network namespace.
#[derive(Debug)]
pub struct Netns {
    inner: netns_rs::NetNs,
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
        let inner = netns_rs::get_from_path(path).map_err(|error| match error {
            netns_rs::Error::OpenNsError(_, cause) => NetnsError::Gone(format!("{path}: {cause}")),
            other => NetnsError::Unusable(format!("{path}: {other}")),
        })?;
        // setns() would tell only by failing, and a name space of another kind looks the same to it.
        match fstatfs(inner.file()) {
            Ok(stat) if stat.filesystem_type() == NSFS_MAGIC => Ok(Self { inner }),
            Ok(_) => Err(NetnsError::Gone(format!("{path}: a file, but not a network namespace"))),
            Err(errno) => Err(NetnsError::Unusable(format!("{path}: {errno}"))),
        }
    }

    /// Whether it is the namespace that this process is in.
    #[must_use]
    pub fn is_current(&self) -> bool {
        let identity = |file: &File| file.metadata().map(|meta| (meta.dev(), meta.ino())).ok();
        // thread-self: another thread of the process may be elsewhere.
        let current = File::open("/proc/thread-self/ns/net").ok();
        current.is_some_and(|current| identity(&current) == identity(self.inner.file()))
    }

    /// The open file, to be named in a message that creates a link inside.
    #[must_use]
    pub fn file(&self) -> &File {
        self.inner.file()
    }

    /// A netlink socket and the sysctl directories inside the namespace.
    ///
    /// A thread goes there, opens them, and ends: 15 µs, and nothing to restore when something fails. A
    /// socket belongs to the namespace in which it was opened, and so does a directory below
    /// `/proc/sys/net/ipv4/conf` (but not `/proc/sys/net` itself, which resolves through whoever looks).
    pub fn connect(&self) -> io::Result<Endpoint> {
        let runtime = tokio::runtime::Handle::current();
        let enter = || -> io::Result<Endpoint> {
            let _inside_runtime = runtime.enter();
            self.inner.enter().map_err(io::Error::other)?;
            Ok(Endpoint::new(Socket::open()?, SysctlDir::of_current_namespace()))
        };
        let joined = thread::scope(|scope| scope.spawn(enter).join());
        joined.unwrap_or_else(|_| Err(io::Error::other("the thread in the container's namespace panicked")))
    }
}
