//! The specification's versions: which verbs and result shapes go with which.

use std::fmt;

use crate::error::{Code, Error, Result};

/// A version of the CNI specification that we speak, oldest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 0.1.0
    V010,
    /// 0.2.0
    V020,
    /// 0.3.0
    V030,
    /// 0.3.1
    V031,
    /// 0.4.0: CHECK, and prevResult on DEL
    V040,
    /// 1.0.0
    V100,
    /// 1.1.0: GC and STATUS
    #[default]
    V110,
}

impl Version {
    /// All of them, oldest first.
    pub const ALL: [Self; 7] = [Self::V010, Self::V020, Self::V030, Self::V031, Self::V040, Self::V100, Self::V110];

    /// The newest.
    pub const LATEST: Self = Self::V110;

    /// As spelled in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V010 => "0.1.0",
            Self::V020 => "0.2.0",
            Self::V030 => "0.3.0",
            Self::V031 => "0.3.1",
            Self::V040 => "0.4.0",
            Self::V100 => "1.0.0",
            Self::V110 => "1.1.0",
        }
    }

    /// The version called `text`; an empty text means 0.1.0, which had no `cniVersion` key yet.
    pub fn parse(text: &str) -> Result<Self> {
        let text = if text.is_empty() { "0.1.0" } else { text };
        Self::ALL.into_iter().find(|version| version.as_str() == text).ok_or_else(|| {
            let supported = Self::ALL.map(|version| format!("{:?}", version.as_str())).join(" ");
            Error::new(Code::IncompatibleVersion, format!("config is {text:?}, plugin supports [{supported}]"))
                .context("incompatible CNI versions")
        })
    }

    /// Refuses `verb` if the configuration's version is older than the verb.
    pub fn must_allow(self, verb: &str, since: Self) -> Result<()> {
        if self >= since {
            return Ok(());
        }
        let why = format!("{verb} exists since {since}, the configuration has cniVersion {self}");
        Err(Error::new(Code::IncompatibleVersion, why).context(format!("config version does not allow {verb}")))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
