//! `springline plan`: what `attach` would do, without doing it.

use std::io::Write;
use std::path::Path;

use clap::Args;
use serde_json::{Value, json};

use super::attach::Interface;
use super::{netns, say};
use crate::error::{Code, Coded, Result};
use crate::exec::{Container, Engine};
use crate::front::definition::Definition;
use crate::front::networks;
use crate::model::{AttachmentKey, ContainerId, Face, Maker, NetworkName, Wish};
use crate::plan::{Plan, Script};
use crate::store::Store;
use crate::wire::cni::{Config, RuntimeConfig, request};

/// The container's id if nothing gives it one.
const SOME_CONTAINER: &str = "c1";

/// What to plan.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The network, by its name in /etc/cni/net.d; or a file with its configuration: what has a slash in it, or ends in
    /// .conf, .conflist or .json
    network: String,
    /// The namespace, its name in /run/netns or a path: the plan is for how it is now
    #[arg(long, value_name = "NAME|PATH")]
    netns: Option<String>,
    /// By which id the container is to be known; the namespace's name, or c1, unless given
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    interface: Interface,
    /// How to print: `text`, `shell` for a script that does the same, or `json` for programs
    #[arg(short, long, default_value = "text", value_parser = ["text", "shell", "json"])]
    output: String,
}

pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<()> {
    let (definition, runtime_fills_in) = arguments.definition()?;
    let container = arguments.container()?;
    let path = match &arguments.netns {
        Some(netns) => netns::path(netns)?,
        None => format!("/run/netns/{container}"),
    };
    let config = Config::parse(&definition.base)?;
    let interface = arguments.interface.on(definition.base.name.as_str())?;
    let (runtime, wish) = if runtime_fills_in {
        let runtime = config.runtime()?;
        let asked = request::asked(&config, &runtime, "")?;
        (runtime, joined(interface.wish, asked))
    } else {
        (RuntimeConfig::default(), interface.wish)
    };
    let key = AttachmentKey { network: interface.network, container, ifname: interface.ifname };
    let wanted = definition.request((&config, &runtime), key, &path, &wish, Maker::of(Face::Cli))?;
    if runtime_fills_in {
        // Then it is ADD that is planned, whose result must have a place for everything.
        let (network, delegated) = (&wanted.attachment.network, wanted.delegate.is_some());
        request::refuse_what_the_version_cannot_say(definition.base.version, network, delegated, !wish.ips.is_empty())?;
    }
    let engine = Engine::open(Store::open()?)?;
    let (plan, assumed) = if arguments.netns.is_none() {
        engine.sketch(&wanted)?
    } else {
        let container =
            Container::open(&path, false).map_err(|error| error.hint("without --netns, no privileges are needed"))?;
        (engine.preview(&wanted, &container)?, Vec::new())
    };
    let script = Script { plan: &plan, netns: &path, notes: &assumed };
    match arguments.output.as_str() {
        "shell" => write!(out, "{script}").coded(Code::Io, || "write to stdout"),
        "json" => say(out, format!("{:#}", document(&plan, &script))),
        _ => {
            assumed.iter().try_for_each(|note| say(out, format!("# assumed: {note}")))?;
            plan.steps.iter().try_for_each(|step| say(out, step))
        }
    }
}

impl Arguments {
    /// The network; and whether it is from a file, in which a runtime may have filled in what it asks for.
    fn definition(&self) -> Result<(Definition, bool)> {
        let text = &self.network;
        let is_file = text.contains('/') || [".conf", ".conflist", ".json"].iter().any(|end| text.ends_with(end));
        if is_file {
            return Ok((Definition::new(&networks::configuration_in(Path::new(text))?)?, true));
        }
        let name = NetworkName::parse(text).coded(Code::InvalidConfig, || "network")?;
        Ok((Definition::named(&name)?, false))
    }

    fn container(&self) -> Result<ContainerId> {
        let of_netns = self.netns.as_deref().and_then(|netns| netns.rsplit('/').next());
        let id = self.id.as_deref().or(of_netns).unwrap_or(SOME_CONTAINER);
        ContainerId::parse(id)
            .coded(Code::InvalidEnvironment, || "by which id is it to be known?")
            .map_err(|error| error.hint("--id gives it one"))
    }
}

/// What options say goes before what a runtime has filled in.
fn joined(options: Wish, filled_in: Wish) -> Wish {
    Wish {
        ips: if options.ips.is_empty() { filled_in.ips } else { options.ips },
        mac: options.mac.or(filled_in.mac),
        routes: [filled_in.routes, options.routes].concat(),
        ports: [filled_in.ports, options.ports].concat(),
    }
}

/// The steps with the lines that they equal.
fn document(plan: &Plan, script: &Script<'_>) -> Value {
    let steps =
        plan.steps.iter().map(|step| json!({ "line": step.to_string(), "shell": script.step(step), "step": step }));
    json!({
        "attachment": plan.key.to_string(),
        "netns": script.netns,
        "assumed": script.notes,
        "steps": steps.collect::<Vec<Value>>(),
    })
}
