//! One side of a pair: its socket, its links' indices.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;

use super::socket::Socket;
use crate::model::IfName;

/// A namespace as seen through a socket in it.
#[derive(Debug)]
pub struct Endpoint {
    /// The socket.
    pub socket: Socket,
    /// Steps name links, messages need indices: those that were seen or made, by name.
    indices: RefCell<BTreeMap<IfName, u32>>,
}

impl Endpoint {
    /// An endpoint with an open socket.
    #[must_use]
    pub fn new(socket: Socket) -> Self {
        Self { socket, indices: RefCell::default() }
    }

    /// The namespace that this thread is in.
    pub fn own() -> io::Result<Self> {
        Ok(Self::new(Socket::open()?))
    }

    /// Remembers a link's index.
    pub fn learn(&self, name: &IfName, index: u32) {
        self.indices.borrow_mut().insert(name.clone(), index);
    }

    /// Forgets a link that is gone.
    pub fn forget(&self, name: &IfName) {
        self.indices.borrow_mut().remove(name);
    }

    /// The index of a link that was seen or made.
    #[must_use]
    pub fn index(&self, name: &IfName) -> Option<u32> {
        self.indices.borrow().get(name).copied()
    }

    /// The name of a link that was seen or made.
    #[must_use]
    pub fn name(&self, index: u32) -> Option<IfName> {
        self.indices.borrow().iter().find(|(_, known)| **known == index).map(|(name, _)| name.clone())
    }
}
