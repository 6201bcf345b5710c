//! Files below somebody else's root. Whoever is root in a container decides what its paths lead to: so every one is
//! opened with `RESOLVE_IN_ROOT` (openat2(2)), for which the rootfs is the root of all symbolic links and of `..`, and
//! without magic links; a file is replaced by rename, never written into, whatever links to it; reading is bounded,
//! and waits for nobody. All of it is done as the owner of the rootfs, and with no more privileges than they have:
//! files are theirs, and under an idmapped mount, where there is nobody to be the host's root, there are files at all.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::thread;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, open, openat, openat2, readlinkat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, mkdirat, stat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, setfsgid, setfsuid, unlinkat};

/// No file of a network service is larger; what is, is not read.
const LIMIT: u64 = 1 << 20;
/// Of a directory, as many entries are looked at.
const ENTRIES: usize = 4096;
/// A file in the making; what a killed process left under this name is overwritten.
const UNFINISHED: &str = ".springline-unfinished";

/// An open rootfs.
#[derive(Debug)]
pub struct Rootfs {
    root: OwnedFd,
    owner: (Uid, Gid),
}

/// What came of a write or a removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// The file is as it is to be, and was not before.
    Done,
    /// It was already.
    Unchanged,
    /// It was left alone, and why.
    LeftAlone(String),
}

impl Rootfs {
    /// Opens a rootfs. The path is the host's, and its last component may be a magic link: `/proc/PID/root`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let root = open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        let found = fstat(&root)?;
        let own = stat("/")?;
        if (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is this system's own root"));
        }
        Ok(Self { root, owner: (Uid::from_raw(found.st_uid), Gid::from_raw(found.st_gid)) })
    }

    /// Runs `work` as the owner of the rootfs, on a thread of its own: the filesystem identity is a thread's, and with
    /// one that is not root's the kernel takes away the capabilities that overrule permissions (capabilities(7)).
    pub fn as_owner<T: Send>(&self, work: impl FnOnce(&Self) -> T + Send) -> io::Result<T> {
        let joined = thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let (uid, gid) = self.owner;
                setfsgid(gid);
                setfsuid(uid);
                // Neither says whether it has worked, but for what it says the next time.
                if (setfsuid(uid), setfsgid(gid)) == (uid, gid) {
                    Ok(work(self))
                } else {
                    Err(io::Error::from(Errno::EPERM))
                }
            });
            worker.join()
        });
        joined.unwrap_or_else(|_| Err(io::Error::other("the thread that writes to the rootfs panicked")))
    }

    /// The text of a regular file, symbolic links followed inside of the rootfs. An error of kind `FileTooLarge` or
    /// `InvalidData` if it is no text of a sensible size.
    pub fn read(&self, path: &str) -> io::Result<String> {
        // O_NONBLOCK: a FIFO would wait for its other end. Of devices, none is read: fstat() comes first.
        let flags = Self::READ.difference(OFlag::O_NOFOLLOW);
        is_file(&open_below(&self.root, path, OFlag::O_PATH)?)?;
        read_text(open_below(&self.root, path, flags)?)
    }

    /// The first 4 KiB of a file, as [`Self::read`] would read it.
    pub fn head(&self, path: &str) -> io::Result<String> {
        is_file(&open_below(&self.root, path, OFlag::O_PATH)?)?;
        let file = File::from(open_below(&self.root, path, Self::READ.difference(OFlag::O_NOFOLLOW))?);
        if !file.metadata()?.is_file() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = Vec::new();
        file.take(4096).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Where a symbolic link leads.
    pub fn link(&self, path: &str) -> io::Result<String> {
        let (dir, name) = self.parent(path, false)?;
        let target = readlinkat(&dir, name)?;
        target.into_string().map_err(|_| io::ErrorKind::InvalidData.into())
    }

    /// Whether there is anything of that name, be it a link to nowhere.
    pub fn exists(&self, path: &str) -> io::Result<bool> {
        match self.parent(path, false).and_then(|(dir, name)| Ok(fstatat(&dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)?)) {
            Ok(_) => Ok(true),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The names in a directory, sorted; of a directory that is not there, none.
    pub fn names(&self, path: &str) -> io::Result<Vec<String>> {
        let path = if path.is_empty() { "." } else { path };
        let opened = open_below(&self.root, path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC);
        let dir = match opened {
            Ok(dir) => dir,
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let entries = Dir::from_fd(dir)?.into_iter().take(ENTRIES);
        let names = entries.filter_map(|entry| entry.ok()?.file_name().to_str().map(str::to_owned).ok());
        let mut names: Vec<String> = names.filter(|name| name != "." && name != "..").collect();
        names.sort();
        Ok(names)
    }

    /// Puts `content` at `path`, unless it is there, or the file is to be left alone. Of a file that is there, a
    /// `mode` is kept if `keep_mode`. `is_foreign` says of a text that is to go whether it is somebody else's: then it
    /// is kept under the name that [`Self::kept_name`] gives.
    pub fn write(
        &self,
        path: &str,
        content: &str,
        mode: u32,
        keep_mode: bool,
        is_foreign: impl Fn(&str) -> bool,
    ) -> io::Result<Written> {
        let (dir, name) = match self.parent(path, true) {
            Ok(found) => found,
            Err(error) if is_obstacle(&error) => return Ok(Written::LeftAlone(format!("no way to it: {error}"))),
            Err(error) => return Err(error),
        };
        let mut mode = mode;
        match fstatat(&dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(there) => {
                if let Some(why) = reason_to_leave(&there) {
                    return Ok(Written::LeftAlone(why));
                }
                if keep_mode {
                    mode = there.st_mode & 0o7777;
                }
                let old = match open_below(&dir, name, Self::READ).and_then(read_text) {
                    Ok(old) => old,
                    Err(error) => return Ok(Written::LeftAlone(format!("cannot be read: {error}"))),
                };
                if old == content && there.st_mode & 0o7777 == mode {
                    return Ok(Written::Unchanged);
                }
                if is_foreign(&old) {
                    renameat(&dir, name, &dir, Self::kept_name(name).as_str())?;
                }
            }
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        replace(&dir, name, content, mode)?;
        Ok(Written::Done)
    }

    /// Removes a file, and puts back what [`Self::write`] kept.
    pub fn remove(&self, path: &str) -> io::Result<Written> {
        let (dir, name) = self.parent(path, false)?;
        let there = match fstatat(&dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(there) => there,
            Err(Errno::ENOENT) => return Ok(Written::Unchanged),
            Err(errno) => return Err(errno.into()),
        };
        if let Some(why) = reason_to_leave(&there) {
            return Ok(Written::LeftAlone(why));
        }
        match renameat(&dir, Self::kept_name(name).as_str(), &dir, name) {
            Err(Errno::ENOENT) => unlinkat(&dir, name, UnlinkatFlags::NoRemoveDir)?,
            done => done?,
        }
        Ok(Written::Done)
    }

    /// Under which name a file is kept that was there before ours: one that no service takes for its own.
    #[must_use]
    pub fn kept_name(name: &str) -> String {
        format!("before-springline.{name}")
    }

    const READ: OFlag = OFlag::O_RDONLY
        .union(OFlag::O_NOFOLLOW)
        .union(OFlag::O_NONBLOCK)
        .union(OFlag::O_NOCTTY)
        .union(OFlag::O_CLOEXEC);

    /// The directory of a path, made if it is missing and `make`, and the path's last component.
    fn parent<'a>(&self, path: &'a str, make: bool) -> io::Result<(OwnedFd, &'a str)> {
        let (parent, name) = path.rsplit_once('/').unwrap_or((".", path));
        if matches!(name, "" | "." | "..") {
            return Err(Errno::EINVAL.into());
        }
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        match open_below(&self.root, parent, flags) {
            Err(error) if make && error.kind() == io::ErrorKind::NotFound => {
                let (above, dir) = self.parent(parent, true)?;
                match mkdirat(&above, dir, Mode::from_bits_truncate(0o755)) {
                    // There is something of the name: a link to nowhere, which shall stay one.
                    Ok(()) | Err(Errno::EEXIST) => {}
                    Err(errno) => return Err(errno.into()),
                }
                Ok((open_below(&self.root, parent, flags)?, name))
            }
            opened => Ok((opened?, name)),
        }
    }
}

/// Opens a path below a directory, which is its root.
fn open_below(root: impl AsFd, path: &str, flags: OFlag) -> io::Result<OwnedFd> {
    let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve);
    // EAGAIN: something was renamed meanwhile, and the kernel would not vouch for `..` (openat2(2)).
    for _ in 0..16 {
        match openat2(&root, path, how) {
            Err(Errno::EAGAIN) => {}
            opened => return Ok(opened?),
        }
    }
    Err(Errno::EAGAIN.into())
}

fn is_file(file: &OwnedFd) -> io::Result<()> {
    let kind = SFlag::from_bits_truncate(fstat(file)?.st_mode) & SFlag::S_IFMT;
    if kind == SFlag::S_IFREG { Ok(()) } else { Err(io::Error::new(io::ErrorKind::InvalidData, "no regular file")) }
}

/// Why a file is not to be touched.
fn reason_to_leave(there: &FileStat) -> Option<String> {
    let kind = SFlag::from_bits_truncate(there.st_mode) & SFlag::S_IFMT;
    if kind == SFlag::S_IFLNK {
        Some("is a symbolic link".to_owned())
    } else if kind != SFlag::S_IFREG {
        Some("is no regular file".to_owned())
    } else if there.st_mode & 0o200 == 0 {
        Some("its owner may not write it (chmod u-w)".to_owned())
    } else {
        None
    }
}

fn read_text(file: OwnedFd) -> io::Result<String> {
    let file = File::from(file);
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "no regular file"));
    }
    let mut text = String::new();
    let count = file.take(LIMIT + 1).read_to_string(&mut text)?;
    if count as u64 > LIMIT {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB"));
    }
    Ok(text)
}

/// Whoever reads the file sees the old content or the new, never a part.
fn replace(dir: &OwnedFd, name: &str, content: &str, mode: u32) -> io::Result<()> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let _ = unlinkat(dir, UNFINISHED, UnlinkatFlags::NoRemoveDir);
    let unfinished = openat(dir, UNFINISHED, flags, Mode::from_bits_truncate(0o600))?;
    let fill = || -> io::Result<()> {
        let mut file = File::from(unfinished);
        file.write_all(content.as_bytes())?;
        fchmod(&file, Mode::from_bits_truncate(mode))?;
        Ok(renameat(dir, UNFINISHED, dir, name)?)
    };
    fill().inspect_err(|_| {
        let _ = unlinkat(dir, UNFINISHED, UnlinkatFlags::NoRemoveDir);
    })
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) || is_obstacle(error)
}

/// What a guest may have put in the way: links in a circle, to nowhere or to a file, or magic ones.
fn is_obstacle(error: &io::Error) -> bool {
    let kinds = [Errno::ELOOP, Errno::ENOENT, Errno::ENOTDIR, Errno::EXDEV, Errno::EACCES, Errno::ENXIO];
    error.raw_os_error().is_some_and(|errno| kinds.contains(&Errno::from_raw(errno)))
}
