//! The guest's own network service: files that it really reads, and a rootfs that does not want them.
//!
//! What is expected to the letter is in `golden/`; the programs that read such files run in a copy of the container,
//! a chroot with the guest's own `/etc` in namespaces of the test's, on an interface that springline has plumbed.
//! `tests/guests/tools` fetches them.

#[path = "../common/mod.rs"]
mod common;

mod command;
mod courtesies;
mod golden;
mod hostile;
mod idmapped;
mod ifupdown;
mod netplan;
mod network_manager;
mod networkd;
mod scripts;
mod support;
