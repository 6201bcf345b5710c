//! The documents of the outside world, spelled exactly as outsiders spell them, and their translation
//! into the model's types. No I/O: a front reads the bytes, this floor understands them.

pub mod cni;
pub mod lxc;
pub mod netavark;
pub mod oci;
pub mod wanted;
