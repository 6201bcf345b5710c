//! A router that sends router advertisements, made of a few lines of Python: nothing in iproute2 sends any.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::Netns;
use crate::support::not_run;

const PYTHON: &str = "/usr/bin/python3";

/// One advertisement with a default route, and a prefix for autoconfiguration if one is given.
const SCRIPT: &str = "
import socket, struct, sys
link, prefix = sys.argv[1], sys.argv[2]
index = socket.if_nametoindex(link)
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
packet = struct.pack('!BBHBBHII', 134, 0, 0, 64, 0, 1800, 0, 0)
if prefix:
    packet += struct.pack('!BBBBIII', 3, 4, 64, 0xc0, 86400, 14400, 0) + socket.inet_pton(socket.AF_INET6, prefix)
s.sendto(packet, ('ff02::1', 0, 0, index))
";

/// Whether advertisements can be sent here; says what is missing if not.
pub(crate) fn can_advertise(test: &str) -> bool {
    let there = Path::new(PYTHON).is_file();
    if !there {
        not_run(test, "no python3 to send a router advertisement with: install the package python3-minimal");
    }
    there
}

/// Sends one advertisement on a link that has a link-local address.
pub(crate) fn advertise(netns: &Netns, link: &str, prefix: Option<&str>) {
    let mut command = netns.command(Path::new(PYTHON));
    command.args(["-I", "-c", SCRIPT, link, prefix.unwrap_or_default()]);
    let output = command.output().expect("run python3");
    assert!(output.status.success(), "no advertisement: {}", String::from_utf8_lossy(&output.stderr));
}

/// Advertises until `condition` holds: the first advertisements may come before a link is ready to hear them. Not by
/// the clock, because starting Python takes seconds on an emulated machine.
#[track_caller]
pub(crate) fn advertise_until(what: &str, send: impl Fn(), condition: impl Fn() -> bool) {
    for _ in 0..20 {
        send();
        let end = Instant::now() + Duration::from_millis(300);
        while Instant::now() < end {
            if condition() {
                return;
            }
        }
    }
    panic!("still not so after 20 advertisements: {what}");
}

/// The next hops and links of the IPv6 default routes that were learnt from advertisements.
pub(crate) fn learnt_defaults(netns: &Netns) -> Vec<String> {
    let routes = netns.ip_json("-6 route show default");
    let learnt = routes.iter().filter(|route| route["protocol"] == "ra");
    learnt.map(|route| format!("via {} dev {}", route["gateway"], route["dev"]).replace('"', "")).collect()
}
