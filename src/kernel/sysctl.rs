//! `/proc/sys/net` of either side.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

/// A way to the sysctls of one namespace.
#[derive(Debug)]
pub enum SysctlDir {
    /// The namespace of whoever opens a path.
    Own,
    /// Directories that were opened inside another namespace and stay there: `net/ipv4/conf`, `net/ipv6/conf`.
    Opened(Option<File>, Option<File>),
}

impl SysctlDir {
    /// Opens the directories of the current thread's namespace.
    #[must_use]
    pub fn of_current_namespace() -> Self {
        let open = |family: &str| File::open(format!("/proc/sys/net/{family}/conf")).ok();
        Self::Opened(open("ipv4"), open("ipv6"))
    }

    /// Whether a key is in one of the directories that stay in their namespace.
    #[must_use]
    pub fn is_of_a_link(key: &str) -> bool {
        key.starts_with("ipv4/conf/") || key.starts_with("ipv6/conf/")
    }

    /// Reads `key`, a path below `/proc/sys/net`; without the newline.
    pub fn read(&self, key: &str) -> io::Result<String> {
        let mut text = String::new();
        self.open(key, OFlag::O_RDONLY)?.read_to_string(&mut text)?;
        Ok(text.trim_end().to_owned())
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

    fn open(&self, key: &str, flags: OFlag) -> io::Result<File> {
        let flags = flags | OFlag::O_CLOEXEC;
        let not_found = || io::Error::from(io::ErrorKind::NotFound);
        match self {
            Self::Own => {
                let path = PathBuf::from("/proc/sys/net").join(key);
                let writable = flags.contains(OFlag::O_WRONLY);
                File::options().read(!writable).write(writable).open(path)
            }
            Self::Opened(ipv4, ipv6) => {
                let (dir, rest) = match key.split_once("/conf/") {
                    Some(("ipv4", rest)) => (ipv4, rest),
                    Some(("ipv6", rest)) => (ipv6, rest),
                    _ => return Err(not_found()),
                };
                let dir = dir.as_ref().ok_or_else(not_found)?;
                Ok(File::from(openat(dir, rest, flags, Mode::empty())?))
            }
        }
    }
}
