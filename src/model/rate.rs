//! Rate limits.

use std::fmt;

use serde::{Deserialize, Serialize};

/// To which rates a container's interface is limited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    /// What the container receives. (The CNI conventions call this ingress.)
    pub received: Option<Rate>,
    /// What it sends.
    pub sent: Option<Rate>,
}

/// A rate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// In bits a second.
    pub bits: u64,
    /// What may pass at once, in bits; `None`: as much as the rate needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst_bits: Option<u64>,
}

impl Rate {
    /// Whether a rate that the kernel tells is this one: it counts in whole bytes.
    #[must_use]
    pub fn is_about(&self, bits: u64) -> bool {
        self.bits.abs_diff(bits) < 8
    }
}

impl fmt::Display for Rate {
    /// As `tc` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}bit", self.bits)
    }
}
