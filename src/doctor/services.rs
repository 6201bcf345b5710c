//! Network services that configure whatever link turns up: those of containers, too, unless they are told not to.
//!
//! A service that "manages" the host's end of a pair takes its addresses away, asks for others by DHCP, or takes the
//! link down. Each has a file that stops it, which is also in `hooks/`.

use std::collections::BTreeMap;

use super::ini::{self, Entry};
use super::{Finding, HostFacts, HostFile, Level, some_of};

/// Where systemd has its files; the first of those with the same name counts (systemd.network(5)).
const NETWORKD: [&str; 4] =
    ["/etc/systemd/network/", "/run/systemd/network/", "/usr/local/lib/systemd/network/", "/usr/lib/systemd/network/"];

/// Links to which springline gives names of its own, whatever the networks are.
const OWN_NAMES: [&str; 2] = ["veth???????????", "spring*"];

/// Files of systemd's by name, in the order in which they are asked (for each link, the first that matches).
fn systemd_files<'a>(facts: &'a HostFacts, extension: &str) -> Vec<&'a HostFile> {
    let mut by_name: BTreeMap<&str, &HostFile> = BTreeMap::new();
    for folder in NETWORKD {
        for file in &facts.files {
            let Some(name) = file.path.strip_prefix(folder) else { continue };
            if !name.contains('/') && name.ends_with(extension) {
                by_name.entry(name).or_insert(file);
            }
        }
    }
    // One that is empty is masked (a link to /dev/null).
    by_name.into_values().filter(|file| !file.text.trim().is_empty()).collect()
}

pub(super) fn networkd(facts: &HostFacts) -> Vec<Finding> {
    let files = systemd_files(facts, ".network");
    let mut taken: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for link in facts.our_links() {
        let first = files.iter().find(|file| takes(&ini::entries(&file.text), link));
        if let Some(file) = first.filter(|file| !is_unmanaged(&ini::entries(&file.text))) {
            taken.entry(&file.path).or_default().push(link.to_owned());
        }
    }
    let runs = facts.running.contains("networkd");
    let level = if runs { Level::Warning } else { Level::Note };
    let found = taken.into_iter().map(|(path, links)| {
        let what = format!("{path} applies to {}", some_of(&links));
        let why = if runs {
            "systemd-networkd configures the host's ends of containers: addresses and routes go, others come"
        } else {
            "it would configure the host's ends of containers; it is not running"
        };
        let names = names(facts).join(" ");
        let folder = format!("{}/etc/systemd/network", facts.root);
        let lines = format!("'[Match]' 'Name={names}' '' '[Link]' 'Unmanaged=yes'");
        let write = format!("printf '%s\\n' {lines} > {folder}/10-springline-unmanaged.network");
        let reload = if runs && facts.root.is_empty() { " && networkctl reload" } else { "" };
        Finding::new(level, path, what, why).mended_by(format!("mkdir -p {folder} && {write}{reload}"))
    });
    found.collect()
}

/// The patterns of our links: those that are always ours, and those that networks choose.
fn names(facts: &HostFacts) -> Vec<String> {
    let mut names: Vec<String> = OWN_NAMES.map(str::to_owned).into();
    for link in facts.our_links() {
        if !names.iter().any(|pattern| ini::matches(pattern, link)) {
            names.push(link.to_owned());
        }
    }
    names
}

/// Whether the section `[Match]` fits a link of ours, which is virtual: no path, no permanent MAC, no wireless network.
/// What is about the machine (architecture, host name) is taken to fit.
fn takes(entries: &[Entry<'_>], link: &str) -> bool {
    let values = |wanted: &str| -> Vec<&str> {
        let mut words = Vec::new();
        for entry in entries.iter().filter(|entry| entry.section == "Match" && entry.key == wanted) {
            if entry.value.is_empty() {
                words.clear(); // an empty assignment takes back those before it
            }
            words.extend(entry.value.split_whitespace());
        }
        words
    };
    let fits = |wanted: &str, own: &[&str]| {
        let mut words = values(wanted);
        if words.is_empty() {
            return true;
        }
        // A "!" before the first pattern turns the whole list around.
        let negated = words[0].strip_prefix('!');
        if let Some(first) = negated {
            words[0] = first;
        }
        let any = words.iter().any(|pattern| own.iter().any(|own| ini::matches(pattern, own)));
        any != negated.is_some()
    };
    let never = ["MACAddress", "PermanentMACAddress", "Path", "SSID", "BSSID", "WLANInterfaceType", "Property"];
    let kinds: &[&str] = if link.starts_with("spring") { &["bridge", "dummy"] } else { &["veth", "bridge"] };
    never.iter().all(|key| values(key).is_empty())
        && fits("Name", &[link])
        && fits("OriginalName", &[link])
        && fits("Driver", kinds)
        && fits("Kind", kinds)
        && fits("Type", &["ether", "bridge"])
        && values("Virtualization").iter().all(|word| !matches!(*word, "container" | "yes"))
}

fn is_unmanaged(entries: &[Entry<'_>]) -> bool {
    let last = entries.iter().rfind(|entry| entry.section == "Link" && entry.key == "Unmanaged");
    last.is_some_and(|entry| is_true(entry.value))
}

fn is_true(value: &str) -> bool {
    ["yes", "true", "on", "1"].contains(&value.to_lowercase().as_str())
}

/// `NetworkManager` makes a connection of its own for every Ethernet link, unless configuration or udev keep it away.
pub(super) fn network_manager(facts: &HostFacts) -> Vec<Finding> {
    if !facts.running.contains("NetworkManager") {
        return Vec::new();
    }
    let spared = |link: &str| facts.files.iter().any(|file| spares(file, link));
    let taken: Vec<String> = facts.our_links().into_iter().filter(|link| !spared(link)).map(str::to_owned).collect();
    if taken.is_empty() {
        return Vec::new();
    }
    let specs: Vec<String> = names(facts).iter().map(|name| format!("interface-name:{name}")).collect();
    let folder = format!("{}/etc/NetworkManager/conf.d", facts.root);
    let lines = format!("'[device-springline]' 'match-device={}' 'managed=0'", specs.join(";"));
    let reload = if facts.root.is_empty() { " && nmcli general reload conf" } else { "" };
    let mend = format!("mkdir -p {folder} && printf '%s\\n' {lines} > {folder}/springline.conf{reload}");
    let what = format!("nothing tells it to leave {} alone", some_of(&taken));
    let why = "it may run DHCP on the host's ends of containers, or take them for uplinks";
    vec![Finding::new(Level::Warning, "NetworkManager", what, why).mended_by(mend)]
}

/// Whether a file keeps `NetworkManager` from a link: `unmanaged-devices`, a section `[device…]` with `managed=0`, or a
/// rule of udev's that sets `NM_UNMANAGED` for all links of the driver.
fn spares(file: &HostFile, link: &str) -> bool {
    let HostFile { path, text } = file;
    if path.contains("/udev/rules.d/") {
        let is_about = |line: &&str| line.contains("NM_UNMANAGED}=\"1\"") && line.contains("\"veth\"");
        return !text.is_empty() && link.starts_with("veth") && text.lines().any(|line| is_about(&line));
    }
    if !path.contains("/NetworkManager/") {
        return false;
    }
    let entries = ini::entries(text);
    let is_listed = |list: &str| {
        let mut specs = list.split([';', ',']).map(str::trim).filter(|spec| !spec.is_empty());
        let fits = |spec: &str| match spec.split_once(':') {
            Some(("interface-name", name)) => ini::matches(name.trim_start_matches('='), link),
            Some(("driver", "veth")) => link.starts_with("veth"),
            Some(("type", kind)) => kind == if link.starts_with("spring") { "bridge" } else { "veth" },
            _ => spec == "*",
        };
        let is_except = |spec: &str| spec.strip_prefix("except:").is_some_and(fits);
        !list.split([';', ',']).map(str::trim).any(is_except) && specs.any(fits)
    };
    let by_list = entries.iter().any(|entry| {
        let key = entry.key.trim_end_matches('+');
        entry.section == "keyfile" && key == "unmanaged-devices" && is_listed(entry.value)
    });
    let by_section = entries.iter().any(|entry| {
        let of_section = |key: &str| {
            let mut own = entries.iter().filter(|other| other.section == entry.section && other.key == key);
            own.next_back().map(|entry| entry.value)
        };
        entry.section.starts_with("device")
            && of_section("match-device").is_some_and(is_listed)
            && of_section("managed").is_some_and(|value| !is_true(value))
    });
    by_list || by_section
}

/// Files of udev's that give our links other names or MACs, and rules that do something with every link.
pub(super) fn udev(facts: &HostFacts) -> Vec<Finding> {
    let mut found = Vec::new();
    let files = systemd_files(facts, ".link");
    let mut seen: BTreeMap<&str, (&HostFile, Vec<String>)> = BTreeMap::new();
    for link in facts.our_links() {
        if let Some(file) = files.iter().find(|file| takes(&ini::entries(&file.text), link)) {
            seen.entry(&file.path).or_insert((file, Vec::new())).1.push(link.to_owned());
        }
    }
    for (path, (file, links)) in seen {
        let entries = ini::entries(&file.text);
        let set = |key: &str| entries.iter().rfind(|entry| entry.section == "Link" && entry.key == key);
        if let Some(entry) = ["Name", "MACAddress", "MTUBytes"].into_iter().find_map(set) {
            let what = format!("{path} sets {}={} for {}", entry.key, entry.value, some_of(&links));
            let why = "the host's ends of containers are not what their records say any more";
            // An own file before it, which says nothing: the first that matches is the only one.
            let folder = format!("{}/etc/systemd/network", facts.root);
            let lines = format!("'[Match]' 'OriginalName={}' '' '[Link]' 'NamePolicy=keep'", names(facts).join(" "));
            let mend = format!("mkdir -p {folder} && printf '%s\\n' {lines} > {folder}/05-springline.link");
            found.push(Finding::new(Level::Warning, path, what, why).mended_by(mend));
        } else if set("MACAddressPolicy").is_some_and(|entry| entry.value == "persistent") {
            let what = format!("{path} gives links without a MAC of their own a new one");
            let why = "springline gives each link its MAC in the message that creates it, and udev leaves such alone";
            found.push(Finding::new(Level::Note, path, what, why));
        }
    }
    for file in facts.files.iter().filter(|file| file.path.starts_with("/etc/udev/rules.d/")) {
        for (number, line) in file.text.lines().enumerate().filter(|(_, line)| grabs(line, facts)) {
            let HostFile { path, .. } = file;
            let what = format!("line {} of {path} does something with every new link: {}", number + 1, line.trim());
            let why = "it happens to the host's ends of containers, too";
            let reload = if facts.root.is_empty() { " && udevadm control --reload" } else { "" };
            let exception = r#"s/SUBSYSTEM=="net"/&, KERNEL!="veth*|spring*"/"#;
            let mend = format!("sed -i '{}{exception}' {}{path}{reload}", number + 1, facts.root);
            found.push(Finding::new(Level::Warning, path, what, why).mended_by(mend));
        }
    }
    found
}

/// Whether a rule does something with a link of ours, with nothing but its name to choose it by.
fn grabs(line: &str, facts: &HostFacts) -> bool {
    let line = line.trim();
    if line.starts_with('#') || !line.contains("SUBSYSTEM==\"net\"") {
        return false;
    }
    let terms: Vec<(&str, &str)> = line.split(',').filter_map(|term| term.trim().split_once('=')).collect();
    let value = |rest: &str| rest.trim_start_matches('=').trim_matches('"').to_owned();
    let acts = terms.iter().any(|(key, rest)| match key.trim_end_matches(['+', ':']) {
        "NAME" | "RUN" | "RUN{program}" => !rest.starts_with('='),
        _ => false,
    });
    let is_for = |link: &str| {
        terms.iter().all(|(key, rest)| match (*key, rest.starts_with('=')) {
            ("KERNEL", true) => value(rest).split('|').any(|pattern| ini::matches(pattern, link)),
            ("KERNEL!", _) => !value(rest).split('|').any(|pattern| ini::matches(pattern, link)),
            ("ACTION", true) => value(rest).split('|').any(|action| ini::matches(action, "add")),
            ("SUBSYSTEM", true) => true,
            (_, is_comparison) => !is_comparison && !key.ends_with('!'), // another condition: who knows
        })
    };
    acts && facts.our_links().into_iter().any(is_for)
}

#[cfg(test)]
mod tests {
    use super::super::Served;
    use super::*;
    use crate::model::{Family, Forwarding};

    fn host(files: &[(&str, &str)], running: &'static str) -> HostFacts {
        let served = Served {
            name: "n".into(),
            families: vec![Family::V4],
            forwarding: Forwarding::Enable,
            is_bridged: false,
            has_vlan: false,
            links: vec!["veth0072e6c476d".into()],
            limits: [false, false],
        };
        let file = |(path, text): &(&str, &str)| HostFile { path: (*path).into(), text: (*text).into() };
        HostFacts {
            served: vec![served],
            files: files.iter().map(file).collect(),
            running: [running].into(),
            ..HostFacts::default()
        }
    }

    #[test]
    fn which_networkd_files_take_our_links() {
        for (text, takes) in [
            ("[Match]\nName=*\n[Network]\nDHCP=yes", true),
            ("[Match]\nName=veth*\n", true),
            ("[Match]\nName=en* eth*\n", false),
            ("[Match]\nName=!en*\n", true),
            ("[Match]\nDriver=veth\n", true),
            ("[Match]\nKind=veth\nName=ve-*\n", false),
            ("[Match]\nType=ether\n", true),
            ("[Match]\nType=wlan\n", false),
            ("[Match]\nMACAddress=00:11:22:33:44:55\n", false),
            ("[Match]\nVirtualization=container\nName=*\n", false),
            ("[Match]\nName=*\n[Link]\nUnmanaged=yes\n", false),
            ("[Network]\nDHCP=yes\n", true),
            ("", false),
        ] {
            let facts = host(&[("/etc/systemd/network/50-x.network", text)], "networkd");
            assert_eq!(!networkd(&facts).is_empty(), takes, "{text}");
        }
    }

    #[test]
    fn the_first_file_counts_and_etc_goes_before_usr() {
        let all = "[Match]\nName=*\n";
        let ours = "[Match]\nName=veth*\n[Link]\nUnmanaged=yes\n";
        let (early, late) = ("/etc/systemd/network/10-a.network", "/usr/lib/systemd/network/80-b.network");
        assert_eq!(networkd(&host(&[(late, all), (early, ours)], "networkd")), []);
        assert_eq!(networkd(&host(&[(late, ours), (early, all)], "networkd")).len(), 1);
        let masked = "/etc/systemd/network/80-b.network";
        assert_eq!(networkd(&host(&[(late, all), (masked, "")], "networkd")), []);
        assert_eq!(networkd(&host(&[(late, all)], "nobody"))[0].level, Level::Note);
    }

    #[test]
    fn what_keeps_network_manager_away() {
        let conf = "/etc/NetworkManager/conf.d/x.conf";
        for (path, text, spared) in [
            (conf, "[keyfile]\nunmanaged-devices=interface-name:veth*\n", true),
            (conf, "[keyfile]\nunmanaged-devices=interface-name:eth0;driver:veth\n", true),
            (conf, "[keyfile]\nunmanaged-devices=*,except:interface-name:eth0\n", true),
            (conf, "[keyfile]\nunmanaged-devices=*,except:interface-name:veth*\n", false),
            (conf, "[keyfile]\nunmanaged-devices=interface-name:eth0\n", false),
            (conf, "[device-a]\nmatch-device=interface-name:veth???????????\nmanaged=0\n", true),
            (conf, "[device-a]\nmatch-device=interface-name:veth*\nmanaged=1\n", false),
            (
                "/usr/lib/udev/rules.d/85-nm-unmanaged.rules",
                r#"ENV{ID_NET_DRIVER}=="veth", ENV{NM_UNMANAGED}="1""#,
                true,
            ),
            ("/elsewhere", "[keyfile]\nunmanaged-devices=interface-name:veth*\n", false),
        ] {
            let facts = host(&[(path, text)], "NetworkManager");
            assert_eq!(network_manager(&facts).is_empty(), spared, "{text}");
        }
        assert_eq!(network_manager(&host(&[], "nobody")), []);
    }

    #[test]
    fn rules_of_udev_that_grab_every_link() {
        for (line, grabs) in [
            (r#"SUBSYSTEM=="net", ACTION=="add", RUN+="/sbin/ifup %k""#, true),
            (r#"SUBSYSTEM=="net", ACTION=="add", KERNEL=="veth*", NAME="x""#, true),
            (r#"SUBSYSTEM=="net", ACTION=="add", KERNEL=="eth*", NAME="x""#, false),
            (r#"SUBSYSTEM=="net", ACTION=="add", KERNEL!="veth*|spring*", RUN+="/sbin/ifup""#, false),
            (r#"SUBSYSTEM=="net", ACTION=="add", ATTR{address}=="00:11:22:33:44:55", NAME="lan0""#, false),
            (r#"SUBSYSTEM=="block", RUN+="/bin/x""#, false),
            (r#"# SUBSYSTEM=="net", RUN+="/bin/x""#, false),
            (r#"SUBSYSTEM=="net", ENV{A}="b""#, false),
        ] {
            let facts = host(&[("/etc/udev/rules.d/70-x.rules", line)], "nobody");
            assert_eq!(!udev(&facts).is_empty(), grabs, "{line}");
        }
    }

    #[test]
    fn links_that_udev_would_change() {
        for (text, level) in [
            ("[Match]\nOriginalName=*\n[Link]\nNamePolicy=keep\nMACAddressPolicy=persistent\n", Some(Level::Note)),
            ("[Match]\nOriginalName=*\n[Link]\nMTUBytes=9000\n", Some(Level::Warning)),
            ("[Match]\nOriginalName=en*\n[Link]\nName=lan0\n", None),
            ("[Match]\nPath=pci-*\n[Link]\nName=lan0\n", None),
        ] {
            let facts = host(&[("/etc/systemd/network/70-x.link", text)], "nobody");
            assert_eq!(udev(&facts).first().map(|finding| finding.level), level, "{text}");
        }
    }
}
