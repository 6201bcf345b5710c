//! Plugins as runtimes run them: one process, `CNI_*` in an otherwise empty environment, JSON on stdin and stdout.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

use serde_json::{Deserializer, Value, json};

use super::{Container, Lab};

/// The network that a plugin's own configuration describes: its name …
pub const NETWORK: &str = "n";
/// … and its IPv4 range; IPv6 is [`RANGE_V6`].
pub const RANGE_V4: &str = "10.22.0.0/24";
/// The IPv6 range of springline's configurations.
pub const RANGE_V6: &str = "2001:db8:22::/64";

/// How long any call may take; only a hang takes as long.
const DEADLINE: Duration = Duration::from_secs(30);

/// A plugin under test, together with the configuration that it is tested with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plugin {
    /// springline in its routed mode.
    Routed,
    /// springline in its bridged mode.
    Bridged,
    /// The reference `bridge`.
    Bridge,
    /// The reference `ptp`.
    Ptp,
}

impl Plugin {
    /// The name in `type`.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Routed | Self::Bridged => "springline",
            Self::Bridge => "bridge",
            Self::Ptp => "ptp",
        }
    }

    /// Whether it is springline.
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Routed | Self::Bridged)
    }

    /// Whether containers share a bridge.
    pub fn has_bridge(self) -> bool {
        matches!(self, Self::Bridged | Self::Bridge)
    }

    /// The versions that it speaks, in order.
    pub fn versions(self) -> &'static [&'static str] {
        let all = &["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
        if self.is_ours() { all } else { &all[..6] }
    }

    /// The newest version that it speaks.
    pub fn newest(self) -> &'static str {
        self.versions().last().expect("a plugin speaks some version")
    }

    /// The usual configuration: both families for springline, IPv4 for the reference, which takes two seconds
    /// for IPv6.
    pub fn conf(self, lab: &Lab) -> Value {
        let ranges = if self.is_ours() { both_families() } else { json!([[{"subnet": RANGE_V4}]]) };
        self.conf_with_ranges(lab, &ranges)
    }

    /// The same for IPv4 only.
    pub fn conf_v4(self, lab: &Lab) -> Value {
        self.conf_with_ranges(lab, &json!([[{"subnet": RANGE_V4}]]))
    }

    /// The same for both families.
    pub fn conf_dual(self, lab: &Lab) -> Value {
        self.conf_with_ranges(lab, &both_families())
    }

    /// The usual configuration over ranges of one's choice.
    pub fn conf_with_ranges(self, lab: &Lab, ranges: &Value) -> Value {
        let basis = json!({"cniVersion": self.newest(), "name": NETWORK, "type": self.kind()});
        let ours = json!({"ipam": {"type": "springline", "ranges": ranges}});
        let default_routes = json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]);
        let data_dir = lab.dir().join("host-local");
        let theirs =
            json!({"ipam": {"type": "host-local", "dataDir": data_dir, "ranges": ranges, "routes": default_routes}});
        match self {
            Self::Routed => merged(&basis, &ours),
            Self::Bridged => merged(&merged(&basis, &ours), &json!({"mode": "bridged", "bridge": {"name": "br0"}})),
            Self::Bridge => merged(&merged(&basis, &theirs), &json!({"bridge": "br0", "isGateway": true})),
            Self::Ptp => merged(&basis, &theirs),
        }
    }

    /// The plugin's executable; panics with what to install or build if there is none.
    pub fn binary(self) -> PathBuf {
        if self.is_ours() { springline_binary().into() } else { reference(self.kind()) }
    }
}

fn both_families() -> Value {
    json!([[{"subnet": RANGE_V4}], [{"subnet": RANGE_V6}]])
}

/// The executable that is tested: `$SPRINGLINE_BIN`, or the one that was built with the tests.
pub fn springline_binary() -> &'static str {
    static BINARY: OnceLock<String> = OnceLock::new();
    BINARY.get_or_init(|| {
        let built = option_env!("CARGO_BIN_EXE_springline").map(str::to_owned);
        env::var("SPRINGLINE_BIN").ok().or(built).expect("no springline to test: name one in SPRINGLINE_BIN")
    })
}

/// A reference plugin, from `$CNI_BIN` or where Debian has it.
pub fn reference(name: &str) -> PathBuf {
    let path = reference_dir().join(name);
    assert!(path.is_file(), "no {}: install the package containernetworking-plugins", path.display());
    path
}

/// The directory of the reference plugins.
pub fn reference_dir() -> PathBuf {
    env::var_os("CNI_BIN").map_or_else(|| PathBuf::from("/usr/lib/cni"), PathBuf::from)
}

/// A JSON merge patch (RFC 7396): objects are merged, `null` removes, anything else replaces.
#[must_use]
pub fn merged(value: &Value, patch: &Value) -> Value {
    let Value::Object(changes) = patch else { return patch.clone() };
    let mut object = value.as_object().cloned().unwrap_or_default();
    for (key, change) in changes {
        if change.is_null() {
            object.remove(key);
        } else {
            let old = object.get(key).cloned().unwrap_or_default();
            object.insert(key.clone(), merged(&old, change));
        }
    }
    Value::Object(object)
}

/// `conf` with `prevResult`, as a runtime passes it to CHECK, DEL and later plugins of a chain.
#[must_use]
pub fn with_prev_result(conf: &Value, result: &Value) -> Value {
    let mut conf = conf.clone();
    conf["prevResult"] = result.clone();
    conf
}

/// A plugin in a lab, ready to be called.
#[derive(Clone, Copy)]
pub struct Cni<'a> {
    lab: &'a Lab,
    plugin: Plugin,
}

impl<'a> Cni<'a> {
    pub(super) fn new(lab: &'a Lab, plugin: Plugin) -> Self {
        Self { lab, plugin }
    }

    /// ADD.
    pub fn add(self, conf: &Value, container: &Container, ifname: &str) -> Outcome {
        self.call("ADD").of(container, ifname).conf(conf).run()
    }

    /// DEL.
    pub fn del(self, conf: &Value, container: &Container, ifname: &str) -> Outcome {
        self.call("DEL").of(container, ifname).conf(conf).run()
    }

    /// CHECK of what an ADD returned.
    pub fn check(self, conf: &Value, result: &Value, container: &Container, ifname: &str) -> Outcome {
        self.call("CHECK").of(container, ifname).conf(&with_prev_result(conf, result)).run()
    }

    /// GC, with the environment that libcni gives it.
    pub fn gc(self, conf: &Value) -> Outcome {
        self.call("GC").no_container().conf(conf).run()
    }

    /// STATUS, with the environment that libcni gives it.
    pub fn status(self, conf: &Value) -> Outcome {
        self.call("STATUS").no_container().conf(conf).run()
    }

    /// A call of any kind, to be completed.
    pub fn call(self, command: &str) -> Call<'a> {
        let state_dir = self.lab.state_dir().display().to_string();
        let cni_path = reference_dir().display().to_string();
        let environment =
            [("CNI_COMMAND", command.to_owned()), ("CNI_PATH", cni_path), ("SPRINGLINE_STATE_DIR", state_dir)];
        Call {
            lab: self.lab,
            plugin: self.plugin,
            environment: environment.map(|(key, value)| (key.to_owned(), value)).into(),
            stdin: Vec::new(),
            directory: PathBuf::from("/"),
            keep_stdin_open: false,
        }
    }
}

/// One run of a plugin that is still being described.
pub struct Call<'a> {
    lab: &'a Lab,
    plugin: Plugin,
    environment: BTreeMap<String, String>,
    stdin: Vec<u8>,
    directory: PathBuf,
    keep_stdin_open: bool,
}

impl Call<'_> {
    /// Names the container, its namespace and the interface.
    #[must_use]
    pub fn of(self, container: &Container, ifname: &str) -> Self {
        self.env("CNI_CONTAINERID", &container.id).env("CNI_NETNS", &container.path()).env("CNI_IFNAME", ifname)
    }

    /// Empties the variables that only attachments have, as libcni does for GC and STATUS.
    #[must_use]
    pub fn no_container(self) -> Self {
        self.env("CNI_CONTAINERID", "").env("CNI_NETNS", "").env("CNI_IFNAME", "")
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.environment.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Takes a variable out of the environment.
    #[must_use]
    pub fn without(mut self, key: &str) -> Self {
        self.environment.remove(key);
        self
    }

    /// Gives the configuration on stdin.
    #[must_use]
    pub fn conf(self, conf: &Value) -> Self {
        self.stdin(conf.to_string())
    }

    /// Gives any bytes on stdin.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Leaves stdin open behind the bytes until [`Running::close_stdin`].
    #[must_use]
    pub fn keep_stdin_open(mut self) -> Self {
        self.keep_stdin_open = true;
        self
    }

    /// Runs in `directory`.
    #[must_use]
    pub fn in_directory(mut self, directory: &Path) -> Self {
        directory.clone_into(&mut self.directory);
        self
    }

    /// Runs to the end.
    #[track_caller]
    pub fn run(self) -> Outcome {
        self.spawn().finish()
    }

    /// Starts.
    #[track_caller]
    pub fn spawn(self) -> Running {
        let mut command = self.lab.host().command(&self.plugin.binary());
        command.env_clear().envs(&self.environment).current_dir(&self.directory);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("start the plugin");
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        let _ = stdin.write_all(&self.stdin); // a plugin may end without reading it
        let verb = self.environment.get("CNI_COMMAND").cloned().unwrap_or_default();
        Running {
            what: format!("{:?} {verb}", self.plugin),
            stdout: read_in_background(child.stdout.take().expect("stdout is a pipe")),
            stderr: read_in_background(child.stderr.take().expect("stderr is a pipe")),
            stdin: self.keep_stdin_open.then_some(stdin),
            child,
        }
    }

    /// Runs with a stdout that nobody reads any more.
    pub fn run_unheard(self) -> ExitStatus {
        let mut command = self.lab.host().command(&self.plugin.binary());
        command.env_clear().envs(&self.environment);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("start the plugin");
        drop(child.stdout.take());
        let _ = child.stdin.take().expect("stdin is a pipe").write_all(&self.stdin);
        child.wait().expect("wait for the plugin")
    }
}

/// A plugin at work.
pub struct Running {
    what: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Receiver<Vec<u8>>,
    stderr: Receiver<Vec<u8>>,
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What its stdout and stderr are in `/proc`, while it runs.
    pub fn output_pipes(&self) -> Vec<PathBuf> {
        let link = |fd| fs::read_link(format!("/proc/{}/fd/{fd}", self.child.id())).expect("it runs");
        [1, 2].map(link).into()
    }

    /// Writes more to a stdin that was left open.
    pub fn write(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().expect("stdin was left open").write_all(bytes).expect("the plugin still reads");
    }

    /// Ends its input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("wait for the plugin").is_some()
    }

    /// Kills it, as a runtime does whose patience is at its end.
    pub fn kill(mut self) {
        self.child.kill().expect("kill the plugin");
        self.child.wait().expect("wait for the plugin");
    }

    /// Waits for its end; panics if that does not come, or comes but leaves its streams open.
    #[track_caller]
    pub fn finish(self) -> Outcome {
        self.finish_within(DEADLINE)
    }

    /// The same with a deadline of one's own.
    #[track_caller]
    pub fn finish_within(mut self, limit: Duration) -> Outcome {
        let end = Instant::now() + limit;
        let rest = || end.saturating_duration_since(Instant::now());
        let (stdout, stderr) = (self.stdout.recv_timeout(rest()), self.stderr.recv_timeout(rest()));
        let (Ok(stdout), Ok(stderr)) = (stdout, stderr) else {
            let _ = self.child.kill();
            panic!("{}: not done within {limit:?}", self.what);
        };
        let status = self.child.wait().expect("wait for the plugin");
        Outcome { what: self.what, status, stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() }
    }
}

fn read_in_background(mut stream: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

/// How a plugin ended and what it said.
pub struct Outcome {
    what: String,
    /// The exit status.
    pub status: ExitStatus,
    /// The bytes on stdout.
    pub stdout: Vec<u8>,
    /// The text on stderr.
    pub stderr: String,
}

/// An error document, taken apart.
#[derive(Debug)]
pub struct CniError {
    /// The whole document.
    pub document: Value,
    /// Its `code`.
    pub code: u64,
    /// Its `msg`.
    pub msg: String,
    /// Its `details`, empty if absent.
    pub details: String,
}

impl CniError {
    /// What libcni shows: `msg; details`.
    pub fn text(&self) -> String {
        format!("{}; {}", self.msg, self.details)
    }

    /// Asserts the code.
    #[track_caller]
    pub fn with_code(self, code: u64) -> Self {
        assert_eq!(self.code, code, "code of {self:?}");
        self
    }

    /// Asserts that a word is said somewhere.
    #[track_caller]
    pub fn saying(self, word: &str) -> Self {
        assert!(self.text().contains(word), "{word:?} is not said in {self:?}");
        self
    }
}

impl Outcome {
    /// The document that a success has printed.
    #[track_caller]
    pub fn result(&self) -> Value {
        assert!(self.status.success(), "{}", self.describe());
        self.only_document()
    }

    /// Asserts a success that prints nothing.
    #[track_caller]
    pub fn silent(&self) {
        assert!(self.status.success() && self.stdout.is_empty(), "no silent success: {}", self.describe());
    }

    /// Asserts a success, whatever it prints: what a runtime asks of DEL.
    #[track_caller]
    pub fn success(&self) {
        assert!(self.status.success(), "{}", self.describe());
    }

    /// The error that a failure has printed.
    #[track_caller]
    pub fn error(&self) -> CniError {
        assert_eq!(self.status.code(), Some(1), "no failure: {}", self.describe());
        let document = self.only_document();
        let text = |key: &str| document[key].as_str().unwrap_or_default().to_owned();
        let code = document["code"].as_u64().unwrap_or_else(|| panic!("no code: {}", self.describe()));
        let (msg, details) = (text("msg"), text("details"));
        assert!(!msg.is_empty(), "no msg: {}", self.describe());
        CniError { document, code, msg, details }
    }

    #[track_caller]
    fn only_document(&self) -> Value {
        let documents: Vec<_> = Deserializer::from_slice(&self.stdout).into_iter::<Value>().collect();
        match documents.as_slice() {
            [Ok(document)] => document.clone(),
            _ => panic!("not exactly one document: {}", self.describe()),
        }
    }

    fn describe(&self) -> String {
        let stdout = String::from_utf8_lossy(&self.stdout);
        format!("{}: {}\nstdout: {stdout}\nstderr: {}", self.what, self.status, self.stderr)
    }
}
