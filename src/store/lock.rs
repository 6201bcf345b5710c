//! Locks between processes, which the kernel lets go of when the holder dies.
//!
//! The state lock is a flock(2) on the directory `locks`. An attachment's lock is one byte of the file
//! `locks/attachments`, at an offset made from its key, locked by fcntl(2): any number of attachments, and no
//! file to create and remove for each.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::stat::{major, minor};

use super::Store;
use crate::error::{Code, Coded, Error, Result};
use crate::kernel::process;
use crate::model::AttachmentKey;

/// How long to wait for a lock before giving up with "try again later". What is done under the locks takes
/// about a millisecond; only a delegated IPAM plugin (dhcp) may take long, under its own attachment's lock.
const PATIENCE: Duration = Duration::from_secs(15);

/// A held lock; dropping it lets go.
#[derive(Debug)]
pub enum Lock {
    /// The state lock.
    State(File),
    /// An attachment's byte.
    Attachment(Rc<File>, i64),
}

/// Whether to wait for a lock that somebody holds, or to be told so (`WouldBlock`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    No,
    UntilInterrupted,
}

impl Store {
    /// The lock under which state and host are observed and changed. It is taken on the directory itself,
    /// so that it leaves no file.
    pub fn lock(&self) -> Result<Lock> {
        let file = self.locks_dir()?;
        let take = |wait| match wait {
            Wait::No => file.try_lock().map_err(io::Error::from),
            Wait::UntilInterrupted => file.lock(),
        };
        wait_for("the host's state", take, || holder_of(&file))?;
        // What a killed process left unfinished is nobody's now.
        let _ = fs::remove_file(self.root.join(super::atomic::UNFINISHED));
        Ok(Lock::State(file))
    }

    /// The lock of one attachment: held for the whole of a verb, so that ADD and DEL of the same key never
    /// interleave.
    pub fn lock_attachment(&self, key: &AttachmentKey) -> Result<Lock> {
        let file = self.attachment_locks()?;
        let at = offset(key);
        let take = |wait| take_byte(&file, at, wait);
        wait_for(&format!("attachment {key}"), take, || holder_of_byte(&file, at))?;
        Ok(Lock::Attachment(file, at))
    }

    /// The lock of one attachment if nobody holds it.
    pub fn try_lock_attachment(&self, key: &AttachmentKey) -> Result<Option<Lock>> {
        let file = self.attachment_locks()?;
        let at = offset(key);
        match take_byte(&file, at, Wait::No) {
            Ok(()) => Ok(Some(Lock::Attachment(file, at))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error).coded(Code::Io, || format!("lock attachment {key}")),
        }
    }

    fn locks_path(&self) -> PathBuf {
        self.root.join("locks")
    }

    fn locks_dir(&self) -> Result<File> {
        let dir = self.locks_path();
        File::open(&dir).or_else(|_| {
            self.make_dir(&dir)?;
            File::open(&dir).coded(Code::Io, || format!("open {}", dir.display()))
        })
    }

    /// Opened once a process: closing any descriptor of a file lets go of all fcntl(2) locks on it.
    fn attachment_locks(&self) -> Result<Rc<File>> {
        if let Some(file) = self.attachment_locks.get() {
            return Ok(Rc::clone(file));
        }
        let path = self.locks_path().join("attachments");
        let open = || OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = open().or_else(|_| {
            self.make_dir(&self.locks_path())?;
            open().coded(Code::Io, || format!("open {}", path.display()))
        })?;
        Ok(Rc::clone(self.attachment_locks.get_or_init(|| Rc::new(file))))
    }
}

/// 62 bits of the key's hash: file offsets are signed, and the byte after the last must have one too.
fn offset(key: &AttachmentKey) -> i64 {
    i64::try_from(key.hash("") >> 66).unwrap_or(0)
}

fn byte(kind: i32, at: i64) -> libc::flock {
    let narrow = |constant: i32| libc::c_short::try_from(constant).unwrap_or(0);
    libc::flock { l_type: narrow(kind), l_whence: narrow(libc::SEEK_SET), l_start: at, l_len: 1, l_pid: 0 }
}

fn take_byte(file: &File, at: i64, wait: Wait) -> io::Result<()> {
    let wanted = byte(libc::F_WRLCK, at);
    let taken = match wait {
        Wait::No => fcntl(file, FcntlArg::F_SETLK(&wanted)),
        Wait::UntilInterrupted => fcntl(file, FcntlArg::F_SETLKW(&wanted)),
    };
    match taken {
        Ok(_) => Ok(()),
        Err(Errno::EACCES) => Err(io::ErrorKind::WouldBlock.into()), // some file systems say so
        Err(errno) => Err(errno.into()),
    }
}

/// Who holds a byte's lock.
fn holder_of_byte(file: &File, at: i64) -> Option<String> {
    let mut holder = byte(libc::F_WRLCK, at);
    fcntl(file, FcntlArg::F_GETLK(&mut holder)).ok()?;
    (holder.l_pid > 0).then(|| holder.l_pid.to_string())
}

/// Takes a lock, in the order in which processes came. Who holds it is asked only to complain of him: `/proc/locks` is dear,
/// and the dearer the more wait.
fn wait_for(what: &str, take: impl Fn(Wait) -> io::Result<()>, holder: impl Fn() -> Option<String>) -> Result<()> {
    let failed = |error: io::Error| Err(error).coded(Code::Io, || format!("lock {what}"));
    match take(Wait::No) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        taken => return taken.or_else(failed),
    }
    let deadline = Instant::now() + PATIENCE;
    let _timer = process::interrupt_after(PATIENCE).coded(Code::Io, || format!("wait for the lock of {what}"))?;
    loop {
        match take(Wait::UntilInterrupted) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted && Instant::now() < deadline => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                let holder = holder().map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
                let why = format!("{holder} has held the lock for more than {} s", PATIENCE.as_secs());
                return Err(Error::new(Code::TryAgainLater, why).context(format!("{what} is locked")));
            }
            taken => return taken.or_else(failed),
        }
    }
}

/// Who holds a flock(2), from `/proc/locks` (`7: FLOCK ADVISORY WRITE 1234 00:19:5678 0 EOF`). The table is read in pieces
/// while others change it, so that an entry may be missed: it is read three times before nobody is found.
fn holder_of(file: &File) -> Option<String> {
    let (device, inode) = file.metadata().map(|metadata| (metadata.dev(), metadata.ino())).ok()?;
    let place = format!("{:02x}:{:02x}:{inode}", major(device), minor(device));
    (0..3).find_map(|_| {
        let table = fs::read_to_string("/proc/locks").ok()?;
        table.lines().find_map(|line| {
            let mut words = line.split_whitespace().skip(1);
            let is_held = words.next()? == "FLOCK"; // a waiter's line has "->" here
            let pid = words.nth(2)?;
            (is_held && words.next()? == place).then(|| pid.to_owned())
        })
    })
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Explicitly: a forked child (kernel/process.rs) shares the open file, and with it a flock(2).
        match self {
            Self::State(file) => drop(file.unlock()),
            Self::Attachment(file, at) => drop(fcntl(file, FcntlArg::F_SETLK(&byte(libc::F_UNLCK, *at)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_lock_excludes_and_names_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path().to_owned()).unwrap();
        let lock = store.lock().unwrap();
        let second = store.locks_dir().unwrap();
        assert!(second.try_lock().is_err());
        assert_eq!(holder_of(&second), Some(std::process::id().to_string()));
        drop(lock);
        assert!(second.try_lock().is_ok());
        assert_eq!(fs::read_dir(dir.path().join("locks")).unwrap().count(), 0);
    }
}
