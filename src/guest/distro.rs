//! Which distribution a rootfs is of.

use std::fmt;

/// A distribution, or a family of them that keeps its network the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distro {
    /// Alpine Linux.
    Alpine,
    /// Arch Linux and what descends from it.
    Arch,
    /// `CentOS`, `AlmaLinux`, Rocky Linux, and other rebuilds of RHEL.
    CentOs,
    /// Debian, Devuan.
    Debian,
    /// Fedora.
    Fedora,
    /// `NixOS`.
    NixOs,
    /// openSUSE, SLES.
    OpenSuse,
    /// Ubuntu.
    Ubuntu,
    /// Void Linux.
    Void,
}

/// Names by which each is known: to `--distro`, and in `ID` and `ID_LIKE` of `os-release`. The first one of each is
/// the one that is shown.
const NAMES: [(&str, Distro); 20] = [
    ("alpine", Distro::Alpine),
    ("arch", Distro::Arch),
    ("archarm", Distro::Arch),
    ("centos", Distro::CentOs),
    ("almalinux", Distro::CentOs),
    ("rocky", Distro::CentOs),
    ("rhel", Distro::CentOs),
    ("debian", Distro::Debian),
    ("devuan", Distro::Debian),
    ("fedora", Distro::Fedora),
    ("nixos", Distro::NixOs),
    ("opensuse", Distro::OpenSuse),
    ("opensuse-leap", Distro::OpenSuse),
    ("opensuse-tumbleweed", Distro::OpenSuse),
    ("sles", Distro::OpenSuse),
    ("suse", Distro::OpenSuse),
    ("ubuntu", Distro::Ubuntu),
    ("void", Distro::Void),
    ("manjaro", Distro::Arch),
    ("raspbian", Distro::Debian),
];

impl Distro {
    /// The distribution of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, distro)| *distro)
    }

    /// All names that [`Self::named`] knows.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }

    /// The distribution of an `os-release` (os-release(5)): by `ID`, or else by the nearest relative in `ID_LIKE`.
    #[must_use]
    pub fn detect(os_release: &str) -> Option<Self> {
        let relatives = value(os_release, "ID_LIKE");
        let relatives = relatives.iter().flat_map(|list| list.split_whitespace());
        value(os_release, "ID").as_deref().into_iter().chain(relatives).find_map(Self::named)
    }
}

/// The value of a key of an `os-release`, without its quotes.
pub(super) fn value(os_release: &str, key: &str) -> Option<String> {
    let mut pairs = os_release.lines().filter_map(|line| line.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| *name == key)?;
    Some(value.trim().trim_matches(['"', '\'']).to_owned())
}

impl Distro {
    /// How the distribution of an `os-release` calls itself, if it does: printable, and short.
    #[must_use]
    pub fn id(os_release: &str) -> Option<String> {
        let id = value(os_release, "ID")?;
        let id: String = id.chars().filter(char::is_ascii_graphic).take(64).collect();
        Some(id).filter(|id| !id.is_empty())
    }
}

impl fmt::Display for Distro {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, distro)| distro == self).map_or("", |(name, _)| *name);
        f.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_is_known_by_itself_or_by_its_relatives() {
        let detect = |text: &str| Distro::detect(text);
        assert_eq!(
            detect("NAME=\"Rocky Linux\"\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"),
            Some(Distro::CentOs)
        );
        assert_eq!(detect("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"), Some(Distro::Ubuntu));
        assert_eq!(detect("ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n"), Some(Distro::OpenSuse));
        assert_eq!(detect("ID='void'"), Some(Distro::Void));
        assert_eq!(detect("ID=plan9\n"), None);
        assert_eq!(detect(""), None);
        assert_eq!(Distro::id("ID=a\u{1b}[31mb\n").as_deref(), Some("a[31mb"));
        for name in Distro::names() {
            assert!(Distro::named(name).is_some());
        }
    }
}
