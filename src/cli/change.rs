//! `springline ip`, `route`, `set` and `rename`: an attachment changed while it is in use.

use std::io::Write;
use std::net::IpAddr;

use clap::{Args, Subcommand, ValueEnum};
use ipnet::IpNet;
use serde_json::{Value, json};

use super::output::Output;
use super::{say, table};
use crate::error::{Code, Coded, Error, Result};
use crate::exec::{AddressRoute, Edit, Engine};
use crate::model::{
    Addressing, Attachment, AttachmentKey, Family, IfName, Isolation, Mtu, PortMap, Rate, RoutedNetwork, parse_address,
    parse_network, single,
};
use crate::store::Store;

/// Which attachment.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// The container's id, or NETWORK/ID
    container: String,
    /// The interface's name inside; or, if none is called so now, the one by which it was attached
    ifname: String,
}

/// Addresses of a container.
#[derive(Debug, Subcommand)]
pub(super) enum Ip {
    /// Give the interface another address
    ///
    /// On a routed network the host routes it there, too, unless a network that is routed there contains it. It is
    /// refused if it is somebody else's.
    Add {
        #[command(flatten)]
        which: Which,
        /// The address, with or without prefix length
        address: String,
        /// Have the host route this network, which contains the address, instead of the address alone
        #[arg(long, value_name = "NET", conflicts_with = "no_route")]
        route_as: Option<String>,
        /// No route for it: a network that is routed there already must contain it
        #[arg(long)]
        no_route: bool,
        /// The next hop of its route, inside the container
        #[arg(long, value_name = "ADDRESS", conflicts_with = "no_route")]
        via: Option<IpAddr>,
    },
    /// Take an address away from the interface, and its route with it
    Del {
        #[command(flatten)]
        which: Which,
        /// The address; `all` for all of them
        address: String,
        /// Have the host go on routing it there
        #[arg(long)]
        keep_route: bool,
    },
    /// List the addresses: version, address, and by which network the host routes it
    Ls {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        output: Output,
    },
}

/// Networks that the host routes to a container.
#[derive(Debug, Subcommand)]
pub(super) enum Route {
    /// Have the host route another network to the container
    Add {
        #[command(flatten)]
        which: Which,
        /// The network
        network: String,
        /// The next hop, inside the container; its own address unless given
        #[arg(long, value_name = "ADDRESS")]
        via: Option<IpAddr>,
    },
    /// Not any more; addresses of the container's inside of it get routes of their own
    Del {
        #[command(flatten)]
        which: Which,
        /// The network
        network: String,
    },
    /// List what is routed there: networks, and addresses that none of them contains
    Ls {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        output: Output,
    },
}

/// Other settings of an attachment. Those that are not given stay.
#[derive(Debug, Args)]
pub(super) struct Set {
    #[command(flatten)]
    which: Which,
    /// What it may receive: bits a second, with k, M or G; `none` lifts the limit
    #[arg(long, value_name = "RATE", value_parser = rate)]
    ingress_rate: Option<Limit>,
    /// What it may send: bits a second, with k, M or G; `none` lifts the limit
    #[arg(long, value_name = "RATE", value_parser = rate)]
    egress_rate: Option<Limit>,
    /// MTU of both ends in bytes, or `auto`
    #[arg(long, value_parser = mtu)]
    mtu: Option<Mtu>,
    /// Which other containers it reaches; repeatable
    #[arg(long)]
    isolation: Vec<Word>,
    /// Ports of the host that shall lead to it: [ADDRESS:]PORT[-PORT]:PORT[-PORT][/PROTOCOL]; repeatable
    #[arg(short, long, value_name = "PORTS")]
    port: Vec<String>,
    /// Ports that shall not any more; repeatable
    #[arg(long, value_name = "PORTS")]
    no_port: Vec<String>,
}

/// Another name.
#[derive(Debug, Args)]
pub(super) struct Rename {
    #[command(flatten)]
    which: Which,
    /// The new name
    new_name: String,
    /// Where the kernel does not rename a link that is up (before Linux 6.2), take it down for that, and up again
    ///
    /// What is sent meanwhile is lost. Addresses and routes are put back, but for what the container itself has put there
    /// and cannot be told again: IPv6 addresses with lifetimes, routes with several next hops.
    #[arg(long)]
    interrupt: bool,
}

/// A limit, or none.
#[derive(Debug, Clone)]
struct Limit(Option<Rate>);

/// A kind of isolation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Word {
    /// All of them
    None,
    /// None at all
    Ports,
    /// Those of its own network
    Network,
}

pub(super) fn ip(command: &Ip, out: &mut impl Write) -> Result<()> {
    match command {
        Ip::Add { which, address, route_as, no_route, via } => {
            let net = parse_address(address).coded(Code::InvalidConfig, || "address")?;
            let network =
                route_as.as_deref().map(|text| parse_network(text).coded(Code::InvalidConfig, || "--route-as"));
            let route = match (network.transpose()?, via) {
                _ if *no_route => AddressRoute::Covered,
                (None, None) => AddressRoute::Own,
                (network, via) => {
                    AddressRoute::As(RoutedNetwork { dst: network.unwrap_or(single(net.addr())), via: *via })
                }
            };
            which.edit(&[Edit::AddAddress(net, route)])
        }
        Ip::Del { which, address, keep_route } => {
            let keep_route = *keep_route;
            if address == "all" {
                return which.edit(&[Edit::DelAddresses { keep_route }]);
            }
            let address = parse_address(address).coded(Code::InvalidConfig, || "address")?.addr();
            which.edit(&[Edit::DelAddress { address, keep_route }])
        }
        Ip::Ls { which, output } => {
            let wanted = which.wanted()?;
            let rows = wanted.addresses.iter().map(|address| {
                [version(address.net), address_of(&wanted, address.net), routed_as(&wanted, address.net)]
            });
            print_table(out, output, ["version", "address", "routed"], rows.collect())
        }
    }
}

pub(super) fn route(command: &Route, out: &mut impl Write) -> Result<()> {
    match command {
        Route::Add { which, network, via } => {
            let dst = parse_network(network).coded(Code::InvalidConfig, || "network")?;
            which.edit(&[Edit::AddRoute(RoutedNetwork { dst, via: *via })])
        }
        Route::Del { which, network } => {
            let dst = parse_network(network).coded(Code::InvalidConfig, || "network")?;
            which.edit(&[Edit::DelRoute(dst)])
        }
        Route::Ls { which, output } => {
            let wanted = which.wanted()?;
            let networks = wanted.network.routes.iter().map(|route| {
                [version(route.dst), route.dst.to_string(), route.via.map(|via| via.to_string()).unwrap_or_default()]
            });
            let own = wanted.addresses.iter().map(|address| single(address.net.addr()));
            let own = own.filter(|net| routed_as(&wanted, *net) == net.to_string());
            let own = own.map(|net| [version(net), net.to_string(), String::new()]);
            print_table(out, output, ["version", "network", "via"], networks.chain(own).collect())
        }
    }
}

pub(super) fn set(arguments: &Set) -> Result<()> {
    let ports = |texts: &[String]| -> Result<Vec<PortMap>> {
        let maps = texts.iter().map(|text| PortMap::parse_several(text)).collect::<Result<Vec<_>>>()?;
        Ok(maps.concat())
    };
    let (more, fewer) = (ports(&arguments.port)?, ports(&arguments.no_port)?);
    let has = |word| arguments.isolation.contains(&word);
    let isolation = Isolation { ports: has(Word::Ports), network: has(Word::Network) };
    let edits: Vec<Edit> = [
        arguments.ingress_rate.clone().map(|limit| Edit::Received(limit.0)),
        arguments.egress_rate.clone().map(|limit| Edit::Sent(limit.0)),
        arguments.mtu.map(Edit::Mtu),
        (!arguments.isolation.is_empty()).then_some(Edit::Isolation(isolation)),
        (!fewer.is_empty()).then_some(Edit::DelPorts(fewer)),
        (!more.is_empty()).then_some(Edit::AddPorts(more)),
    ]
    .into_iter()
    .flatten()
    .collect();
    if edits.is_empty() {
        return Err(Error::new(Code::InvalidConfig, "no setting is given").hint("springline set --help lists them"));
    }
    arguments.which.edit(&edits)
}

pub(super) fn rename(arguments: &Rename) -> Result<()> {
    let name = IfName::parse(&arguments.new_name).coded(Code::InvalidConfig, || "the new name")?;
    arguments.which.edit(&[Edit::Rename { name, interrupt: arguments.interrupt }])
}

impl Which {
    /// The one attachment that is meant.
    fn key(&self, engine: &Engine) -> Result<AttachmentKey> {
        let (network, id) = match self.container.split_once('/') {
            Some((network, id)) => (Some(network), id),
            None => (None, self.container.as_str()),
        };
        let mut own = Vec::new();
        for key in engine.store.attachments()?.into_iter().filter(|key| key.container.as_str() == id) {
            let record = engine.store.record(&key).ok().flatten();
            let ifname = record.map_or_else(|| key.ifname.clone(), |record| record.ifname().clone());
            own.push((key, ifname));
        }
        let meant = |is_called: fn(&(AttachmentKey, IfName)) -> &IfName| -> Vec<&(AttachmentKey, IfName)> {
            let is_meant =
                |(key, _): &&(AttachmentKey, IfName)| network.is_none_or(|name| name == key.network.as_str());
            own.iter().filter(is_meant).filter(|one| is_called(one).as_str() == self.ifname).collect()
        };
        let mut meant_by_name = meant(|(_, ifname)| ifname);
        if meant_by_name.is_empty() {
            meant_by_name = meant(|(key, _)| &key.ifname);
        }
        let shown = |(key, ifname): &(AttachmentKey, IfName)| {
            if key.ifname == *ifname { key.to_string() } else { format!("{key}, which is called {ifname} now") }
        };
        let error = match meant_by_name.as_slice() {
            [(key, _)] => return Ok(key.clone()),
            [] => {
                let there = own.iter().map(shown).collect::<Vec<_>>().join(", ");
                Error::new(Code::UnknownContainer, format!("of {id} there are [{there}]"))
            }
            several => {
                let there = several.iter().map(|one| shown(one)).collect::<Vec<_>>().join(", ");
                Error::new(Code::InvalidConfig, format!("there are {there}")).hint("say NETWORK/ID")
            }
        };
        Err(error.context(format!("no attachment {} {}", self.container, self.ifname)))
    }

    fn edit(&self, edits: &[Edit]) -> Result<()> {
        let engine = Engine::open(Store::open()?)?;
        let key = self.key(&engine)?;
        engine.edit(&key, edits).map(drop)
    }

    fn wanted(&self) -> Result<Box<Attachment>> {
        let engine = Engine::open(Store::open()?)?;
        engine.wanted(&self.key(&engine)?)
    }
}

fn version(net: IpNet) -> String {
    if net.family() == Family::V4 { "4".to_owned() } else { "6".to_owned() }
}

/// The address as the interface holds it: alone where it is routed there.
fn address_of(wanted: &Attachment, net: IpNet) -> String {
    let is_routed = matches!(wanted.network.mode, crate::model::Mode::Routed(_));
    if is_routed { single(net.addr()).to_string() } else { net.to_string() }
}

fn routed_as(wanted: &Attachment, net: IpNet) -> String {
    if matches!(wanted.network.mode, crate::model::Mode::Bridged(_)) {
        return String::new();
    }
    let covering = wanted.network.routes.iter().find(|route| route.dst.contains(&net.addr()));
    covering.map_or(single(net.addr()), |route| route.dst).to_string()
}

/// Rows under names, or as a list of objects.
fn print_table(out: &mut impl Write, output: &Output, names: [&str; 3], rows: Vec<[String; 3]>) -> Result<()> {
    if output.is_json() {
        let object = |row: &[String; 3]| -> Value {
            names.iter().zip(row).map(|(name, cell)| ((*name).to_owned(), json!(cell))).collect()
        };
        return say(out, format!("{:#}", Value::Array(rows.iter().map(object).collect())));
    }
    let rows: Vec<Vec<String>> = rows.into_iter().map(Vec::from).collect();
    table::print(out, &names, &rows)
}

/// `10M`, `1.5G`, `64000`, `none`.
fn rate(text: &str) -> Result<Limit, String> {
    if text == "none" {
        return Ok(Limit(None));
    }
    let wrong = || format!("{text:?} is no rate: it looks like 10M, 1.5G or 64000 (bits a second), or is \"none\"");
    let (number, unit) = match text.char_indices().last().ok_or_else(wrong)? {
        (at, 'k' | 'K') => (&text[..at], 1e3),
        (at, 'm' | 'M') => (&text[..at], 1e6),
        (at, 'g' | 'G') => (&text[..at], 1e9),
        _ => (text, 1.0),
    };
    let bits = number.parse::<f64>().map_err(|_| wrong())? * unit;
    if !(8000.0..1e15).contains(&bits) {
        return Err(format!("{text} is less than 8000 bits a second, or more than any link carries"));
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // within 8000..1e15
    Ok(Limit(Some(Rate { bits: bits as u64, burst_bits: None })))
}

fn mtu(text: &str) -> Result<Mtu, String> {
    match text.parse::<u32>() {
        _ if text == "auto" => Ok(Mtu::Auto),
        Ok(mtu @ 68..=65535) => Ok(Mtu::Fixed(mtu)),
        _ => Err(format!("{text:?} is neither \"auto\" nor a number of bytes from 68 to 65535")),
    }
}
