//! Rate limits.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How long a packet may wait where there is no better queue than a plain one, in milliseconds.
const LATENCY_MS: u64 = 50;
/// What may pass at once unless said otherwise: what comes in this time …
const BURST_MS: u64 = 20;
/// … and at least so many bytes, or slow links never reach their rate (`tc-tbf(8)`: rate divided by HZ).
const LEAST_BURST: u64 = 10_000;

/// To which rates a container's interface is limited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    /// What the container receives. (The CNI conventions call this ingress.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<Rate>,
    /// What it sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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

    /// In bytes a second, as the kernel counts.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        (self.bits / 8).max(1)
    }

    /// What may pass at once, in bytes.
    #[must_use]
    pub fn burst(&self) -> u64 {
        match self.burst_bits {
            Some(bits) => (bits / 8).max(1600), // a packet must fit in, or none ever passes
            None => (self.bytes() * BURST_MS / 1000).max(LEAST_BURST),
        }
    }

    /// What may wait in a plain queue, in bytes.
    #[must_use]
    pub fn queue(&self) -> u64 {
        self.bytes() * LATENCY_MS / 1000 + self.burst()
    }
}

impl fmt::Display for Rate {
    /// As `tc` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}bit", self.bits)
    }
}
