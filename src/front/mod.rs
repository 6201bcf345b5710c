//! The faces: each reads its input, calls the floors below, and says what came of it.

pub mod cni;
pub mod definition;
pub mod lxc;
pub mod named;
pub mod netavark;
pub mod networks;
pub mod oci;

use std::future::Future;

use crate::error::{Code, Coded, Result};

/// Runs `work` on a runtime of its own: one thread, and only for verbs that touch the kernel.
pub fn with_runtime<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.coded(Code::Internal, || "build the runtime")?.block_on(work)
}
