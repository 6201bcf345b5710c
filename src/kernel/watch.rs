//! What happens to the links, addresses and routes of a namespace, as the kernel tells of it.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc::MSG_DONTWAIT;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{setsockopt, sockopt};
use rtnetlink::MulticastGroup;
use rtnetlink::sys::Socket;
use rtnetlink::sys::protocols::NETLINK_ROUTE;

use super::socket::Reply;
use super::transport::{ANSWER, Content, messages};
use super::view::LinkView;

/// What may wait to be heard, in bytes: some thousand messages.
const ROOM: usize = 4 << 20;

/// `RTM_*` (`include/uapi/linux/rtnetlink.h`).
mod rtm {
    pub(super) const NEW_LINK: u16 = 16;
    pub(super) const DEL_LINK: u16 = 17;
    pub(super) const DEL_ADDRESS: u16 = 21;
    pub(super) const DEL_ROUTE: u16 = 25;
}

/// `RTA_OIF`, and the length of `struct rtmsg`.
const OIF: u16 = 4;
const ROUTE_HEADER: usize = 12;

/// One thing that has happened.
#[derive(Debug)]
pub enum News {
    /// A link is there, or has changed.
    Link(LinkView),
    /// A link has gone.
    LinkGone(LinkView),
    /// An address or a route of the link with this index has gone.
    LessOn(u32),
    /// More has happened than could be heard.
    Lost,
    /// The process is to end.
    End,
}

/// An ear on the namespace in which it was opened.
#[derive(Debug)]
pub struct Watcher {
    socket: Socket,
    signals: SignalFd,
}

impl Watcher {
    /// Listens from now on. SIGTERM and SIGINT are news from now on, too, and nothing else any more.
    pub fn open() -> io::Result<Self> {
        let mut ends = SigSet::empty();
        ends.add(Signal::SIGTERM);
        ends.add(Signal::SIGINT);
        ends.thread_block()?;
        let signals = SignalFd::with_flags(&ends, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &ROOM); // with less, more is lost, and looked at anew
        let groups = [
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
            MulticastGroup::Ipv4Route,
            MulticastGroup::Ipv6Route,
        ];
        groups.into_iter().try_for_each(|group| socket.add_membership(group as u32))?;
        Ok(Self { socket, signals })
    }

    /// Waits for something to happen, for ever or as long as that; then all that has happened up to now. Nothing if the
    /// time is over.
    pub fn wait(&self, patience: Option<Duration>) -> io::Result<Vec<News>> {
        let milliseconds = patience.map(|time| i32::try_from(time.as_millis() + 1).unwrap_or(i32::MAX));
        let timeout =
            milliseconds.map_or(PollTimeout::NONE, |time| PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX));
        let mut ready = [&self.socket.as_fd(), &self.signals.as_fd()].map(|fd| PollFd::new(*fd, PollFlags::POLLIN));
        match poll(&mut ready, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut news = Vec::new();
        if self.signals.read_signal()?.is_some() {
            news.push(News::End);
        }
        let mut bytes = Vec::with_capacity(ANSWER);
        loop {
            bytes.clear();
            match self.socket.recv(&mut bytes, MSG_DONTWAIT) {
                Ok(_) => {
                    news.extend(messages(&bytes).map_while(Result::ok).filter_map(|message| read(&message.content)));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(news),
                Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => news.push(News::Lost),
                Err(error) => return Err(error),
            }
        }
    }
}

/// What a message says that matters here. What comes into being matters only of links.
fn read(content: &Content<'_>) -> Option<News> {
    let Content::Message(kind, payload) = content else { return None };
    let word = |at: usize| Some(u32::from_ne_bytes(payload.get(at..at + 4)?.try_into().ok()?));
    match *kind {
        rtm::NEW_LINK => LinkView::read(&Reply::new(rtm::NEW_LINK, payload)).map(News::Link),
        // The same, but for its type.
        rtm::DEL_LINK => LinkView::read(&Reply::new(rtm::NEW_LINK, payload)).map(News::LinkGone),
        // struct ifaddrmsg: family, length, flags, scope, index.
        rtm::DEL_ADDRESS => word(4).map(News::LessOn),
        rtm::DEL_ROUTE => link_of_route(payload.get(ROUTE_HEADER..)?).map(News::LessOn),
        _ => None,
    }
}

fn link_of_route(mut attributes: &[u8]) -> Option<u32> {
    while let [l0, l1, t0, t1, ..] = *attributes {
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = attributes.get(4..length)?;
        if u16::from_ne_bytes([t0, t1]) == OIF {
            return Some(u32::from_ne_bytes(value.try_into().ok()?));
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
    None
}
