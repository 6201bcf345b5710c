//! Whole files or nothing.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::{fs, io};

/// The name of an unfinished file. All writes are made under the state lock, so one name will do, and what a
/// killed process left under it is overwritten by the next.
pub(super) const UNFINISHED: &str = ".unfinished";

/// Replaces `path` with `bytes`, by way of the folder `staging` on the same file system: whoever reads it sees
/// the old content or the new, never a part, and a full disk leaves the old one. `durable` adds the fsyncs
/// without which a power cut may leave an empty file.
pub(super) fn replace(path: &Path, bytes: &[u8], staging: &Path, durable: bool) -> io::Result<()> {
    let temporary = staging.join(UNFINISHED);
    let _ = fs::remove_file(&temporary);
    let written = write_new(&temporary, bytes, durable).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written?;
    if durable { sync_parent(path) } else { Ok(()) }
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
