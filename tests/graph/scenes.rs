//! Scenes to draw.

use springline::graph::{Bridge, Carrier, HostEnd, HostLink, Interface, Network, Presence, Scene, State};

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn uplink() -> HostLink {
    HostLink {
        name: "eth0".into(),
        kind: "physical link".into(),
        up: true,
        addresses: texts(&["198.51.100.7/24", "2001:db8:ffff::7/64"]),
        routes: texts(&["default via 198.51.100.1", "default via fe80::1"]),
    }
}

fn bridge(other_ports: &[&str]) -> Carrier {
    Carrier::Bridged(Bridge {
        name: "br0".into(),
        presence: Presence::Up,
        addresses: texts(&["10.31.0.1/24", "2001:db8:31::1/64"]),
        other_ports: texts(other_ports),
    })
}

/// The interface with this number of a routed network.
fn routed(container: &str, number: usize) -> Interface {
    let addresses = vec![format!("10.30.0.{number}/32"), format!("2001:db8:30::{number:x}/128")];
    Interface {
        container: container.into(),
        name: "eth0".into(),
        host: HostEnd {
            name: format!("sl{:011x}", number * 0x1_2345_6789),
            routes: addresses.clone(),
            addresses: texts(&["169.254.0.1/32", "fe80::1/128"]),
            ..HostEnd::default()
        },
        addresses,
        gateways: texts(&["169.254.0.1", "fe80::1"]),
        maker: "cni".into(),
        ..Interface::default()
    }
}

/// The same on the bridge.
fn bridged(container: &str, number: usize) -> Interface {
    let plain = routed(container, number);
    Interface {
        host: HostEnd { routes: Vec::new(), addresses: Vec::new(), ..plain.host },
        addresses: vec![format!("10.31.0.{number}/24"), format!("2001:db8:31::{number:x}/64")],
        gateways: texts(&["10.31.0.1", "2001:db8:31::1"]),
        ..plain
    }
}

fn network(name: &str, carrier: Carrier, notes: &[&str], interfaces: Vec<Interface>) -> Network {
    Network { name: name.into(), carrier, notes: texts(notes), interfaces }
}

fn host(name: &str, networks: Vec<Network>) -> Scene {
    Scene { host: name.into(), links: vec![uplink()], networks }
}

/// A host and nothing else.
pub(crate) fn empty() -> Scene {
    host("dock1", Vec::new())
}

/// Three containers, of which one is on both networks, and one has drifted.
pub(crate) fn three() -> Scene {
    let mut web = routed("web", 2);
    web.ports = texts(&["8080/tcp→80", "[2001:db8:ffff::7]:8443/tcp→443"]);
    web.limits = texts(&["receives 20 Mbit/s", "sends 5 Mbit/s"]);
    web.host.routes.push("192.0.2.0/28 via 10.30.0.2".into());
    let mut mail = routed("mail", 3);
    mail.state = State::Drifted;
    mail.host.routes.truncate(1);
    mail.missing = texts(&["ip route add 2001:db8:30::3/128 dev sl00369d0369b proto 171"]);
    let back = Interface { name: "eth1".into(), ..bridged("web", 2) };
    let mut db = bridged("db", 4);
    db.maker = "lxc".into();
    let public = network("public", Carrier::Routed, &["10.30.0.0/24", "link-local gateway"], vec![mail, web]);
    let lan = network("lan", bridge(&["eth1"]), &["10.31.0.0/24", "masqueraded"], vec![db, back]);
    host("dock1", vec![public, lan])
}

/// Sixty, in all the ways in which there are that many.
pub(crate) fn sixty() -> Scene {
    let mut public: Vec<Interface> = (1..=24).map(|n| routed(&format!("web-frontend-{n:02}"), n + 1)).collect();
    public[3].ports = texts(&["80/tcp→80", "443/tcp→443", "443/udp→443"]);
    public[7].state = State::Drifted;
    public[7].missing = texts(&["ip route add 10.30.0.9/32 dev sl0091a2b3c4d proto 171"]);
    public[7].host.routes.remove(0);
    public[11].host.routes.extend(texts(&["192.0.2.0/28 via 10.30.0.13", "2001:db8:77::/48 via 2001:db8:30::d"]));
    let mut lan: Vec<Interface> = (1..=20).map(|n| bridged(&format!("worker{n}"), n + 1)).collect();
    lan[5].host.unplugged = true;
    lan[5].state = State::Drifted;
    lan[5].missing = texts(&["ip link set sl007f6e5d4c3 master br0"]);
    lan[9].limits = texts(&["receives 100 Mbit/s", "sends 100 Mbit/s"]);
    let id = |n: usize| {
        format!("{:016x}{:016x}{:016x}{:016x}", n * 0x9e37_79b9, n * 0x7f4a_7c15, n * 0x85eb, n * 0xc2b2_ae35)
    };
    let mut pods: Vec<Interface> = (1..=15).map(|n| routed(&id(n), 100 + n)).collect();
    pods[2].state = State::Orphaned;
    pods[2].host = HostEnd { name: "sl0deadbeef00".into(), presence: Presence::Missing, ..HostEnd::default() };
    pods[4].addresses = texts(&["10.30.0.105/32", "2001:db8:1234:5678:9abc:def0:1234:5678/128"]);
    pods[4].host.routes = texts(&["10.30.0.105/32", "2001:db8:1234:5678:9abc:def0:1234:5678/128"]);
    let mut last = bridged("backup", 2);
    last.maker = "cli".into();
    last.ports = (0..12).map(|n| format!("{}/tcp→{}", 9000 + n, 9000 + n)).collect();
    let mut also = bridged("worker1", 3);
    also.name = "eth1".into();
    let storage = match bridge(&[]) {
        Carrier::Bridged(bridge) => {
            Carrier::Bridged(Bridge { name: "brstorage".into(), addresses: Vec::new(), ..bridge })
        }
        other => other,
    };
    let mut scene = host(
        "dock7.example.net",
        vec![
            network("lan", bridge(&["eth1"]), &["10.31.0.0/24", "2001:db8:31::/64", "masqueraded"], lan),
            network("pods", Carrier::Routed, &["10.30.0.0/24", "anti-spoofing"], pods),
            network("public", Carrier::Routed, &["10.30.0.0/24", "2001:db8:30::/64", "link-local gateway"], public),
            network("storage", storage, &["isolated from each other"], vec![last, also]),
        ],
    );
    scene.links.push(HostLink {
        name: "eth1".into(),
        kind: "physical link".into(),
        up: false,
        addresses: texts(&["10.99.0.7/24"]),
        routes: Vec::new(),
    });
    scene
}

/// Names that nobody sensible gives.
pub(crate) fn hostile() -> Scene {
    let names = [
        "<script>alert(1)</script>".to_owned(),
        "\"quoted\" & 'quoted' \\\\ \\N ]]> <!-- ".to_owned(),
        "very-long-".repeat(30),
        "容器".repeat(40),
        "\u{1b}[31mred\u{7}\u{202e}drawkcab\u{0}\nline".to_owned(),
    ];
    let mut interfaces: Vec<Interface> = names.iter().enumerate().map(|(at, name)| routed(name, at + 1)).collect();
    for (interface, name) in interfaces.iter_mut().zip(&names) {
        interface.missing = vec![name.clone(); 9];
        interface.maker.clone_from(name);
        interface.ports = vec![name.clone(); 9];
        interface.host.routes = vec![name.clone(); 9];
        interface.host.name.clone_from(name);
        interface.host.presence = Presence::Down;
        interface.state = State::Unknown;
    }
    let on_bridge = Carrier::Bridged(Bridge {
        name: names[0].clone(),
        presence: Presence::Missing,
        addresses: vec![names[2].clone(); 9],
        other_ports: vec![names[3].clone(); 9],
    });
    let link =
        HostLink { name: names[1].clone(), kind: names[2].clone(), addresses: names.to_vec(), ..HostLink::default() };
    let networks = vec![
        Network { name: names[2].clone(), carrier: on_bridge, notes: names.to_vec(), interfaces: interfaces.clone() },
        Network { name: names[0].clone(), carrier: Carrier::Unknown, notes: Vec::new(), interfaces },
    ];
    Scene { host: names.concat(), links: vec![link; 7], networks }
}
