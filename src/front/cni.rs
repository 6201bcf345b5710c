//! The CNI face: environment and stdin in, exactly one JSON document (or nothing) on stdout, always.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Value, json};

use super::with_runtime;
use crate::error::{Code, Coded, Error, Result};
use crate::exec::{self, AttachRequest, Container, Engine, Today};
use crate::ipam::{Delegate, DelegateContext, Wishes};
use crate::kernel::Netns;
use crate::model::{AttachmentKey, ContainerId, HostLinkTemplate, IfName};
use crate::plan::Delegation;
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
        Err(error) => Reply { stdout: Some(error_document(&error, version)), failed: true, unless_printed: None },
    }
}

/// An error in CNI's shape.
#[must_use]
pub fn error_document(error: &Error, version: Version) -> Value {
    let mut document = json!({ "cniVersion": version.as_str(), "code": error.code as u32, "msg": error.message() });
    let details = error.details();
    if !details.is_empty() {
        document["details"] = details.into();
    }
    document
}

/// Takes back an attachment whose result could not be printed.
pub fn take_back(key: &AttachmentKey) -> Result<()> {
    with_runtime(async { Engine::open(Store::open()?)?.detach(key, Today::default()).await.map(drop) })
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
    let call = Call { env, stdin, base };
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

fn read_stdin() -> Result<Vec<u8>> {
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
    stdin: Vec<u8>,
    base: Base,
}

impl Call {
    /// The attachment that the call is about.
    fn key(&self) -> Result<AttachmentKey> {
        let missing = || Error::new(Code::Internal, "a verb without container id or interface name");
        let container: ContainerId = self.env.container.clone().ok_or_else(missing)?;
        let ifname: IfName = self.env.ifname.clone().ok_or_else(missing)?;
        Ok(AttachmentKey { network: self.base.name.clone(), container, ifname })
    }

    fn delegate(&self, plugin: &str, context: DelegateContext) -> Delegate {
        let delegation = Delegation {
            plugin: plugin.to_owned(),
            config: String::from_utf8_lossy(&self.stdin).into_owned(),
            args: self.env.args.clone(),
            path: self.env.path.clone(),
        };
        Delegate { delegation, context }
    }

    /// The delegated IPAM plugin that the configuration names, whatever else it says.
    fn foreign_ipam(&self) -> Option<&str> {
        self.base.ipam_type().filter(|name| *name != "springline")
    }

    fn add(&self) -> Result<Reply> {
        let key = self.key()?;
        let config = Config::parse(&self.base)?;
        let runtime = config.runtime()?;
        let seed = exec::host_seed();
        let mut network = config.to_network(&self.base.name, &runtime, &seed)?;
        let asked = request::asked(&config, &runtime, &self.env.args)?;
        request::take_asked_for(&mut network, &asked);
        let (delegated, by_name) = (self.foreign_ipam().is_some(), !asked.ips.is_empty());
        request::refuse_what_the_version_cannot_say(self.base.version, &network, delegated, by_name)?;
        let earlier =
            self.base.prev_result().map(|value| ResultDocument::parse(value, self.base.version)).transpose()?;
        let mut attachment = request::attachment(key.clone(), &self.env.netns, network, asked.mac, &seed)?;
        attachment.ports = runtime.ports()?;
        let version = self.base.version;
        let request = AttachRequest {
            attachment,
            wishes: Wishes { requested: asked.ips, previous: Vec::new() },
            delegate: self.todays_delegate(&key),
            read_delegated: Box::new(move |printed| request::read_delegated(printed, version)),
        };
        let outcome = with_runtime(async {
            let container = Container::open(&self.env.netns, self.env.netns_override)?;
            Engine::open(Store::open()?)?.attach(request, &container).await
        })?;
        let document = ResultDocument::from(&outcome).after(earlier.unwrap_or_default());
        Ok(Reply { stdout: Some(document.to_json(version)?), failed: false, unless_printed: Some(key) })
    }

    fn check(&self) -> Result<()> {
        let key = self.key()?;
        let previous = self.base.prev_result().ok_or_else(|| {
            Error::new(Code::InvalidConfig, "CHECK compares with the result of ADD")
                .context("Required prevResult missing")
        })?;
        let previous = ResultDocument::parse(previous, self.base.version)?;
        let drift = with_runtime(async {
            let container = Container::open(&self.env.netns, self.env.netns_override)?;
            Engine::open(Store::open()?)?.check(&key, &container, self.todays_delegate(&key)).await
        })?;
        drift.refuse()?;
        request::refuse_missing(&previous, &key, &drift.addresses)
    }

    fn del(&self) -> Result<()> {
        let key = self.key()?;
        with_runtime(async {
            let engine = Engine::open(Store::open()?)?;
            let known = engine.detach(&key, self.today(&key)).await?;
            if !known {
                self.refuse_own_netns()?;
            }
            // What ADD once delegated is in the record; this is for a DEL that comes again, or whose ADD was
            // not ours: the delegate must hear of it all the same (CNI 1.1, DEL).
            match self.foreign_ipam() {
                Some(_) if !known => {
                    self.todays_delegate(&key).map_or(Ok(()), |delegate| delegate.call("DEL").map(drop))
                }
                _ => Ok(()),
            }
        })
    }

    /// What we know of an attachment that is to be removed.
    fn today(&self, key: &AttachmentKey) -> Today {
        let data_dir = self.base.document.get("ipam").and_then(|ipam| ipam.get("dataDir")).and_then(Value::as_str);
        Today {
            delegate: self.todays_delegate(key),
            links: self.links_of_the_host(key),
            data_dir: data_dir.map(Into::into),
        }
    }

    /// The same for GC, which is about no attachment: a delegate is called as it was at ADD, if that is known.
    fn today_for_gc(&self, key: &AttachmentKey) -> Today {
        let delegate = self.foreign_ipam().map(|plugin| self.delegate(plugin, DelegateContext::Network));
        Today { delegate, ..self.today(key) }
    }

    /// The delegate as the runtime would have it called now: with today's configuration and `prevResult`.
    fn todays_delegate(&self, key: &AttachmentKey) -> Option<Delegate> {
        let context = DelegateContext::Attachment(key.clone(), self.env.netns.clone());
        self.foreign_ipam().map(|plugin| self.delegate(plugin, context))
    }

    /// The links of the host that `prevResult` and configuration name: where to look if there is no record any
    /// more.
    fn links_of_the_host(&self, key: &AttachmentKey) -> Vec<IfName> {
        let parsed = self.base.prev_result().and_then(|value| ResultDocument::parse(value, self.base.version).ok());
        let interfaces = parsed.map(|document| document.interfaces).unwrap_or_default().into_iter();
        let of_host = interfaces.filter(|interface| interface.sandbox.as_ref().is_none_or(String::is_empty));
        let named = of_host.filter_map(|interface| IfName::parse(&interface.name).ok());
        let template = self.base.document.get("hostInterface").and_then(Value::as_str);
        let template = template.and_then(|template| HostLinkTemplate::parse(template).ok());
        let (container, ifname) = (key.container.as_str(), key.ifname.as_str());
        named.chain(template.and_then(|template| template.render(key.hash(""), container, ifname).ok())).collect()
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
        let valid = self
            .base
            .valid_attachments()?
            .map(|list| list.into_iter().map(|entry| (entry.container, entry.ifname)).collect::<BTreeSet<_>>());
        let collected = with_runtime(async {
            Engine::open(Store::open()?)?.collect(&self.base.name, valid.as_ref(), |key| self.today_for_gc(key)).await
        });
        let forwarded = self.foreign_ipam().map_or(Ok(()), |plugin| self.forward(plugin, "GC"));
        collected.and(forwarded)
    }

    fn status(&self) -> Result<()> {
        let config = Config::parse(&self.base)?;
        let network = config.to_network(&self.base.name, &config.runtime()?, &exec::host_seed())?;
        with_runtime(async { Engine::open(Store::open()?)?.status(&network).await })?;
        self.foreign_ipam().map_or(Ok(()), |plugin| self.forward(plugin, "STATUS"))
    }

    /// Plugins older than a verb do not know it; that is no failure of theirs.
    fn forward(&self, plugin: &str, verb: &str) -> Result<()> {
        match self.delegate(plugin, DelegateContext::Network).call(verb) {
            Err(error) if !error.is_unknown_verb() => Err(error),
            _ => Ok(()),
        }
    }
}
