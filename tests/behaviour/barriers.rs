//! Other people's firewalls: their drop stands; ADD succeeds, and STATUS says who drops and what to allow.

use serde_json::json;

use crate::common::cni::Plugin;
use crate::common::{Lab, OUTSIDE_V4};
use crate::support::{Attached, nft, with_ranges};

/// A firewall, and what its owner would do on our hint.
struct Firewall {
    who: &'static str,
    rules: &'static str,
    named: &'static str,
    allow: &'static str,
}

const FIREWALLS: [Firewall; 4] = [
    Firewall {
        who: "Docker",
        rules: "table ip filter {
            chain FORWARD { type filter hook forward priority filter; policy drop; jump DOCKER-USER; oifname docker0 accept; }
            chain DOCKER-USER { return; }
        }",
        named: "chain FORWARD of table ip filter",
        allow: "nft 'insert rule ip filter DOCKER-USER iifgroup 171 accept; insert rule ip filter DOCKER-USER oifgroup 171 accept'",
    },
    Firewall {
        who: "firewalld",
        rules: "table inet firewalld {
            chain filter_FORWARD { type filter hook forward priority filter + 10; policy accept;
                ct state established,related accept; reject with icmpx type admin-prohibited; }
        }",
        named: "chain filter_FORWARD of table inet firewalld",
        allow: "nft insert rule inet firewalld filter_FORWARD ip saddr 10.30.0.0/24 accept",
    },
    Firewall {
        who: "an administrator",
        rules: "table inet filter { chain forward { type filter hook forward priority 0; policy drop; } }",
        named: "chain forward of table inet filter",
        allow: "nft 'insert rule inet filter forward iifname veth* accept; insert rule inet filter forward ct state established accept'",
    },
    Firewall {
        who: "ufw",
        rules: "table ip filter {
            chain FORWARD { type filter hook forward priority filter; policy drop; jump ufw-user-forward; }
            chain ufw-user-forward { }
        }",
        named: "chain FORWARD of table ip filter",
        allow: "nft 'insert rule ip filter ufw-user-forward ip saddr 10.30.0.0/24 accept; insert rule ip filter ufw-user-forward ip daddr 10.30.0.0/24 accept'",
    },
];

#[test]
fn who_drops_is_said() {
    for firewall in FIREWALLS {
        let lab = Lab::with_uplink();
        let c = lab.container("c");
        let conf = with_ranges(&["10.30.0.0/24"], &json!({}));
        let status = || lab.cni(Plugin::Routed).status(&conf);
        status().silent();
        let attached = Attached::new(&lab, &conf, &c);
        assert!(c.netns().ping(OUTSIDE_V4), "{}: the control", firewall.who);
        attached.detach();
        nft(&lab, firewall.rules);
        let attached = Attached::new(&lab, &conf, &c);
        assert!(!c.netns().ping(OUTSIDE_V4), "{}: dropped", firewall.who);
        let error = status().error().with_code(51);
        assert!(error.text().contains(firewall.named), "{}: {}", firewall.who, error.text());
        assert!(error.text().contains("hint: "), "{}: {}", firewall.who, error.text());
        lab.host().shell(firewall.allow);
        assert!(c.netns().ping(OUTSIDE_V4), "{}: allowed", firewall.who);
        status().silent();
        attached.detach();
    }
}

/// A barrier to the other family is none to this network.
#[test]
fn the_other_family_is_no_concern() {
    let lab = Lab::new();
    nft(&lab, "table ip6 t { chain f { type filter hook forward priority 0; policy drop; } }");
    lab.cni(Plugin::Routed).status(&with_ranges(&["10.30.0.0/24"], &json!({}))).silent();
    lab.cni(Plugin::Routed).status(&with_ranges(&["2001:db8:30::/64"], &json!({}))).error().with_code(51);
}
