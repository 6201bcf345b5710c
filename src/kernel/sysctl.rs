//! `/proc/sys/net` of either side.
//!
//! A path below it costs more with every network namespace of the machine: the names `net/ipv6/conf` of all of them
//! share one chain of the kernel's directory cache, and `proc_sys_compare` (`fs/proc/proc_sysctl.c`) tells them apart
//! one by one; with a thousand containers that is a third of a millisecond each time. So the directory is opened
//! once, and its keys from there.

use std::cell::OnceCell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

const ROOT: &str = "/proc/sys/net";
const CONF: &str = "ipv6/conf/";
/// Nearly all values are shorter.
const SHORT: usize = 128;

/// A way to the sysctls of one namespace.
#[derive(Debug)]
pub struct SysctlDir {
    /// `net/ipv6/conf`, which stays in the namespace where it was opened. `None`: the kernel has no IPv6.
    conf: OnceCell<Option<File>>,
    /// Whether other paths lead there too: they resolve through whoever opens them.
    is_own: bool,
}

impl SysctlDir {
    /// That of the namespace in which the current thread stays.
    #[must_use]
    pub fn own() -> Self {
        Self { conf: OnceCell::new(), is_own: true }
    }

    /// That of the current thread's namespace, for when the thread is elsewhere.
    #[must_use]
    pub fn of_current_namespace() -> Self {
        Self { conf: OnceCell::from(open_conf()), is_own: false }
    }

    /// Whether the namespace's kernel has IPv6, be it turned off or on.
    #[must_use]
    pub fn has_ipv6(&self) -> bool {
        self.conf.get_or_init(open_conf).is_some()
    }

    /// Whether `key` can be reached from outside the namespace, too.
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
        if let Some(rest) = key.strip_prefix(CONF) {
            let conf = self.conf.get_or_init(open_conf).as_ref();
            let conf = conf.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
            return Ok(File::from(openat(conf, rest, access | OFlag::O_CLOEXEC, Mode::empty())?));
        }
        if !self.is_own {
            return Err(io::ErrorKind::NotFound.into());
        }
        let is_written = access == OFlag::O_WRONLY;
        File::options().read(!is_written).write(is_written).open(Path::new(ROOT).join(key))
    }
}

fn open_conf() -> Option<File> {
    File::open(Path::new(ROOT).join(CONF)).ok()
}
