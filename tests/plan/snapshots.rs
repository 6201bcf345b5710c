//! Whole plans: `tests/plans/<case>/`.
//!
//! `conf.json` is what a CNI runtime writes to stdin, `setup.json` what netavark does (then `result.json` is what netavark
//! is answered); `env.json` the call, if it is not that of container `c1`;
//! `facts.json` how things are (`readable.rs`). `plan.txt` and `result.json` are what must come of it, or
//! `refused.txt`. `UPDATE_PLANS=1 cargo test --test plan` writes them anew: read the difference.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Map, Value};
use springline::error::{Error, Result};
use springline::model::{
    Address, Attachment, AttachmentKey, ContainerId, IfName, Ipam, Lease, Mode, Outcome, RangeSet,
};
use springline::plan::{self, Facts, Object, Plan, Step};
use springline::wire::cni::base::Base;
use springline::wire::cni::env::Verb;
use springline::wire::cni::{Config, ResultDocument, Version, request};
use springline::wire::netavark::{self, PluginCall};

use crate::diff::diff;
use crate::readable::FactsFile;
use crate::world::{after, with_fib};

/// The call: `env.json`.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Call {
    container: String,
    ifname: String,
    netns: String,
    args: String,
    /// Versions of the result, if not only that of the configuration.
    versions: Vec<String>,
    /// What a delegated IPAM plugin prints.
    delegate_prints: Option<Value>,
}

impl Default for Call {
    fn default() -> Self {
        let [container, ifname, netns] = ["c1", "eth0", "/run/netns/c1"].map(str::to_owned);
        Self { container, ifname, netns, args: String::new(), versions: Vec::new(), delegate_prints: None }
    }
}

#[test]
fn plans_are_as_written() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans");
    let mut cases: Vec<PathBuf> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(!cases.is_empty(), "no cases in tests/plans");
    let update = env::var_os("UPDATE_PLANS").is_some();
    let differences: String = cases.iter().map(|case| compare(case, update)).collect();
    assert!(differences.is_empty(), "UPDATE_PLANS=1 takes the new plans for the right ones:\n{differences}");
}

/// What must come of a case, by file name.
struct Expected {
    plan: Option<String>,
    result: Option<String>,
    refused: Option<String>,
}

fn compare(case: &Path, update: bool) -> String {
    let expected = match outcome(case) {
        Ok((plan, result)) => Expected { plan: Some(plan), result: Some(result), refused: None },
        Err(error) => Expected { plan: None, result: None, refused: Some(readable(&error)) },
    };
    let files = [("plan.txt", expected.plan), ("result.json", expected.result), ("refused.txt", expected.refused)];
    let mut differences = String::new();
    for (file, new) in files {
        let path = case.join(file);
        let old = fs::read_to_string(&path).ok();
        if old == new {
            continue;
        }
        match (&new, update) {
            (Some(new), true) => fs::write(&path, new).unwrap(),
            (None, true) => fs::remove_file(&path).unwrap(),
            (_, false) => {
                let shown = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().display();
                let lines = diff(&old.unwrap_or_default(), &new.unwrap_or_default());
                writeln!(differences, "{shown}\n{lines}").unwrap();
            }
        }
    }
    differences
}

/// Code, message and details, as the runtime gets them.
fn readable(error: &Error) -> String {
    format!("code {}\n{}\n{}\n", error.code as u32, error.message(), error.details().replace("; hint: ", "\nhint: "))
}

/// The plan and the result, as text.
fn outcome(case: &Path) -> Result<(String, String)> {
    let call: Call = read(case, "env.json").map_or_else(Call::default, |value| parse(case, "env.json", value));
    let facts: FactsFile =
        read(case, "facts.json").map_or_else(FactsFile::default, |value| parse(case, "facts.json", value));
    if let Ok(setup) = fs::read(case.join("setup.json")) {
        return for_netavark(&setup, &facts);
    }
    let conf = fs::read(case.join("conf.json")).unwrap();
    let base = Base::parse(&conf, Verb::Add)?;
    let (attachment, asked) = attachment(&base, &call)?;
    let facts = facts.to_facts(&attachment.key);
    let (steps, outcome) = match &call.delegate_prints {
        None => {
            let attachment = with_addresses(attachment, &asked);
            let (plan, outcome) = plan(&attachment, &facts)?;
            (plan.steps, outcome)
        }
        Some(printed) => delegated(attachment, &facts, printed, base.version)?,
    };
    let lines: Vec<String> = steps.iter().map(ToString::to_string).collect();
    let document = ResultDocument::from(&outcome);
    let result = if call.versions.is_empty() {
        document.to_json(base.version)?
    } else {
        let one = |text: &String| Ok((text.clone(), document.to_json(Version::parse(text)?)?));
        Value::Object(call.versions.iter().map(one).collect::<Result<Map<_, _>>>()?)
    };
    Ok((lines.join("\n") + "\n", format!("{result:#}\n")))
}

/// The same for a call of netavark's.
fn for_netavark(setup: &[u8], facts: &FactsFile) -> Result<(String, String)> {
    let call = PluginCall::parse(setup)?;
    let conf = Value::Object(call.configuration()?).to_string();
    let base = Base::parse(conf.as_bytes(), Verb::Add)?;
    let config = Config::parse(&base)?;
    let runtime = config.runtime()?;
    let network = config.to_network(&base.name, &runtime, "")?;
    let mut wish = request::asked(&config, &runtime, "")?;
    wish.routes = call.routes()?;
    let attachment = request::attachment(call.key()?, "/run/netns/c1", network, &wish, "")?;
    let facts = facts.to_facts(&attachment.key);
    let (plan, outcome) = plan(&with_addresses(attachment, &wish.ips), &facts)?;
    let lines: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
    Ok((lines.join("\n") + "\n", format!("{:#}\n", netavark::status(&outcome))))
}

fn read(case: &Path, file: &str) -> Option<Value> {
    let text = fs::read_to_string(case.join(file)).ok()?;
    Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}/{file}: {error}", case.display())))
}

fn parse<T: for<'de> Deserialize<'de>>(case: &Path, file: &str, value: Value) -> T {
    serde_json::from_value(value).unwrap_or_else(|error| panic!("{}/{file}: {error}", case.display()))
}

/// The attachment, as the CNI front makes it, and the addresses that were asked for by name.
fn attachment(base: &Base, call: &Call) -> Result<(Attachment, Vec<IpNet>)> {
    let key = AttachmentKey {
        network: base.name.clone(),
        container: ContainerId::parse(&call.container).unwrap(),
        ifname: IfName::parse(&call.ifname).unwrap(),
    };
    let config = Config::parse(base)?;
    let runtime = config.runtime()?;
    let network = config.to_network(&base.name, &runtime, "")?;
    let asked = request::asked(&config, &runtime, &call.args)?;
    let delegated = base.ipam_type().is_some_and(|plugin| plugin != "springline");
    request::refuse_what_the_version_cannot_say(base.version, &network, delegated, !asked.ips.is_empty())?;
    Ok((request::attachment(key, &call.netns, network, &asked, "")?, asked.ips))
}

/// The attachment with what an allocator without any leases would give it.
fn with_addresses(attachment: Attachment, asked: &[IpNet]) -> Attachment {
    let Some(Ipam::BuiltIn { ranges, addresses, routes, .. }) = &attachment.network.ipam else { return attachment };
    let from_ranges = ranges.iter().map(|set| first_free(set, asked));
    let fixed = addresses.iter().map(|fixed| Address { net: fixed.net, gateway: fixed.gateway });
    let outside = asked.iter().filter(|_| ranges.is_empty()).map(|net| Address { net: *net, gateway: None });
    let addresses: Vec<Address> = from_ranges.chain(fixed).chain(outside).collect();
    let lease = |address: &Address| Lease {
        network: attachment.key.network.clone(),
        address: address.net.addr(),
        data_dir: None,
        slot: None,
    };
    let (leases, container_routes) = (addresses.iter().map(lease).collect(), routes.clone());
    Attachment { addresses, leases, container_routes, ..attachment }
}

/// The address of the set that was asked for, or its first that is nobody's gateway and not excluded.
fn first_free(set: &RangeSet, asked: &[IpNet]) -> Address {
    let asked = asked.iter().map(IpNet::addr).find(|ip| set.0.iter().any(|range| range.contains(*ip)));
    let free = set.0.iter().flat_map(|range| {
        let all = range.subnet.hosts().filter(|ip| range.contains(*ip));
        all.filter(|ip| range.gateway != Some(*ip) && !range.exclude.iter().any(|net| net.contains(ip)))
    });
    let address = asked.or_else(|| free.into_iter().next()).unwrap();
    let range = set.0.iter().find(|range| range.contains(address)).unwrap();
    Address { net: IpNet::new(address, range.subnet.prefix_len()).unwrap(), gateway: range.gateway }
}

fn plan(attachment: &Attachment, facts: &Facts) -> Result<(Plan, Outcome)> {
    let facts = with_fib(facts.clone(), attachment);
    let plan = plan::attach(attachment, &facts)?;
    let bridge = match &attachment.network.mode {
        Mode::Bridged(bridge) => facts.host_link(&bridge.name).and_then(|link| link.mac),
        Mode::Routed(_) => None,
    };
    let outcome = plan::outcome(attachment, &plan, bridge);
    Ok((plan, outcome))
}

/// With a delegated plugin the link comes first, for `dhcp` asks through it; then a second plan adds what is
/// missing.
fn delegated(attachment: Attachment, facts: &Facts, printed: &Value, version: Version) -> Result<(Vec<Step>, Outcome)> {
    let Some(Ipam::Delegated { plugin }) = attachment.network.ipam.clone() else { panic!("nothing is delegated") };
    let (first, first_outcome) = plan(&attachment, facts)?;
    let facts = after(facts, &attachment.key, &first.steps);
    let given = request::read_delegated(printed.to_string().as_bytes(), version)?;
    let attachment =
        Attachment { addresses: given.addresses, container_routes: given.routes, dns: given.dns, ..attachment };
    let (second, outcome) = plan(&attachment, &facts)?;
    let steps = first.steps.into_iter().chain([Step::Add(Object::Delegation(plugin))]).chain(second.steps);
    Ok((steps.collect(), Outcome { links: first_outcome.links, ..outcome }))
}
