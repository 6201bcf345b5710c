//! What an OCI runtime tells a hook: the container's state, as JSON on stdin (runtime-spec, "State"), and in it the
//! annotations by which the container says which interfaces it is to have.
//!
//! ```text
//! io.springline.network = public            the only interface, or the first: eth0
//! io.springline.ip = 198.51.100.7
//! io.springline.eth1.network = lan          a further one, by its name
//! io.springline.eth1.mac = 02:00:00:00:00:07
//! ```

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::cni::nearest;
use super::wanted::InterfaceKey;
use crate::error::{Code, Coded, Error, Result};

/// How the annotations begin that are springline's.
const PREFIX: &str = "io.springline.";

/// The state of a container, as far as a hook needs it. Whatever else is in it is passed over.
#[derive(Debug, Clone, Deserialize)]
pub struct State {
    /// Its id; springline takes fewer characters than runtimes do.
    pub id: String,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    pid: Option<i64>,
    #[serde(default)]
    bundle: Option<String>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

/// When it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The container begins: the process id by which its namespaces are found.
    Begin(u32),
    /// It has ended. Nothing leads to its namespaces any more.
    End,
}

/// What annotations may say. They come from whoever makes containers, who need not be whoever runs the host.
#[derive(Debug, Clone, Default)]
pub struct Allowed {
    /// The networks that they may name; any if there are none.
    pub networks: Vec<String>,
    /// The keys that they may use beside `network` and `ifname`; any if there are none.
    pub keys: Vec<String>,
}

impl State {
    /// Reads the document.
    pub fn parse(text: &[u8]) -> Result<Self> {
        serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(text))
            .coded(Code::Decode, || "stdin has no state of a container, as an OCI runtime gives it to its hooks")
            .map_err(|error| error.hint("it belongs into config.json, as a hook createRuntime and poststop"))
    }

    /// Which moment it is. The hook's line does not say, nor does the status by itself: before the container's program
    /// runs it is `creating` with runc and `created` with crun. At the end runc names no process, crun process 0, and
    /// youki one that is gone.
    #[must_use]
    pub fn moment(&self) -> Moment {
        match self.pid.map(u32::try_from) {
            Some(Ok(pid @ 1..)) if self.status.as_deref() != Some("stopped") => Moment::Begin(pid),
            _ => Moment::End,
        }
    }

    /// The bundle, in one spelling: its container's id is unique in one runtime only, and two of them can't share it.
    #[must_use]
    pub fn bundle(&self) -> String {
        let parts = Path::new(self.bundle.as_deref().unwrap_or_default()).components();
        let parts: PathBuf = parts.filter(|part| *part != Component::CurDir).collect();
        parts.to_string_lossy().into_owned()
    }

    /// The interfaces that the annotations ask for: first the one without a name, then the others by their names, with
    /// `eth2` before `eth10`. The order is that in which they are made, and the first gives the default routes.
    pub fn interfaces(&self, allowed: &Allowed) -> Result<Vec<InterfaceKey>> {
        let mut interfaces: BTreeMap<(&str, usize, &str), InterfaceKey> = BTreeMap::new();
        for (annotation, value) in self.annotations.iter().flatten() {
            let Some((ifname, key)) = split(annotation)? else { continue };
            let interface = interfaces.entry(by_number(ifname)).or_default();
            set(interface, key, value.trim(), allowed)
                .map_err(|error| error.context(format!("annotation {}", annotation.escape_debug())))?;
            if !ifname.is_empty() {
                interface.ifname = Some(ifname.to_owned());
            }
        }
        let unnamed = |((_, _, ifname), interface): (&(&str, usize, &str), &InterfaceKey)| {
            let place = if ifname.is_empty() { String::new() } else { format!("{ifname}.") };
            interface.network.is_empty().then(|| format!("{PREFIX}{}network", place.escape_debug()))
        };
        match interfaces.iter().find_map(unnamed) {
            None => Ok(interfaces.into_values().collect()),
            Some(missing) => Err(Error::new(Code::InvalidConfig, format!("annotation {missing} is missing"))
                .hint("each interface needs a network; its other annotations only add to it")),
        }
    }
}

/// The interface's name and the key that an annotation is about, if it is ours. The name may have dots, keys have none.
fn split(annotation: &str) -> Result<Option<(&str, &str)>> {
    if let Some(rest) = annotation.strip_prefix("io.springline/") {
        return Err(Error::new(Code::UnsupportedField, format!("unknown annotation {annotation:?}"))
            .hint(format!("did you mean {PREFIX}{}?", rest.escape_debug())));
    }
    let Some(rest) = annotation.strip_prefix(PREFIX) else { return Ok(None) };
    let (ifname, key) = rest.rsplit_once('.').unwrap_or(("", rest));
    let unknown = || Error::new(Code::UnsupportedField, format!("unknown annotation {annotation:?}"));
    let place = if ifname.is_empty() { String::new() } else { format!("{ifname}.") };
    if !InterfaceKey::NAMES.contains(&key) {
        return Err(match nearest(key, &InterfaceKey::NAMES) {
            Some(known) => unknown().hint(format!("did you mean {PREFIX}{}{known}?", place.escape_debug())),
            None => unknown().hint(format!(
                "known ones are {PREFIX}KEY and {PREFIX}IFNAME.KEY, where KEY is one of: {}",
                InterfaceKey::NAMES.join(", ")
            )),
        });
    }
    if key == "ifname" && !ifname.is_empty() {
        return Err(unknown().hint(format!("the interface is called {ifname:?} by the annotation's own name")));
    }
    Ok(Some((ifname, key)))
}

fn set(interface: &mut InterfaceKey, key: &str, value: &str, allowed: &Allowed) -> Result<()> {
    let refused = |what: String, all: &[String], option: &str| {
        Error::new(Code::InvalidConfig, format!("{what} is not allowed by the hook's line"))
            .hint(format!("{option} allows: {}", all.join(", ")))
    };
    if value.is_empty() {
        return Err(Error::new(Code::InvalidConfig, "is empty"));
    }
    let (networks, keys) = (&allowed.networks, &allowed.keys);
    match key {
        "network" if !networks.is_empty() && !networks.iter().any(|network| network == value) => {
            Err(refused(format!("network {value:?}"), networks, "--allow"))
        }
        "network" | "ifname" => interface.set(key, value),
        _ if !keys.is_empty() && !keys.iter().any(|allowed| allowed == key) => {
            Err(refused(key.to_owned(), keys, "--allow-key"))
        }
        _ => interface.set(key, value),
    }
}

/// What sorts `eth2` before `eth10`.
fn by_number(ifname: &str) -> (&str, usize, &str) {
    let stem = ifname.trim_end_matches(|c: char| c.is_ascii_digit());
    (stem, ifname[stem.len()..].parse().unwrap_or(0), ifname)
}

#[cfg(test)]
mod tests {
    use super::super::wanted;
    use super::*;

    // As measured; see the state documents of runc 1.1, crun 1.21 and podman 5.4.
    const RUNC: &str = r#"{"ociVersion":"1.2.0","id":"runc-1","status":"creating","pid":101,"bundle":"/run/b","annotations":{"a.b/c":"d"}}"#;
    const RUNC_END: &str =
        r#"{"ociVersion":"1.2.0","id":"runc-1","status":"stopped","bundle":"/run/b","annotations":{"a.b/c":"d"}}"#;
    const CRUN: &str =
        r#"{"ociVersion":"1.0","id":"crun-1","pid":745,"root":"rootfs","bundle":"/run/b","status":"created"}"#;
    const CRUN_END: &str =
        r#"{"ociVersion":"1.0","id":"crun-1","pid":0,"root":"rootfs","bundle":"/run/b/.","status":"stopped"}"#;

    fn annotated(annotations: &[(&str, &str)]) -> State {
        let annotations = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        State { annotations: Some(annotations), ..State::parse(RUNC.as_bytes()).unwrap() }
    }

    fn refused(annotations: &[(&str, &str)]) -> String {
        annotated(annotations).interfaces(&Allowed::default()).unwrap_err().to_string()
    }

    #[test]
    fn every_runtimes_beginning_and_end_is_understood() {
        let moment = |text: &str| State::parse(text.as_bytes()).unwrap().moment();
        assert_eq!([RUNC, CRUN].map(moment), [Moment::Begin(101), Moment::Begin(745)]);
        assert_eq!([RUNC_END, CRUN_END].map(moment), [Moment::End, Moment::End]);
        let with = |status: &str, pid: &str| moment(&format!(r#"{{"id": "a", "status": {status}, "pid": {pid}}}"#));
        assert_eq!(with(r#""running""#, "7"), Moment::Begin(7));
        assert_eq!(with("null", "7"), Moment::Begin(7));
        assert_eq!(with(r#""stopped""#, "7"), Moment::End);
        assert_eq!(with(r#""running""#, "0"), Moment::End);
        assert_eq!(with(r#""running""#, "-1"), Moment::End);
        assert_eq!(with(r#""running""#, "null"), Moment::End);
    }

    #[test]
    fn a_bundle_has_one_spelling() {
        let [begin, end] = [CRUN, CRUN_END].map(|text| State::parse(text.as_bytes()).unwrap().bundle());
        assert_eq!((begin.as_str(), end.as_str()), ("/run/b", "/run/b"));
        assert_eq!(State::parse(br#"{"id": "a"}"#).unwrap().bundle(), "");
    }

    #[test]
    fn what_is_no_state_is_told_so() {
        for text in ["", "{}", "[]", "null", r#"{"id": 7}"#, r#"{"id": "a", "annotations": {"a": 1}}"#] {
            assert!(
                State::parse(text.as_bytes()).unwrap_err().to_string().contains("no state of a container"),
                "{text}"
            );
        }
    }

    #[test]
    fn other_peoples_annotations_ask_for_nothing() {
        for text in [RUNC, CRUN] {
            assert_eq!(State::parse(text.as_bytes()).unwrap().interfaces(&Allowed::default()).unwrap(), []);
        }
        let near =
            annotated(&[("io.springliner.network", "a"), ("IO.SPRINGLINE.network", "b"), ("io.springline", "c")]);
        assert_eq!(near.interfaces(&Allowed::default()).unwrap(), []);
    }

    #[test]
    fn interfaces_come_by_their_names_and_the_unnamed_one_first() {
        let state = annotated(&[
            ("io.springline.eth10.network", "ten"),
            ("io.springline.eth2.network", "two"),
            ("io.springline.network", "first"),
            ("io.springline.ip", "198.51.100.7, 2001:db8::7"),
            ("io.springline.a.b.network", "dotted"),
            ("io.springline.eth2.port", "8080:80,53:53/udp"),
        ]);
        let wanted = wanted::to_model(&state.interfaces(&Allowed::default()).unwrap()).unwrap();
        let names: Vec<_> = wanted.iter().map(|one| (one.ifname.as_str(), one.network.as_str())).collect();
        assert_eq!(names, [("eth0", "first"), ("a.b", "dotted"), ("eth2", "two"), ("eth10", "ten")]);
        assert_eq!((wanted[0].wish.ips.len(), wanted[2].wish.ports.len()), (2, 2));
    }

    #[test]
    fn mistakes_are_named_with_what_was_meant() {
        assert!(refused(&[("io.springline.netwrk", "a")]).contains("did you mean io.springline.network?"));
        assert!(refused(&[("io.springline.eth1.adress", "a")]).contains("known ones are io.springline.KEY"));
        assert!(refused(&[("io.springline.eth1.netwrk", "a")]).contains("did you mean io.springline.eth1.network?"));
        assert!(refused(&[("io.springline/network", "a")]).contains("did you mean io.springline.network?"));
        assert!(refused(&[("io.springline.eth1.ifname", "a")]).contains(r#"called "eth1""#));
        assert!(refused(&[("io.springline.ip", "192.0.2.1")]).contains("io.springline.network is missing"));
        assert!(refused(&[("io.springline.eth1.ip", "192.0.2.1")]).contains("io.springline.eth1.network is missing"));
        assert!(refused(&[("io.springline.network", " ")]).contains("io.springline.network: is empty"));
        let twice = annotated(&[("io.springline.network", "a"), ("io.springline.eth0.network", "b")]);
        let twice = twice.interfaces(&Allowed::default()).and_then(|keys| wanted::to_model(&keys));
        assert!(twice.unwrap_err().to_string().contains("two interfaces are to be called eth0"));
    }

    /// They are shown on terminals.
    #[test]
    fn errors_repeat_no_control_characters() {
        let evil = "\u{1b}[2J";
        let mut annotations = vec![vec![(format!("io.springline.{evil}"), "a")]];
        annotations.push(vec![(format!("io.springline.{evil}.ip"), "a")]);
        annotations.push(vec![(format!("io.springline.{evil}.ip"), " ")]);
        annotations.push(vec![(format!("io.springline/{evil}"), "a")]);
        annotations.push(vec![(format!("io.springline.{evil}.network"), "a")]);
        for key in InterfaceKey::NAMES {
            let basis = ("io.springline.network".to_owned(), "a");
            annotations.push(vec![basis, (format!("io.springline.{key}"), evil)]);
        }
        annotations
            .push(vec![("io.springline.network".into(), "a"), ("io.springline.route".into(), "10.0.0.0/8 via \u{7}")]);
        for annotations in annotations {
            let annotations: Vec<_> = annotations.iter().map(|(key, value)| (key.as_str(), *value)).collect();
            let refused = annotated(&annotations).interfaces(&Allowed::default());
            let error = refused.and_then(|keys| wanted::to_model(&keys)).unwrap_err().to_string();
            let shown: String = error.chars().filter(|c| *c != '\n').collect();
            assert!(!shown.chars().any(char::is_control), "{annotations:?}: {error:?}");
        }
    }

    #[test]
    fn the_line_says_what_annotations_may() {
        let allowed = Allowed { networks: vec!["public".into()], keys: vec!["ip".into()] };
        let asks = |annotations: &[(&str, &str)]| annotated(annotations).interfaces(&allowed);
        let public = ("io.springline.network", "public");
        assert!(asks(&[public, ("io.springline.ip", "192.0.2.1"), ("io.springline.ifname", "a")]).is_ok());
        let network = asks(&[public, ("io.springline.eth1.network", "lan")]).unwrap_err().to_string();
        assert!(network.contains(r#"network "lan" is not allowed"#) && network.contains("public"), "{network}");
        let key = asks(&[public, ("io.springline.route", "0.0.0.0/1")]).unwrap_err().to_string();
        assert!(key.contains("route is not allowed by the hook's line") && key.contains("--allow-key"), "{key}");
    }
}
