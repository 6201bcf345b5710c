//! The faces: each reads its input, calls the floors below, and says what came of it.

pub mod cni;
pub mod definition;
pub mod lxc;
pub mod named;
pub mod netavark;
pub mod networks;
pub mod oci;
