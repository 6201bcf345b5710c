//! Locks between processes: flock(2), so that the kernel lets go when the holder dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, thread};

use super::Store;
use crate::error::{Code, Coded, Error, Result};
use crate::model::AttachmentKey;

/// How long to wait for a lock before giving up with "try again later". What is done under the locks takes
/// about a millisecond; only a delegated IPAM plugin (dhcp) may take long, under its own attachment's lock.
const PATIENCE: Duration = Duration::from_secs(15);

/// A held lock; dropping it lets go.
#[derive(Debug)]
pub struct Lock {
    file: File,
    /// The file to remove when letting go, if it is there only for the lock.
    temporary: Option<PathBuf>,
}

impl Store {
    /// The lock under which state and host are observed and changed. It is taken on the directory itself,
    /// so that it leaves no file.
    pub fn lock(&self) -> Result<Lock> {
        let dir = self.root.join("locks");
        let open = || File::open(&dir);
        let file = open().or_else(|_| {
            self.make_dir(&dir)?;
            open().coded(Code::Io, || format!("open {}", dir.display()))
        })?;
        wait_for(&file, &dir, "the host's state")?;
        Ok(Lock { file, temporary: None })
    }

    /// The lock of one attachment: held for the whole of a verb, so that ADD and DEL of the same key never
    /// interleave.
    pub fn lock_attachment(&self, key: &AttachmentKey) -> Result<Lock> {
        let path = self.attachment_lock_path(key)?;
        loop {
            let file = open_or_create(&path)?;
            wait_for(&file, &path, &format!("attachment {key}"))?;
            if is_still_at(&file, &path) {
                return Ok(Lock { file, temporary: Some(path) });
            }
        }
    }

    /// The lock of one attachment if nobody holds it.
    pub fn try_lock_attachment(&self, key: &AttachmentKey) -> Result<Option<Lock>> {
        let path = self.attachment_lock_path(key)?;
        let file = open_or_create(&path)?;
        let held = file.try_lock().is_ok() && is_still_at(&file, &path);
        Ok(held.then_some(Lock { file, temporary: Some(path) }))
    }

    fn attachment_lock_path(&self, key: &AttachmentKey) -> Result<PathBuf> {
        let dir = self.root.join("locks");
        self.make_dir(&dir)?;
        Ok(dir.join(format!("{:032x}", key.hash(""))))
    }
}

fn open_or_create(path: &Path) -> Result<File> {
    let open = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    open.coded(Code::Io, || format!("open lock {}", path.display()))
}

/// The previous holder may have removed the file between our open and our lock: then somebody else may
/// hold the lock of the file that has the name now.
fn is_still_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

fn wait_for(file: &File, path: &Path, what: &str) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut pause = Duration::from_micros(100);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => {
                return Err(error).coded(Code::Io, || format!("lock {}", path.display()));
            }
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                let holder =
                    holder_of(file).map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
                let why = format!("{holder} holds {} for more than {} s", path.display(), PATIENCE.as_secs());
                return Err(Error::new(Code::TryAgainLater, why).context(format!("{what} is locked")));
            }
            Err(TryLockError::WouldBlock) => {
                thread::sleep(pause);
                pause = (pause * 3 / 2).min(Duration::from_millis(2));
            }
        }
    }
}

/// Who holds a lock, from `/proc/locks` (`7: FLOCK ADVISORY WRITE 1234 00:19:5678 0 EOF`).
fn holder_of(file: &File) -> Option<String> {
    let inode = file.metadata().ok()?.ino().to_string();
    let table = fs::read_to_string("/proc/locks").ok()?;
    table.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let is_held = words.next()? == "FLOCK"; // a waiter's line has "->" here
        let pid = words.nth(2)?;
        (is_held && words.next()?.rsplit(':').next()? == inode).then(|| pid.to_owned())
    })
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(path) = &self.temporary {
            let _ = fs::remove_file(path);
        }
        // Explicitly: a forked child (kernel/detach.rs) shares the open file, and with it the lock.
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ContainerId, IfName, NetworkName};

    #[test]
    fn a_lock_excludes_names_its_holder_and_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path().to_owned()).unwrap();
        let key = AttachmentKey {
            network: NetworkName::parse("n").unwrap(),
            container: ContainerId::parse("c").unwrap(),
            ifname: IfName::parse("eth0").unwrap(),
        };
        let lock = store.lock_attachment(&key).unwrap();
        assert!(store.try_lock_attachment(&key).unwrap().is_none());
        assert_eq!(holder_of(&lock.file), Some(std::process::id().to_string()));
        drop(lock);
        assert!(store.try_lock_attachment(&key).unwrap().is_some());
        assert_eq!(fs::read_dir(dir.path().join("locks")).unwrap().count(), 0);
    }
}
