//! A network's configuration at work: what a verb needs of it, whichever face was called.

use serde_json::{Map, Value};

use super::networks;
use crate::error::Result;
use crate::exec::{self, AttachRequest, Today};
use crate::ipam::{Delegate, DelegateContext, Wishes};
use crate::model::{AttachmentKey, HostLinkTemplate, IfName, Maker, Network, NetworkName, Wish};
use crate::plan::Delegation;
use crate::wire::cni::base::Base;
use crate::wire::cni::env::Verb;
use crate::wire::cni::{Config, ResultDocument, RuntimeConfig, request};

/// Where delegated IPAM plugins are if nobody says: where runtimes look by default, and where Debian has them.
const CNI_PATH: &str = "/opt/cni/bin:/usr/lib/cni:/usr/libexec/cni";

/// A network's configuration, and what a delegated IPAM plugin would be given beside it.
#[derive(Debug, Clone)]
pub struct Definition {
    /// The configuration, as far as every verb needs it.
    pub base: Base,
    /// The same as text, for the delegate's stdin.
    pub text: String,
    /// `CNI_ARGS`.
    pub args: String,
    /// `CNI_PATH`.
    pub path: String,
}

impl Definition {
    /// The definition of the network called `name`, for a face that is not given one.
    pub fn named(name: &NetworkName) -> Result<Self> {
        Self::new(&networks::configuration(name)?)
    }

    /// The definition that `configuration` is.
    pub fn new(configuration: &Map<String, Value>) -> Result<Self> {
        let text = serde_json::to_string(configuration).unwrap_or_default();
        let base = Base::parse(text.as_bytes(), Verb::Add)?;
        let path = std::env::var("CNI_PATH").ok().filter(|path| !path.is_empty());
        Ok(Self { base, text, args: String::new(), path: path.unwrap_or_else(|| CNI_PATH.to_owned()) })
    }

    /// The network, with what a runtime has filled in.
    pub fn network(&self) -> Result<Network> {
        let config = Config::parse(&self.base)?;
        config.to_network(&self.base.name, &config.runtime()?, &exec::host_seed()?)
    }

    /// What the engine needs for an attachment.
    pub fn request(
        &self,
        (config, runtime): (&Config, &RuntimeConfig),
        key: AttachmentKey,
        netns: &str,
        wish: &Wish,
        maker: Maker,
    ) -> Result<AttachRequest> {
        let seed = exec::host_seed()?;
        let network = config.to_network(&self.base.name, runtime, &seed)?;
        let version = self.base.version;
        Ok(AttachRequest {
            delegate: self.delegate(&key, netns),
            attachment: request::attachment(key, netns, network, wish, &seed)?,
            wishes: Wishes { requested: wish.ips.clone(), previous: Vec::new() },
            maker,
            read_delegated: Box::new(move |printed| request::read_delegated(printed, version)),
        })
    }

    /// The same for a network by its name, for a face at which all that is asked for is in the wish.
    pub fn request_by_name(key: AttachmentKey, netns: &str, wish: &Wish, maker: Maker) -> Result<AttachRequest> {
        let network = Self::named(&key.network)?;
        let config = Config::parse(&network.base)?;
        network.request((&config, &RuntimeConfig::default()), key, netns, wish, maker)
    }

    /// The delegated IPAM plugin that the configuration names, whatever else it says.
    #[must_use]
    pub fn foreign_ipam(&self) -> Option<&str> {
        self.base.ipam_type().filter(|name| *name != "springline")
    }

    /// The delegate as it would be called now for an attachment.
    #[must_use]
    pub fn delegate(&self, key: &AttachmentKey, netns: &str) -> Option<Delegate> {
        self.delegate_for(DelegateContext::Attachment(key.clone(), netns.to_owned()))
    }

    /// The delegate as it would be called now for whatever it is to be called for.
    #[must_use]
    pub fn delegate_for(&self, context: DelegateContext) -> Option<Delegate> {
        let delegation = Delegation {
            plugin: self.foreign_ipam()?.to_owned(),
            config: self.text.clone(),
            args: self.args.clone(),
            path: self.path.clone(),
        };
        Some(Delegate { delegation, context })
    }

    /// What the network's definition says today of an attachment that is to be removed; nothing, if there is none any more.
    #[must_use]
    pub fn today_by_name(key: &AttachmentKey) -> Today {
        Self::named(&key.network).map_or_else(|_| Today::default(), |network| network.today(key, ""))
    }

    /// What we know of an attachment that is to be removed.
    #[must_use]
    pub fn today(&self, key: &AttachmentKey, netns: &str) -> Today {
        let data_dir = self.base.document.get("ipam").and_then(|ipam| ipam.get("dataDir")).and_then(Value::as_str);
        Today {
            delegate: self.delegate(key, netns),
            links: self.links_of_the_host(key),
            data_dir: data_dir.map(Into::into),
        }
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
}
