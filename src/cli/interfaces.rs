//! The options that say which interfaces a container is to have: `--network` begins one, the others belong to the one
//! before them. clap's own derivation would lose that order.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::wire::wanted::{self, InterfaceKey};

/// The options, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Interfaces(pub(super) Vec<InterfaceKey>);

/// Name, placeholder and help of each option.
const OPTIONS: [(&str, &str, &str); 6] = [
    ("network", "NETWORK", "Begin an interface on this network, by its name in /etc/cni/net.d"),
    ("ifname", "NAME", "Its name inside; eth0 for the first, eth1 for the second, and so on"),
    ("ip", "ADDRESS", "An address for it, beside or instead of what the network gives; repeatable"),
    ("route", "NET", "A further network that the host routes to it, `NET` or `NET via ADDRESS`; repeatable"),
    ("mac", "MAC", "Its MAC"),
    ("port", "PORTS", "Ports of the host that lead to it: [ADDRESS:]PORT[-PORT]:PORT[-PORT][/PROTOCOL]; repeatable"),
];

impl Args for Interfaces {
    fn augment_args(command: Command) -> Command {
        OPTIONS.iter().fold(command, |command, (name, placeholder, help)| {
            let option = Arg::new(*name).long(*name).value_name(*placeholder).help(*help);
            command.arg(option.action(ArgAction::Append).help_heading("Interfaces"))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Interfaces {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given: Vec<(usize, &str, &str)> = Vec::new();
        for (name, _, _) in OPTIONS {
            let values = matches.get_many::<String>(name).into_iter().flatten();
            let places = matches.indices_of(name).into_iter().flatten();
            given.extend(places.zip(values).map(|(at, value)| (at, name, value.as_str())));
        }
        given.sort_unstable();
        let interfaces = wanted::from_options(given.into_iter().map(|(_, name, value)| (name, value)));
        interfaces
            .map(Self)
            .map_err(|error| clap::Error::raw(clap::error::ErrorKind::ValueValidation, format!("{error}\n")))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
