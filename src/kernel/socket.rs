//! One rtnetlink socket: requests in batches, answers one by one.
//!
//! A batch goes as one datagram, and the kernel takes all messages of it, going on after an error. Extended acks
//! are read: "Nexthop has invalid gateway" says more than ENETUNREACH. Dumps that the kernel marks as interrupted are
//! repeated, for what they returned may lack entries.

use std::fmt;
use std::io;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::GetSockOpt;
use nix::{getsockopt_impl, sockopt_impl};
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_EXCL, NLM_F_REPLACE,
    NetlinkDeserializable, NetlinkHeader, NetlinkSerializable,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::protocols::NETLINK_ROUTE;

use super::transport::{Content, Transport};

/// So many messages go as one datagram: the answers wait in the socket's buffer (`net.core.rmem_default`, 208 KiB)
/// until the last of them is done, and one about a link takes up to 5 KiB there.
const BATCH: usize = 32;

/// No dump is longer.
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

    /// The kernel makes nothing of what was asked.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        Errno::from_raw(self.errno) == Errno::EINVAL
    }

    /// Something else uses the object.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        Errno::from_raw(self.errno) == Errno::EBUSY
    }

    /// Something is set to forbid it; `EPERM` would be for want of a privilege.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        Errno::from_raw(self.errno) == Errno::EACCES
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
pub struct Request<M = RouteNetlinkMessage> {
    pub(super) message: M,
    flags: u16,
}

impl<M> Request<M> {
    /// Creates; fails if it is there.
    #[must_use]
    pub fn create(message: M) -> Self {
        Self { message, flags: NLM_F_CREATE | NLM_F_EXCL }
    }

    /// Creates, or puts it in the place of what is there.
    #[must_use]
    pub fn replace(message: M) -> Self {
        Self { message, flags: NLM_F_CREATE | NLM_F_REPLACE }
    }

    /// Creates beside whatever is there under the same key.
    #[must_use]
    pub fn append(message: M) -> Self {
        Self { message, flags: NLM_F_CREATE | NLM_F_APPEND }
    }

    /// Changes, deletes or gets.
    #[must_use]
    pub fn plain(message: M) -> Self {
        Self { message, flags: 0 }
    }
}

/// What the kernel returned: a message, not read yet.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its type (`RTM_*`).
    pub(super) kind: u16,
    /// What follows its header.
    pub(super) payload: Vec<u8>,
}

impl Reply {
    pub(super) fn new(kind: u16, payload: &[u8]) -> Self {
        Self { kind, payload: payload.to_vec() }
    }

    /// The message as a whole. `None` if it cannot be read.
    #[must_use]
    pub fn message(&self) -> Option<RouteNetlinkMessage> {
        let mut header = NetlinkHeader::default();
        header.message_type = self.kind;
        RouteNetlinkMessage::deserialize(&header, &self.payload).ok()
    }
}

/// The kernel's answer to one message: what it returned, or its refusal.
pub type Answer = Result<Vec<Reply>, KernelError>;

/// An rtnetlink socket. It stays in the namespace in which it was opened, wherever it is used from.
#[derive(Debug)]
pub struct Socket {
    transport: Transport,
    cookie: u64,
}

impl Socket {
    /// Opens a socket in the current thread's namespace.
    pub fn open() -> io::Result<Self> {
        let mut transport = Transport::open(NETLINK_ROUTE)?;
        transport.set_strict_checks()?;
        let cookie = match NetnsCookie.get(transport.socket()) {
            // With 0 for one that there is, a living container would be told from itself, and collected.
            Err(errno) if errno != Errno::ENOPROTOOPT => return Err(errno.into()),
            cookie => cookie.unwrap_or(0),
        };
        Ok(Self { transport, cookie })
    }

    /// The cookie of the socket's namespace; 0 if the kernel has none.
    #[must_use]
    pub fn cookie(&self) -> u64 {
        self.cookie
    }

    /// Sends the requests, in as few datagrams as their answers allow, and returns the answers in their order.
    pub fn batch<M: NetlinkSerializable>(&self, requests: Vec<Request<M>>) -> Result<Vec<Answer>, KernelError> {
        let mut answers: Vec<Answer> = Vec::with_capacity(requests.len());
        let mut requests = requests.into_iter().peekable();
        while requests.peek().is_some() {
            let mut datagram = self.transport.datagram();
            let count = requests.len().min(BATCH);
            let begin = datagram.begin;
            for (place, request) in requests.by_ref().take(count).enumerate() {
                // Refusals are told anyway; that all is done, once.
                let ack = if place + 1 == count { NLM_F_ACK } else { 0 };
                datagram.push(request.message, request.flags | ack);
            }
            datagram.send()?;
            let first = answers.len();
            answers.resize_with(first + count, || Ok(Vec::new()));
            self.transport.receive(|received| {
                let place = received.sequence.wrapping_sub(begin) as usize;
                let Some(answer) = answers[first..].get_mut(place) else {
                    return Ok(None); // of a batch that was given up
                };
                let is_last = place + 1 == count && !matches!(received.content, Content::Message(..));
                match (received.content, &mut *answer) {
                    (Content::Message(kind, payload), Ok(replies)) => replies.push(Reply::new(kind, payload)),
                    (Content::Refused(error), _) => *answer = Err(error),
                    _ => {}
                }
                Ok(is_last.then_some(()))
            })?;
        }
        Ok(answers)
    }

    /// Sends one request and returns its answer.
    pub fn request(&self, request: Request) -> Answer {
        let answers = self.batch(vec![request])?;
        answers.into_iter().next().unwrap_or_else(|| Err(KernelError::of(Errno::EPROTO, "no answer")))
    }

    /// Returns everything that matches `message`. Repeated while the kernel says that it was interrupted.
    pub fn dump<M: NetlinkSerializable + Clone>(&self, message: &M) -> Answer {
        for _ in 0..10 {
            let mut datagram = self.transport.datagram();
            let sequence = datagram.push(message.clone(), NLM_F_DUMP);
            datagram.send()?;
            let mut found = Vec::new();
            let mut is_interrupted = false;
            self.transport.receive(|received| {
                if received.sequence != sequence {
                    return Ok(None); // the rest of a dump that was given up
                }
                is_interrupted |= received.flags & NLM_F_DUMP_INTR != 0;
                match received.content {
                    Content::Message(..) if found.len() == MAX_DUMP => {
                        Err(KernelError::of(Errno::E2BIG, format!("more than {MAX_DUMP} entries")))
                    }
                    Content::Message(kind, payload) => {
                        found.push(Reply::new(kind, payload));
                        Ok(None)
                    }
                    Content::Done => Ok(Some(())),
                    Content::Refused(error) => Err(error),
                }
            })?;
            if !is_interrupted {
                return Ok(found);
            }
        }
        Err(KernelError::of(Errno::EINTR, "the dump was interrupted by changes, ten times in a row"))
    }
}
