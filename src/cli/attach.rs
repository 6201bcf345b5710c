//! `springline attach`: a network namespace, by hand.

use std::io::Write;
use std::net::IpAddr;

use clap::Args;

use super::output::Output;
use super::{netns, say};
use crate::error::{Code, Coded, Error, Result};
use crate::exec::{Container, Engine};
use crate::front::definition::Definition;
use crate::model::{AttachmentKey, ContainerId, Face, Maker, Outcome, Wanted};
use crate::store::Store;
use crate::wire::cni::{ResultDocument, Version};
use crate::wire::wanted::{self, InterfaceKey};

/// What the interface is to be.
#[derive(Debug, Args)]
pub(super) struct Interface {
    /// The interface's name inside
    #[arg(long, value_name = "NAME", default_value = "eth0")]
    ifname: String,
    /// An address, beside or instead of what the network gives; repeatable
    #[arg(long, value_name = "ADDRESS")]
    ip: Vec<String>,
    /// A further network that the host routes to it, `NET` or `NET via ADDRESS`; repeatable
    #[arg(long, value_name = "NET")]
    route: Vec<String>,
    /// The interface's MAC
    #[arg(long)]
    mac: Option<String>,
    /// Ports of the host that lead to it: [ADDRESS:]PORT[-PORT]:PORT[-PORT][/PROTOCOL]; repeatable
    #[arg(short, long, value_name = "PORTS")]
    port: Vec<String>,
}

impl Interface {
    /// The same as the interfaces of files and annotations, on a network.
    pub(super) fn on(&self, network: &str) -> Result<Wanted> {
        let mut interface = InterfaceKey::default();
        let network = network.to_owned();
        let once = [("network", Some(&network)), ("ifname", Some(&self.ifname)), ("mac", self.mac.as_ref())];
        let several = [("ip", &self.ip), ("route", &self.route), ("port", &self.port)];
        let several =
            several.into_iter().flat_map(|(name, values)| values.iter().map(move |value| (name, Some(value))));
        for (name, value) in once.into_iter().chain(several) {
            value.map_or(Ok(()), |value| interface.set(name, value))?;
        }
        wanted::to_model(&[interface])?.pop().ok_or_else(|| Error::new(Code::Internal, "no interface"))
    }
}

/// What to attach to what.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The network, by its name in /etc/cni/net.d
    network: String,
    /// The namespace: its name in /run/netns, or a path
    #[arg(long, value_name = "NAME|PATH", required_unless_present = "pid", conflicts_with = "pid")]
    netns: Option<String>,
    /// A process in the namespace
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// By which id the container is to be known; the namespace's name, unless given
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    interface: Interface,
    #[command(flatten)]
    output: Output,
}

pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<()> {
    let netns = arguments.netns_path()?;
    let container = arguments.container()?;
    let wanted = arguments.interface.on(&arguments.network)?;
    let key = AttachmentKey { network: wanted.network.clone(), container, ifname: wanted.ifname };
    let request = Definition::request_by_name(key.clone(), &netns, &wanted.wish, Maker::of(Face::Cli))?;
    let container = Container::open(&netns, false)?;
    let outcome = Engine::open(Store::open()?)?.attach(request, &container)?;
    if arguments.output.is_json() {
        let mut document = ResultDocument::from(&outcome).to_json(Version::LATEST)?;
        document["attachment"] = key.to_string().into();
        return say(out, format!("{document:#}"));
    }
    say(out, format!("attached  {key}"))?;
    show(out, &outcome)
}

impl Arguments {
    fn netns_path(&self) -> Result<String> {
        match (&self.netns, self.pid) {
            (Some(text), _) => netns::path(text),
            (None, Some(pid)) => Ok(format!("/proc/{pid}/ns/net")),
            (None, None) => Err(Error::new(Code::InvalidNetns, "neither --netns nor --pid is given")),
        }
    }

    fn container(&self) -> Result<ContainerId> {
        let id = match (&self.id, &self.netns, self.pid) {
            (Some(id), ..) => id.clone(),
            (None, Some(netns), _) => netns.rsplit('/').next().unwrap_or_default().to_owned(),
            (None, None, pid) => format!("pid-{}", pid.unwrap_or_default()),
        };
        ContainerId::parse(&id)
            .coded(Code::InvalidEnvironment, || "by which id is it to be known?")
            .map_err(|error| error.hint("--id gives it one"))
    }
}

/// What an attachment has come to, for people.
fn show(out: &mut impl Write, outcome: &Outcome) -> Result<()> {
    for link in &outcome.links {
        let place = if link.netns.is_some() { "inside" } else { "host" };
        let mac = link.mac.map(|mac| format!("  {mac}")).unwrap_or_default();
        say(out, format!("          {place:<7} {}{mac}  mtu {}", link.name, link.mtu))?;
    }
    let via = |gateway: Option<IpAddr>| gateway.map(|gateway| format!(" via {gateway}")).unwrap_or_default();
    for address in &outcome.addresses {
        say(out, format!("          address {}", address.net))?;
    }
    for route in &outcome.routes {
        let metric = route.priority.map(|metric| format!(" metric {metric}")).unwrap_or_default();
        say(out, format!("          route   {}{}{metric}", route.dst, via(route.gw)))?;
    }
    Ok(())
}
