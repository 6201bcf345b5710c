//! `springline demo`: the whole of it in two seconds, without leaving a trace.

use std::io::Write;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde_json::json;

use super::say;
use super::world::{self, Scratch, View};
use crate::error::{Code, Coded, Error, Result};
use crate::exec::{AttachRequest, Container, Engine, Today};
use crate::ipam::Wishes;
use crate::kernel::{Netns, ping};
use crate::model::{AttachmentKey, Face, Family, Maker, Outcome, Wish};
use crate::store::Store;
use crate::wire::cni::base::Base;
use crate::wire::cni::env::Verb;
use crate::wire::cni::{Config, ResultDocument, RuntimeConfig, Version, request};

/// Longer than any answer may take that needs no retry.
const PATIENCE: Duration = Duration::from_secs(1);

/// A container of the demonstration.
struct Guest {
    name: &'static str,
    container: Container,
    path: String,
    key: AttachmentKey,
    outcome: Option<Outcome>,
}

/// Runs the demonstration.
pub(super) fn run(out: &mut impl Write) -> Result<()> {
    world::enter_a_host_of_our_own()?;
    let scratch = Scratch::new()?;
    let store = Store::at(scratch.path().to_owned())?;
    show(out, store, &scratch)
}

fn show(out: &mut impl Write, store: Store, scratch: &Scratch) -> Result<()> {
    let engine = world::furnish_host(store)?;
    let before = (world::look_at(&engine.host)?, scratch.files());
    let config = json!({
        "cniVersion": "1.1.0", "name": "demo", "type": "springline",
        "ipam": { "type": "springline", "ranges": [[{ "subnet": "10.22.0.0/24" }], [{ "subnet": "2001:db8:22::/64" }]] },
    });
    title(out, "The network's configuration")?;
    say(out, &config)?;
    let mut guests = Vec::new();
    for name in ["c1", "c2"] {
        guests.push(attach(out, &engine, name, &config)?);
    }
    title(out, "What was built")?;
    draw(out, &engine, &guests)?;
    title(out, "The first packets")?;
    ping_all(out, &guests)?;
    title(out, "Detached")?;
    for guest in &guests {
        let begin = Instant::now();
        engine.detach(&guest.key, Today::default())?;
        say(out, format!("{} detached in {}", guest.name, milliseconds(begin.elapsed())))?;
    }
    prove_nothing_is_left(out, &before, &(world::look_at(&engine.host)?, scratch.files()), &guests)
}

fn title(out: &mut impl Write, text: &str) -> Result<()> {
    say(out, format!("\n── {text} {}", "─".repeat(70usize.saturating_sub(text.chars().count()))))
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

/// Plans and makes one attachment, the way the CNI face does.
fn attach(out: &mut impl Write, engine: &Engine, name: &'static str, config: &serde_json::Value) -> Result<Guest> {
    let (container, path) = world::make_container()?;
    let base = Base::parse(config.to_string().as_bytes(), Verb::Add)?;
    let network = Config::parse(&base)?.to_network(&base.name, &RuntimeConfig::default(), "")?;
    let (id, ifname) = (name.to_owned().try_into(), "eth0".to_owned().try_into());
    let key = AttachmentKey {
        network: base.name.clone(),
        container: id.coded(Code::Internal, || "container id")?,
        ifname: ifname.coded(Code::Internal, || "interface name")?,
    };
    let request = AttachRequest {
        attachment: request::attachment(key.clone(), &path, network, &Wish::default(), "")?,
        maker: Maker::of(Face::Cli),
        wishes: Wishes::default(),
        delegate: None,
        read_delegated: Box::new(|printed| request::read_delegated(printed, Version::LATEST)),
    };
    let plan = engine.preview(&request, &container)?;
    title(out, &format!("The plan for {name}"))?;
    for step in &plan.steps {
        say(out, step)?;
    }
    let begin = Instant::now();
    let outcome = engine.attach(request, &container)?;
    let took = milliseconds(begin.elapsed());
    title(out, &format!("The result for {name}, after {took}"))?;
    say(out, ResultDocument::from(&outcome).to_json(Version::LATEST)?)?;
    Ok(Guest { name, container, path, key, outcome: Some(outcome) })
}

/// Draws what the kernel shows, not what was asked of it.
fn draw(out: &mut impl Write, engine: &Engine, guests: &[Guest]) -> Result<()> {
    let host = world::look_at(&engine.host)?;
    say(out, "host")?;
    for (link, alias) in &host.links {
        let guest = guests.iter().find(|guest| alias.as_ref() == Some(&guest.key.alias()));
        say(out, " │")?;
        say(out, format!(" ├─ {link:<16} {}", addresses(&host, link.as_str())))?;
        let Some(guest) = guest else { continue };
        for route in host.routes.iter().filter(|route| route.link == *link && route.protocol == 171) {
            say(out, format!(" │   route {route}"))?;
        }
        let view = world::look_at(&guest.container.endpoint)?;
        say(out, format!(" │   ╚══ veth pair ══ {}: eth0  {}", guest.name, addresses(&view, "eth0")))?;
        let routes = view.routes.iter().filter(|route| route.link == guest.key.ifname && route.dst.prefix_len() == 0);
        for route in routes {
            say(out, format!(" │                      route {route}"))?;
        }
    }
    Ok(())
}

fn addresses(view: &View, link: &str) -> String {
    let own = view.addresses.iter().filter(|address| address.link.as_str() == link);
    own.map(|address| address.net.to_string()).collect::<Vec<_>>().join("  ")
}

/// From inside each container: its gateway and its neighbour, in both families.
fn ping_all(out: &mut impl Write, guests: &[Guest]) -> Result<()> {
    for (guest, neighbour) in guests.iter().zip(guests.iter().rev()) {
        for family in Family::BOTH {
            let gateway = guest.outcome.as_ref().and_then(|outcome| {
                outcome.addresses.iter().find(|address| address.net.addr().is_ipv4() == (family == Family::V4))?.gateway
            });
            let address = neighbour.outcome.as_ref().and_then(|outcome| outcome.address_of(family));
            for (what, to) in [("gateway", gateway), (neighbour.name, address)] {
                let to = to.ok_or_else(|| Error::new(Code::Internal, format!("no address of {what} to ping")))?;
                let time = ping_from(guest, to)?;
                say(out, format!("{} → {what:<8} {to:<20} answered in {}", guest.name, milliseconds(time)))?;
            }
        }
    }
    Ok(())
}

fn ping_from(guest: &Guest, to: IpAddr) -> Result<Duration> {
    let link = guest.container.endpoint.index(&guest.key.ifname).unwrap_or(0);
    let netns: &Netns = &guest.container.netns;
    netns.inside(|| ping(to, link, PATIENCE)).coded(Code::Kernel, || format!("ping {to} from {}", guest.name))
}

type HostState = (View, std::collections::BTreeSet<String>);

/// Compares the host's state with what it was, and looks into the containers.
fn prove_nothing_is_left(out: &mut impl Write, before: &HostState, after: &HostState, guests: &[Guest]) -> Result<()> {
    if before != after {
        return Err(
            Error::new(Code::Internal, format!("before: {before:?}; after: {after:?}")).context("something is left")
        );
    }
    for guest in guests {
        let view = world::look_at(&guest.container.endpoint)?;
        if view.links.iter().any(|(name, _)| *name == guest.key.ifname) {
            let what = format!("{} is left in {} ({})", guest.key.ifname, guest.name, guest.path);
            return Err(Error::new(Code::Internal, what));
        }
    }
    let (view, files) = after;
    let (links, addresses, routes) = (view.links.len(), view.addresses.len(), view.routes.len());
    say(
        out,
        format!(
            "nothing is left: the host has the same {links} link, {addresses} addresses, {routes} routes (all tables), {} files as before",
            files.len()
        ),
    )
}
