//! The CNI face: environment and stdin in, exactly one JSON document (or nothing) on stdout, always.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Value, json};

use super::definition::Definition;
use crate::error::{Code, Coded, Error, Result};
use crate::exec::{self, Container, Engine, Spared, Today};
use crate::ipam::DelegateContext;
use crate::kernel::Netns;
use crate::model::{AttachmentKey, ContainerId, Face, IfName, Maker};
use crate::store::Store;
use crate::wire::cni::base::Base;
use crate::wire::cni::env::{Environment, Verb};
use crate::wire::cni::{Config, ResultDocument, Version, request};

/// No runtime sends more; a config that large is a mistake or an attack.
const MAX_STDIN: u64 = 16 << 20;

/// What to print and how to exit.
#[derive(Debug)]
pub struct Reply {
    /// For stdout.
    pub stdout: Option<Value>,
    /// Whether the verb failed.
    pub failed: bool,
    /// What to do if stdout cannot be written: the runtime will never know of the attachment.
    pub unless_printed: Option<AttachmentKey>,
}

/// The two lines that a CNI plugin prints to stderr when it is called by hand.
#[must_use]
pub fn about() -> String {
    let versions = Version::ALL.map(Version::as_str).join(", ");
    format!("CNI springline plugin v{}\nCNI protocol versions supported: {versions}", env!("CARGO_PKG_VERSION"))
}

/// Serves one call. `command` is `CNI_COMMAND`; `lookup` reads the other variables.
#[must_use]
pub fn serve(command: &str, lookup: &dyn Fn(&str) -> Option<OsString>) -> Reply {
    let mut version = Version::LATEST;
    match verb(command, lookup, &mut version) {
        Ok(reply) => reply,
        Err(error) => refusal(&error, version),
    }
}

/// The reply to a call of which not even the version is known.
#[must_use]
pub fn failure(error: &Error) -> Reply {
    refusal(error, Version::LATEST)
}

fn refusal(error: &Error, version: Version) -> Reply {
    Reply { stdout: Some(error_document(error, version)), failed: true, unless_printed: None }
}

/// An error in CNI's shape.
fn error_document(error: &Error, version: Version) -> Value {
    let mut document = json!({ "cniVersion": version.as_str(), "code": error.code as u32, "msg": error.message() });
    let details = error.details();
    if !details.is_empty() {
        document["details"] = details.into();
    }
    document
}

/// Takes back an attachment whose result could not be printed.
pub fn take_back(key: &AttachmentKey) -> Result<()> {
    Engine::open(Store::open()?)?.detach(key, Today::default()).map(drop)
}

fn verb(command: &str, lookup: &dyn Fn(&str) -> Option<OsString>, version: &mut Version) -> Result<Reply> {
    let Some(verb) = Verb::parse(command) else {
        // libcni looks for exactly this text to find out how old a plugin is.
        return Err(Error::new(Code::InvalidEnvironment, format!("unknown CNI_COMMAND: {command}")));
    };
    if verb == Verb::Version {
        return Ok(printed(version_document(&read_without_waiting())));
    }
    let env = Environment::read(verb, lookup)?;
    let stdin = read_stdin()?;
    let base = Base::parse(&stdin, verb).inspect_err(|_| {
        *version = Base::stated_version(&stdin).unwrap_or_default();
    })?;
    *version = base.version;
    let text = String::from_utf8_lossy(&stdin).into_owned();
    let (args, path) = (env.args.clone(), env.path.clone());
    let call = Call { env, network: Definition { base, text, args, path } };
    match verb {
        Verb::Add => call.add(),
        Verb::Check => call.check().map(|()| silent()),
        Verb::Del => call.del().map(|()| silent()),
        Verb::Gc => call.gc().map(|()| silent()),
        Verb::Status | Verb::Version => call.status().map(|()| silent()),
    }
}

fn printed(document: Value) -> Reply {
    Reply { stdout: Some(document), failed: false, unless_printed: None }
}

fn silent() -> Reply {
    Reply { stdout: None, failed: false, unless_printed: None }
}

pub(super) fn read_stdin() -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin()
        .lock()
        .take(MAX_STDIN + 1)
        .read_to_end(&mut bytes)
        .coded(Code::Io, || "read the configuration from stdin")?;
    if bytes.len() as u64 > MAX_STDIN {
        return Err(
            Error::new(Code::Decode, format!("more than {MAX_STDIN} bytes")).context("error unmarshall network config")
        );
    }
    Ok(bytes)
}

/// What stands on stdin by now. VERSION must not wait for its end: a runtime may leave it open.
fn read_without_waiting() -> Vec<u8> {
    let mut bytes = vec![0; 65536];
    let stdin = io::stdin();
    let mut ready = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    match poll(&mut ready, PollTimeout::from(50u8)) {
        Ok(1..) => {
            let count = nix::unistd::read(stdin.as_fd(), &mut bytes).unwrap_or(0);
            bytes.truncate(count);
            bytes
        }
        _ => Vec::new(),
    }
}

fn version_document(stdin: &[u8]) -> Value {
    let asked = serde_json::from_slice::<Value>(stdin).ok();
    let asked =
        asked.and_then(|value| Some(value.get("cniVersion")?.as_str()?.to_owned())).filter(|text| !text.is_empty());
    let version = asked.unwrap_or_else(|| Version::LATEST.as_str().to_owned());
    json!({ "cniVersion": version, "supportedVersions": Version::ALL.map(Version::as_str) })
}

/// One call: what the runtime said.
struct Call {
    env: Environment,
    network: Definition,
}

impl Call {
    /// The attachment that the call is about.
    fn key(&self) -> Result<AttachmentKey> {
        let missing = || Error::new(Code::Internal, "a verb without container id or interface name");
        let container: ContainerId = self.env.container.clone().ok_or_else(missing)?;
        let ifname: IfName = self.env.ifname.clone().ok_or_else(missing)?;
        Ok(AttachmentKey { network: self.network.base.name.clone(), container, ifname })
    }

    fn add(&self) -> Result<Reply> {
        let key = self.key()?;
        let base = &self.network.base;
        let config = Config::parse(base)?;
        let runtime = config.runtime()?;
        let asked = request::asked(&config, &runtime, &self.env.args)?;
        let maker = Maker::of(Face::Cni);
        let request = self.network.request((&config, &runtime), key.clone(), &self.env.netns, &asked, maker)?;
        let (delegated, by_name) = (request.delegate.is_some(), !asked.ips.is_empty());
        request::refuse_what_the_version_cannot_say(base.version, &request.attachment.network, delegated, by_name)?;
        let earlier = base.prev_result().map(|value| ResultDocument::parse(value, base.version)).transpose()?;
        let container = Container::open(&self.env.netns, self.env.netns_override)?;
        let outcome = Engine::open(Store::open()?)?.attach(request, &container)?;
        let document = ResultDocument::from(&outcome).after(earlier.unwrap_or_default());
        Ok(Reply { stdout: Some(document.to_json(base.version)?), failed: false, unless_printed: Some(key) })
    }

    fn check(&self) -> Result<()> {
        let key = self.key()?;
        let base = &self.network.base;
        let previous = base.prev_result().ok_or_else(|| {
            Error::new(Code::InvalidConfig, "CHECK compares with the result of ADD")
                .context("Required prevResult missing")
        })?;
        let previous = ResultDocument::parse(previous, base.version)?;
        let container = Container::open(&self.env.netns, self.env.netns_override)?;
        let delegate = self.network.delegate(&key, &self.env.netns);
        let drift = Engine::open(Store::open()?)?.check(&key, &container, delegate)?;
        drift.refuse()?;
        request::refuse_missing(&previous, &key, &drift.addresses)
    }

    fn del(&self) -> Result<()> {
        let key = self.key()?;
        let network = &self.network;
        let engine = Engine::open(Store::open()?)?;
        let known = engine.detach(&key, network.today(&key, &self.env.netns))?;
        if !known {
            self.refuse_own_netns()?;
        }
        // What ADD once delegated is in the record; this is for a DEL that comes again, or whose ADD was
        // not ours: the delegate must hear of it all the same (CNI 1.1, DEL).
        match network.delegate(&key, &self.env.netns) {
            Some(delegate) if !known => delegate.call("DEL").map(drop),
            _ => Ok(()),
        }
    }

    /// DEL never looks into `CNI_NETNS`, so a path that leads to the host's own namespace by now (a PID that
    /// was used again) harms nobody; only where there is nothing to remove is it a mistake worth telling.
    fn refuse_own_netns(&self) -> Result<()> {
        let own = !self.env.netns.is_empty() && !self.env.netns_override;
        match Netns::open(&self.env.netns) {
            Ok(netns) if own && netns.is_current() => Err(exec::same_netns(&self.env.netns)),
            _ => Ok(()),
        }
    }

    fn gc(&self) -> Result<()> {
        let network = &self.network;
        let valid = network
            .base
            .valid_attachments()?
            .map(|list| list.into_iter().map(|entry| (entry.container, entry.ifname)).collect::<BTreeSet<_>>());
        // GC is about no attachment: a delegate is called as it was at ADD, if that is known.
        let today = |key: &AttachmentKey| Today {
            delegate: network.delegate_for(DelegateContext::Network),
            ..network.today(key, "")
        };
        let spared = valid.as_ref().map_or(Spared::AliveOr(&[]), Spared::Listed);
        let collected = || Engine::open(Store::open()?)?.collect(&network.base.name, spared, today).map(drop);
        collected().and(self.forward("GC"))
    }

    fn status(&self) -> Result<()> {
        let network = self.network.network()?;
        Engine::open(Store::open()?)?.status(&network)?;
        self.forward("STATUS")
    }

    /// Calls the delegate, if there is one, for the network. Plugins older than a verb do not know it; that is no
    /// failure of theirs.
    fn forward(&self, verb: &str) -> Result<()> {
        let Some(delegate) = self.network.delegate_for(DelegateContext::Network) else { return Ok(()) };
        match delegate.call(verb) {
            Err(error) if !error.is_unknown_verb() => Err(error),
            _ => Ok(()),
        }
    }
}
