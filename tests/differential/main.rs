//! What `springline plan -o shell` prints is what ADD does: two machines that are alike, on one of which springline is
//! called, on the other of which a shell runs the printed lines, come to the same state of the kernel.
//!
//! The state is looked at with other eyes (`eyes.rs`) on both sides. The cases are those of `tests/plans/`, with as much
//! of `facts.json` as can be had in a namespace, and random configurations (`random.rs`), of which
//! `DIFFERENTIAL_CASES` says how many. Where ADD refuses, the plan must refuse.

#[path = "../common/mod.rs"]
mod common;

mod eyes;
mod given;
mod random;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use common::cni::Plugin;
use common::{Container, Lab};
use eyes::{State, knows_targets};

/// One configuration and the machine that it meets.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) conf: Value,
    pub(crate) container: String,
    pub(crate) ifname: String,
    /// `facts.json`.
    pub(crate) facts: Value,
    /// Whether the plan is made without a look at the namespace.
    pub(crate) is_blind: bool,
}

/// What has come of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Same,
    BothRefuse,
}

/// A machine as the case has it, with its container.
fn machine(case: &Case) -> (Lab, Container) {
    let lab = Lab::new();
    let container = lab.container(&case.container);
    given::build(&lab, container.netns(), &case.facts);
    (lab, container)
}

/// The script that is printed for a case on a machine, or why there is none.
fn script(case: &Case, lab: &Lab, container: &Container) -> Result<String, String> {
    let file = lab.dir().join("network.conf");
    std::fs::write(&file, case.conf.to_string()).expect("write the configuration");
    let mut command = lab.host().command(Path::new(crate::common::cni::springline_binary()));
    command.arg("plan").arg(&file).args(["--id", &case.container, "--ifname", &case.ifname, "-o", "shell"]);
    if !case.is_blind {
        command.args(["--netns", name_of(container)]);
    }
    let output = command.env("SPRINGLINE_STATE_DIR", lab.state_dir()).output().expect("run springline");
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).expect("text"))
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Runs a script with `sh`, for the container.
fn run(script: &str, lab: &Lab, container: &Container) -> Result<(), String> {
    let file = lab.dir().join("plan.sh");
    std::fs::write(&file, script).expect("write the script");
    let output = lab.host().command(Path::new("/bin/sh")).arg(&file).arg(name_of(container)).output();
    let output = output.expect("run a shell");
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn name_of(container: &Container) -> &'static str {
    let path = container.path();
    Box::leak(path.rsplit('/').next().unwrap_or_default().to_owned().into_boxed_str())
}

fn state(lab: &Lab, container: &Container) -> State {
    State::of(&[("host", lab.host()), ("container", container.netns())])
}

/// In which lines the two differ, once the kernel has had the time to finish.
fn differences(here: (&Lab, &Container), there: (&Lab, &Container), patience: Duration) -> String {
    let end = Instant::now() + patience;
    loop {
        let differences = state(here.0, here.1).differences(&state(there.0, there.1));
        if differences.is_empty() || Instant::now() > end {
            return differences;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// ADD on one machine, the script on another.
fn compare(case: &Case) -> Result<Verdict, String> {
    let (added, planned) = (machine(case), machine(case));
    let script = script(case, &planned.0, &planned.1);
    let outcome = added.0.cni(Plugin::Routed).add(&case.conf, &added.1, &case.ifname);
    let script = match (script, outcome.status.success()) {
        (Ok(script), true) => script,
        (Err(_), false) => return Ok(Verdict::BothRefuse),
        // Some of what is in the way shows only when it is met; then the shell meets it, too.
        (Ok(script), false) if run(&script, &planned.0, &planned.1).is_err() => return Ok(Verdict::BothRefuse),
        (Ok(_), false) => return Err(format!("only ADD refuses: {}", String::from_utf8_lossy(&outcome.stdout))),
        (Err(why), true) => return Err(format!("only the plan refuses: {why}")),
    };
    run(&script, &planned.0, &planned.1).map_err(|why| format!("the script fails: {why}\n{script}"))?;
    let differences = differences((&added.0, &added.1), (&planned.0, &planned.1), Duration::from_secs(5));
    if differences.is_empty() {
        return Ok(Verdict::Same);
    }
    Err(format!("- ADD, + script\n{differences}{}\n{script}", case.conf))
}

/// Runs all cases, two at a time; panics with those that fail.
fn compare_all(what: &str, cases: &[Case]) {
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(String::new()));
    let counts = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match compare(case) {
                        Ok(Verdict::Same) => drop(counts[0].fetch_add(1, Ordering::Relaxed)),
                        Ok(Verdict::BothRefuse) => drop(counts[1].fetch_add(1, Ordering::Relaxed)),
                        Err(why) => {
                            let mut failures = failures.lock().expect("nobody panics with it");
                            writeln!(failures, "\n{}: {why}", case.name).expect("a string");
                        }
                    }
                }
            });
        }
    });
    let [same, refused] = counts.map(AtomicUsize::into_inner);
    let failures = failures.into_inner().expect("nobody panicked");
    let (all, seconds) = (cases.len(), begin.elapsed().as_secs());
    say(&format!("{what}: {all} cases, {same} the same, {refused} refused by both, in {seconds} s"));
    assert!(same * 3 > all * 2 || all < 10, "refusals prove little");
    assert!(failures.is_empty(), "{} of {all} cases:\n{failures}", all - same - refused);
}

/// Where the test harness does not swallow it.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "differential: {line}");
}

fn say_what_nft_cannot() {
    if !knows_targets() {
        let why = "nft is older than 1.0.8; they are left out of both sides, with the version of their part";
        let _ = writeln!(std::io::stderr(), "not run: rules about the target of neighbour discovery: {why}");
    }
}

#[test]
fn every_plan_case() {
    say_what_nft_cannot();
    let (cases, skipped) = given::cases();
    for (name, why) in &skipped {
        let _ = writeln!(std::io::stderr(), "not run: {name}: {why}");
    }
    assert!(cases.len() >= 80, "only {} cases", cases.len());
    compare_all("plan cases", &cases);
}

/// Where the kernel's bridges filter VLANs: on a bridge of our own, with and without the host; with what stands on its link.
#[test]
fn vlans() {
    let lab = Lab::new();
    let said = lab.host().shell("ip link add probe type bridge vlan_filtering 1 2>&1 || true");
    if lab.host().link("probe").is_none() {
        let _ =
            writeln!(std::io::stderr(), "not run: vlans: this kernel's bridges do not filter VLANs ({})", said.trim());
        return;
    }
    compare_all("VLANs", &random::vlans());
}

#[test]
fn random_configurations() {
    let count = std::env::var("DIFFERENTIAL_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(120);
    let seed = std::env::var("DIFFERENTIAL_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(171);
    say(&format!("random configurations: seed {seed}"));
    let cases: Vec<Case> = (0..count).map(|number| random::case(seed + number)).collect();
    compare_all("random configurations", &cases);
}

/// The control: a script that lacks a line fails, or leaves another state; and each kind of line is one that is seen.
#[test]
fn a_missing_line_is_seen() {
    let case = random::rich();
    let added = machine(&case);
    added.0.cni(Plugin::Routed).add(&case.conf, &added.1, &case.ifname).result();
    let of = |script: &str| {
        let planned = machine(&case);
        let ran = run(script, &planned.0, &planned.1);
        let patience = Duration::from_millis(700);
        (ran.is_ok(), differences((&added.0, &added.1), (&planned.0, &planned.1), patience))
    };
    let whole = {
        let (lab, container) = machine(&case);
        script(&case, &lab, &container).expect("a plan")
    };
    assert_eq!(of(&whole), (true, String::new()), "the whole script");
    let lines: Vec<&str> = whole.lines().collect();
    let begins = [
        "ip link set dev veth",
        "ip address add",
        "ip route add",
        "ip -n \"$netns\" route add",
        "sysctl -qw",
        "ip -n \"$netns\" address add",
        "tc qdisc replace dev veth",
        "tc filter",
        "add rule inet springline postrouting",
        "add element inet springline masquerade_all4",
        "add element inet springline ports4",
        "add set inet springline",
        "ip netns exec \"$netns\" sysctl",
    ];
    let mut seen = 0;
    for begin in begins {
        let at =
            lines.iter().position(|line| line.starts_with(begin)).unwrap_or_else(|| panic!("no {begin:?}: {whole}"));
        // Together with what the shell takes for the same command.
        let length = match lines[at] {
            line if line.ends_with("||") => 2,
            line if line.ends_with("|| {") => 1 + lines[at..].iter().position(|line| *line == "}").expect("its end"),
            _ => 1,
        };
        let without = [&lines[..at], &lines[at + length..]].concat();
        let (ran, differences) = of(&(without.join("\n") + "\n"));
        assert!(!ran || !differences.is_empty(), "nobody misses {:?}", lines[at]);
        seen += usize::from(ran);
    }
    say(&format!(
        "the control: {} lines left out, one at a time, each was missed; {seen} by the state alone",
        begins.len()
    ));
    assert!(seen * 2 > begins.len(), "the shell itself failed too often");
}

/// Nobody in particular can plan, even where the state is not for them to see; and nothing is made for it.
#[test]
fn planning_needs_no_privileges() {
    let lab = Lab::new();
    let case = random::rich();
    let dir = lab.dir();
    let everybody = |path: &Path| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("let everybody in");
    };
    everybody(dir);
    std::fs::create_dir_all(lab.state_dir().join("locks")).expect("make the state directory");
    std::fs::set_permissions(lab.state_dir(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("close it");
    let (file, binary) = (dir.join("network.conf"), dir.join("springline"));
    std::fs::write(&file, case.conf.to_string()).expect("write the configuration");
    std::fs::copy(crate::common::cni::springline_binary(), &binary).expect("copy springline");
    everybody(&binary);
    let plan = |output: &str| {
        let mut command = lab.host().command(&common::tool("setpriv"));
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&binary).arg("plan").arg(&file);
        let output = command.args(["-o", output]).env("SPRINGLINE_STATE_DIR", lab.state_dir()).output();
        let output = output.expect("run springline");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let text = plan("text");
    assert!(text.contains("# assumed: no address is given out yet"), "{text}");
    assert!(text.contains("[container] ip address add 10.30.0.2/32 dev eth0"), "{text}");
    let document: Value = serde_json::from_str(&plan("json")).expect("JSON");
    let steps = document["steps"].as_array().expect("steps");
    assert_eq!(steps.len(), text.lines().filter(|line| !line.starts_with("# assumed")).count());
    let veth = steps.iter().find(|step| step["step"]["add"]["veth"].is_object()).expect("the pair");
    assert!(common::text_of(&veth["shell"]).starts_with("ip link add dev veth"), "{veth}");
    let left: Vec<_> = std::fs::read_dir(lab.state_dir()).expect("the state directory").collect();
    assert_eq!(left.len(), 1, "{left:?}");
}
