//! Deleting a link without sitting out the kernel's grace periods.
//!
//! `RTM_DELLINK` makes its *caller* wait 15 to 40 ms for an RCU barrier (`netdev_run_todo()` in
//! `net/core/dev.c`), although the link with its addresses and routes is gone, and everybody told so by
//! notification, after half a millisecond. So a child sends the request and sits the barrier out, and the
//! caller goes on when the notification arrives.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use futures_util::future::{self, Either};
use nix::errno::Errno;
use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{Socket as PlainSocket, SocketAddr};
use tokio::net::unix::pipe;

use super::endpoint::Endpoint;
use super::socket::{KernelError, Socket};
use super::{link, process};
use crate::model::IfName;

/// How long the notification may take before the caller looks for itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// Deletes a link and returns once it is gone. The process must have no other thread (none of springline's
/// fronts has): a forked child of a threaded process may find the allocator locked for ever.
pub async fn remove_link(endpoint: &Endpoint, name: &IfName, index: u32) -> Result<(), KernelError> {
    let mut events = Socket::subscribe(MulticastGroup::Link as u32)?;
    let (status, report) = std::io::pipe()?;
    let status = pipe::Receiver::from_owned_fd(OwnedFd::from(status))?;
    let child = process::in_child(report.as_fd(), || {
        let errno = delete(index).unwrap_or_else(|error| error.errno);
        if errno != 0 {
            let _ = (&report).write_all(&errno.to_ne_bytes());
        }
    });
    child.map_err(|errno| KernelError::of(errno, "fork"))?;
    drop(report); // the child has its own end of it
    let notified = std::pin::pin!(async {
        loop {
            match events.next_event().await {
                Some(RouteNetlinkMessage::DelLink(message)) if is_end_of(&message, index) => return,
                Some(_) => {}
                None if is_gone(endpoint, index).await => return, // notifications were lost
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    });
    let refused = std::pin::pin!(refusal(&status));
    let outcome = match tokio::time::timeout(PATIENCE, future::select(notified, refused)).await {
        Ok(Either::Left(_)) => Ok(()),
        // Agreed or not: the child may have been killed before it could ask.
        Ok(Either::Right((Ok(()), _))) => Err(KernelError::of(Errno::EINTR, "whoever was to delete it is gone")),
        Ok(Either::Right((refused, _))) => refused,
        Err(_) => Err(KernelError::of(Errno::ETIMEDOUT, format!("no notification within {} s", PATIENCE.as_secs()))),
    };
    if outcome.is_err() && !is_gone(endpoint, index).await {
        return outcome;
    }
    endpoint.forget(name);
    Ok(())
}

/// A bridge says by `RTM_DELLINK` too that a port has left it (family `AF_BRIDGE`), before the link is gone.
fn is_end_of(message: &LinkMessage, index: u32) -> bool {
    message.header.index == index && message.header.interface_family == AddressFamily::Unspec
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

async fn is_gone(endpoint: &Endpoint, index: u32) -> bool {
    endpoint.look_up_indices(&[index]).await.is_ok_and(|views| views.is_empty())
}

/// Sends the request and waits for its answer, on a plain blocking socket: no runtime in the child.
fn delete(index: u32) -> Result<i32, KernelError> {
    let socket = PlainSocket::new(NETLINK_ROUTE)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut message = NetlinkMessage::from(link::delete(index));
    message.header.flags = NLM_F_REQUEST | NLM_F_ACK;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer);
    match answer.map(|answer| answer.payload) {
        Ok(NetlinkPayload::Error(error)) => Ok(error.code.map_or(0, |code| -code.get())),
        _ => Err(KernelError::of(Errno::EPROTO, "unexpected answer")),
    }
}
