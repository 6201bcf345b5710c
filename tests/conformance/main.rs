//! The CNI specification, case by case, against the built binary.
//!
//! Every case is a function over a plugin. Where springline and the reference plugins must agree, the same
//! function judges both of springline's modes and the reference `bridge` and `ptp`; elsewhere the reference is
//! silent (GC and STATUS) or known to do worse, and the function judges springline only. The first line of a
//! case's documentation names the rule and says it. One subject alone: `cargo test --test conformance reference_`.

#[path = "../common/mod.rs"]
mod common;

mod add;
mod arguments;
mod chaining;
mod check;
mod clients;
mod del;
mod delegation;
mod environment;
mod fake_ipam;
mod gc;
mod neighbours;
mod ranges;
mod results;
mod status;
mod version;

use serde_json::Value;

use common::cni::{Cni, Plugin};
use common::state::State;
use common::{Lab, text_of};

/// Cases in which springline and the reference plugins must agree.
macro_rules! agreed {
    ($($case:ident),* $(,)?) => { $(
        mod $case {
            use crate::common::cni::Plugin;
            #[test]
            fn routed() { super::$case(Plugin::Routed); }
            #[test]
            fn bridged() { super::$case(Plugin::Bridged); }
            #[test]
            fn reference_bridge() { super::$case(Plugin::Bridge); }
            #[test]
            fn reference_ptp() { super::$case(Plugin::Ptp); }
        }
    )* };
}

/// Cases that only springline has to pass, in both of its modes.
macro_rules! ours {
    ($($case:ident),* $(,)?) => { $(
        mod $case {
            use crate::common::cni::Plugin;
            #[test]
            fn routed() { super::$case(Plugin::Routed); }
            #[test]
            fn bridged() { super::$case(Plugin::Bridged); }
        }
    )* };
}

/// Cases in which the mode makes no difference.
macro_rules! ours_once {
    ($($case:ident),* $(,)?) => { $(
        mod $case {
            #[test]
            fn routed() { super::$case(crate::common::cni::Plugin::Routed); }
        }
    )* };
}

/// Cases of the plugins that have a bridge.
macro_rules! bridges {
    ($($case:ident),* $(,)?) => { $(
        mod $case {
            use crate::common::cni::Plugin;
            #[test]
            fn bridged() { super::$case(Plugin::Bridged); }
            #[test]
            fn reference_bridge() { super::$case(Plugin::Bridge); }
        }
    )* };
}

/// Cases of springline's bridged mode.
macro_rules! ours_bridged {
    ($($case:ident),* $(,)?) => { $(
        mod $case {
            #[test]
            fn bridged() { super::$case(crate::common::cni::Plugin::Bridged); }
        }
    )* };
}

pub(crate) use {agreed, bridges, ours, ours_bridged, ours_once};

/// Addresses of a result from 0.3.0 on, in order.
fn addresses(result: &Value) -> Vec<String> {
    let ips = result["ips"].as_array().into_iter().flatten();
    ips.map(|ip| text_of(&ip["address"]).to_owned()).collect()
}

/// The container's interface in a result from 0.3.0 on.
fn container_interface(result: &Value) -> &Value {
    let mut interfaces = result["interfaces"].as_array().into_iter().flatten();
    let found = interfaces.find(|interface| !text_of(&interface["sandbox"]).is_empty());
    found.unwrap_or_else(|| panic!("no interface in a sandbox: {result}"))
}

/// The host's end of the pair in a result from 0.3.0 on.
fn host_interface(result: &Value) -> &Value {
    let interfaces = result["interfaces"].as_array().unwrap_or_else(|| panic!("no interfaces: {result}"));
    let inner = interfaces.iter().position(|interface| !text_of(&interface["sandbox"]).is_empty());
    &interfaces[inner.expect("an interface in a sandbox") - 1]
}

/// The host as it is when nothing is attached any more: after a first container has come and gone, because what
/// containers share (a bridge, its gateway address) may stay.
fn idle_host(lab: &Lab, cni: Cni, conf: &Value) -> State {
    let primer = lab.container("primer");
    cni.add(conf, &primer, "eth0").result();
    cni.del(conf, &primer, "eth0").success();
    lab.host_state()
}

/// A lab, and a plugin's usual configuration in it.
fn lab_and_conf(plugin: Plugin) -> (Lab, Value) {
    let lab = Lab::new();
    let conf = plugin.conf(&lab);
    (lab, conf)
}
