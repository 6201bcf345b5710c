//! `/proc/sys/net` of either side.
//!
//! A path below it costs more with every network namespace of the machine that somebody has looked at there: the names
//! `net/ipv6` of all of them share one chain of the directory cache, and `proc_sys_compare` (`fs/proc/proc_sysctl.c`)
//! tells them apart one by one; with a thousand containers that is a third of a millisecond each time. So the host's
//! own directory is opened once, and its keys from there; and a container is looked at through a proc file system that
//! lasts as long as we do, whose cache is empty and whose names slow nobody down: 70 µs, with however many containers.

use std::cell::OnceCell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

const CONF: &str = "ipv6/conf/";
/// Nearly all values are shorter.
const SHORT: usize = 128;

/// A way to the sysctls of a namespace.
#[derive(Debug)]
pub struct SysctlDir {
    /// A proc file system that nobody else sees. `None`: that of the host.
    apart: Option<OwnedFd>,
    /// `net/ipv6/conf`, which stays in the namespace where it was opened. `None`: the kernel has no IPv6.
    conf: OnceCell<Option<File>>,
}

impl SysctlDir {
    /// To those of the namespace in which this process stays.
    #[must_use]
    pub fn own() -> Self {
        Self { apart: None, conf: OnceCell::new() }
    }

    /// To those of the one that this thread is in now. From elsewhere, only the keys that [`stays`](Self::stays) knows lead
    /// there.
    #[must_use]
    pub fn apart() -> Self {
        // Refused to whoever has no CAP_SYS_ADMIN in the user namespace, and where something of /proc is hidden
        // (mount_too_revealing(), fs/namespace.c): what everybody sees will do.
        let dir = Self { apart: mount_proc().ok(), conf: OnceCell::new() };
        dir.conf();
        dir
    }

    /// Whether `key` is reached from elsewhere, too.
    #[must_use]
    pub fn stays(key: &str) -> bool {
        key.starts_with(CONF)
    }

    /// Reads `key`, a path below `/proc/sys/net`; without the newline.
    pub fn read(&self, key: &str) -> io::Result<String> {
        let mut file = self.open(key, OFlag::O_RDONLY)?;
        // One read has all of it, unlike read_to_string(), which asks for the size and the position before and for
        // the end behind.
        let mut bytes = vec![0; SHORT];
        let length = file.read(&mut bytes)?;
        bytes.truncate(length);
        if length == SHORT {
            file.read_to_end(&mut bytes)?;
        }
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }

    /// Writes `key`. On a read-only `/proc/sys` (containers, hardened hosts) it is enough if the value is
    /// there already.
    pub fn write(&self, key: &str, value: &str) -> io::Result<()> {
        let written = self.open(key, OFlag::O_WRONLY).and_then(|mut file| file.write_all(value.as_bytes()));
        match written {
            Err(_) if self.read(key).is_ok_and(|there| there == value) => Ok(()),
            other => other,
        }
    }

    fn open(&self, key: &str, access: OFlag) -> io::Result<File> {
        let Some(rest) = key.strip_prefix(CONF) else { return self.walk(key, access) };
        let conf = self.conf().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(File::from(openat(conf, rest, access | OFlag::O_CLOEXEC, Mode::empty())?))
    }

    fn conf(&self) -> Option<&File> {
        self.conf.get_or_init(|| self.walk(CONF, OFlag::O_RDONLY).ok()).as_ref()
    }

    /// Opens a path below `/proc/sys/net`, which leads into the namespace of whoever walks it.
    fn walk(&self, path: &str, access: OFlag) -> io::Result<File> {
        let (start, root) = match &self.apart {
            Some(proc) => (proc.as_fd(), ""),
            None => (AT_FDCWD, "/proc/"),
        };
        let path = format!("{root}sys/net/{path}");
        Ok(File::from(openat(start, path.as_str(), access | OFlag::O_CLOEXEC, Mode::empty())?))
    }
}

/// A proc file system with a directory cache of its own (since Linux 5.8), mounted nowhere: it goes when it is closed.
fn mount_proc() -> io::Result<OwnedFd> {
    let context = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(context.as_fd())?;
    let attributes =
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    Ok(fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}
