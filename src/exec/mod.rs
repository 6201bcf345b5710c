//! The executor: runs plans against kernel and store, and undoes what failed half way.
//!
//! One [`Engine`] serves every front. Each verb takes the attachment's lock for its whole length and the
//! state lock while it observes and changes; slow work (a delegated plugin, waiting for a carrier) is done
//! without the latter.

mod attach;
mod change;
mod channel;
mod check;
mod claims;
mod detach;
mod doctor;
mod edit;
mod filter;
mod gc;
mod guest;
mod observe;
mod preview;
mod repair;
mod run;
mod status;
mod watch;

use std::cell::OnceCell;
use std::{fs, io};

pub use attach::{AttachRequest, ReadDelegated};
pub use check::Drift;
pub use detach::Today;
pub use edit::{AddressRoute, Edit};
pub use gc::Spared;
pub use guest::{FileState, GuestReport, configure_guest, guest_of_container, preview_guest, release_guest};
pub use watch::Reconciled;

use crate::error::{Code, Coded, Error, Result};
use crate::kernel::nft::Nft;
use crate::kernel::{Endpoint, KernelError, Netns, NetnsError, SysctlDir};
use crate::store::Store;

/// The host's side of everything: its namespace and its state.
#[derive(Debug)]
pub struct Engine {
    /// The namespace that this process is in.
    pub host: Endpoint,
    /// Its sysctls.
    pub sysctls: SysctlDir,
    /// The state directory.
    pub store: Store,
    /// The socket to nf_tables, opened when it is first needed.
    nft: OnceCell<Nft>,
}

/// A container's namespace, entered.
#[derive(Debug)]
pub struct Container {
    /// The namespace.
    pub netns: Netns,
    /// Its socket.
    pub endpoint: Endpoint,
    /// Its sysctls, see `Container::sysctls`.
    sysctls: OnceCell<SysctlDir>,
}

impl Engine {
    /// Opens the host's side.
    pub fn open(store: Store) -> Result<Self> {
        let host = Endpoint::own().coded(Code::Kernel, || "open a netlink socket")?;
        Ok(Self { host, sysctls: SysctlDir::own(), store, nft: OnceCell::new() })
    }
}

impl Container {
    /// Reads a sysctl of the namespace by its path below `/proc/sys/net`.
    pub fn read_sysctl(&self, key: &str) -> io::Result<String> {
        if SysctlDir::stays(key) {
            return self.sysctls()?.read(key);
        }
        self.netns.inside(|| SysctlDir::apart().read(key))
    }

    /// Writes one.
    pub fn write_sysctl(&self, key: &str, value: &str) -> io::Result<()> {
        if SysctlDir::stays(key) {
            return self.sysctls()?.write(key, value);
        }
        self.netns.inside(|| SysctlDir::apart().write(key, value))
    }

    /// Its sysctls, opened when they are first asked for. Whoever is going to write some asks before the first change: there
    /// would be no undo if the way back from the namespace failed.
    pub fn sysctls(&self) -> io::Result<&SysctlDir> {
        if self.sysctls.get().is_none() {
            let _ = self.sysctls.set(self.netns.visit(SysctlDir::apart)?); // it was not set
        }
        self.sysctls.get().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Enters a namespace.
    pub fn of(netns: Netns) -> io::Result<Self> {
        Ok(Self { endpoint: netns.connect()?, netns, sysctls: OnceCell::new() })
    }

    /// Opens the container's namespace at `path`, which must not be our own unless `allow_own`.
    pub fn open(path: &str, allow_own: bool) -> Result<Self> {
        let doing = || format!("network namespace {path} of the container");
        let netns = Netns::open(path).map_err(|error| match error {
            NetnsError::Gone(why) | NetnsError::Unusable(why) => Error::new(Code::InvalidNetns, why).context(doing()),
        })?;
        if netns.is_current() && !allow_own {
            return Err(same_netns(path));
        }
        Self::of(netns).coded(Code::InvalidNetns, doing).map_err(Error::with_permission_hint)
    }
}

/// The refusal to plumb the host's own namespace, in the words of the Go skeleton.
#[must_use]
pub fn same_netns(path: &str) -> Error {
    Error::new(Code::InvalidNetns, format!("{path} is the namespace that springline runs in"))
        .context("plugin's netns and netns from CNI_NETNS should not be the same")
        .hint("CNI_NETNS_OVERRIDE=1 allows it")
}

/// This host's identity, which sets its MACs apart from those of other hosts with like-named containers.
///
/// A host may have none. But to take one that cannot be read at the moment for none would give a container another MAC.
pub fn host_seed() -> Result<String> {
    match fs::read_to_string("/etc/machine-id") {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error).coded(Code::Io, || "read /etc/machine-id"),
    }
}

/// The kernel's refusal of something, as an error.
fn refused(error: &KernelError, doing: impl std::fmt::Display) -> Error {
    let refusal = Error::new(Code::Kernel, error.to_string()).context(doing.to_string());
    match nix::errno::Errno::from_raw(error.errno) {
        nix::errno::Errno::EPERM | nix::errno::Errno::EACCES => refusal.hint(Error::PRIVILEGES),
        _ => refusal,
    }
}
