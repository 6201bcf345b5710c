//! nf_tables by netlink: the ruleset of `plan::ruleset` as the kernel takes it.
//!
//! Everything goes in transactions: one datagram from `NFNL_MSG_BATCH_BEGIN` to `NFNL_MSG_BATCH_END`, of which the
//! kernel makes all or nothing visible at once. It works on a datagram while `send` is still under way, so the answers
//! are there when it returns: these sockets need no runtime.

mod element;
mod expression;
mod foreign;
mod key;
mod message;
mod socket;

#[cfg(any(test, fuzzing))]
pub(super) use foreign::read_in_all_ways as read_foreign_in_all_ways;
#[cfg(any(test, fuzzing))]
pub(super) use socket::read_in_all_ways;

pub use element::ElementView;
pub use foreign::{Barrier, Pass};
pub use message::Change;
pub use socket::{ChainView, Failure, Found, Nft};
