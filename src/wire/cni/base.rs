//! What every verb needs of a configuration, and nothing more: DEL and GC must work under one that has become
//! invalid since ADD. [`super::config`] is the whole.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::env::Verb;
use super::forgiving;
use super::version::Version;
use crate::error::{Code, Coded, Error, Result};
use crate::model::NetworkName;

/// What every verb needs of a configuration.
#[derive(Debug, Clone)]
pub struct Base {
    /// The negotiated version, in which results are given.
    pub version: Version,
    /// The network's name.
    pub name: NetworkName,
    /// The whole document.
    pub document: Map<String, Value>,
}

impl Base {
    /// The version that the document on stdin states, if it is one that we speak: errors are told in it, also
    /// those about the rest of the document.
    #[must_use]
    pub fn stated_version(stdin: &[u8]) -> Option<Version> {
        let document: Map<String, Value> = serde_json::from_slice(stdin).ok()?;
        Version::parse(document.get("cniVersion").map_or(Some(""), Value::as_str)?).ok()
    }

    /// Parses what a runtime wrote to stdin and negotiates the version for `verb`.
    pub fn parse(stdin: &[u8], verb: Verb) -> Result<Self> {
        let unmarshall = || "error unmarshall network config";
        let document: Map<String, Value> = match serde_json::from_slice(stdin) {
            Ok(document) => document,
            Err(error) if stdin.iter().all(u8::is_ascii_whitespace) => {
                let empty = anyhow::Error::new(error).context("no configuration on stdin");
                return Err::<Self, _>(empty).coded(Code::Decode, unmarshall);
            }
            Err(error) => return Err::<Self, _>(error).coded(Code::Decode, unmarshall),
        };
        let text = |key: &str| match document.get(key) {
            None | Some(Value::Null) => Ok(""),
            Some(Value::String(text)) => Ok(text.as_str()),
            Some(other) => {
                Err(Error::new(Code::Decode, format!("{key} is {other}, not a string")).context(unmarshall()))
            }
        };
        let name = match text("name")? {
            "" => return Err(Error::new(Code::InvalidConfig, "missing network name")),
            name => NetworkName::parse(name).map_err(|why| {
                Error::new(Code::InvalidConfig, format!("{name}: {why}"))
                    .context("invalid characters found in network name")
            })?,
        };
        let version = negotiate(text("cniVersion")?, verb)?;
        Ok(Self { version, name, document })
    }

    /// The IPAM plugin's name, if there is one; whatever else `ipam` holds.
    #[must_use]
    pub fn ipam_type(&self) -> Option<&str> {
        self.document.get("ipam")?.get("type")?.as_str().filter(|name| !name.is_empty())
    }

    /// The result of the verbs before us, if the runtime handed one on.
    #[must_use]
    pub fn prev_result(&self) -> Option<&Value> {
        self.document.get("prevResult").filter(|value| !value.is_null())
    }

    /// GC's list of (container id, interface name) to keep; `None` if the runtime gave no list at all.
    pub fn valid_attachments(&self) -> Result<Option<Vec<ValidAttachment>>> {
        // libcni sends the same list under both names (containernetworking/cni#1101).
        let list = ["cni.dev/valid-attachments", "cni.dev/attachments"].iter().find_map(|key| self.document.get(*key));
        match list {
            None | Some(Value::Null) => Ok(None),
            Some(list) => {
                let lower = forgiving::lower_keys(list.clone());
                serde_json::from_value(lower).map(Some).coded(Code::InvalidConfig, || "cni.dev/valid-attachments")
            }
        }
    }
}

/// One attachment that GC must keep.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct ValidAttachment {
    /// The container's id.
    #[serde(rename = "containerid")]
    pub container: String,
    /// The interface's name.
    pub ifname: String,
}

/// The version to speak, with the Go skeleton's codes and texts for each way to disagree.
fn negotiate(text: &str, verb: Verb) -> Result<Version> {
    let (name, since) = match verb {
        Verb::Check => ("CHECK", Version::V040),
        Verb::Gc => ("GC", Version::V110),
        Verb::Status => ("STATUS", Version::V110),
        Verb::Add | Verb::Del | Verb::Version => return Version::parse(text),
    };
    let Err(unknown) = Version::parse(text).map(|version| (version, version.must_allow(name, since))) else {
        let version = Version::parse(text)?;
        return version.must_allow(name, since).map(|()| version);
    };
    let mut parts = text.split('.').map(str::parse::<u32>);
    let numbers: [_; 3] = std::array::from_fn(|_| parts.next());
    match numbers {
        [Some(Ok(major)), Some(Ok(minor)), Some(Ok(_))] if parts.next().is_none() => {
            if (major, minor) > (1, 1) {
                return Err(unknown.context(format!("plugin version does not allow {name}")));
            }
            Err(unknown)
        }
        _ => Err(Error::new(Code::Decode, format!("cniVersion {text:?} is not of the form x.y.z"))),
    }
}
