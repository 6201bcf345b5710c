//! Configurations, and how the kernel's answers are read.

use std::io::Write;

use serde_json::{Value, json};

use crate::common::cni::{Outcome, Plugin, merged};
use crate::common::state::assert_unchanged;
use crate::common::traffic::can_make_traffic;
use crate::common::{Container, Lab, Netns, text_of, tool};

/// A network `n` of springline's, with `keys` over the least that there must be.
pub(crate) fn network(keys: &Value) -> Value {
    merged(&json!({"cniVersion": "1.1.0", "name": "n", "type": "springline"}), keys)
}

/// The same with fixed addresses.
pub(crate) fn with_addresses(addresses: &[&str], keys: &Value) -> Value {
    merged(&network(&json!({"ipam": {"type": "springline", "addresses": addresses}})), keys)
}

/// The same with a range for each subnet.
pub(crate) fn with_ranges(subnets: &[&str], keys: &Value) -> Value {
    let ranges: Vec<Value> = subnets.iter().map(|subnet| json!([{"subnet": subnet}])).collect();
    merged(&network(&json!({"ipam": {"type": "springline", "ranges": ranges}})), keys)
}

/// The same on a bridge `br0`.
pub(crate) fn bridged(subnets: &[&str], keys: &Value) -> Value {
    let basis = json!({"mode": "bridged", "bridge": {"name": "br0"}});
    with_ranges(subnets, &merged(&basis, keys))
}

/// A network with these keys, routed and on a bridge.
pub(crate) fn both_modes(subnets: &[&str], keys: &Value) -> [Value; 2] {
    [with_ranges(subnets, keys), bridged(subnets, keys)]
}

/// What `addresses` and `routes` say of a link: sorted lines.
pub(crate) type Lines = Vec<String>;

/// An attachment as it came out of ADD.
pub(crate) struct Attached<'a> {
    lab: &'a Lab,
    container: &'a Container,
    conf: Value,
    ifname: String,
    /// The host's end of the pair.
    pub(crate) link: String,
    /// What ADD printed.
    pub(crate) result: Value,
}

impl<'a> Attached<'a> {
    /// ADD of `eth0`, which must succeed.
    #[track_caller]
    pub(crate) fn new(lab: &'a Lab, conf: &Value, container: &'a Container) -> Self {
        Self::named(lab, conf, container, "eth0")
    }

    /// ADD of any name, which must succeed.
    #[track_caller]
    pub(crate) fn named(lab: &'a Lab, conf: &Value, container: &'a Container, ifname: &str) -> Self {
        let result = add(lab, conf, container, ifname).result();
        Self::of(lab, conf, container, ifname, result)
    }

    /// What an ADD made that is told of by its result.
    pub(crate) fn of(lab: &'a Lab, conf: &Value, container: &'a Container, ifname: &str, result: Value) -> Self {
        let interfaces = result["interfaces"].as_array().expect("interfaces");
        let link = text_of(&interfaces[interfaces.len() - 2]["name"]).to_owned();
        Self { lab, container, conf: conf.clone(), ifname: ifname.to_owned(), link, result }
    }

    /// DEL, which must succeed.
    #[track_caller]
    pub(crate) fn detach(&self) {
        self.lab.cni(Plugin::Routed).del(&self.conf, self.container, &self.ifname).silent();
    }

    /// The addresses of the result without their prefix lengths.
    pub(crate) fn ips(&self) -> Vec<String> {
        let ips = self.result["ips"].as_array().into_iter().flatten();
        ips.map(|ip| text_of(&ip["address"]).split('/').next().unwrap_or_default().to_owned()).collect()
    }

    /// The only address of a family.
    pub(crate) fn ip(&self, family: Family) -> String {
        let mut ips = self.ips().into_iter().filter(|ip| ip.contains(':') == (family == Family::V6));
        ips.next().expect("an address of the family")
    }

    /// The container's link, seen from inside.
    pub(crate) fn inside(&self) -> Value {
        self.container.netns().link(&self.ifname).expect("the container's link")
    }

    /// The host's link.
    pub(crate) fn outside(&self) -> Value {
        self.lab.host().link(&self.link).expect("the host's link")
    }

    /// Compares addresses and routes of both ends with what is expected, to the letter.
    #[track_caller]
    pub(crate) fn assert_is(&self, host: (&[&str], &[&str]), container: (&[&str], &[&str])) {
        assert_eq!(addresses(self.lab.host(), &self.link), sorted(host.0), "addresses on the host");
        assert_eq!(routes(self.lab.host(), &self.link), sorted(host.1), "routes on the host");
        assert_eq!(addresses(self.container.netns(), &self.ifname), sorted(container.0), "addresses inside");
        assert_eq!(routes(self.container.netns(), &self.ifname), sorted(container.1), "routes inside");
    }
}

/// The two families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// `IPv4`.
    V4,
    /// `IPv6`.
    V6,
}

/// Both.
pub(crate) const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// Has `nft` read rules on the host; of which its grammar wants a line for each.
pub(crate) fn nft(lab: &Lab, rules: &str) {
    let path = lab.dir().join("rules.nft");
    std::fs::write(&path, rules.replace('}', "\n}\n")).expect("write the rules");
    lab.host().shell(&format!("nft -f {}", path.display()));
}

/// A host with networks `a` (routed), `b` (bridged) and `none` (no addresses of its own).
pub(crate) fn with_networks() -> Lab {
    let lab = Lab::new();
    let folder = networks(&lab);
    std::fs::create_dir(&folder).expect("make the folder of networks");
    let named = |conf: &Value, name: &str| merged(conf, &json!({ "name": name }));
    let list = |conf: &Value| json!({"cniVersion": "1.0.0", "name": conf["name"], "plugins": [conf]});
    let routed = named(&with_ranges(&["10.30.0.0/24", "2001:db8:30::/64"], &json!({})), "a");
    let bridged = named(&bridged(&["10.31.0.0/24"], &json!({})), "b");
    let none = named(&with_addresses(&[], &json!({})), "none");
    let chained = json!({"cniVersion": "1.0.0", "name": "chained", "plugins": [routed.clone(), {"type": "tuning"}]});
    for (file, content) in
        [("10-a.conflist", list(&routed)), ("20-b.conf", bridged), ("30-none.json", none), ("40.conflist", chained)]
    {
        std::fs::write(folder.join(file), content.to_string()).expect("write a network");
    }
    std::fs::write(folder.join("00-broken.conf"), "{").expect("write a file that is none");
    lab
}

/// Where [`with_networks`] has them.
pub(crate) fn networks(lab: &Lab) -> std::path::PathBuf {
    lab.dir().join("net.d")
}

/// Runs a command of springline's on the host: whether it succeeded, and all that it printed.
pub(crate) fn springline(lab: &Lab, arguments: &[&str]) -> (bool, String) {
    let mut command = lab.host().command(std::path::Path::new(crate::common::cni::springline_binary()));
    command.args(arguments).env("SPRINGLINE_STATE_DIR", lab.state_dir()).env("NETCONFPATH", networks(lab));
    let output = command.output().expect("run springline");
    let text = [output.stdout.as_slice(), &output.stderr].map(String::from_utf8_lossy).concat();
    (output.status.success(), text)
}

/// ADD, whatever comes of it.
pub(crate) fn add(lab: &Lab, conf: &Value, container: &Container, ifname: &str) -> Outcome {
    lab.cni(Plugin::Routed).add(conf, container, ifname)
}

/// ADD must fail with the given code, name all the words, and change nothing on either side.
#[track_caller]
pub(crate) fn assert_refused(lab: &Lab, conf: &Value, container: &Container, code: u64, words: &[&str]) {
    let (host, inside) = (lab.host_state(), container.netns().state());
    let mut error = add(lab, conf, container, "eth0").error().with_code(code);
    for word in words {
        error = error.saying(word);
    }
    assert_unchanged(&host, &lab.host_state());
    assert_unchanged(&inside, &container.netns().state());
}

/// The addresses of a link as `ip` shows them, with broadcast address, scope and flags.
pub(crate) fn addresses(netns: &Netns, link: &str) -> Lines {
    let links = netns.ip_json("address show");
    let of_link = links.iter().filter(|found| found["ifname"] == link);
    let infos = of_link.flat_map(|found| found["addr_info"].as_array().cloned().unwrap_or_default());
    let mut all: Lines = infos.map(|info| address_line(&info)).collect();
    all.sort();
    all
}

fn address_line(info: &Value) -> String {
    let mut words = vec![format!("{}/{}", text_of(&info["local"]), info["prefixlen"])];
    for (word, key) in [("brd", "broadcast"), ("peer", "address"), ("scope", "scope")] {
        words.extend(info[key].as_str().map(|text| format!("{word} {text}")));
    }
    let flags = info.as_object().into_iter().flatten().filter(|(_, value)| **value == true);
    words.extend(flags.map(|(flag, _)| flag.clone()).filter(|flag| flag != "permanent"));
    words.join(" ")
}

/// The routes through a link in all tables, as `ip` shows them, without those that follow from addresses.
pub(crate) fn routes(netns: &Netns, link: &str) -> Lines {
    let mut lines = Lines::new();
    for family in ["-4", "-6"] {
        let all = netns.ip_json(&format!("{family} route show table all"));
        let of_link = all.iter().filter(|route| route["dev"] == link && route["protocol"] != "kernel");
        lines.extend(of_link.map(route_line));
    }
    lines.sort();
    lines
}

fn route_line(route: &Value) -> String {
    let mut words = vec![text_of(&route["dst"]).to_owned()];
    let via = route["gateway"].as_str().or_else(|| route["via"]["host"].as_str());
    words.extend(via.map(|via| format!("via {via}")));
    let keys =
        [("src", "prefsrc"), ("metric", "metric"), ("table", "table"), ("proto", "protocol"), ("scope", "scope")];
    for (word, key) in keys {
        let text = route[key].as_str().map_or_else(|| route[key].to_string(), str::to_owned);
        let usual = matches!(text.as_str(), "null" | "main" | "global");
        words.extend((!usual).then(|| format!("{word} {text}")));
    }
    for metrics in route["metrics"].as_array().into_iter().flatten() {
        for key in ["mtu", "advmss"].into_iter().filter(|key| !metrics[*key].is_null()) {
            words.push(format!("{key} {}", metrics[key]));
        }
    }
    let onlink = route["flags"].as_array().is_some_and(|flags| flags.contains(&json!("onlink")));
    words.extend(onlink.then(|| "onlink".to_owned()));
    words.join(" ")
}

/// Lines in the order in which `addresses` and `routes` give them.
pub(crate) fn sorted(lines: &[&str]) -> Lines {
    let mut lines: Lines = lines.iter().map(|line| (*line).to_owned()).collect();
    lines.sort();
    lines
}

/// The link-layer address that a namespace has for a neighbour.
pub(crate) fn neighbour(netns: &Netns, address: &str) -> Option<String> {
    let all = netns.ip_json("neighbour show");
    all.iter().find(|entry| entry["dst"] == address).and_then(|entry| Some(entry["lladdr"].as_str()?.to_owned()))
}

/// Counts the packets at a hook that match, each rule for itself; see [`counted`].
pub(crate) fn count(netns: &Netns, family: &str, hook: &str, matches: &[&str]) {
    let rules: Vec<String> = matches.iter().map(|text| format!("add rule {family} t c {text} counter\n")).collect();
    let chain = format!("add chain {family} t c {{ type filter hook {hook} priority 0; }}");
    let script = format!("add table {family} t\n{chain}\n{}", rules.concat());
    netns.shell(&format!("{} -f - <<'END'\n{script}END", tool("nft").display()));
}

/// What the rules of [`count`] have counted, in order.
pub(crate) fn counted(netns: &Netns, family: &str) -> Vec<u64> {
    let text = netns.shell(&format!("{} -j list table {family} t", tool("nft").display()));
    let listed: Value = serde_json::from_str(&text).expect("nft prints JSON");
    let rules = listed["nftables"].as_array().expect("a list").iter().filter_map(|object| object.get("rule"));
    let expressions = rules.flat_map(|rule| rule["expr"].as_array().cloned().unwrap_or_default());
    expressions.filter_map(|expression| expression["counter"]["packets"].as_u64()).collect()
}

/// Says that something was not tested, and why, where the test harness does not swallow it.
pub(crate) fn not_run(what: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "not run: {what}: {why}");
}

/// Whether `test` can be run where it needs more of a machine than the tools of every test; says so if not.
pub(crate) fn ready(test: &str) -> bool {
    let can = can_make_traffic();
    if !can {
        not_run(test, "no python3 to make traffic with: install the package python3-minimal");
    }
    can
}

/// Gives a namespace an address without duplicate address detection, and brings the link up.
pub(crate) fn give(netns: &Netns, link: &str, addresses: &[&str]) {
    for address in addresses {
        let nodad = if address.contains(':') { "nodad" } else { "" };
        netns.ip(&format!("address add {address} dev {link} {nodad}"));
    }
    netns.ip(&format!("link set {link} up"));
}
