//! `springline schema`: the network configuration as a JSON schema.

use std::io::Write;

use crate::error::{Code, Coded, Result};
use crate::wire::cni::Config;

/// Prints the schema.
pub(super) fn run(out: &mut impl Write) -> Result<()> {
    let schema = schemars::schema_for!(Config);
    let text = serde_json::to_string_pretty(&schema).coded(Code::Internal, || "encode the schema")?;
    super::say(out, text)
}
