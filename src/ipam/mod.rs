//! Where addresses come from: ranges and fixed addresses over our lease store, or another plugin.
//!
//! Choosing is separate from reserving: what is chosen here becomes `lease` steps of the plan, so that the
//! record names the addresses before they are taken. Both happen under the store's lock.

mod choose;
mod delegate;

pub use choose::{Chosen, Wishes, choose};
pub use delegate::{Delegate, DelegateContext};
