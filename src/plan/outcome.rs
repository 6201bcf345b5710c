//! What a plan, once it has run, will have brought about.

use ipnet::IpNet;

use super::Plan;
use super::step::{Object, Step};
use crate::model::{
    Addressing, Attachment, ContainerRoute, Gateway, Mac, Mode, Outcome, OutcomeAddress, OutcomeLink, single,
};

/// What to report once `plan` has run. `bridge` is the bridge's MAC as the kernel has it.
#[must_use]
pub fn outcome(attachment: &Attachment, plan: &Plan, bridge: Option<Mac>) -> Outcome {
    let veth = plan.steps.iter().find_map(|step| match step {
        Step::Add(Object::Veth(veth)) => Some(veth),
        _ => None,
    });
    let mut links = Vec::new();
    if let Some(veth) = veth {
        if let Mode::Bridged(settings) = &attachment.network.mode {
            let name = settings.name.to_string();
            links.push(OutcomeLink { name, mac: bridge.or(Some(settings.mac)), mtu: veth.host_mtu, netns: None });
        }
        let (host, peer) = (veth.host.to_string(), veth.peer.to_string());
        links.push(OutcomeLink { name: host, mac: Some(veth.host_mac), mtu: veth.host_mtu, netns: None });
        let netns = Some(attachment.netns.clone());
        links.push(OutcomeLink { name: peer, mac: Some(veth.mac), mtu: veth.mtu, netns });
    }
    Outcome { links, addresses: addresses(attachment), routes: routes(plan, attachment), dns: attachment.dns.clone() }
}

fn addresses(attachment: &Attachment) -> Vec<OutcomeAddress> {
    let with_gateway = |net: IpNet| {
        // CNI has no way to say "IPv4 through an IPv6 next hop": then there is no gateway to name.
        let gateway = attachment.next_hop(net.family()).filter(|gateway| gateway.family() == net.family());
        OutcomeAddress { net, gateway }
    };
    match &attachment.network.mode {
        Mode::Bridged(_) => {
            let own = attachment.addresses.iter();
            own.map(|address| OutcomeAddress { net: address.net, gateway: address.gateway }).collect()
        }
        Mode::Routed(gateway) => {
            let own = attachment.addresses.iter().map(|address| with_gateway(single(address.net.addr())));
            let interconnects = match gateway {
                Gateway::Interconnect(nets) => nets.as_slice(),
                _ => &[],
            };
            let interconnects = interconnects
                .iter()
                .map(|net| with_gateway(IpNet::new(net.container, net.net.prefix_len()).unwrap_or(net.net)));
            own.chain(interconnects).collect()
        }
    }
}

/// The routes as they were planned, so with the metric that another network's default route forced on ours.
fn routes(plan: &Plan, attachment: &Attachment) -> Vec<ContainerRoute> {
    let asked = attachment.asked_routes();
    let planned = plan.steps.iter().filter_map(|step| match step {
        Step::Add(Object::Route(super::Side::Container, route)) => Some(route),
        _ => None,
    });
    let planned = planned.map(|route| {
        let asked = asked.iter().find(|asked| asked.dst == route.dst && asked.table_number() == route.table);
        ContainerRoute {
            dst: route.dst,
            gw: route.via.filter(|via| via.family() == route.dst.family()),
            mtu: route.mtu,
            advmss: route.advmss,
            priority: (route.metric != 0).then_some(route.metric),
            table: asked.and_then(|asked| asked.table),
            scope: route.scope,
        }
    });
    planned.collect()
}
