//! The configuration: what is refused, in which words, and what is taken although it is written oddly.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value, json};
use springline::error::{Code, Error, Result};
use springline::model::{Ipam, Mtu, Network, Wish};
use springline::wire::cni::base::Base;
use springline::wire::cni::env::Verb;
use springline::wire::cni::request;
use springline::wire::cni::{Config, RuntimeConfig};

/// Reads a configuration as ADD does.
fn read(document: &Value) -> Result<(Network, RuntimeConfig, Wish)> {
    let base = Base::parse(document.to_string().as_bytes(), Verb::Add)?;
    let config = Config::parse(&base)?;
    let runtime = config.runtime()?;
    let network = config.to_network(&base.name, &runtime, "")?;
    let asked = request::asked(&config, &runtime, "")?;
    runtime.ports()?;
    Ok((network, runtime, asked))
}

/// A configuration with these keys beside those that each must have.
fn with(keys: &Value) -> Value {
    let mut document = json!({"cniVersion": "1.1.0", "name": "public", "type": "springline"});
    merge(&mut document, keys);
    document
}

fn merge(document: &mut Value, keys: &Value) {
    match (document, keys) {
        (Value::Object(document), Value::Object(keys)) => document.extend(keys.clone()),
        other => panic!("{other:?} are not objects"),
    }
}

fn network(keys: &Value) -> Network {
    read(&with(keys)).unwrap_or_else(|error| panic!("{keys}: {error}")).0
}

/// One port map, filled in by the runtime.
fn port_map(map: &Value) -> Value {
    json!({"runtimeConfig": {"portMappings": [map]}})
}

fn refused(keys: &Value) -> Error {
    read(&with(keys)).err().unwrap_or_else(|| panic!("{keys} is taken"))
}

/// Everything that there is to configure, with a value that is taken.
fn full() -> Value {
    with(&json!({
        "mode": "routed",
        "mtu": 1500,
        "hostInterface": "veth{hash}",
        "gateway": {"scheme": "interconnect", "network": ["10.100.10.100/30", "2001:db8:9::/126"],
                    "host": "10.100.10.101", "container": ["10.100.10.102"]},
        "routes": ["10.5.5.0/24", {"dst": "2001:db8:5::/56", "via": "2001:db8::7"}],
        "hostRoutes": {"table": 100, "metric": 50, "protocol": 171},
        "ipam": {"type": "springline",
                 "ranges": [[{"subnet": "192.0.2.0/24", "rangeStart": "192.0.2.10", "rangeEnd": "192.0.2.20",
                              "gateway": "192.0.2.1", "exclude": ["192.0.2.12/30"]}]],
                 "addresses": ["198.51.100.7/32", {"address": "198.51.100.9/24", "gateway": "198.51.100.1"}],
                 "routes": [{"dst": "0.0.0.0/0", "gw": "10.100.10.101", "mtu": 1400, "advmss": 1360,
                             "priority": 10, "table": 100, "scope": 0}],
                 "dataDir": "/var/lib/springline"},
        "masquerade": {"except": ["10.0.0.0/8"]}, "antiSpoof": true, "isolation": ["ports", "network"],
        "forwarding": "enable", "sysctl": {"net.core.somaxconn": "4096"}, "promisc": false, "allmulti": false,
        "txqueuelen": 500, "defaultRoute": "auto", "metric": 10,
        "bandwidth": {"ingressRate": 1_000_000, "ingressBurst": 100_000, "egressRate": 1_000_000, "egressBurst": 0},
        "dns": {"nameservers": ["192.0.2.53"], "domain": "example.org", "search": ["example.org"], "options": ["ndots:2"]},
        "capabilities": {"ips": true, "mac": true},
        "runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "192.0.2.1"}],
                          "ips": ["192.0.2.15"], "mac": "02:00:5e:10:00:01",
                          "dns": {"servers": ["192.0.2.54"], "searches": [], "options": []}},
        "args": {"cni": {"ips": ["192.0.2.16"], "labels": [{"key": "a", "value": "b"}]}},
        "cniVersions": ["1.0.0", "1.1.0"], "disableCheck": false, "disableGC": false,
        "cni.dev/attachments": [],
    }))
}

fn bridged() -> Value {
    with(&json!({
        "mode": "bridged",
        "mtu": "auto",
        "bridge": {"name": "spring0", "gateway": true, "isolated": false, "hairpin": false, "vlan": 0},
        "ipam": {"type": "springline", "ranges": [[{"subnet": "192.0.2.0/24"}], [{"subnet": "2001:db8::/64"}]]},
    }))
}

#[test]
fn everything_that_is_documented_is_taken() {
    for document in [full(), bridged()] {
        read(&document).unwrap();
    }
}

/// Each hint is the nearest key if one is near. A key of two or three letters is near to none that shares no
/// letter with it: `gw` is not a slip for `dst`.
#[test]
fn unknown_keys_are_refused_at_every_level() {
    let springline = |keys: Value| {
        let mut ipam = json!({"type": "springline"});
        merge(&mut ipam, &keys);
        json!({ "ipam": ipam })
    };
    let range = |keys: Value| {
        let mut range = json!({"subnet": "192.0.2.0/24"});
        merge(&mut range, &keys);
        springline(json!({"ranges": [[range]]}))
    };
    let cases = [
        (json!({"gatway": "none"}), "gatway", "did you mean gateway?"),
        (json!({"MTU": 1500}), "MTU", "did you mean mtu?"),
        (json!({"ipmasq": true}), "ipmasq", "did you mean ipMasq?"),
        (json!({"masquerade": {"excepts": []}}), "masquerade.excepts", "masquerade.except?"),
        (json!({"bandwidth": {"ingresRate": 1}}), "bandwidth.ingresRate", "bandwidth.ingressRate?"),
        (json!({"isolate": "ports"}), "isolate", "did you mean isolation?"),
        (json!({"gateway": {"network": "10.0.0.0/30", "hosts": "10.0.0.1"}}), "gateway.hosts", "gateway.host?"),
        (json!({"routes": [{"dst": "10.5.5.0/24", "gw": "10.0.0.1"}]}), "routes.gw", "known keys are: dst, via"),
        (json!({"hostRoutes": {"proto": 171}}), "hostRoutes.proto", "hostRoutes.protocol?"),
        (json!({"hostRoutes": {"tabel": 100}}), "hostRoutes.tabel", "hostRoutes.table?"),
        (json!({"mode": "bridged", "bridge": {"hairpinMode": true}}), "bridge.hairpinMode", "bridge.hairpin?"),
        (json!({"mode": "bridged", "bridge": {"isGateway": true}}), "bridge.isGateway", "bridge.gateway?"),
        (json!({"dns": {"nameserver": ["192.0.2.53"]}}), "dns.nameserver", "dns.nameservers?"),
        (springline(json!({"subnet": "192.0.2.0/24"})), "ipam.subnet", "known keys are: "),
        (springline(json!({"datadir": "/x"})), "ipam.datadir", "ipam.dataDir?"),
        (range(json!({"rangeFirst": "192.0.2.9"})), "ipam.ranges.rangeFirst", "known keys are: "),
        (range(json!({"excludes": []})), "ipam.ranges.excludes", "ipam.ranges.exclude?"),
        (
            springline(json!({"addresses": [{"address": "192.0.2.7", "gw": "192.0.2.1"}]})),
            "ipam.addresses.gw",
            "gateway",
        ),
        (
            springline(json!({"routes": [{"dst": "0.0.0.0/0", "via": "192.0.2.1"}]})),
            "ipam.routes.via",
            "known keys are: ",
        ),
        (springline(json!({"routes": [{"dst": "0.0.0.0/0", "metric": 7}]})), "ipam.routes.metric", "known keys are: "),
    ];
    let unlike: Vec<String> = cases.iter().filter_map(|(keys, key, hint)| unlike(keys, key, hint)).collect();
    assert!(unlike.is_empty(), "{}", unlike.join("\n"));
}

/// What is wrong with how an unknown key is refused.
fn unlike(keys: &Value, key: &str, hint: &str) -> Option<String> {
    let Err(error) = read(&with(keys)) else { return Some(format!("{keys} is taken")) };
    let is_like = error.code == Code::UnsupportedField
        && error.message() == format!("unsupported field {key} in network configuration")
        && error.details().contains(&format!("unknown key {key} with value "))
        && error.details().contains(hint);
    (!is_like).then(|| format!("{keys}: {:?}: {error} ({hint})", error.code))
}

/// The range that `runtimeConfig` brings is as strict as one of the configuration, with `ipam` or without.
#[test]
fn unknown_keys_of_runtime_ranges_are_refused() {
    let ranges = json!({"ipRanges": [[{"subnet": "192.0.2.0/24", "rangeFirst": "192.0.2.9"}]]});
    for ipam in [json!({"type": "springline"}), json!({})] {
        let error = refused(&json!({"ipam": ipam, "runtimeConfig": ranges}));
        assert_eq!(error.code, Code::UnsupportedField, "{error}");
    }
}

/// Keys of runtimes and of later specifications are theirs.
#[test]
fn what_belongs_to_runtimes_is_tolerated() {
    network(&json!({
        "args": {"anything": [1, {"goes": null}]}, "runtimeConfig": {"cgroupPath": "/x", "deviceID": "y"},
        "prevResult": null, "capabilities": {"unheardOf": true}, "cni.dev/valid-attachments": [{"x": 1}],
        "cniVersions": ["9.9.9"], "disableCheck": true, "disableGC": true,
    }));
}

/// libcni passes configurations through `map[string]interface{}`, where every number is a `float64`.
#[test]
fn whole_numbers_may_be_written_as_floats() {
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    for mtu in ["1400", "1400.0", "1.4e3", "14e2"] {
        assert_eq!(network(&json!({"mtu": parse(mtu)})).mtu, Mtu::Fixed(1400), "{mtu}");
    }
    let marks = network(&parse(r#"{"hostRoutes": {"table": 1e2, "metric": 5.0, "protocol": 171.0}}"#)).host_routes;
    assert_eq!((marks.table, marks.metric, marks.protocol), (100, 5, 171));
    let routes =
        r#"[{"dst": "0.0.0.0/0", "mtu": 1.4e3, "advmss": 1360.0, "priority": 0.0, "table": 1e2, "scope": 0.0}]"#;
    let network = network(&json!({"ipam": {"type": "springline", "routes": parse(routes)}}));
    let Some(Ipam::BuiltIn { routes: Some(routes), .. }) = network.ipam else { panic!("no routes") };
    let [route] = routes.as_slice() else { panic!("{routes:?}") };
    assert_eq!((route.mtu, route.advmss, route.priority), (Some(1400), Some(1360), Some(0)));
    assert_eq!((route.table, route.scope), (Some(100), Some(0)));
    for bad in ["1400.5", "-1", "67", "65536", "1e300", "\"1400\"", "true", "[]"] {
        let error = refused(&json!({"mtu": parse(bad)}));
        assert!(error.details().contains("mtu: "), "{bad}: {error}");
    }
}

/// CRI sends Go field names, podman those of the specification.
#[test]
fn what_runtimes_fill_in_is_read_in_any_case() {
    let spellings = [
        json!({"ips": ["192.0.2.9"], "mac": "02:00:5e:10:00:01", "dns": {"servers": ["192.0.2.54"], "searches": ["a"]}}),
        json!({"Ips": ["192.0.2.9"], "Mac": "02:00:5e:10:00:01", "DNS": {"Servers": ["192.0.2.54"], "Searches": ["a"]}}),
        json!({"IPS": ["192.0.2.9"], "MAC": "02:00:5e:10:00:01", "Dns": {"SERVERS": ["192.0.2.54"], "SEARCHES": ["a"]}}),
    ];
    for runtime in spellings {
        let (network, _, asked) = read(&with(&json!({ "runtimeConfig": runtime }))).unwrap();
        assert_eq!(asked.ips.iter().map(ToString::to_string).collect::<Vec<_>>(), ["192.0.2.9/32"]);
        assert_eq!(asked.mac.map(|mac| mac.to_string()).as_deref(), Some("02:00:5e:10:00:01"));
        assert_eq!(network.dns.nameservers, ["192.0.2.54"]);
        assert_eq!(network.dns.search, ["a"]);
    }
    for key in ["ipRanges", "IPRanges", "IpRanges"] {
        let ranges = json!([[{"Subnet": "192.0.2.0/24", "RangeStart": "192.0.2.9", "rangeEnd": "192.0.2.10"}]]);
        let network = network(&json!({"ipam": {"type": "springline"}, "runtimeConfig": {key: ranges}}));
        let Some(Ipam::BuiltIn { ranges, .. }) = network.ipam else { panic!("no ranges") };
        assert_eq!(ranges[0].0[0].start.to_string(), "192.0.2.9");
    }
    let podman = json!({"hostPort": 8080, "containerPort": 80, "protocol": "tcp"});
    let cri = json!({"HostPort": 8080.0, "ContainerPort": 80, "Protocol": "TCP", "HostIP": ""});
    for port in [podman, cri] {
        let document = with(&json!({"runtimeConfig": {"portMappings": [port, {"containerPort": 81}]}}));
        let ports = read(&document).unwrap().1.ports().unwrap();
        assert_eq!(ports.iter().map(ToString::to_string).collect::<Vec<_>>(), ["8080/tcp"]);
        assert_eq!(ports[0].container_port, 80);
    }
    for rates in [json!({"ingressRate": 1_000_000}), json!({"IngressRate": 1e6, "IngressBurst": 4_294_967_295u32})] {
        let received = network(&json!({ "runtimeConfig": {"bandwidth": rates} })).rates.received.unwrap();
        assert_eq!((received.bits, received.burst_bits), (1_000_000, None));
    }
    network(&json!({"runtimeConfig": {"portMappings": null, "bandwidth": {"IngressRate": 0, "EgressRate": 0.0}}}));
}

/// What a person reads who made a mistake: where it is, what stands there, and what could.
#[test]
fn mistakes_are_named() {
    assert_named(&[
        (json!({"mode": "bridge"}), "mode: unknown variant `bridge`, expected `routed` or `bridged`"),
        (json!({"mtu": "big"}), "mtu: \"big\" is neither \"auto\" nor a number of bytes"),
        (json!({"mtu": 9}), "mtu: 9 is outside of 68..65535, what a veth pair can carry"),
        (
            json!({"hostInterface": "veth0"}),
            "hostInterface: host interface template \"veth0\" has neither {hash} nor {id}",
        ),
        (json!({"gateway": "linklocal"}), "gateway: unknown variant `linklocal`, expected one of `link-local`"),
        (json!({"gateway": 7}), "gateway: 7 is neither a scheme's name nor an object"),
        (json!({"gateway": {}}), "gateway: has neither a scheme nor a network"),
        (json!({"gateway": {"scheme": "interconnect"}}), "gateway.network: is missing"),
        (json!({"gateway": {"network": "10.0.0.1/30"}}), "gateway.network: \"10.0.0.1/30\" has bits set beyond"),
        (json!({"gateway": {"network": "10.0.0.0/32"}}), "gateway.network: 10.0.0.0/32 has no two different addresses"),
        (json!({"gateway": {"network": ["10.0.0.0/30", "10.0.1.0/30"]}}), "more than one network of a family"),
        (
            json!({"gateway": {"network": "10.0.0.0/30", "host": "10.1.0.1"}}),
            "gateway: 10.1.0.1 is in none of the networks",
        ),
        (
            json!({"gateway": {"network": "10.0.0.0/30", "host": "10.0.0.1", "container": "10.0.0.1"}}),
            "no two different addresses",
        ),
        (json!({"gateway": {"scheme": "inet6", "network": "10.0.0.0/30"}}), "belong to scheme \"interconnect\""),
        (
            json!({"gateway": {"scheme": "inet6", "address": "10.0.0.1"}}),
            "gateway.address: belongs to scheme \"shared\"",
        ),
        (
            json!({"gateway": {"scheme": "shared", "address": "fe80::1"}}),
            "gateway.address: \"fe80::1\" is not an IPv4 address",
        ),
        (json!({"routes": ["10.5.5.1/24"]}), "routes: \"10.5.5.1/24\" has bits set beyond its prefix length"),
        (json!({"routes": [7]}), "routes[0]: expected a network in CIDR notation, or an object with dst and via"),
        (json!({"routes": [{"dst": "10.5.5.0/24", "via": "x"}]}), "routes.via: \"x\" is not an IP address"),
        (
            json!({"routes": [{"dst": "2001:db8::/64", "via": "10.0.0.1"}]}),
            "routes.via: 2001:db8::/64 cannot have an IPv4 next hop",
        ),
        (json!({"hostRoutes": {"table": 255}}), "hostRoutes.table: 255 is not a table for routes"),
        (json!({"hostRoutes": {"table": -1}}), "hostRoutes.table: -1 is not a non-negative whole number"),
        (json!({"hostRoutes": {"protocol": 256}}), "hostRoutes.protocol: 256 is not in 0..255"),
        (json!({"bridge": {}}), "bridge: belongs to mode \"bridged\", this network is routed"),
        (json!({"mode": "bridged", "gateway": "none"}), "gateway: belongs to mode \"routed\", this network is bridged"),
        (json!({"mode": "bridged", "routes": ["10.5.5.0/24"]}), "routes: belongs to mode \"routed\""),
        (json!({"mode": "bridged", "bridge": {"name": "a/b"}}), "bridge.name: interface name \"a/b\" contains / or :"),
        (json!({"masquerade": "yes"}), "masquerade: \"yes\" is neither true or false nor an object"),
        (json!({"masquerade": {"except": ["10.0.0.1/8"]}}), "masquerade.except: \"10.0.0.1/8\" has bits set beyond"),
        (json!({"masquerade": true, "ipMasq": false}), "ipMasq: says otherwise than masquerade"),
        (json!({"isolation": "all"}), "isolation: expected \"none\", \"ports\", \"network\", or a list of these"),
        (port_map(&json!({"hostPort": 70000, "containerPort": 80})), "hostPort 70000 is not a port (1 to 65535)"),
        (port_map(&json!({"hostPort": 80})), "containerPort 0 is not a port"),
        (
            port_map(&json!({"hostPort": 80, "containerPort": 80, "protocol": "icmp"})),
            "\"icmp\" is none of tcp, udp, sctp",
        ),
        (port_map(&json!({"hostPort": 80, "containerPort": 80, "hostIP": "x"})), "hostIP \"x\" is not an IP address"),
        (json!({"sysctl": {"kernel.hostname": "x"}}), "sysctl: \"kernel.hostname\" is not below net"),
        (json!({"sysctl": {"net//x": "1"}}), "sysctl: \"net//x\" is not the name of a sysctl"),
        (
            json!({"sysctl": {"net.core.somaxconn": [1]}}),
            "sysctl: net.core.somaxconn is [1], neither a text nor a number",
        ),
        (json!({"bandwidth": {"ingressRate": 7}}), "bandwidth: ingressRate is 7, less than 8000 bits a second"),
        (json!({"bandwidth": {"egressBurst": 7}}), "bandwidth: egressBurst is 7, and there is no egressRate"),
        (json!({"defaultRoute": "first"}), "defaultRoute: \"first\" is none of \"auto\", true and false"),
        (json!({"metric": -1}), "metric: -1 is not a non-negative whole number"),
        (json!({"mode": "bridged", "bridge": {"vlan": 4095}}), "bridge.vlan: 4095 is outside of 1..4094"),
        (json!({"mode": "bridged", "bridge": {"vlan": -1}}), "-1 is not a non-negative whole number"),
        (
            json!({"mode": "bridged", "bridge": {"name": "br-0123456789ab", "vlan": 7}}),
            "bridge.name: the host's link in VLAN 7, br-0123456789ab.7, would have more than 15 bytes",
        ),
        (json!({"runtimeConfig": {"ips": ["x"]}}), "\"x\" is not an IP address"),
        (json!({"runtimeConfig": {"mac": "01:00:5e:00:00:01"}}), "is not six hex pairs of a unicast address"),
        (json!({"args": {"cni": {"ips": "x"}}}), "expected a sequence"),
    ]);
}

#[test]
fn mistakes_in_ipam_are_named() {
    let springline = |keys: Value| {
        let mut ipam = json!({"type": "springline"});
        merge(&mut ipam, &keys);
        json!({ "ipam": ipam })
    };
    let range = |range: Value| springline(json!({ "ranges": [[range]] }));
    let route = |route: Value| springline(json!({ "routes": [route] }));
    let subnet = "192.0.2.0/24";
    assert_named(&[
        (json!({"ipam": []}), "ipam: [] is not an object"),
        (json!({"ipam": {"ranges": []}}), "ipam.type: is missing"),
        (json!({"ipam": {"type": "/bin/sh"}}), "ipam.type: \"/bin/sh\" is a path"),
        (range(json!({})), "ipam.ranges[0][0]: missing field `subnet`"),
        (range(json!({"subnet": "192.0.2.7/24"})), "ipam.ranges.subnet: \"192.0.2.7/24\" has bits set beyond"),
        (
            range(json!({"subnet": subnet, "rangeStart": "10.0.0.1"})),
            "ipam.ranges.rangeStart: 10.0.0.1 is not in 192.0.2.0/24",
        ),
        (
            range(json!({"subnet": subnet, "rangeStart": "192.0.2.9", "rangeEnd": "192.0.2.8"})),
            "192.0.2.9 is after rangeEnd 192.0.2.8",
        ),
        (range(json!({"subnet": subnet, "gateway": "x"})), "ipam.ranges.gateway: \"x\" is not an IP address"),
        (range(json!({"subnet": subnet, "gateway": "2001:db8::1"})), "ipam.ranges.gateway: 2001:db8::1"),
        (
            range(json!({"subnet": subnet, "exclude": ["x"]})),
            "ipam.ranges.exclude: \"x\" is not a network in CIDR notation",
        ),
        (springline(json!({"ranges": [[]]})), "ipam.ranges: has an empty entry"),
        (springline(json!({"ranges": [[{"subnet": subnet}, {"subnet": "2001:db8::/64"}]]})), "mixes IPv4 and IPv6"),
        (
            springline(json!({"ranges": [[{"subnet": subnet}], [{"subnet": subnet}]]})),
            "192.0.2.1-192.0.2.254 and 192.0.2.1-192.0.2.254 overlap",
        ),
        (
            springline(json!({"addresses": ["0.0.0.0"]})),
            "ipam.addresses: \"0.0.0.0\" is not the address of one interface",
        ),
        (route(json!({"dst": "default"})), "ipam.routes.dst: \"default\" is not a network in CIDR notation"),
        (route(json!({"dst": "::/0", "gw": "10.0.0.1"})), "::/0 cannot have the IPv4 next hop 10.0.0.1"),
        (route(json!({"dst": "::/0", "scope": 256})), "ipam.routes.scope: 256 is not in 0..255"),
    ]);
}

/// Each of the configurations is refused in readable words, these among them.
fn assert_named(cases: &[(Value, &str)]) {
    let mut wrong = Vec::new();
    for (keys, words) in cases {
        match read(&with(keys)) {
            Ok(_) => wrong.push(format!("{keys} is taken ({words})")),
            Err(error) if !error.to_string().contains(words) => wrong.push(format!("{keys}: {error} ({words})")),
            Err(error) => wrong.extend(unreadable(&error).map(|why| format!("{keys}: {error} ({why})"))),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_no_configuration_is_named() {
    let parse = |text: &str| Base::parse(text.as_bytes(), Verb::Add).unwrap_err();
    let cases = [
        ("", Code::Decode, "no configuration on stdin"),
        ("  \n", Code::Decode, "no configuration on stdin"),
        ("{", Code::Decode, "EOF while parsing"),
        ("[]", Code::Decode, "invalid type"),
        ("{}", Code::InvalidConfig, "missing network name"),
        (r#"{"name": 7}"#, Code::Decode, "name is 7, not a string"),
        (r#"{"name": "a/b"}"#, Code::InvalidConfig, "invalid characters found in network name"),
        (r#"{"name": "a", "cniVersion": "7.0.0"}"#, Code::IncompatibleVersion, "plugin supports"),
    ];
    for (text, code, words) in cases {
        let error = parse(text);
        assert_eq!(error.code, code, "{text}: {error}");
        assert!(error.to_string().contains(words), "{text}: {error}");
    }
}

/// What a reader would stumble over: Rust's own spelling of values, an empty or endless line.
fn unreadable(error: &Error) -> Option<&'static str> {
    let text = error.to_string();
    let rust = ["Some(", "None", "IfName(", "Other(", "Object {", "String(", "Number(", "  : ", ": : "];
    if rust.iter().any(|word| text.contains(word)) {
        return Some("Rust's spelling");
    }
    if error.message().is_empty() || error.message().contains('\n') {
        return Some("the message is not one line");
    }
    (text.len() > 2000).then_some("too long")
}

/// Any JSON at all.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|float| json!(float)),
        "[ -~äé\u{0}\u{ffff}]{0,20}".prop_map(Value::from),
        select(WORDS).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        let key = prop_oneof![select(KEYS).prop_map(str::to_owned), "[a-zA-Z./]{0,12}"];
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(key, inner, 0..5).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Texts that mean something somewhere.
const WORDS: &[&str] = &[
    "auto",
    "routed",
    "bridged",
    "inet6",
    "shared",
    "interconnect",
    "springline",
    "dhcp",
    "0.0.0.0/0",
    "::/0",
    "10.0.0.0/30",
    "10.0.0.0/31",
    "10.0.0.1/32",
    "255.255.255.255/32",
    "0.0.0.0/31",
    "255.255.255.254/31",
    "::/127",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
    "::ffff:10.0.0.1",
    "::ffff:10.0.0.0/96",
    "fe80::1",
    "192.0.2.1",
    "{hash}",
    "{id}",
    "é{hash}",
    "{hash}{hash}{hash}{hash}",
    "02:00:5e:10:00:01",
];

const KEYS: &[&str] = &[
    "mode",
    "mtu",
    "hostInterface",
    "gateway",
    "scheme",
    "address",
    "network",
    "host",
    "container",
    "routes",
    "dst",
    "via",
    "hostRoutes",
    "table",
    "metric",
    "protocol",
    "bridge",
    "name",
    "isolated",
    "vlan",
    "ipam",
    "type",
    "ranges",
    "subnet",
    "rangeStart",
    "rangeEnd",
    "exclude",
    "addresses",
    "dataDir",
    "masquerade",
    "antiSpoof",
    "except",
    "isolation",
    "defaultRoute",
    "metric",
    "promisc",
    "txqueuelen",
    "ingressRate",
    "egressBurst",
    "hostPort",
    "containerPort",
    "protocol",
    "hostIP",
    "forwarding",
    "sysctl",
    "dns",
    "nameservers",
    "runtimeConfig",
    "ips",
    "ipRanges",
    "mac",
    "portMappings",
    "bandwidth",
    "args",
    "cni",
    "gw",
    "priority",
    "scope",
    "prevResult",
    "capabilities",
];

/// Puts `value` somewhere into the document.
fn mutate(document: &mut Value, path: &[Index], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        *document = value;
        return;
    };
    match document {
        Value::Object(map) if !map.is_empty() => {
            let at = first.index(map.len());
            map.values_mut().nth(at).into_iter().for_each(|child| mutate(child, rest, value.clone()));
        }
        Value::Array(items) if !items.is_empty() => {
            let at = first.index(items.len());
            mutate(&mut items[at], rest, value);
        }
        other => *other = value,
    }
}

/// Reads the document in every way that a verb would.
fn read_all(document: &Value) -> std::result::Result<(), TestCaseError> {
    if let Err(error) = read(document) {
        prop_assert!(!error.message().is_empty());
        prop_assert!(!error.message().contains('\n') || document.to_string().contains("\\n"));
    }
    if let Ok(base) = Base::parse(document.to_string().as_bytes(), Verb::Gc) {
        let _ = (base.valid_attachments(), base.ipam_type().is_some(), base.prev_result().is_some());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_document_is_a_panic(document in anything()) {
        read_all(&document)?;
    }

    #[test]
    fn no_value_of_any_key_is_a_panic(keys in btree_map(select(KEYS), anything(), 1..4)) {
        let keys: Map<String, Value> = keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        read_all(&with(&Value::Object(keys)))?;
    }

    #[test]
    fn no_mistake_in_a_good_configuration_is_a_panic(
        on_bridge in any::<bool>(), path in vec(any::<Index>(), 1..6), value in anything(),
    ) {
        let mut document = if on_bridge { bridged() } else { full() };
        mutate(&mut document, &path, value);
        read_all(&document)?;
    }
}
