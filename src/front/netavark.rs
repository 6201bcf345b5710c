//! The netavark face: podman from 4.6 on calls an executable of the driver's name, with one of four words and a
//! document on stdin, and takes one document from stdout: the answer, or `{"error": …}`.
//!
//! A failed `setup` is not followed by a `teardown`: what the engine has done by then it has undone by itself.

use std::ffi::OsString;

use ipnet::IpNet;
use serde_json::{Map, Value};

use super::cni::{self, Reply};
use super::definition::Definition;
use crate::error::{Code, Coded, Error, Result};
use crate::exec::{Container, Engine, Today};
use crate::kernel::Endpoint;
use crate::model::{Face, Family, IfName, Maker};
use crate::plan::LinkKind;
use crate::store::Store;
use crate::wire::cni::{Config, request};
use crate::wire::netavark::{self, Completed, Departure, PluginCall};

/// The words by which a plugin is called. No command of springline's own may be called so.
pub const WORDS: [&str; 4] = ["create", "setup", "teardown", "info"];

/// Tables of routes: `main`, and `local`, where the host's own addresses are.
const TABLES: [u32; 2] = [254, 255];

/// Serves one call, by its word and what follows.
#[must_use]
pub fn serve(word: &str, arguments: &[OsString]) -> Reply {
    let reply = match word {
        "create" => create(),
        "setup" => setup(arguments),
        "teardown" => teardown(),
        _ => Ok(Reply { stdout: Some(netavark::about()), failed: false, unless_printed: None }),
    };
    reply.unwrap_or_else(|error| failure(&error))
}

/// The reply that tells of an error.
#[must_use]
pub fn failure(error: &Error) -> Reply {
    Reply { stdout: Some(netavark::error_document(error)), failed: true, unless_printed: None }
}

/// podman keeps what it is answered, so mistakes are told now, not at the first container.
fn create() -> Result<Reply> {
    let stdin = cni::read_stdin()?;
    let document: Map<String, Value> =
        serde_json::from_slice(&stdin).coded(Code::Decode, || "not a network of podman's")?;
    let host = Endpoint::own().coded(Code::Kernel, || "open a netlink socket")?;
    let completed = netavark::complete(document, &taken(&host)?)?;
    refuse_foreign_link(&host, &completed)?;
    let definition = Definition::new(&completed.network.configuration(&[])?)?;
    definition.network().map_err(|error| error.context(format!("network {}", definition.base.name)))?;
    Ok(Reply { stdout: Some(Value::Object(completed.document)), failed: false, unless_printed: None })
}

/// What the host has addresses in, or routes to; default routes lead to everything, and do not count.
fn taken(host: &Endpoint) -> Result<Vec<IpNet>> {
    let mut taken = Vec::new();
    for (family, table) in Family::BOTH.into_iter().flat_map(|family| TABLES.map(|table| (family, table))) {
        let routes = host.fib(family, table, None);
        let routes = routes.map_err(|error| Error::new(Code::Kernel, error.to_string()).context("list the routes"))?;
        taken.extend(routes.iter().map(|route| route.dst).filter(|dst| dst.prefix_len() != 0));
    }
    Ok(taken)
}

/// The bridge will be made with the first container; what is in its place must be one.
fn refuse_foreign_link(host: &Endpoint, completed: &Completed) -> Result<()> {
    let Some(name) = &completed.bridge else { return Ok(()) };
    let doing = || format!("network {}: the bridge's name", completed.network.name);
    let name = IfName::parse(name).coded(Code::InvalidConfig, doing)?;
    let found = host.look_up(std::slice::from_ref(&name), &[]);
    let (views, _) = found.map_err(|error| Error::new(Code::Kernel, error.to_string()).context("look at the host"))?;
    match views.into_iter().flatten().find(|view| view.link.kind != LinkKind::Bridge) {
        Some(view) => {
            let why = format!("{:?} already exists but is not a bridge (it is a {})", name.as_str(), view.link.kind);
            Err(Error::new(Code::InvalidConfig, why).context(doing()))
        }
        None => Ok(()),
    }
}

fn setup(arguments: &[OsString]) -> Result<Reply> {
    let netns = arguments.first().and_then(|argument| argument.to_str()).ok_or_else(|| {
        Error::new(Code::InvalidEnvironment, "the path of the container's network namespace is missing")
            .hint("netavark calls this as: springline setup NETNS")
    })?;
    let call = PluginCall::parse(&cni::read_stdin()?)?;
    let key = call.key()?;
    let definition = Definition::new(&call.configuration()?)?;
    let config = Config::parse(&definition.base)?;
    let runtime = config.runtime()?;
    let mut wish = request::asked(&config, &runtime, "")?;
    wish.routes = call.routes()?;
    let maker = Maker::of(Face::Netavark);
    let mut request = definition.request((&config, &runtime), key.clone(), netns, &wish, maker)?;
    request.attachment.ports_are_held = true;
    let container = Container::open(netns, false)?;
    let outcome = Engine::open(Store::open()?)?.attach(request, &container)?;
    Ok(Reply { stdout: Some(netavark::status(&outcome)), failed: false, unless_printed: Some(key) })
}

/// Needs the names only: neither the namespace, nor a network that is still valid.
fn teardown() -> Result<Reply> {
    let stdin = cni::read_stdin()?;
    let key = Departure::parse(&stdin)?.key()?;
    // Where to look if the record is lost.
    let definition = PluginCall::parse(&stdin).and_then(|call| Definition::new(&call.configuration()?));
    let today = definition.map_or_else(|_| Today::default(), |definition| definition.today(&key, ""));
    Engine::open(Store::open()?)?.detach(&key, today)?;
    Ok(Reply { stdout: None, failed: false, unless_printed: None })
}
