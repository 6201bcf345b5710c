//! What the kernel shows after springline's verbs, with other eyes: `ip -j`, and packets.
//!
//! Where conformance asks whether runtimes get what the CNI specification promises, these tests ask whether the
//! network does what the configuration says. Every test has a lab of its own. What must not happen is only asserted
//! after the same has been seen to happen where nothing prevents it. A kernel feature or a tool that is missing is
//! named on stderr in a line that begins with `not run:`.

#[path = "../common/mod.rs"]
mod common;

mod advertiser;
mod support;

mod announcing;
mod asking;
mod barriers;
mod bridges;
mod changed;
mod collected;
mod conflicts;
mod diagnosed;
mod drawn;
mod drifted;
mod forwarding;
mod hearing;
mod hooked;
mod isolated;
mod leases;
mod limited;
mod listed;
mod manual;
mod mapped;
mod marks;
mod masqueraded;
mod moved;
mod netavark;
mod networks;
mod occupied;
mod oci;
mod pools;
mod ports;
mod proxied;
mod reach;
mod readiness;
mod renamed;
mod reuse;
mod routed;
mod ruleset;
mod several;
mod shared;
mod spoofing;
mod tuned;
mod vlans;
mod vrf;
mod watched;
