//! CNI: configuration, environment and results, for every version of the specification up to 1.1.0.

mod args;
pub mod base;
pub mod config;
pub mod env;
mod filter;
mod forgiving;
mod gateway;
pub mod ipam;
mod link;
mod list;
mod network;
pub mod request;
pub mod result;
mod routes;
mod runtime;
pub(crate) mod unknown;
pub mod version;

pub use args::Args;
pub use base::Base;
pub use config::Config;
pub use list::NetworkFile;
pub use result::ResultDocument;
pub use runtime::RuntimeConfig;
pub(super) use unknown::nearest;
pub use version::Version;
