//! Whole files or nothing.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::{fs, io};

use nix::libc;

/// The name of an unfinished file. All writes are made under the state lock, so one name will do, and what a
/// killed process left under it is overwritten by the next.
pub(super) const UNFINISHED: &str = ".unfinished";

/// Replaces `path` with `bytes`, by way of the folder `staging` on the same file system: whoever reads it sees
/// the old content or the new, never a part, and a full disk leaves the old one. `durable` adds the fsyncs
/// without which a power cut may leave an empty file.
pub(super) fn replace(path: &Path, bytes: &[u8], staging: &Path, durable: bool) -> io::Result<()> {
    let temporary = staging.join(UNFINISHED);
    let written = match write_new(&temporary, bytes, durable) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(&temporary).and_then(|()| write_new(&temporary, bytes, durable))
        }
        written => written,
    };
    let written = written.and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written?;
    if durable { sync_parent(path) } else { Ok(()) }
}

/// Replaces `path` with `bytes` by way of the file `spare`, if there is one. On ext4 to make a file costs as much as all
/// other work on files of an ADD: the inodes of those that were deleted within seconds are passed over one by one
/// (`recently_deleted()` in `fs/ext4/ialloc.c`), and containers come and go.
pub(super) fn replace_using(spare: &Path, path: &Path, bytes: &[u8], staging: &Path) -> io::Result<()> {
    let is_written = || -> io::Result<bool> {
        let file = OpenOptions::new().write(true).custom_flags(libc::O_NOFOLLOW).open(spare)?;
        let (old, length) = (file.metadata()?, bytes.len() as u64);
        let is_ours_alone = old.is_file() && old.nlink() == 1;
        if is_ours_alone {
            file.write_all_at(bytes, 0)?;
            if old.len() > length {
                file.set_len(length)?;
            }
            fs::rename(spare, path)?;
        }
        Ok(is_ours_alone)
    };
    if is_written().unwrap_or(false) { Ok(()) } else { replace(path, bytes, staging, false) }
}

/// Removes a file that may be missing, or keeps it as the `spare` one if there is none and it has no other name.
pub(super) fn retire(path: &Path, spare: &Path) -> io::Result<()> {
    let is_single = fs::symlink_metadata(path).is_ok_and(|file| file.is_file() && file.nlink() == 1);
    if is_single && !spare.exists() && fs::rename(path, spare).is_ok() {
        return Ok(());
    }
    fs::remove_file(path)
}

/// Creates `path` with `bytes`; fails with `AlreadyExists` if it is there. A failed write leaves nothing.
pub(super) fn create(path: &Path, bytes: &[u8], durable: bool) -> io::Result<()> {
    write_new(path, bytes, durable)?;
    if durable { sync_parent(path) } else { Ok(()) }
}

fn write_new(path: &Path, bytes: &[u8], durable: bool) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = file.write_all(bytes).and_then(|()| if durable { file.sync_all() } else { Ok(()) });
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    written
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}
