//! Notifications, and waiting for them: the one place with a runtime. Everything else that is asked of the kernel is
//! answered at once (see `transport.rs`).

use std::collections::VecDeque;
use std::future::Future;
use std::io;

use rtnetlink::MulticastGroup;
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, TokioSocket};
use tokio::runtime::Builder;

use super::socket::Reply;
use super::transport::{ANSWER, Content, messages};

/// The kernel's notifications of some multicast groups, in the namespace in which the socket was opened.
pub(super) struct Events {
    socket: TokioSocket,
    heard: VecDeque<Reply>,
}

impl Events {
    /// Subscribes to groups. To be called where something [waits](wait).
    pub(super) fn of(groups: &[MulticastGroup]) -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
        // Unbound, the socket has port 0, as the kernel's own messages do, and hears none of them
        // (do_one_broadcast() in net/netlink/af_netlink.c).
        socket.socket_mut().bind_auto()?;
        groups.iter().try_for_each(|group| socket.socket_mut().add_membership(*group as u32))?;
        Ok(Self { socket, heard: VecDeque::new() })
    }

    /// The next notification; `None` when some were lost.
    pub(super) async fn next(&mut self) -> Option<Reply> {
        loop {
            if let Some(event) = self.heard.pop_front() {
                return Some(event);
            }
            let mut bytes = Vec::with_capacity(ANSWER);
            self.socket.recv(&mut bytes).await.ok()?;
            for message in messages(&bytes) {
                if let Content::Message(kind, payload) = message.ok()?.content {
                    self.heard.push_back(Reply::new(kind, payload));
                }
            }
        }
    }
}

/// Waits for `what`, on a runtime of its own: one thread, which is this one.
pub(super) fn wait<T>(what: impl Future<Output = T>) -> io::Result<T> {
    Ok(Builder::new_current_thread().enable_all().build()?.block_on(what))
}
