//! By whom an attachment was made.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The face of springline by which an attachment was made, and for which instance of a runtime. A container's id is
/// unique within one of these only: there may be an LXC container `web` beside a bundle that `runc` calls `web`. A hook
/// that is told of the end of the one must leave the other alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maker {
    /// The face.
    pub face: Face,
    /// Which instance, where the face can tell: LXC's folder of containers, an OCI container's bundle.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub instance: String,
}

/// A face of springline.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Face {
    /// The CNI plugin.
    #[default]
    Cni,
    /// The netavark plugin.
    Netavark,
    /// The OCI hook.
    Oci,
    /// The LXC hook.
    Lxc,
    /// The command line.
    Cli,
}

impl Face {
    /// Its name, as in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cni => "cni",
            Self::Netavark => "netavark",
            Self::Oci => "oci",
            Self::Lxc => "lxc",
            Self::Cli => "cli",
        }
    }
}

impl Maker {
    /// The face's only or unknown instance.
    #[must_use]
    pub fn of(face: Face) -> Self {
        Self { face, instance: String::new() }
    }
}

impl fmt::Display for Maker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.face.as_str())?;
        if self.instance.is_empty() { Ok(()) } else { write!(f, " ({})", self.instance) }
    }
}
