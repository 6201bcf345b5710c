//! Which process has a port of the host.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, setsockopt, socket, sockopt,
};

use crate::model::{Family, PortMap, Protocol};

/// Who listens on the port of `map` for addresses of `family`, in words; `None` if nobody does, or only a process that
/// has the container's id among its arguments: podman's conmon keeps a running container's ports from others by
/// listening on them. Until that runs, podman itself does: one of our `callers`.
///
/// To try and bind is quick and almost always settles it. Only when that fails are the kernel's lists read, for
/// it may have failed because of a connection that merely goes out from this port.
#[must_use]
pub fn listener(map: &PortMap, family: Family, container: &str, callers: &[String]) -> Option<String> {
    let any = match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let address = SocketAddr::new(map.host.unwrap_or(any), map.host_port);
    match try_to_bind(address, map.protocol) {
        Err(Errno::EADDRINUSE) if map.protocol == Protocol::Sctp => Some("a process".to_owned()),
        Err(Errno::EADDRINUSE) => match owner(&listed(address, map.protocol)?) {
            Some(pid) if is_for(&pid, container) || callers.contains(&pid) => None,
            Some(pid) => Some(describe(&pid)),
            None => Some("a process".to_owned()),
        },
        _ => None,
    }
}

fn try_to_bind(address: SocketAddr, protocol: Protocol) -> nix::Result<()> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let (kind, protocol) = match protocol {
        Protocol::Tcp => (SockType::Stream, SockProtocol::Tcp),
        Protocol::Udp => (SockType::Datagram, SockProtocol::Udp),
        Protocol::Sctp => (SockType::Stream, SockProtocol::Sctp),
    };
    let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC, protocol)?;
    if kind == SockType::Stream {
        setsockopt(&socket, sockopt::ReuseAddr, &true)?; // what is left of closed connections does not count
    }
    if family == AddressFamily::Inet6 {
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &SockaddrStorage::from(address))
}

/// The inode of the socket that listens there, from `/proc/net/tcp` and its like (`Documentation/networking/proc_net_tcp.rst`).
fn listed(address: SocketAddr, protocol: Protocol) -> Option<String> {
    let name = if protocol == Protocol::Udp { "udp" } else { "tcp" };
    // A socket of [::] takes IPv4 too, unless it says that it does not; so both lists count for IPv4.
    let lists = if address.is_ipv4() { vec![String::new(), "6".to_owned()] } else { vec!["6".to_owned()] };
    let waiting = if protocol == Protocol::Udp { "07" } else { "0A" }; // TCP_CLOSE (unconnected), TCP_LISTEN
    for list in lists {
        let text = fs::read_to_string(format!("/proc/thread-self/net/{name}{list}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (Some(local), Some(state), Some(inode)) = (fields.get(1), fields.get(3), fields.get(9)) else {
                continue;
            };
            let Some((_, port)) = local.split_once(':') else { continue };
            if *state == waiting && u16::from_str_radix(port, 16) == Ok(address.port()) {
                return Some((*inode).to_owned());
            }
        }
    }
    None
}

/// The process that has the socket, as far as we may see.
fn owner(inode: &str) -> Option<String> {
    let wanted = format!("socket:[{inode}]");
    let has_it = |pid: &str| -> io::Result<bool> {
        for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
            if fs::read_link(entry?.path()).is_ok_and(|target| target.as_os_str() == wanted.as_str()) {
                return Ok(true);
            }
        }
        Ok(false)
    };
    let pids =
        fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut numbers = pids.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    numbers.find(|pid| has_it(pid).unwrap_or(false))
}

/// The process that has called us, the one that has called that, and so on, by their ids.
#[must_use]
pub fn callers() -> Vec<String> {
    // proc_pid_stat(5): after the name, which stands in parentheses and may hold anything, state and parent.
    let parent = |pid: &str| -> Option<String> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.to_owned();
        (parent != "0").then_some(parent)
    };
    std::iter::successors(parent("self"), |pid| parent(pid)).collect()
}

/// Whether it has the container's id among its arguments.
fn is_for(pid: &str, container: &str) -> bool {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    arguments.split(|byte| *byte == 0).any(|argument| argument == container.as_bytes())
}

fn describe(pid: &str) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    format!("process {} (pid {pid})", name.trim())
}
