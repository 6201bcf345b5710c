//! What nobody uses any more, and definitions that nobody can use.

use super::{Finding, HostFacts, Leftover, Level};

/// Definitions of networks that cannot be read.
pub(super) fn networks(facts: &HostFacts) -> Vec<Finding> {
    let findings = facts.unreadable.iter().map(|(path, why)| {
        Finding::new(Level::Warning, path, format!("{path} defines no network that can be attached to"), why)
    });
    findings.collect()
}

/// State of attachments that are dead, or of which only a part is left.
pub(super) fn state(facts: &HostFacts) -> Vec<Finding> {
    facts.leftovers.iter().filter_map(in_state).collect()
}

fn in_state(leftover: &Leftover) -> Option<Finding> {
    let remove = |path: &str| format!("rm {path}");
    Some(match leftover {
        Leftover::Orphan(name) => {
            let why = "its container died without a DEL: its addresses and ports are not free until it is cleared away";
            Finding::new(Level::Warning, name, format!("the namespace of {name} is gone"), why)
                .mended_by("springline gc")
        }
        Leftover::Unreadable(name, error) => {
            Finding::new(Level::Warning, name, format!("the record of {name} cannot be read"), error)
                .mended_by(format!("springline detach {name}"))
        }
        Leftover::Lease(path, owner) => {
            let why = "the address is not given to anybody else until its range is full";
            Finding::new(
                Level::Warning,
                path,
                format!("{path} is a lease of {owner}, of which there is no record"),
                why,
            )
            .mended_by(remove(path))
        }
        Leftover::Stake(path, owner) => {
            let why = "the bridge or address that it is about is not taken away with its last user";
            Finding::new(
                Level::Warning,
                path,
                format!("{path} is a stake of {owner}, of which there is no record"),
                why,
            )
            .mended_by(remove(path))
        }
        Leftover::Ruleset(table, version) => {
            let why = "it works as that version meant it; the next ADD that needs it renews it";
            Finding::new(Level::Note, table, format!("table {table} was made by another version ({version})"), why)
        }
        Leftover::Name(_) => return None,
    })
}

/// Files in `/run/netns` that are no namespaces, as a killed `ip netns add` leaves them.
pub(super) fn names(facts: &HostFacts) -> Vec<Finding> {
    let files = facts.leftovers.iter().filter_map(|leftover| match leftover {
        Leftover::Name(path) => Some(path),
        _ => None,
    });
    let why = "whoever goes by the name finds no namespace; `ip netns add` of that name fails";
    files
        .map(|path| {
            Finding::new(Level::Warning, path, format!("{path} is a plain file"), why).mended_by(format!("rm {path}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_told_once() {
        let facts = HostFacts {
            leftovers: vec![
                Leftover::Orphan("n/c/eth0".into()),
                Leftover::Unreadable("n/d/eth0".into(), "EOF".into()),
                Leftover::Lease("/s/leases/n/10.0.0.1".into(), "n/e/eth0".into()),
                Leftover::Stake("/s/shared/bridge-br0/aa".into(), "n/e/eth0".into()),
                Leftover::Ruleset("inet springline".into(), "springline 0".into()),
                Leftover::Name("/run/netns/x".into()),
            ],
            unreadable: vec![("/etc/cni/net.d/x.conf".into(), "EOF".into())],
            ..HostFacts::default()
        };
        let mends =
            |found: Vec<Finding>| found.into_iter().map(|found| found.mend.unwrap_or_default()).collect::<Vec<_>>();
        let expected = [
            "springline gc",
            "springline detach n/d/eth0",
            "rm /s/leases/n/10.0.0.1",
            "rm /s/shared/bridge-br0/aa",
            "",
        ];
        assert_eq!(mends(state(&facts)), expected);
        assert_eq!(mends(names(&facts)), ["rm /run/netns/x"]);
        assert_eq!(networks(&facts).len(), 1);
    }
}
