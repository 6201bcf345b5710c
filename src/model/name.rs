//! Names that end up in the kernel or as file names, checked once.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A name that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidName {
    /// What kind of name it is, e.g. "interface name".
    pub what: &'static str,
    /// The offending text.
    pub value: String,
    /// The rule it breaks.
    pub why: String,
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {}", self.what, self.value, self.why)
    }
}

impl std::error::Error for InvalidName {}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks `value` and wraps it.
            pub fn parse(value: &str) -> Result<Self, InvalidName> {
                match $check(value) {
                    Ok(()) => Ok(Self(value.to_owned())),
                    Err(why) => Err(InvalidName { what: $what, value: value.to_owned(), why: why.into() }),
                }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(value: String) -> Result<Self, InvalidName> {
                Self::parse(&value)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

name_type! {
    /// The name of a link: at most 15 bytes (`IFNAMSIZ` is 16 with the NUL), as `dev_valid_name()` in
    /// `net/core/dev.c` has it, and without `%`, which the kernel would expand as a template.
    IfName, "interface name", check_ifname
}

name_type! {
    /// The name of a network (CNI `name`): also a directory name below the state directory.
    NetworkName, "network name", check_identifier
}

name_type! {
    /// The runtime's id of a container (`CNI_CONTAINERID`): also a directory name.
    ContainerId, "container id", check_identifier
}

fn check_ifname(value: &str) -> Result<(), &'static str> {
    if value.is_empty() {
        return Err("is empty");
    }
    if value.len() > 15 {
        return Err("is longer than 15 bytes");
    }
    if value == "." || value == ".." {
        return Err("is . or ..");
    }
    if value == "all" || value == "default" {
        return Err("is the kernel's name for the settings of all links");
    }
    if value.contains('%') {
        return Err("contains '%', which the kernel expands as a template");
    }
    if value.chars().any(|c| c == '/' || c == ':' || c.is_whitespace() || c.is_control()) {
        return Err("contains / or : or whitespace characters");
    }
    Ok(())
}

/// The rule that CNI gives for container ids and network names: alphanumeric first, then also `_.-`.
fn check_identifier(value: &str) -> Result<(), &'static str> {
    // Not NAME_MAX (255): a record's file name holds an id, an interface's name (15), and six characters more.
    if value.len() > 234 {
        return Err("is longer than 234 bytes, too long for a file name");
    }
    let mut chars = value.chars();
    let Some(first) = chars.next() else { return Err("is empty") };
    if !first.is_ascii_alphanumeric() {
        return Err("does not begin with a letter or digit");
    }
    if !chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')) {
        return Err("contains characters other than letters, digits and _ . -");
    }
    Ok(())
}

impl IfName {
    /// The loopback link's name.
    #[must_use]
    pub fn loopback() -> Self {
        Self("lo".to_owned())
    }
}

/// A template for host-side link names with the placeholders `{hash}`, `{id}` and `{ifname}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostLinkTemplate(String);

impl TryFrom<String> for HostLinkTemplate {
    type Error = InvalidName;
    fn try_from(value: String) -> Result<Self, InvalidName> {
        Self::parse(&value)
    }
}

impl From<HostLinkTemplate> for String {
    fn from(template: HostLinkTemplate) -> Self {
        template.0
    }
}

impl Default for HostLinkTemplate {
    fn default() -> Self {
        Self("veth{hash}".to_owned())
    }
}

impl HostLinkTemplate {
    /// How many hex digits `{hash}` gets at most: 44 bits keep ten thousand links apart.
    const HASH_DIGITS: usize = 11;

    /// Checks the template: known placeholders only, and at least `{hash}` or `{id}`, for otherwise two
    /// containers of the network would ask for the same name.
    pub fn parse(value: &str) -> Result<Self, InvalidName> {
        let refuse = |why: &str| InvalidName { what: "host interface template", value: value.into(), why: why.into() };
        let template = Self(value.to_owned());
        if !value.contains("{hash}") && !value.contains("{id}") {
            return Err(refuse("has neither {hash} nor {id}: all containers would get the same name"));
        }
        template.render(0, "i", "e").map_err(|error| refuse(&error.why))?;
        Ok(template)
    }

    /// How every name made from it begins.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.0.split('{').next().unwrap_or_default()
    }

    /// The name for one attachment. `{hash}` takes what room the rest leaves, at most 11 digits.
    pub fn render(&self, hash: u128, container: &str, ifname: &str) -> Result<IfName, InvalidName> {
        let text = self.0.replace("{id}", container).replace("{ifname}", ifname);
        let room = 15usize.saturating_sub(text.replace("{hash}", "").len()).min(Self::HASH_DIGITS);
        if self.0.contains("{hash}") && room < 4 {
            let why = "leaves fewer than 4 of 15 bytes for {hash}".to_owned();
            return Err(InvalidName { what: "host interface name", value: text, why });
        }
        let digits = format!("{hash:032x}");
        let name = text.replace("{hash}", &digits[..room]);
        if name.contains(['{', '}']) {
            let why = "has an unknown placeholder: {hash}, {id} and {ifname} are known".to_owned();
            return Err(InvalidName { what: "host interface template", value: self.0.clone(), why });
        }
        IfName::parse(&name).map_err(|error| InvalidName { what: "host interface name", ..error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_names_are_what_the_kernel_takes() {
        for good in ["eth0", "a", "fifteen-bytes15", "é"] {
            assert!(IfName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a:b", "a b", "a\u{a0}b", "e%d", "all", "default", "sixteen-bytes-16", "a\n"]
        {
            assert!(IfName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn identifiers_follow_the_cni_rule() {
        for good in ["a", "0", "default-web", "a_b.c-d", &"x".repeat(234)] {
            assert!(ContainerId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "_a", "a/b", "a b", "ä", &"x".repeat(235)] {
            assert!(ContainerId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_hash_fills_what_the_template_leaves() {
        let hash = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;
        let render = |template: &str| HostLinkTemplate::parse(template).unwrap().render(hash, "web", "eth0");
        assert_eq!(render("veth{hash}").unwrap().as_str(), "veth0123456789a");
        assert_eq!(render("s{id}-{ifname}").unwrap().as_str(), "sweb-eth0");
        assert_eq!(render("{ifname}{hash}").unwrap().as_str(), "eth00123456789a");
        assert!(HostLinkTemplate::parse("veth0").is_err());
        assert!(HostLinkTemplate::parse("veth{hash}{nope}").is_err());
        assert!(HostLinkTemplate::parse("thirteen-byte{hash}").is_err());
    }
}
