//! What a guest's own network service must find in its files, lest it undo what was plumbed. Pure: the rootfs is
//! seen through [`Tree`], and what comes out is a [`Draft`], which `exec` writes.
//!
//! ```text
//! /etc/os-release ──Distro::detect──▶ Distro ──service::find──▶ Service      a table each: first match wins
//! Guest ──one file a format──▶ Draft { files, warnings }
//! ```
//!
//! Two kinds of files: those that are springline's alone, known by their first lines ([`is_ours`]), and those of the
//! user in which a part must change ([`Ownership`]). What a format has no words for becomes a script where the
//! service runs scripts, and otherwise a warning: never a file that says something else.

mod block;
mod distro;
mod ifcfg;
mod ifupdown;
mod netplan;
mod network_manager;
mod networkd;
mod nixos;
mod ours;
mod service;
mod shell;
mod void;
mod wicked;

pub use distro::Distro;
pub use ours::{is_ours, ours};
pub use service::Service;

use crate::model::Guest;

/// What can be seen of a rootfs. Paths are relative to its root, without a leading slash.
pub trait Tree {
    /// The text of a regular file, symbolic links followed inside of the rootfs.
    fn read(&self, path: &str) -> Option<String>;
    /// The first lines of a regular file, enough to know whose it is.
    fn head(&self, path: &str) -> Option<String> {
        self.read(path)
    }
    /// Where a symbolic link leads, as it is written there.
    fn link(&self, path: &str) -> Option<String>;
    /// Whether there is anything of that name, be it a link to nowhere.
    fn exists(&self, path: &str) -> bool;
    /// The names in a directory, sorted.
    fn names(&self, dir: &str) -> Vec<String>;
}

/// A file as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestFile {
    /// Its path below the root, without a leading slash.
    pub path: String,
    /// Its content.
    pub content: String,
    /// Its permissions, if it is new or ours.
    pub mode: u32,
    /// Whose it is.
    pub ownership: Ownership,
}

/// Whose a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// springline's alone. What else is found under its name is kept beside it, and put back with its removal.
    Ours,
    /// The user's, with a part of springline's in it: permissions and owner stay as they are. What follows it in the
    /// draft is of no use without it.
    Shared,
}

/// The distribution of a rootfs, or how it calls itself if it is none that there is a table for.
pub fn detect(tree: &dyn Tree) -> Result<Distro, Option<String>> {
    let text = service::read_os_release(tree).ok_or(None)?;
    Distro::detect(&text).ok_or_else(|| Distro::id(&text))
}

/// All that is to be written for one guest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    /// The network service that the files are for; `None`: none was found.
    pub service: Option<Service>,
    /// The files, in the order in which they are to be written.
    pub files: Vec<GuestFile>,
    /// What could not be said in them.
    pub warnings: Vec<String>,
}

impl Draft {
    fn add(&mut self, path: impl Into<String>, mode: u32, content: String) {
        self.files.push(GuestFile { path: path.into(), content, mode, ownership: Ownership::Ours });
    }

    fn share(&mut self, path: impl Into<String>, content: String) {
        self.files.push(GuestFile { path: path.into(), content, mode: 0o644, ownership: Ownership::Shared });
    }

    fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }
}

/// What the network service of a rootfs of `distro` must find for `guest`.
#[must_use]
pub fn draft(guest: &Guest, distro: Distro, tree: &dyn Tree) -> Draft {
    if guest.interfaces.is_empty() {
        return Draft { files: released(tree), ..Draft::default() };
    }
    let service = service::find(distro, tree);
    let mut draft = Draft { service, ..Draft::default() };
    match service {
        Some(Service::Ifupdown) => ifupdown::write(guest, distro, tree, &mut draft),
        Some(Service::Netplan) => netplan::write(guest, &mut draft),
        Some(Service::NetworkManager) => network_manager::write(guest, &mut draft),
        Some(Service::Ifcfg) => ifcfg::write(guest, tree, &mut draft),
        Some(Service::Wicked) => wicked::write(guest, &mut draft),
        Some(Service::Networkd) => networkd::write(guest, &mut draft),
        Some(Service::NixosScripts) => nixos::write(guest, &mut draft),
        Some(Service::Runit) => void::write(guest, tree, &mut draft),
        None => draft.warn(format!(
            "no network service of {distro} was found in the rootfs: there is none that would undo what was plumbed, \
             and nothing to write"
        )),
    }
    let written: Vec<String> = draft.files.iter().map(|file| file.path.clone()).collect();
    draft.files.extend(released(tree).into_iter().filter(|file| !written.contains(&file.path)));
    draft
}

/// The user's files without what springline put into them: for services that are no longer in use, and for the end.
#[must_use]
pub fn released(tree: &dyn Tree) -> Vec<GuestFile> {
    let mut draft = Draft::default();
    ifupdown::release(tree, &mut draft);
    void::release(tree, &mut draft);
    draft.files
}
