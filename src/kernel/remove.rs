//! Deleting a link without sitting out the kernel's grace periods.
//!
//! `RTM_DELLINK` makes its *caller* wait 15 to 40 ms for an RCU barrier (`netdev_run_todo()` in
//! `net/core/dev.c`), although the link with its addresses and routes is gone, and everybody told so by
//! notification, after half a millisecond. So a child sends the request and sits the barrier out, and the
//! caller goes on when the notification arrives.
//!
//! Of a bridge, that arrives only after another such barrier (`br_multicast_dev_del()` in
//! `net/bridge/br_multicast.c`), 10 to 40 ms after it has left the list of links. Its settings go before, the last of
//! what stands on a link (`RTM_DELNETCONF`): from then on `/sys/class/net` alone knows of it, until the barrier is over.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use futures_util::future::{self, Either};
use nix::errno::Errno;
use nix::net::if_::if_indextoname;
use rtnetlink::MulticastGroup;
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use tokio::net::unix::pipe;

use super::endpoint::Endpoint;
use super::events::{self, Events};
use super::nft::Nft;
use super::socket::{KernelError, Reply, Request, Socket};
use super::{link, netconf, process};
use crate::model::{Family, IfName};

/// How long the notification may take before the caller looks for itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// Deletes a link and returns once it is gone. The process must have no other thread (none of springline's
/// fronts has): a forked child of a threaded process may find the allocator locked for ever.
///
/// `nft` is the socket by which what belongs to the link goes from nf_tables. The child holds it, too: whoever closes it
/// last is made to wait until the kernel has freed all of that (`nft_rcv_nl_event()` in
/// `net/netfilter/nf_tables_api.c`), for another grace period.
pub fn remove_link(endpoint: &Endpoint, name: &IfName, index: u32, nft: Option<&Nft>) -> Result<(), KernelError> {
    remove(endpoint, name, index, nft, &[MulticastGroup::Link])
}

/// The same for a link that may be a bridge: it returns once the link is on no list any more and has lost its settings. (Of
/// other kinds, all notifications come one right after the other, and the last is good enough.)
pub fn remove_bridge(endpoint: &Endpoint, name: &IfName, index: u32, nft: Option<&Nft>) -> Result<(), KernelError> {
    let told = [MulticastGroup::Link, MulticastGroup::Ipv4Netconf, MulticastGroup::Ipv6Netconf];
    remove(endpoint, name, index, nft, &told)
}

fn remove(
    endpoint: &Endpoint,
    name: &IfName,
    index: u32,
    nft: Option<&Nft>,
    told: &[MulticastGroup],
) -> Result<(), KernelError> {
    let outcome = events::wait(ask_and_wait(endpoint, index, nft, told))?;
    if outcome.is_err() && !is_gone(endpoint, index) {
        return outcome;
    }
    endpoint.forget(name);
    Ok(())
}

async fn ask_and_wait(
    endpoint: &Endpoint,
    index: u32,
    nft: Option<&Nft>,
    told: &[MulticastGroup],
) -> Result<(), KernelError> {
    let mut events = Events::of(told)?;
    let (status, report) = std::io::pipe()?;
    let status = pipe::Receiver::from_owned_fd(OwnedFd::from(status))?;
    let kept: Vec<BorrowedFd<'_>> = nft.map(AsFd::as_fd).into_iter().chain([report.as_fd()]).collect();
    let child = process::in_child(&kept, || {
        if let Err(error) = delete(index) {
            let _ = (&report).write_all(&error.errno.to_ne_bytes());
        }
    });
    child.map_err(|errno| KernelError::of(errno, "fork"))?;
    drop(report); // the child has its own end of it
    let notified = std::pin::pin!(async {
        let mut left_by = BTreeSet::new();
        loop {
            match events.next().await {
                Some(event) if is_end_of(&event, index) => return,
                Some(event) => {
                    let Some(family) = netconf::left_by(&event, index) else { continue };
                    left_by.insert(family);
                    // A link that gets another name loses its settings, too, but stays.
                    if left_by.len() == Family::BOTH.len() && !is_listed(index) {
                        return;
                    }
                }
                None if is_gone(endpoint, index) => return, // notifications were lost
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    });
    let refused = std::pin::pin!(refusal(&status));
    match tokio::time::timeout(PATIENCE, future::select(notified, refused)).await {
        Ok(Either::Left(_)) => Ok(()),
        // Agreed or not: the child may have been killed before it could ask.
        Ok(Either::Right((Ok(()), _))) => Err(KernelError::of(Errno::EINTR, "whoever was to delete it is gone")),
        Ok(Either::Right((refused, _))) => refused,
        Err(_) => Err(KernelError::of(Errno::ETIMEDOUT, format!("no notification within {} s", PATIENCE.as_secs()))),
    }
}

/// A bridge says by `RTM_DELLINK` too that a port has left it (family `AF_BRIDGE`), before the link is gone.
fn is_end_of(event: &Reply, index: u32) -> bool {
    let Some(RouteNetlinkMessage::DelLink(message)) = event.message() else { return false };
    message.header.index == index && message.header.interface_family == AddressFamily::Unspec
}

/// Whether the namespace lists the link. Unlike over netlink, the answer does not wait for those who are changing links
/// (`dev_ifname()`, `net/core/dev_ioctl.c`). Where there is none, nix returns no error but an empty name.
fn is_listed(index: u32) -> bool {
    if_indextoname(index).is_ok_and(|name| !name.is_empty())
}

/// What the child reports: nothing and the end of the pipe when the kernel has agreed.
async fn refusal(status: &pipe::Receiver) -> Result<(), KernelError> {
    let mut errno = [0u8; 4];
    loop {
        status.readable().await?;
        match status.try_read(&mut errno) {
            Ok(0) => return Ok(()),
            Ok(_) => return Err(KernelError { errno: i32::from_ne_bytes(errno), message: None }),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn is_gone(endpoint: &Endpoint, index: u32) -> bool {
    endpoint.look_up_indices(&[index]).is_ok_and(|views| views.is_empty())
}

/// Sends the request and sits out its answer, on a socket of its own.
fn delete(index: u32) -> Result<(), KernelError> {
    Socket::open()?.request(Request::plain(link::delete(index))).map(drop)
}
