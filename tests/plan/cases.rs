//! Single cases, each of a rule that the properties and snapshots do not show well.

use springline::model::{Address, Attachment, ContainerRoute, Gateway, Ipam, Mode, RoutedNetwork};
use springline::plan::{
    self, Facts, Holder, LinkAddress, LinkKind, Object, Plan, Record, Route, Setting, Shared, Side, Step, Users,
};

use crate::given::{attachment, bridge, ip, key, name, net, network, shared_link};
use crate::world::{after, record};

fn capable() -> Facts {
    let mut facts = Facts { host_ipv6: true, container_ipv6: true, ..Facts::default() };
    facts.host.sysctls.extend(plan::FORWARDING.map(|(_, key)| (key.to_owned(), "1".to_owned())));
    facts
}

fn address(text: &str, gateway: Option<&str>) -> Address {
    Address { net: net(text), gateway: gateway.map(ip) }
}

fn routed(gateway: Gateway, addresses: &[&str]) -> Attachment {
    let addresses: Vec<Address> = addresses.iter().map(|text| address(text, None)).collect();
    attachment("c1", network(Mode::Routed(gateway)), &addresses)
}

fn shown(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(ToString::to_string).collect()
}

/// Where the line is; beyond the end if it is not there.
fn position(lines: &[String], line: &str) -> usize {
    lines.iter().position(|shown| shown.starts_with(line)).unwrap_or(lines.len())
}

/// Who is inside can send router advertisements whatever addresses we gave it, or will give it once a
/// delegated IPAM plugin has spoken; and a host that does not forward IPv6 would take its default route from
/// them.
#[test]
fn a_container_without_ipv6_cannot_become_the_hosts_router() {
    let mut facts = capable();
    facts.host.sysctls.insert("ipv6/conf/all/forwarding".into(), "0".into());
    let mut delegated = routed(Gateway::LinkLocal, &[]);
    delegated.network.ipam = Some(Ipam::Delegated { plugin: "host-local".into() });
    for attachment in [routed(Gateway::LinkLocal, &["192.0.2.7/32"]), routed(Gateway::None, &[]), delegated] {
        let lines = shown(&plan::attach(&attachment, &facts).unwrap());
        let host = &attachment.host_link;
        let quiet = position(&lines, &format!("sysctl -w net/ipv6/conf/{host}/accept_ra=0"));
        assert!(quiet < position(&lines, &format!("ip link set dev {host} up")), "{lines:#?}");
    }
}

/// The container's own link-local address is tentative for two seconds, in which a kernel that must solicit
/// its gateway may have no other source.
#[test]
fn a_routed_container_without_ipam_makes_no_address_of_its_own() {
    let mut attachment = routed(Gateway::Inet6, &[]);
    attachment.network.ipam = None;
    attachment.network.routes = vec![RoutedNetwork { dst: net("10.5.5.0/24"), via: None }];
    let lines = shown(&plan::attach(&attachment, &capable()).unwrap());
    let quiet = position(&lines, "[container] ip link set dev eth0 addrgenmode none");
    assert!(quiet < position(&lines, "[container] ip link set dev eth0 up"), "{lines:#?}");
}

/// Two networks may share under two addresses: the second one's goes when its attachment fails.
#[test]
fn a_second_shared_address_goes_when_its_attachment_fails() {
    let holder = plan::holder_name().unwrap();
    let mut before = capable();
    before.host.links.insert(holder.clone(), shared_link(LinkKind::Dummy, Holder::ALIAS));
    let first = LinkAddress { link: holder.clone(), net: net("255.255.255.254/32"), host_scope: true };
    before.host.addresses.insert(first);
    before.users.insert(Shared::Holder(holder), Users { mine: false, others: true });
    let second = routed(Gateway::Shared([10, 255, 0, 1].into()), &["192.0.2.7/32"]);
    let plan = plan::attach(&second, &before).unwrap();
    let now = after(&before, &second.key, &plan.steps);
    let back = plan::undo(&second.key, &plan.steps, Some(&before), &now);
    assert_eq!(after(&now, &second.key, &back).host.addresses, before.host.addresses);
}

/// The pair of an earlier life of the container, whose record is lost: its other end is in a namespace that
/// we do not know. A plan that takes the host side for granted would configure a link that is not there.
#[test]
fn half_a_pair_is_not_taken_for_a_whole_one() {
    let attachment = routed(Gateway::LinkLocal, &["192.0.2.7/32"]);
    let mut facts = capable();
    let plan = plan::attach(&attachment, &facts).unwrap();
    facts.host = after(&facts, &attachment.key, &plan.steps).host;
    match plan::attach(&attachment, &facts) {
        Err(refused) => assert!(refused.to_string().contains(attachment.host_link.as_str()), "{refused}"),
        Ok(plan) => {
            assert!(plan.steps.iter().any(|step| matches!(step, Step::Add(Object::Veth(_)))), "{:#?}", shown(&plan));
        }
    }
}

/// A lease that facts show to be somebody else's must not be passed over as "there already".
#[test]
fn an_address_leased_to_another_is_refused() {
    let attachment = routed(Gateway::LinkLocal, &["192.0.2.7/32"]);
    let mut facts = capable();
    let lease = &attachment.leases[0];
    facts.leases.insert((lease.network.clone(), lease.address), key("c9"));
    let refused = plan::attach(&attachment, &facts).unwrap_err();
    assert!(refused.to_string().contains("public/c9/eth0"), "{refused}");
}

/// iproute2 takes `ip route add default via inet6 …` for an IPv6 default route.
#[test]
fn a_default_route_through_ipv6_names_its_own_family() {
    let plan = plan::attach(&routed(Gateway::Inet6, &["192.0.2.7/32"]), &capable()).unwrap();
    let default = shown(&plan).into_iter().find(|line| line.starts_with("[container]") && line.contains("fe80::1"));
    let default = default.unwrap();
    assert!(default.contains("0.0.0.0/0") || default.contains("ip -4 route"), "{default}");
}

/// With a delegated IPAM plugin the addresses come after the link: what depends on them must follow.
#[test]
fn a_source_that_comes_later_is_set_later() {
    let interconnect = springline::model::Interconnect {
        net: net("10.100.10.100/30"),
        host: ip("10.100.10.101"),
        container: ip("10.100.10.102"),
    };
    let mut attachment = routed(Gateway::Interconnect(vec![interconnect]), &[]);
    attachment.network.ipam = Some(Ipam::Delegated { plugin: "dhcp".into() });
    let first = plan::attach(&attachment, &capable()).unwrap();
    let facts = after(&capable(), &attachment.key, &first.steps);
    attachment.addresses = vec![address("192.0.2.7/32", None)];
    let second = plan::attach(&attachment, &facts).unwrap();
    let facts = after(&facts, &attachment.key, &second.steps);
    let defaults: Vec<&Route> = facts.container.routes.iter().filter(|route| route.dst == net("0.0.0.0/0")).collect();
    assert_eq!(defaults.len(), 1, "{defaults:?}");
    assert_eq!(defaults[0].src, Some(ip("192.0.2.7")));
}

/// With a delegated IPAM plugin the addresses come after the link, and so does what the plugin says of
/// routes: default routes that it did not ask for must not be there.
#[test]
fn no_default_route_is_made_before_the_delegate_has_spoken() {
    let mut attachment = routed(Gateway::LinkLocal, &[]);
    attachment.network.ipam = Some(Ipam::Delegated { plugin: "static".into() });
    attachment.network.routes = vec![RoutedNetwork { dst: net("10.5.5.0/24"), via: Some(ip("192.0.2.7")) }];
    let first = plan::attach(&attachment, &capable()).unwrap();
    let facts = after(&capable(), &attachment.key, &first.steps);
    attachment.addresses = vec![address("192.0.2.7/32", None)];
    attachment.container_routes = Some(vec![ContainerRoute::plain(net("10.0.0.0/8"))]);
    let second = plan::attach(&attachment, &facts).unwrap();
    let facts = after(&facts, &attachment.key, &second.steps);
    let destinations: Vec<String> = facts.container.routes.iter().map(|route| route.dst.to_string()).collect();
    assert_eq!(destinations, ["10.0.0.0/8"]);
}

/// The result tells two routes to one destination apart.
#[test]
fn each_route_is_reported_with_its_own_table() {
    let mut attachment = routed(Gateway::LinkLocal, &["192.0.2.7/32"]);
    let default = ContainerRoute::plain(net("0.0.0.0/0"));
    attachment.container_routes = Some(vec![default.clone(), ContainerRoute { table: Some(100), ..default }]);
    let plan = plan::attach(&attachment, &capable()).unwrap();
    let outcome = plan::outcome(&attachment, &plan, None);
    let tables: Vec<Option<u32>> = outcome.routes.iter().map(|route| route.table).collect();
    assert_eq!(tables, [None, Some(100)]);
}

/// Two routes of ours to one destination stay apart when both go behind another interface's.
#[test]
fn routes_behind_others_do_not_collide_with_each_other() {
    let mut attachment = routed(Gateway::LinkLocal, &["192.0.2.7/32"]);
    let default = ContainerRoute::plain(net("0.0.0.0/0"));
    let backup = ContainerRoute { gw: Some(ip("192.0.2.254")), priority: Some(100), ..default.clone() };
    attachment.container_routes = Some(vec![default, backup]);
    let mut facts = capable();
    facts.container.routes.push(Route { via: Some(ip("172.16.0.1")), ..Route::on(&name("net0"), net("0.0.0.0/0")) });
    let plan = plan::attach(&attachment, &facts).unwrap();
    let facts = after(&facts, &attachment.key, &plan.steps);
    for (at, route) in facts.container.routes.iter().enumerate() {
        let other = facts.container.routes[at + 1..].iter().find(|other| other.collides(route));
        assert_eq!(other, None, "the kernel refuses the second of two like {route}");
    }
}

/// A gateway that is not on the container's network is reached across the link all the same.
#[test]
fn a_gateway_off_the_bridged_network_is_on_the_link() {
    let addresses = [address("192.0.2.7/32", Some("10.0.0.1"))];
    let settings = springline::model::Bridge { gateway: Some(false), ..bridge("spring0") };
    let attachment = attachment("c1", network(Mode::Bridged(settings)), &addresses);
    let plan = plan::attach(&attachment, &capable()).unwrap();
    let default = plan.steps.iter().find_map(|step| match step {
        Step::Add(Object::Route(Side::Container, route)) => Some(route),
        _ => None,
    });
    assert!(default.unwrap().onlink, "{:#?}", shown(&plan));
}

/// An orphan bridge of ours, nobody's port on it and nobody's stake in it, goes with the next attachment.
#[test]
fn a_bridge_that_nobody_uses_goes() {
    let attachment = attachment("c1", network(Mode::Bridged(bridge("spring0"))), &[]);
    let mut facts = capable();
    facts.host.links.insert(name("spring0"), shared_link(LinkKind::Bridge, plan::BridgeLink::ALIAS));
    let plan = plan::attach(&attachment, &facts).unwrap();
    let now = after(&facts, &attachment.key, &plan.steps);
    let gone = after(&now, &attachment.key, &plan::detach(&record(&plan), &now));
    assert!(!gone.host.links.contains_key(&name("spring0")));
}

/// What is bound to the pair goes with it: DEL neither enters the container nor sends a message for each.
#[test]
fn detaching_takes_as_few_steps_as_there_are_objects_of_their_own() {
    let attachment = routed(Gateway::LinkLocal, &["192.0.2.7/32", "2001:db8::7/128"]);
    let plan = plan::attach(&attachment, &capable()).unwrap();
    let now = after(&capable(), &attachment.key, &plan.steps);
    let back: Vec<String> = plan::detach(&record(&plan), &now).iter().map(ToString::to_string).collect();
    let host = &attachment.host_link;
    let expected = [
        format!("ip link del {host}"),
        "lease del 2001:db8::7 in public".into(),
        "lease del 192.0.2.7 in public".into(),
        "record del public/c1/eth0".into(),
    ];
    assert_eq!(back, expected);
}

/// DEL of a container that took its link down with it: the pair is gone, the leases are not.
#[test]
fn detaching_what_is_half_gone_removes_the_rest() {
    let attachment = routed(Gateway::LinkLocal, &["192.0.2.7/32"]);
    let plan = plan::attach(&attachment, &capable()).unwrap();
    let mut now = after(&capable(), &attachment.key, &plan.steps);
    now.host.links.remove(&attachment.host_link);
    let back: Vec<String> = plan::detach(&record(&plan), &now).iter().map(ToString::to_string).collect();
    assert_eq!(back, ["lease del 192.0.2.7 in public", "record del public/c1/eth0"]);
}

/// Records outlive the program that wrote them.
#[test]
fn records_survive_being_written_and_read() {
    let attachment = routed(Gateway::Inet6, &["192.0.2.7/32", "2001:db8::7/128"]);
    let plan = plan::attach(&attachment, &capable()).unwrap();
    let record = record(&plan);
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
}

/// A failure puts settings back to what they were; an end of the attachment leaves them.
#[test]
fn forwarding_goes_back_off_only_after_a_failure() {
    let attachment = routed(Gateway::LinkLocal, &["192.0.2.7/32"]);
    let mut before = capable();
    before.host.sysctls.insert("ipv4/ip_forward".into(), "0".into());
    let plan = plan::attach(&attachment, &before).unwrap();
    let now = after(&before, &attachment.key, &plan.steps);
    let writes = |steps: Vec<Step>| -> Vec<String> {
        let settings = steps.iter().filter(|step| matches!(step, Step::Set(Setting::Sysctl(_))));
        settings.map(ToString::to_string).collect()
    };
    let undo = plan::undo(&attachment.key, &plan.steps, Some(&before), &now);
    assert_eq!(writes(undo), ["sysctl -w net/ipv4/ip_forward=0"]);
    assert_eq!(writes(plan::detach(&record(&plan), &now)), [""; 0]);
}
