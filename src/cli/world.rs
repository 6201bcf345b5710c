//! The demonstration's world: a host and its containers, all in namespaces without names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use crate::error::{Code, Coded, Error, Result};
use crate::exec::{Container, Engine};
use crate::kernel::{self, Endpoint, KernelError};
use crate::model::{Family, IfName};
use crate::plan::{LinkAddress, Readiness, Route, Side};
use crate::store::Store;

/// Moves the process, which must have one thread only, into a network namespace of its own: the "host".
/// A user who is not root gets a user namespace with it, in which they are.
pub(super) fn enter_a_host_of_our_own() -> Result<()> {
    let (uid, gid) = (geteuid(), getegid());
    if uid.is_root() && unshare(CloneFlags::CLONE_NEWNET).is_ok() {
        return Ok(());
    }
    let made = unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).and_then(|()| {
        let write =
            |file: &str, text: String| fs::write(format!("/proc/self/{file}"), text).map_err(|_| nix::Error::EPERM);
        // user_namespaces(7): a user without privileges must give up setgroups() before mapping groups.
        write("setgroups", "deny".into())?;
        write("uid_map", format!("0 {uid} 1"))?;
        write("gid_map", format!("0 {gid} 1"))
    });
    made.map_err(|errno| {
        Error::new(Code::InvalidEnvironment, errno.to_string())
            .context("cannot make a network namespace")
            .hint("run it as root")
            .hint("or let users make user namespaces (kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0)")
    })
}

/// A folder for the state that goes with the value.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("springline-demo-{}", std::process::id()));
        fs::create_dir_all(&path).coded(Code::Io, || format!("create {}", path.display()))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The files below, without those that only say where allocation goes on, or are there to be locked.
    pub(super) fn files(&self) -> BTreeSet<String> {
        let mut files = BTreeSet::new();
        let mut folders = vec![self.0.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() && entry.file_name() == "locks" => {}
                    Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                    _ if entry.file_name().to_string_lossy().starts_with(".ring-") => {}
                    _ => drop(files.insert(entry.path().display().to_string())),
                }
            }
        }
        files
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A host with addresses of its own, as any host has, and forwarding as `springline` would turn it on.
pub(super) fn furnish_host(store: Store) -> Result<Engine> {
    let engine = Engine::open(store)?;
    for (_, sysctl) in crate::plan::FORWARDING {
        let written = engine.sysctls.write(sysctl, "1");
        written.coded(Code::Kernel, || format!("turn on net/{sysctl} in the demonstration's own namespace"))?;
    }
    let lo = IfName::loopback();
    let addresses = ["192.0.2.1/32", "2001:db8::1/128"].map(str::parse::<IpNet>);
    let mut requests = vec![kernel::set_state(1, true)];
    let on_lo = |net| LinkAddress { link: lo.clone(), net, host_scope: false };
    let addresses: Vec<LinkAddress> = addresses.into_iter().flatten().map(on_lo).collect();
    requests.extend(addresses.iter().map(|address| kernel::add_address(1, address)));
    let answers = engine.host.socket.batch(requests);
    answers.map_err(failed)?.into_iter().collect::<Result<Vec<_>, _>>().map_err(failed)?;
    // What the host was like before is looked at next: the routes of its own addresses belong to it.
    engine.host.learn(&lo, 1);
    let ready = Readiness { side: Side::Host, links: Vec::new(), addresses };
    kernel::await_ready(&engine.host, &ready).map_err(failed)?;
    Ok(engine)
}

/// What a namespace shows: its links, their addresses, and the routes of all tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    pub(super) links: Vec<(IfName, Option<String>)>,
    pub(super) addresses: Vec<LinkAddress>,
    pub(super) routes: Vec<Route>,
}

pub(super) fn look_at(endpoint: &Endpoint) -> Result<View> {
    view(endpoint).map_err(failed)
}

fn view(endpoint: &Endpoint) -> Result<View, KernelError> {
    let mut view = View { links: Vec::new(), addresses: Vec::new(), routes: Vec::new() };
    for link in endpoint.links(None)? {
        view.addresses.extend(endpoint.addresses(&link.name, link.index)?);
        view.links.push((link.name, link.link.alias));
    }
    for family in Family::BOTH {
        // Table 0 is all of them.
        for route in endpoint.fib(family, 0, None)? {
            let link = route.link.and_then(|index| endpoint.name(index)).unwrap_or_else(IfName::loopback);
            view.routes.push(route.to_route(&link));
        }
    }
    Ok(view)
}

/// A container: a namespace and nothing else.
pub(super) fn make_container() -> Result<(Container, String)> {
    let container = kernel::Netns::create().and_then(Container::of);
    let container = container.coded(Code::InvalidNetns, || "make a container's namespace")?;
    let path = container.netns.path();
    Ok((container, path))
}

#[allow(clippy::needless_pass_by_value)] // for map_err
fn failed(error: KernelError) -> Error {
    Error::new(Code::Kernel, error.to_string()).context("the demonstration's own namespaces")
}
