//! springline
pub mod cli;
pub mod error;
pub mod exec;
pub mod front;
pub mod ipam;
pub mod kernel;
pub mod model;
pub mod plan;
pub mod store;
pub mod wire;
