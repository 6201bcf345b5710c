//! Planning, without a kernel: properties over generated attachments and facts, snapshots of whole plans, and
//! the single cases that neither shows well. `Facts::apply` is the kernel of all of them.

#![allow(clippy::unwrap_used)] // clippy.toml allows it in tests, but not in what tests call

#[path = "plan/cases.rs"]
mod cases;
#[path = "plan/changing.rs"]
mod changing;
#[path = "plan/diff.rs"]
mod diff;
#[path = "plan/drift.rs"]
mod drift;
#[path = "plan/given.rs"]
mod given;
#[path = "plan/neighbours.rs"]
mod neighbours;
#[path = "plan/order.rs"]
mod order;
#[path = "plan/readable.rs"]
mod readable;
#[path = "plan/snapshots.rs"]
mod snapshots;
#[path = "plan/strangers.rs"]
mod strangers;
#[path = "plan/undo.rs"]
mod undo;
#[path = "plan/world.rs"]
mod world;
