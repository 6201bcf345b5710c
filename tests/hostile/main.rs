//! Bytes that no honest outsider writes, for everything that reads bytes: arbitrary ones, and honest documents with
//! mistakes. The same functions run for hours under libFuzzer, see `fuzz/`. Netlink answers are tried in
//! `src/kernel/hostile.rs`, beside what reads them.

mod parsers;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use springline::wire::cni::base::Base;
use springline::wire::cni::env::Verb;

/// One honest document for each parser, and more where there are several kinds.
const HONEST: [&str; 13] = [
    r#"{"cniVersion":"1.1.0","name":"n","type":"springline","mode":"bridged","bridge":{"name":"br0"},"masquerade":true,
        "ipam":{"type":"springline","ranges":[[{"subnet":"10.22.0.0/24","rangeStart":"10.22.0.2","gateway":"10.22.0.1"}],
        [{"subnet":"2001:db8:22::/64"}]],"routes":[{"dst":"0.0.0.0/0"}]},"runtimeConfig":{"ips":["10.22.0.7"],
        "portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}],"bandwidth":{"ingressRate":1000000}},
        "cni.dev/valid-attachments":[{"containerID":"c1","ifname":"eth0"}],"dns":{"nameservers":["192.0.2.53"]},
        "prevResult":{"cniVersion":"1.1.0","interfaces":[{"name":"eth0","sandbox":"/run/netns/c1"}],"ips":[]}}"#,
    "IgnoreUnknown=1;K8S_POD_NAME=c1;MAC=02:11:22:33:44:55;IP=10.91.0.77,2001:db8::7",
    "CNI_CONTAINERID=c1\nCNI_NETNS=/run/netns/c1\nCNI_IFNAME=eth0\nCNI_PATH=/usr/lib/cni\nCNI_ARGS=IP=10.0.0.7\nCNI_NETNS_OVERRIDE=1",
    r#"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"springline","ipam":{"ranges":[[{"subnet":"10.22.0.0/24"}]]}}]}"#,
    r#"{"cniVersion":"1.1.0","interfaces":[{"name":"veth1","mac":"02:00:00:00:00:01","mtu":1500},{"name":"eth0",
        "sandbox":"/run/netns/c1"}],"ips":[{"address":"10.22.0.2/24","gateway":"10.22.0.1","interface":1}],
        "routes":[{"dst":"0.0.0.0/0","gw":"10.22.0.1","mtu":1400}],"dns":{"search":["example.org"]}}"#,
    r#"{"cniVersion":"0.2.0","ip4":{"ip":"10.22.0.2/24","gateway":"10.22.0.1","routes":[{"dst":"0.0.0.0/0"}]},
        "ip6":{"ip":"2001:db8::2/64"}}"#,
    r#"{"container_id":"c1","container_name":"web","container_hostname":"web","port_mappings":[{"container_port":80,
        "host_ip":"","host_port":8080,"protocol":"tcp,udp","range":2}],"network":{"dns_enabled":false,"driver":"springline",
        "id":"0f0f","internal":false,"ipv6_enabled":true,"name":"n","network_interface":"br1","options":{"mode":"bridged",
        "masquerade":"true"},"ipam_options":{"driver":"host-local"},"subnets":[{"subnet":"10.89.0.0/24",
        "gateway":"10.89.0.1","lease_range":{"start_ip":"10.89.0.9"}}],"routes":[{"destination":"10.1.0.0/16",
        "gateway":"10.89.0.1","metric":7}]},"network_options":{"interface_name":"eth0","static_ips":["10.89.0.7"],
        "static_mac":"02:00:00:00:00:07","aliases":["web"]}}"#,
    r#"{"name":"n","driver":"springline","options":{"mode":"routed"},"subnets":[{"subnet":"10.89.0.0/24"}]}"#,
    r#"{"ociVersion":"1.2.0","id":"c1","status":"created","pid":101,"bundle":"/run/b/.","annotations":{
        "io.springline.network":"n","io.springline.ip":"10.22.0.7","io.springline.eth1.network":"lan",
        "io.springline.eth1.route":"10.5.0.0/16","io.springline.eth1.mac":"02:00:00:00:00:07"}}"#,
    "c1\nlxc\nstart-host\nLXC_NAME=c1\nLXC_HOOK_SECTION=lxc\nLXC_HOOK_TYPE=start-host\nLXC_PID=101\nLXC_CONFIG_FILE=/var/lib/lxc/c1/config",
    r#"{"interfaces":[{"network":"n","ifname":"eth0","ip":["10.22.0.7"],"route":["10.5.0.0/16 via 10.22.0.7"],"mac":
        "02:00:00:00:00:07","port":["8080:80/tcp"]}]}"#,
    r#"{"version":1,"phase":"ready","key":{"network":"n","container":"c1","ifname":"eth0"},"boot":"b","netns":{"path":
        "/run/netns/c1","cookie":7},"steps":[{"add":{"record":{"network":"n","container":"c1","ifname":"eth0"}}},
        {"add":{"lease":{"address":"10.22.0.2","network":"n"}}},{"add":{"part":"guard"}},{"add":{"veth":{"alias":
        "springline:n/c1/eth0","host":"veth1","host_mac":"02:00:00:00:00:01","host_mtu":1500,"mac":"02:00:00:00:00:02",
        "mtu":1500,"peer":"eth0"}}},{"add":{"element":{"key":[{"link":"veth1"},{"address":"10.22.0.2"}],"set":"sources4"}}}]}"#,
    r#"{"key":{"network":"n","container":"c1","ifname":"eth0"},"boot":"b"}"#,
];

/// What names, numbers and addresses are replaced by.
const NASTY: [&str; 32] = [
    "",
    ".",
    "..",
    "../../etc/passwd",
    "/etc/passwd",
    "a/b",
    "a\\u0000b",
    "\\u202e",
    "%d",
    "eth0%d",
    "-1",
    "0",
    "4294967296",
    "18446744073709551616",
    "1e999",
    "null",
    "[]",
    "{}",
    "true",
    "0.0.0.0/0",
    "::/0",
    "255.255.255.255/32",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
    "10.0.0.0/33",
    "fe80::1%eth0",
    "ff:ff:ff:ff:ff:ff",
    "lo",
    "all",
    "default",
    "{hash}{id}{ifname}",
    "\u{1f6a2}",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

/// One mistake in a document.
#[derive(Clone, Debug)]
enum Mistake {
    /// A byte is another.
    Byte(Index, u8),
    /// It ends early.
    Cut(Index),
    /// A part is there twice.
    Twice(Index, Index),
    /// A part is missing.
    Without(Index, Index),
    /// The text between two quotes, or behind a `=`, is another.
    Text(Index, &'static str),
}

fn mistake() -> impl Strategy<Value = Mistake> {
    prop_oneof![
        1 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mistake::Byte(at, byte)),
        1 => any::<Index>().prop_map(Mistake::Cut),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Mistake::Twice(from, to)),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Mistake::Without(from, to)),
        6 => (any::<Index>(), select(&NASTY[..])).prop_map(|(at, text)| Mistake::Text(at, text)),
    ]
}

fn with(mut document: Vec<u8>, mistake: &Mistake) -> Vec<u8> {
    if document.is_empty() {
        return document;
    }
    let length = document.len();
    let part = |from: &Index, to: &Index| {
        let (from, to) = (from.index(length), to.index(length));
        from.min(to)..from.max(to)
    };
    match mistake {
        Mistake::Byte(at, byte) => document[at.index(length)] = *byte,
        Mistake::Cut(at) => document.truncate(at.index(length)),
        Mistake::Twice(from, to) => {
            let part = part(from, to);
            let copy = document[part.clone()].to_vec();
            document.splice(part.end..part.end, copy);
        }
        Mistake::Without(from, to) => drop(document.drain(part(from, to))),
        Mistake::Text(at, text) => {
            let marks: Vec<usize> = document
                .iter()
                .enumerate()
                .filter(|(_, byte)| [b'"', b'=', b'\n', b':', b','].contains(byte))
                .map(|(at, _)| at)
                .collect();
            if marks.len() > 1 {
                let from = at.index(marks.len() - 1);
                drop(document.splice(marks[from] + 1..marks[from + 1], text.bytes()));
            }
        }
    }
    document
}

/// A document with mistakes; whose it is does not matter: each is fed to all.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    (select(&HONEST[..]), vec(mistake(), 0..5))
        .prop_map(|(document, mistakes)| mistakes.iter().fold(document.as_bytes().to_vec(), with))
}

fn feed(bytes: &[u8]) {
    for (_, parse) in parsers::ALL {
        parse(bytes);
    }
}

fn config(cases: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(cases);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(3000))]

    #[test]
    fn no_bytes_are_a_panic(bytes in vec(any::<u8>(), 0..300)) {
        feed(&bytes);
    }

    #[test]
    fn no_mistake_is_a_panic(bytes in damaged()) {
        feed(&bytes);
    }
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn no_bytes_in_the_state_folder_are_a_panic(bytes in prop_oneof![vec(any::<u8>(), 0..100), damaged()]) {
        let folder = tempfile::tempdir().expect("a folder");
        parsers::state_folder(folder.path(), &bytes);
    }
}

/// A control: what is damaged was honest before, so that the mistakes reach what is behind the first look.
#[test]
fn honest_documents_are_taken() {
    let takes = |at: usize| HONEST[at].as_bytes();
    let base = Base::parse(takes(0), Verb::Add).expect("a configuration");
    springline::wire::cni::Config::parse(&base).expect("a configuration");
    springline::wire::netavark::PluginCall::parse(takes(6)).expect("a call").configuration().expect("a configuration");
    let state = springline::wire::oci::State::parse(takes(8)).expect("a state");
    assert_eq!(state.interfaces(&springline::wire::oci::Allowed::default()).expect("interfaces").len(), 2);
    springline::wire::wanted::InterfacesFile::parse(takes(10)).expect("interfaces");
    serde_json::from_slice::<springline::plan::Record>(takes(11)).expect("a record");
    serde_json::from_slice::<springline::store::Ownership>(takes(12)).expect("a lease");
}
