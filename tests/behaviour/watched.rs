//! `springline watch`: what it does about what happens, and that it does nothing where nothing does.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::common::state::assert_unchanged;
use crate::common::{Lab, eventually, text_of};
use crate::support::{Attached, Family, bridged, networks, routes, springline, with_ranges};

const SUBNETS: [&str; 2] = ["10.30.0.0/24", "2001:db8:30::/64"];

/// Longer than anything that is waited for takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// A `springline watch` at work on a lab's host.
struct Watch {
    child: Child,
    lines: Receiver<Value>,
}

impl Watch {
    /// Starts it, and waits until it has looked at everything and listens.
    fn new(lab: &Lab, arguments: &[&str]) -> Self {
        let mut command = lab.host().command(Path::new(crate::common::cni::springline_binary()));
        command.args(["watch", "-o", "json"]).args(arguments);
        command.env("SPRINGLINE_STATE_DIR", lab.state_dir()).env("NETCONFPATH", networks(lab));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("run springline watch");
        let out = BufReader::new(child.stdout.take().expect("its output"));
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                let _ = send.send(value);
            }
        });
        let watch = Self { child, lines };
        while watch.lines.recv_timeout(PATIENCE).expect("it listens")["event"] != "watching" {}
        watch
    }

    /// The next line, which must tell of this.
    #[track_caller]
    fn says(&self, event: &str) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("it does not say {event}"));
        assert_eq!(line["event"], event, "{line}");
        line
    }

    /// Nothing more is said.
    #[track_caller]
    fn is_silent(&self) {
        assert_eq!(self.lines.recv_timeout(Duration::from_millis(500)).ok(), None);
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("send it a signal");
    }

    /// Ends it by SIGTERM; its exit status must be 0.
    #[track_caller]
    fn end(mut self) {
        self.signal(Signal::SIGTERM);
        assert!(self.child.wait().expect("wait for it").success());
    }

    /// How often it has been given the processor.
    fn switches(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("read its status");
        let value = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("the kernel counts them");
            line.trim().parse::<u64>().expect("a number")
        };
        value("voluntary_ctxt_switches:") + value("nonvoluntary_ctxt_switches:")
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The interface goes down inside: the host's routes go, and nothing inside is touched. It comes up: they are back.
#[test]
fn what_is_unplugged_is_withdrawn() {
    let lab = Lab::new();
    let (c, other) = (lab.container("c"), lab.container("other"));
    let conf = with_ranges(&SUBNETS, &json!({"routes": ["10.5.5.0/24"], "hostRoutes": {"table": 100}}));
    let conf = [conf, with_ranges(&SUBNETS, &json!({}))];
    for conf in conf {
        let attached = Attached::new(&lab, &conf, &c);
        let untouched = Attached::new(&lab, &with_ranges(&SUBNETS, &json!({})), &other);
        let before = routes(lab.host(), &attached.link);
        assert!(before.len() > 1, "{before:?}");
        // Without anybody's watching they stay, which is the control.
        c.netns().ip("link set eth0 down");
        eventually("no carrier", || text_of(&attached.outside()["operstate"]) != "UP");
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(routes(lab.host(), &attached.link).len(), before.len());
        c.netns().ip("link set eth0 up");
        springline(&lab, &["check", "--repair"]);

        let watch = Watch::new(&lab, &[]);
        c.netns().ip("link set eth0 down");
        let said = watch.says("withdrawn");
        assert_eq!(said["steps"].as_array().map(Vec::len), Some(before.len()), "{said}");
        assert_eq!(routes(lab.host(), &attached.link), Vec::<String>::new());
        watch.is_silent();
        assert!(!c.netns().ip_json("link show eth0")[0]["flags"].to_string().contains("\"UP\""), "it stays down");
        c.netns().ip("link set eth0 up");
        watch.says("restored");
        assert_eq!(routes(lab.host(), &attached.link), before);
        assert!(lab.host().ping(&untouched.ip(Family::V4)) && lab.host().ping(&untouched.ip(Family::V6)));
        watch.is_silent();
        watch.end();
        attached.detach();
        untouched.detach();
    }
}

/// A watch that ends puts back what it has withdrawn; one that was killed, and comes again, goes on where it was.
#[test]
fn the_end_leaves_things_as_without_it() {
    let lab = Lab::new();
    let c = lab.container("c");
    let attached = Attached::new(&lab, &with_ranges(&SUBNETS, &json!({})), &c);
    let before = routes(lab.host(), &attached.link);
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut watch = Watch::new(&lab, &[]);
        c.netns().ip("link set eth0 down");
        watch.says("withdrawn");
        watch.signal(signal);
        watch.says("restored");
        watch.says("ended");
        assert!(watch.child.wait().expect("wait for it").success());
        // They are to a link that is down, and the kernel says so of each.
        assert_eq!(routes(lab.host(), &attached.link).len(), before.len());
        c.netns().ip("link set eth0 up");
        eventually("carrier", || text_of(&attached.outside()["operstate"]) == "UP");
        // What the kernel has taken away inside.
        assert!(springline(&lab, &["check", "--repair"]).0);
    }
    let watch = Watch::new(&lab, &[]);
    c.netns().ip("link set eth0 down");
    watch.says("withdrawn");
    watch.signal(Signal::SIGKILL);
    drop(watch);
    let watch = Watch::new(&lab, &[]);
    watch.is_silent();
    c.netns().ip("link set eth0 up");
    watch.says("repaired");
    assert!(lab.host().ping(&attached.ip(Family::V4)));
}

/// What somebody takes away on the host is put back, in both modes, and once is enough.
#[test]
fn drift_is_put_right() {
    let lab = Lab::new();
    let c = lab.container("c");
    let attached = Attached::new(&lab, &with_ranges(&SUBNETS, &json!({})), &c);
    let before = lab.host_state();
    let watch = Watch::new(&lab, &[]);
    let (link, v4, v6) = (&attached.link, attached.ip(Family::V4), attached.ip(Family::V6));
    for change in [
        format!("route del {v4} dev {link}"),
        format!("-6 route del {v6} dev {link}"),
        format!("address del 169.254.0.1/32 dev {link}"),
        format!("-6 address del fe80::1/64 dev {link}"),
        format!("link set {link} down"),
        format!("route flush dev {link}"),
    ] {
        lab.host().ip(&change);
        let said = watch.says("repaired");
        assert_eq!(said["attachment"], "n/c/eth0", "{change}: {said}");
        eventually("both families", || lab.host().ping(&v4) && lab.host().ping(&v6));
        assert_unchanged(&before, &lab.host_state());
    }
    // Routes of others, on links of others, are nobody's drift.
    lab.host().ip("route add 10.66.0.0/16 dev lo");
    lab.host().ip("route del 10.66.0.0/16 dev lo");
    watch.is_silent();
    watch.end();
}

/// A namespace dies without a DEL: link, routes, lease and record go, at once.
#[test]
fn what_a_dead_namespace_leaves_goes() {
    let lab = Lab::new();
    for conf in [with_ranges(&SUBNETS, &json!({"hostRoutes": {"pool": true}})), bridged(&SUBNETS, &json!({}))] {
        let living = lab.container("living");
        let living = Attached::new(&lab, &conf, &living);
        let before = lab.host_state();
        let watch = Watch::new(&lab, &[]);
        let dead = lab.container("dead");
        Attached::new(&lab, &conf, &dead);
        assert!(!before.changes(&lab.host_state()).is_empty(), "the control: it is attached");
        dead.kill();
        let said = watch.says("reclaimed");
        assert_eq!(said["attachment"], "n/dead/eth0");
        assert_unchanged(&before, &lab.host_state());
        // A runtime's own ADD and DEL are nothing to be talked about.
        let passing = lab.container("passing");
        let passing = Attached::new(&lab, &conf, &passing);
        watch.is_silent();
        passing.detach();
        watch.is_silent();
        assert!(lab.host().ping(&living.ip(Family::V4)) && lab.host().ping(&living.ip(Family::V6)));
        living.detach();
        watch.end();
    }
}

/// Nothing happens: it does not run at all.
#[test]
fn idle_it_costs_nothing() {
    let lab = Lab::new();
    let c = lab.container("c");
    let attached = Attached::new(&lab, &with_ranges(&SUBNETS, &json!({})), &c);
    let watch = Watch::new(&lab, &[]);
    watch.is_silent();
    let before = watch.switches();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(watch.switches(), before, "it was woken, and nothing had happened");
    lab.host().ip(&format!("route del {} dev {}", attached.ip(Family::V4), attached.link));
    watch.says("repaired");
    assert!(watch.switches() > before, "the control: it is woken when something has");
    watch.end();
}

/// More happens than its socket holds, while it is stopped: it says so, looks at everything, and finds what it has missed.
#[test]
fn what_is_lost_is_looked_for() {
    let lab = Lab::new();
    let c = lab.container("c");
    let attached = Attached::new(&lab, &with_ranges(&SUBNETS, &json!({})), &c);
    let watch = Watch::new(&lab, &[]);
    watch.signal(Signal::SIGSTOP);
    lab.host().ip("link add noise type bridge");
    let noise = "link set noise mtu 1400\nlink set noise mtu 1401\n".repeat(4500);
    let file = lab.dir().join("noise");
    fs::write(&file, noise).expect("write a batch");
    lab.host().ip(&format!("-batch {}", file.display()));
    lab.host().ip(&format!("route del {} dev {}", attached.ip(Family::V4), attached.link));
    watch.signal(Signal::SIGCONT);
    let mut events = Vec::new();
    while !events.contains(&"repaired".to_owned()) {
        let line = watch.lines.recv_timeout(PATIENCE).expect("it finds what it has missed");
        events.push(text_of(&line["event"]).to_owned());
    }
    assert!(events.contains(&"lost".to_owned()), "{events:?}");
    assert!(lab.host().ping(&attached.ip(Family::V4)));
    watch.end();
}

/// What comes and goes in a moment is looked at once; what is taken away again and again is put back less and less often.
#[test]
fn much_at_once_is_one_thing() {
    let lab = Lab::new();
    let c = lab.container("c");
    let attached = Attached::new(&lab, &with_ranges(&SUBNETS, &json!({})), &c);
    let watch = Watch::new(&lab, &[]);
    let flaps = "link set eth0 down\nlink set eth0 up\n".repeat(50);
    let file = lab.dir().join("flaps");
    fs::write(&file, flaps).expect("write a batch");
    c.netns().ip(&format!("-batch {}", file.display()));
    let mut events = 0;
    let mut count = || {
        while watch.lines.recv_timeout(Duration::from_secs(1)).is_ok() {
            events += 1;
        }
    };
    count();
    // It may have taken a rest between the last two.
    eventually("it is routed to", || routes(lab.host(), &attached.link).len() == 2);
    count();
    assert!(events <= 4, "{events} lines about one moment");
    let mut times = Vec::new();
    for _ in 0..6 {
        eventually("it is routed to", || routes(lab.host(), &attached.link).len() == 2);
        lab.host().ip(&format!("route del {} dev {}", attached.ip(Family::V4), attached.link));
        let begin = std::time::Instant::now();
        watch.says("repaired");
        times.push(begin.elapsed());
    }
    assert!(times[5] > Duration::from_millis(500), "{times:?}");
    watch.end();
}
