//! Network namespaces by name, as ip-netns(8) has them: files in `/run/netns` on which they are mounted.

use std::convert::Infallible;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use super::link::set_state;
use super::{Netns, NetnsError};

/// Where names are.
const FOLDER: &str = "/run/netns";

/// The path of the namespace called `name`, or what is wrong with the name.
pub fn path_of(name: &str) -> io::Result<PathBuf> {
    // ip-netns(8): a name is a file name.
    let why = match name {
        "" => "is empty",
        "." | ".." => "is . or ..",
        _ if name.contains('/') => "contains a slash",
        _ if name.len() > 255 => "is longer than 255 bytes",
        _ => return Ok(Path::new(FOLDER).join(name)),
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("the name {name:?} {why}")))
}

/// `LOOPBACK_IFINDEX` (`include/net/flow.h`): the first link of each namespace.
const LOOPBACK: u32 = 1;

/// Makes a namespace called `name`, with its loopback link up.
pub fn add(name: &str) -> io::Result<()> {
    let netns = make(name)?;
    let up = || netns.connect()?.socket.request(set_state(LOOPBACK, true)).map_err(io::Error::other);
    match up() {
        Ok(_) => Ok(()),
        Err(error) => {
            let _ = delete(name);
            Err(error)
        }
    }
}

fn make(name: &str) -> io::Result<Netns> {
    let path = path_of(name)?;
    // netns-rs would mount a second namespace over the first, whose processes nobody would find any more.
    if fs::symlink_metadata(&path).is_ok() {
        let what = format!("{} exists already", path.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
    }
    netns_rs::NetNs::new(name).map_err(io::Error::other)?;
    open(&path)
}

fn open(path: &Path) -> io::Result<Netns> {
    Netns::open(&path.to_string_lossy()).map_err(|error| io::Error::other(error.to_string()))
}

/// Takes the name away; the namespace itself lives on as long as a process is in it, or somebody holds it open. A
/// plain file of that name, as a reboot leaves it, goes as well.
pub fn delete(name: &str) -> io::Result<()> {
    let path = path_of(name)?;
    match umount2(&path, MntFlags::MNT_DETACH) {
        // Not mounted, or not there: whatever is there goes.
        Ok(()) | Err(nix::Error::EINVAL) => fs::remove_file(&path),
        Err(errno) => Err(errno.into()),
    }
}

/// All names, each with its namespace, or why there is none behind it.
pub fn list() -> io::Result<Vec<(String, Result<Netns, NetnsError>)>> {
    let entries = match fs::read_dir(FOLDER) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    let opened = |name: String| {
        let netns = Netns::open(&Path::new(FOLDER).join(&name).to_string_lossy());
        (name, netns)
    };
    Ok(names.into_iter().map(opened).collect())
}

/// The files in a folder of names that are no namespaces.
#[must_use]
pub fn junk(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    let is_junk = |name: &String| {
        let path = folder.join(name);
        let is_file = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file());
        is_file && matches!(Netns::open(&path.to_string_lossy()), Err(NetnsError::Gone(_)))
    };
    names.retain(is_junk);
    names
}

/// Becomes `command`, run in the namespace: with a `/sys` that shows its links, and with the files of
/// `/etc/netns/NAME` in place of those of `/etc`, as ip-netns(8) has it.
pub fn exec(netns: &Netns, name: Option<&str>, command: &[impl AsRef<OsStr>]) -> io::Result<Infallible> {
    netns.enter()?;
    unshare(CloneFlags::CLONE_NEWNS)?;
    let none: Option<&Path> = None;
    // What is mounted here is not to be seen outside.
    mount(none, "/", none, MsFlags::MS_SLAVE | MsFlags::MS_REC, none)?;
    // A sysfs shows the network namespace of whoever mounted it.
    if umount2("/sys", MntFlags::MNT_DETACH).is_ok() {
        mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), none)?;
    }
    if let Some(name) = name {
        for entry in fs::read_dir(Path::new("/etc/netns").join(name)).into_iter().flatten().flatten() {
            let place = Path::new("/etc").join(entry.file_name());
            mount(Some(&entry.path()), &place, none, MsFlags::MS_BIND, none).map_err(|errno| {
                io::Error::other(format!("{} in place of {}: {errno}", entry.path().display(), place.display()))
            })?;
        }
    }
    let words = command.iter().map(|word| CString::new(word.as_ref().as_bytes())).collect::<Result<Vec<_>, _>>()?;
    let program = words.first().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no command"))?;
    Ok(nix::unistd::execvp(program, &words)?)
}
