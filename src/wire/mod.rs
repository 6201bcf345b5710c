//! The documents of the outside world, spelled exactly as outsiders spell them, and their translation
//! into the model's types. No I/O: a front reads the bytes, this floor understands them.

pub mod cni;
pub mod lxc;
pub mod netavark;
pub mod oci;
pub mod wanted;

use serde::{Deserialize, Deserializer};

/// Reads what of a document describes `T`; the error says where it does not. To keep track of where takes several times
/// as long, and nearly all documents are good: that is for the second time over a bad one.
pub(crate) fn read<'a, T, D>(document: D) -> Result<T, serde_path_to_error::Error<serde_json::Error>>
where
    T: Deserialize<'a>,
    D: Deserializer<'a, Error = serde_json::Error> + Copy,
{
    T::deserialize(document).or_else(|_| serde_path_to_error::deserialize(document))
}
