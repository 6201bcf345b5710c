//! One netlink socket: requests in batches, answers one by one.
//!
//! netlink-proto moves the datagrams; what it leaves open is closed here. A batch is one datagram, and the
//! kernel acknowledges each message of it, going on after an error. Extended acks are read: "Nexthop has
//! invalid gateway" says more than ENETUNREACH. Dumps that the kernel marks as interrupted are repeated,
//! for what they returned may lack entries.

use std::fmt;
use std::future::Future;
use std::io;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::GetSockOpt;
use nix::{getsockopt_impl, sockopt_impl};
use rtnetlink::packet_core::{
    ErrorMessage, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_EXCL, NLM_F_REPLACE,
    NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::proto::{ConnectionHandle, new_connection};
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{AsyncSocket, SocketAddr, TokioSocket};

type Events = futures_util::stream::BoxStream<'static, NetlinkMessage<RouteNetlinkMessage>>;

/// How long an answer may take. The kernel answers at once unless somebody holds the RTNL for long.
const PATIENCE: Duration = Duration::from_secs(10);

/// The kernel's words for a refusal are rarely longer; a reply that is all attributes is not copied whole.
const MAX_DUMP: usize = 1 << 20;

sockopt_impl!(
    /// `SO_NETNS_COOKIE` (Linux ≥ 5.14): a number for the socket's network namespace that is never used
    /// again while the kernel runs.
    NetnsCookie,
    GetOnly,
    libc::SOL_SOCKET,
    libc::SO_NETNS_COOKIE,
    u64
);

/// The kernel's refusal of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelError {
    /// The error number, positive.
    pub errno: i32,
    /// The kernel's own words (`NLMSGERR_ATTR_MSG`), if it had any.
    pub message: Option<String>,
}

impl KernelError {
    /// An error that did not come from the kernel's answer.
    #[must_use]
    pub fn of(errno: Errno, message: impl Into<String>) -> Self {
        Self { errno: errno as i32, message: Some(message.into()) }
    }

    /// The object is there already.
    #[must_use]
    pub fn is_exists(&self) -> bool {
        Errno::from_raw(self.errno) == Errno::EEXIST
    }

    /// The object is not there: no such device, route or address.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        let absent = [Errno::ENODEV, Errno::ESRCH, Errno::ENOENT, Errno::EADDRNOTAVAIL, Errno::ENXIO];
        absent.contains(&Errno::from_raw(self.errno))
    }

    /// Something else uses the object.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        Errno::from_raw(self.errno) == Errno::EBUSY
    }

    /// The kernel lacks the feature.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        [Errno::EOPNOTSUPP, Errno::EAFNOSUPPORT, Errno::EPROTONOSUPPORT].contains(&Errno::from_raw(self.errno))
    }
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errno = Errno::from_raw(self.errno);
        write!(f, "{} (errno {} {errno:?})", errno.desc(), self.errno)?;
        self.message.as_ref().map_or(Ok(()), |message| write!(f, ", the kernel says: {message}"))
    }
}

impl std::error::Error for KernelError {}

impl From<io::Error> for KernelError {
    fn from(error: io::Error) -> Self {
        Self { errno: error.raw_os_error().unwrap_or(Errno::EIO as i32), message: Some(error.to_string()) }
    }
}

/// One message of a batch.
#[derive(Debug, Clone)]
pub struct Request {
    message: RouteNetlinkMessage,
    flags: u16,
}

impl Request {
    /// Creates; fails if it is there.
    #[must_use]
    pub fn create(message: RouteNetlinkMessage) -> Self {
        Self { message, flags: NLM_F_CREATE | NLM_F_EXCL }
    }

    /// Creates, or puts it in the place of what is there.
    #[must_use]
    pub fn replace(message: RouteNetlinkMessage) -> Self {
        Self { message, flags: NLM_F_CREATE | NLM_F_REPLACE }
    }

    /// Creates beside whatever is there under the same key.
    #[must_use]
    pub fn append(message: RouteNetlinkMessage) -> Self {
        Self { message, flags: NLM_F_CREATE | NLM_F_APPEND }
    }

    /// Changes, deletes or gets.
    #[must_use]
    pub fn plain(message: RouteNetlinkMessage) -> Self {
        Self { message, flags: 0 }
    }

    fn into_message(self, flags: u16) -> NetlinkMessage<RouteNetlinkMessage> {
        let mut message = NetlinkMessage::from(self.message);
        message.header.flags = NLM_F_REQUEST | self.flags | flags;
        message
    }
}

/// The kernel's answer to one message: what it returned, or its refusal.
pub type Answer = Result<Vec<RouteNetlinkMessage>, KernelError>;

/// A netlink socket. It stays in the namespace in which it was opened, wherever it is used from.
pub struct Socket {
    handle: ConnectionHandle<RouteNetlinkMessage>,
    cookie: u64,
    events: Option<Events>,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("cookie", &self.cookie).finish_non_exhaustive()
    }
}

impl Socket {
    /// Opens a socket in the current thread's namespace, inside the current runtime.
    pub fn open() -> io::Result<Self> {
        Self::open_with_events(None)
    }

    /// The same, subscribed to the notifications of a multicast group (`RTNLGRP_*`).
    pub fn subscribe(group: u32) -> io::Result<Self> {
        Self::open_with_events(Some(group))
    }

    fn open_with_events(group: Option<u32>) -> io::Result<Self> {
        let (mut connection, handle, events) = new_connection::<RouteNetlinkMessage>(NETLINK_ROUTE)?;
        connection.set_forward_ack(true);
        let socket: &mut TokioSocket = connection.socket_mut();
        let socket = socket.socket_mut();
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        socket.set_netlink_get_strict_chk(true)?;
        if let Some(group) = group {
            // Unbound, the socket has port 0, as the kernel's own messages do, and hears none of them
            // (do_one_broadcast() in net/netlink/af_netlink.c).
            socket.bind_auto()?;
            socket.add_membership(group)?;
        }
        let cookie = NetnsCookie.get(&*socket).unwrap_or(0);
        tokio::spawn(connection);
        let events = group.map(|_| events.map(|(message, _)| message).boxed());
        Ok(Self { handle, cookie, events })
    }

    /// The cookie of the socket's namespace; 0 if the kernel has none.
    #[must_use]
    pub fn cookie(&self) -> u64 {
        self.cookie
    }

    /// Sends the requests as one datagram and returns the answers in their order.
    pub async fn batch(&self, requests: Vec<Request>) -> Result<Vec<Answer>, KernelError> {
        let count = requests.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        let messages: Vec<_> = requests.into_iter().map(|request| request.into_message(NLM_F_ACK)).collect();
        let stream = self.handle.request_batch(messages, SocketAddr::new(0, 0)).map_err(closed)?;
        patiently(collect(stream, count)).await?
    }

    /// Sends one request and returns its answer.
    pub async fn request(&self, request: Request) -> Answer {
        let answers = self.batch(vec![request]).await?;
        answers.into_iter().next().unwrap_or_else(|| Err(KernelError::of(Errno::EPROTO, "no answer")))
    }

    /// Returns everything that matches `message`. Repeated while the kernel says that it was interrupted.
    pub async fn dump(&self, message: RouteNetlinkMessage) -> Answer {
        for _ in 0..10 {
            let request = Request::plain(message.clone()).into_message(NLM_F_DUMP);
            let stream = self.handle.request(request, SocketAddr::new(0, 0)).map_err(closed)?;
            if let Some(messages) = patiently(collect_dump(stream)).await?? {
                return Ok(messages);
            }
        }
        Err(KernelError::of(Errno::EINTR, "the dump was interrupted by changes, ten times in a row"))
    }

    /// The next notification of the group; `None` when some were lost.
    pub async fn next_event(&mut self) -> Option<RouteNetlinkMessage> {
        loop {
            match self.events.as_mut()?.next().await?.payload {
                NetlinkPayload::InnerMessage(message) => return Some(message),
                NetlinkPayload::Overrun(_) => return None,
                _ => {}
            }
        }
    }
}

fn closed(error: impl fmt::Display) -> KernelError {
    KernelError::of(Errno::EPIPE, format!("netlink socket: {error}"))
}

async fn patiently<T>(answer: impl Future<Output = T>) -> Result<T, KernelError> {
    let late = |_| KernelError::of(Errno::ETIMEDOUT, format!("no answer within {} s", PATIENCE.as_secs()));
    tokio::time::timeout(PATIENCE, answer).await.map_err(late)
}

/// Every message of a batch is acknowledged, in order; what comes before an ack belongs to its message.
async fn collect(
    mut stream: impl Stream<Item = NetlinkMessage<RouteNetlinkMessage>> + Unpin,
    count: usize,
) -> Result<Vec<Answer>, KernelError> {
    let mut answers = Vec::with_capacity(count);
    let mut current = Vec::new();
    while answers.len() < count {
        let Some(message) = stream.next().await else {
            return Err(KernelError::of(Errno::EPROTO, "the answer ended early"));
        };
        match message.payload {
            NetlinkPayload::InnerMessage(message) => current.push(message),
            NetlinkPayload::Error(error) => {
                let messages = std::mem::take(&mut current);
                answers.push(refusal(&error).map_or(Ok(messages), Err));
            }
            NetlinkPayload::Overrun(_) => return Err(KernelError::of(Errno::ENOBUFS, "answers were lost")),
            _ => {}
        }
    }
    Ok(answers)
}

/// `None` if the dump was interrupted.
async fn collect_dump(
    mut stream: impl Stream<Item = NetlinkMessage<RouteNetlinkMessage>> + Unpin,
) -> Result<Option<Vec<RouteNetlinkMessage>>, KernelError> {
    let mut messages = Vec::new();
    let mut interrupted = false;
    while let Some(message) = stream.next().await {
        interrupted |= message.header.flags & NLM_F_DUMP_INTR != 0;
        match message.payload {
            NetlinkPayload::InnerMessage(message) if messages.len() < MAX_DUMP => messages.push(message),
            NetlinkPayload::InnerMessage(_) => {
                return Err(KernelError::of(Errno::E2BIG, format!("more than {MAX_DUMP} entries")));
            }
            NetlinkPayload::Error(error) => {
                if let Some(error) = refusal(&error) {
                    return Err(error);
                }
            }
            NetlinkPayload::Overrun(_) => return Ok(None),
            _ => {}
        }
    }
    Ok((!interrupted).then_some(messages))
}

pub(super) fn refusal(error: &ErrorMessage) -> Option<KernelError> {
    let errno = -error.code?.get();
    Some(KernelError { errno, message: extended_ack(&error.header) })
}

/// The text of an extended ack: attributes follow the echoed header of 16 bytes, which `NETLINK_CAP_ACK`
/// keeps the payload away from (`netlink_ack()` in `net/netlink/af_netlink.c`).
fn extended_ack(echo: &[u8]) -> Option<String> {
    const NLMSGERR_ATTR_MSG: u16 = 1;
    let mut attributes = echo.get(16..)?;
    while let [l0, l1, t0, t1, ..] = *attributes {
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = attributes.get(4..length)?;
        if u16::from_ne_bytes([t0, t1]) == NLMSGERR_ATTR_MSG {
            return Some(String::from_utf8_lossy(value).trim_end_matches('\0').to_owned());
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_found_behind_the_echoed_header() {
        let mut echo = vec![0u8; 16];
        echo.extend(8u16.to_ne_bytes().into_iter().chain(2u16.to_ne_bytes()).chain([0, 0, 0, 0]));
        echo.extend(9u16.to_ne_bytes().into_iter().chain(1u16.to_ne_bytes()).chain(*b"nope\0"));
        assert_eq!(extended_ack(&echo).as_deref(), Some("nope"));
        assert_eq!(extended_ack(&echo[..20]), None);
        assert_eq!(extended_ack(&[]), None);
    }
}
