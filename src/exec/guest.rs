//! Writes what a guest's own network service must find, and takes away what it must not find any more.

use std::path::Path;

use crate::error::{Code, Coded, Error, Result};
use crate::guest::{self, Distro, Draft, GuestFile, Ownership, Service, Tree};
use crate::kernel::{Rootfs, Written};
use crate::model::{ContainerId, Guest};
use crate::plan;
use crate::store::Store;

/// What came of it.
#[derive(Debug, Default)]
pub struct GuestReport {
    /// The distribution.
    pub distro: Option<Distro>,
    /// Its network service.
    pub service: Option<Service>,
    /// What became of each file, by its path below the root.
    pub files: Vec<(String, FileState)>,
    /// What could not be done or said.
    pub warnings: Vec<String>,
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileState {
    /// It was written.
    Written,
    /// It was as it is to be.
    Unchanged,
    /// It was springline's, for an interface or a service of before, and is gone.
    Removed,
    /// It was left alone, and why.
    LeftAlone(String),
}

/// The guest that the records of a container describe, and what they say that files cannot.
pub fn guest_of_container(store: &Store, container: &ContainerId) -> Result<(Guest, Vec<String>)> {
    let mut records = Vec::new();
    for key in store.attachments_of_container(container)? {
        records.extend(store.record(&key)?); // gone meanwhile: no interface either
    }
    let (guest, unfit) = plan::guest(&records);
    Ok((guest, unfit.iter().map(ToString::to_string).collect()))
}

/// Has the network service in `rootfs` agree with `guest`. A distribution that nobody has made a table for, of which
/// only `auto` (`None`) can come to know, is a warning: the host's side works all the same.
pub fn configure_guest(rootfs: &Path, distro: Option<Distro>, guest: &Guest) -> Result<GuestReport> {
    in_rootfs(rootfs, |root| match drafted(root, distro, guest) {
        Ok((distro, draft)) => apply(root, Some(distro), draft),
        Err(warning) => Ok(GuestReport { warnings: vec![warning], ..GuestReport::default() }),
    })
}

/// The files that [`configure_guest`] would see to, without touching any.
pub fn preview_guest(rootfs: &Path, distro: Option<Distro>, guest: &Guest) -> Result<(Option<Distro>, Draft)> {
    in_rootfs(rootfs, |root| {
        Ok(match drafted(root, distro, guest) {
            Ok((distro, draft)) => (Some(distro), draft),
            Err(warning) => (None, Draft { warnings: vec![warning], ..Draft::default() }),
        })
    })
}

/// Takes out of `rootfs` all that springline has put there, and puts back what was there before.
pub fn release_guest(rootfs: &Path) -> Result<GuestReport> {
    in_rootfs(rootfs, |root| {
        let files = guest::released(&View(root));
        apply(root, None, Draft { files, ..Draft::default() })
    })
}

fn in_rootfs<T: Send>(path: &Path, work: impl FnOnce(&Rootfs) -> Result<T> + Send) -> Result<T> {
    let doing = || format!("rootfs {}", path.display());
    let root = Rootfs::open(path).coded(Code::Io, doing)?;
    root.as_owner(work).coded(Code::Io, doing)?.map_err(|error| error.context(doing()))
}

/// `Err` is a warning.
fn drafted(root: &Rootfs, distro: Option<Distro>, guest: &Guest) -> Result<(Distro, Draft), String> {
    let tree = View(root);
    let distro = distro.map_or_else(|| guest::detect(&tree), Ok).map_err(|id| {
        let known: Vec<&str> = Distro::names().collect();
        let id = id.map_or_else(
            || "the rootfs does not say which distribution it is of (etc/os-release)".to_owned(),
            |id| format!("distribution {id:?} is not known"),
        );
        format!("{id}: nothing was written into the guest; known are {}", known.join(", "))
    })?;
    Ok((distro, guest::draft(guest, distro, &tree)))
}

fn apply(root: &Rootfs, distro: Option<Distro>, draft: Draft) -> Result<GuestReport> {
    let Draft { service, files, warnings } = draft;
    let mut report = GuestReport { distro, service, files: Vec::new(), warnings };
    let outdated: Vec<String> =
        guest::ours(&View(root)).into_iter().filter(|path| files.iter().all(|file| file.path != *path)).collect();
    for file in files {
        let state = put(root, &file)?;
        let refused = matches!(state, FileState::LeftAlone(_)) && file.ownership == Ownership::Shared;
        report.files.push((file.path.clone(), state));
        if refused && service.is_some() {
            // Ours and the user's would contradict each other: then theirs counts.
            report
                .warnings
                .push(format!("/{} is the user's, and was left as it is: the rest was not written", file.path));
            return Ok(report);
        }
    }
    for path in outdated {
        let state = match root.remove(&path).coded(Code::Io, || format!("remove /{path}"))? {
            Written::Done => FileState::Removed,
            Written::Unchanged => FileState::Unchanged,
            Written::LeftAlone(why) => FileState::LeftAlone(why),
        };
        report.files.push((path, state));
    }
    Ok(report)
}

fn put(root: &Rootfs, file: &GuestFile) -> Result<FileState> {
    let shared = file.ownership == Ownership::Shared;
    // Nothing to change in it: then it does not matter that it may not be changed, or is a link.
    if shared && root.read(&file.path).is_ok_and(|text| text == file.content) {
        return Ok(FileState::Unchanged);
    }
    let foreign = |text: &str| !shared && !guest::is_ours(text);
    let written = root.write(&file.path, &file.content, file.mode, shared, foreign);
    let written = written.coded(Code::Io, || format!("write /{}", file.path)).map_err(Error::with_permission_hint)?;
    Ok(match written {
        Written::Done => FileState::Written,
        Written::Unchanged => FileState::Unchanged,
        Written::LeftAlone(why) => FileState::LeftAlone(why),
    })
}

/// What cannot be seen is not there: whoever made it so has what they wanted.
struct View<'a>(&'a Rootfs);

impl Tree for View<'_> {
    fn read(&self, path: &str) -> Option<String> {
        self.0.read(path).ok()
    }

    fn head(&self, path: &str) -> Option<String> {
        self.0.head(path).ok()
    }

    fn link(&self, path: &str) -> Option<String> {
        self.0.link(path).ok()
    }

    fn exists(&self, path: &str) -> bool {
        self.0.exists(path).unwrap_or(false)
    }

    fn names(&self, dir: &str) -> Vec<String> {
        self.0.names(dir).unwrap_or_default()
    }
}
