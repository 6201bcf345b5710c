//! The `CNI_*` variables, checked in the order and with the words that runtimes know from the Go
//! skeleton (`containernetworking/cni`, `pkg/skel`).

use std::ffi::OsString;

use crate::error::{Code, Error, Result};
use crate::model::{ContainerId, IfName};

/// A CNI verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Attach.
    Add,
    /// Compare with what was attached.
    Check,
    /// Detach.
    Del,
    /// Detach everything that is not valid any more.
    Gc,
    /// Could an ADD be served?
    Status,
    /// Which versions do we speak?
    Version,
}

impl Verb {
    /// The verb called `text`, in capitals as the specification has them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "ADD" => Self::Add,
            "CHECK" => Self::Check,
            "DEL" => Self::Del,
            "GC" => Self::Gc,
            "STATUS" => Self::Status,
            "VERSION" => Self::Version,
            _ => return None,
        })
    }
}

/// What a runtime says through the environment. Variables that a verb does not need stay empty.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `CNI_CONTAINERID`
    pub container: Option<ContainerId>,
    /// `CNI_IFNAME`
    pub ifname: Option<IfName>,
    /// `CNI_NETNS`, verbatim; empty if the runtime gave none.
    pub netns: String,
    /// `CNI_ARGS`, verbatim.
    pub args: String,
    /// `CNI_PATH`, verbatim.
    pub path: String,
    /// `CNI_NETNS_OVERRIDE`: the container's namespace may be our own.
    pub netns_override: bool,
}

impl Environment {
    /// Reads the variables of `verb` through `lookup`. All missing ones are named in one message; an
    /// invalid value is reported at once, so what comes after it in the table is not looked at.
    pub fn read(verb: Verb, lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        use Verb::{Add, Check, Del, Gc, Status};
        let get = |name: &str| -> Result<String> {
            lookup(name).unwrap_or_default().into_string().map_err(|value| {
                Error::new(Code::InvalidEnvironment, format!("{name} is not UTF-8: {}", value.to_string_lossy()))
            })
        };
        let mut env = Self::default();
        let mut missing = Vec::new();
        let mut require = |name: &'static str, needed: bool| -> Result<String> {
            let value = get(name)?;
            if needed && value.is_empty() {
                missing.push(name);
            }
            Ok(value)
        };
        let per_container = matches!(verb, Add | Check | Del);
        let id = require("CNI_CONTAINERID", per_container)?;
        if per_container && !id.is_empty() {
            env.container = Some(container_id(&id)?);
        }
        env.netns = require("CNI_NETNS", matches!(verb, Add | Check))?;
        let ifname = require("CNI_IFNAME", per_container)?;
        if per_container && !ifname.is_empty() {
            env.ifname = Some(interface_name(&ifname)?);
        }
        env.path = require("CNI_PATH", matches!(verb, Add | Check | Del | Gc | Status))?;
        if !missing.is_empty() {
            let message = format!("required env variables [{}] missing", missing.join(","));
            return Err(Error::new(Code::InvalidEnvironment, message));
        }
        env.args = get("CNI_ARGS")?;
        env.netns_override = matches!(get("CNI_NETNS_OVERRIDE")?.to_lowercase().as_str(), "1" | "true");
        Ok(env)
    }
}

fn container_id(id: &str) -> Result<ContainerId> {
    ContainerId::parse(id).map_err(|why| {
        Error::new(Code::InvalidEnvironment, format!("{id}: {why}")).context("invalid characters in containerID")
    })
}

fn interface_name(name: &str) -> Result<IfName> {
    IfName::parse(name).map_err(|why| {
        // The texts of the Go skeleton, which tools match; our own rule (%) has no counterpart there.
        let message = match why.why.as_str() {
            text if text.contains("15 bytes") => "interface name is too long".to_owned(),
            text if text.starts_with("is .") => "interface name is . or ..".to_owned(),
            text => format!("interface name {text}"),
        };
        Error::new(Code::InvalidEnvironment, format!("CNI_IFNAME: {why}")).context(message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(verb: Verb, vars: &[(&str, &str)]) -> Result<Environment> {
        Environment::read(verb, |name| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn all_missing_variables_are_named_in_table_order() {
        let error = read(Verb::Add, &[("CNI_PATH", "")]).unwrap_err();
        let expected = "required env variables [CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH] missing";
        assert_eq!((error.code, error.message().as_str()), (Code::InvalidEnvironment, expected));
    }

    #[test]
    fn an_invalid_value_wins_over_later_missing_ones() {
        let error = read(Verb::Add, &[("CNI_CONTAINERID", "a/b")]).unwrap_err();
        assert_eq!(error.message(), "invalid characters in containerID");
    }

    #[test]
    fn del_needs_no_netns_and_gc_only_the_path() {
        let del = [("CNI_CONTAINERID", "c1"), ("CNI_IFNAME", "eth0"), ("CNI_PATH", "/opt/cni/bin")];
        assert!(read(Verb::Del, &del).is_ok());
        assert!(read(Verb::Gc, &[("CNI_PATH", "/opt/cni/bin"), ("CNI_CONTAINERID", "")]).is_ok());
        assert!(read(Verb::Gc, &[]).is_err());
        assert!(read(Verb::Version, &[("CNI_IFNAME", "not/valid")]).is_ok());
    }
}
