//! Files: records, leases, stakes in shared objects, locks.
//!
//! ```text
//! /run/springline                            mode 0700; $SPRINGLINE_STATE_DIR moves it
//!   attachments/<network>/<id>@<ifname>.json   one record each, replaced atomically
//!   several/<id>                               empty: attachments of the container know of each other
//!   leases/<network>/<address>                 one lease each, created exclusively: the owner's record by another name,
//!                                              see ownership.rs
//!   leases/<network>/.owner-<hash>             with `ipam.dataDir` only: the addresses that an attachment had
//!   leases/<network>/.ring-<hash>              which addresses of a range set are taken: a hint, see ring.rs
//!   shared/<object>/<hash>                     one stake each in a bridge, holder or gateway address: likewise
//!   locks/                                     the directory is the state lock; attachments in it, a byte each; spare,
//!                                              the file of a record that is gone, for the next one
//! ```
//!
//! On tmpfs, all of it is gone at reboot, like the network namespaces that it describes. No function here
//! is async, and none but `ring.rs` knows a format that `cat` cannot show.

mod atomic;
mod leases;
mod lock;
mod ownership;
mod records;
mod ring;
mod shared;

use std::cell::OnceCell;
use std::fs::File;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::{env, fs, io};

use nix::libc::O_DIRECTORY;
use rustix::fs::Dir;

pub(crate) use leases::leased;
pub use leases::{Picked, RangeFull};
pub use lock::Lock;
pub use ownership::Ownership;

use crate::error::{Code, Coded, Result};

/// The state directory. A clone has the same attachments' locks.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    attachment_locks: OnceCell<Rc<File>>,
    /// This boot's id, by which leases and records of earlier boots are told apart.
    boot: String,
    /// There is no directory, and there shall be none.
    is_imagined: bool,
}

impl Store {
    /// Where the state is unless `$SPRINGLINE_STATE_DIR` says otherwise.
    pub const DEFAULT: &str = "/run/springline";

    /// Opens the state directory, which need not exist yet: it is made by the first write.
    pub fn open() -> Result<Self> {
        let root = env::var_os("SPRINGLINE_STATE_DIR").filter(|dir| !dir.is_empty());
        Self::at(root.map_or_else(|| PathBuf::from(Self::DEFAULT), PathBuf::from))
    }

    /// Opens the state directory at `root`.
    pub fn at(root: PathBuf) -> Result<Self> {
        let path = "/proc/sys/kernel/random/boot_id";
        let boot = fs::read_to_string(path).coded(Code::Io, || format!("read {path}"))?;
        Ok(Self { root, attachment_locks: OnceCell::new(), boot: boot.trim().to_owned(), is_imagined: false })
    }

    /// The state of a host that has none, for plans without a look at the real one: nothing is read or written.
    pub fn imagined() -> Result<Self> {
        // Below something that is no directory, there is nothing.
        Ok(Self { is_imagined: true, ..Self::at("/dev/null".into())? })
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// This boot's id.
    #[must_use]
    pub fn boot(&self) -> &str {
        &self.boot
    }

    /// Does what needs a directory, which is usually there; makes it if it turns out not to be.
    fn in_dir<T>(&self, dir: &Path, work: impl Fn() -> io::Result<T>) -> Result<io::Result<T>> {
        match work() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_dir(dir)?;
                Ok(work())
            }
            done => Ok(done),
        }
    }

    fn make_dir(&self, dir: &Path) -> Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).coded(Code::Io, || {
            format!("create directory {} (state is kept in {})", dir.display(), self.root.display())
        })
    }
}

/// Reads a file that may be missing.
fn read_optional(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error).coded(Code::Io, || format!("read {}", path.display())),
    }
}

/// Removes a file that may be missing. Whether it was there.
fn remove_optional(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(error).coded(Code::Io, || format!("remove {}", path.display())),
    }
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

/// The names in a directory that may be missing, without those that begin with a dot.
fn names_in(dir: &Path) -> Result<Vec<String>> {
    each_name_in(dir)?.collect()
}

/// The same one by one, for who is not interested in all of them: there may be thousands. (Not by `fs::read_dir`: musl's
/// opendir(3) takes its buffer from an allocator of its own, which begins with six system calls.)
fn each_name_in(dir: &Path) -> Result<impl Iterator<Item = Result<String>>> {
    let failed = || format!("read directory {}", dir.display());
    let open = || Ok(Dir::new(File::options().read(true).custom_flags(O_DIRECTORY).open(dir)?)?);
    let opened = match open() {
        Ok(opened) => Some(opened),
        Err(error) if is_absent(&error) => None,
        Err(error) => return Err(error).coded(Code::Io, failed),
    };
    // Whoever sees less than there is would leave it there.
    let names = opened.into_iter().flatten().map(move |entry| {
        let entry = entry.map_err(io::Error::from).coded(Code::Io, failed)?;
        Ok(entry.file_name().to_str().ok().filter(|name| !name.starts_with('.')).map(str::to_owned))
    });
    Ok(names.filter_map(Result::transpose))
}
