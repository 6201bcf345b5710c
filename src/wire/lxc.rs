//! What LXC tells a hook (lxc.container.conf(5), "CONTAINER HOOKS"): by words on its command line in version 0, by the
//! environment in version 1, `lxc.hook.version`.

use std::ffi::OsString;
use std::path::Path;

use crate::error::{Code, Coded, Error, Result};
use crate::model::ContainerId;

/// One call of a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookCall {
    /// The container's name.
    pub container: ContainerId,
    /// The folder of containers that it is in (`lxcpath`): names are unique only there.
    pub folder: String,
    /// When it is.
    pub moment: Moment,
}

/// The moments at which we have something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// `start-host`: init waits, its namespaces are there; its process id.
    Start(u32),
    /// `stop` and `post-stop`: it has ended, or will begin anew (`LXC_TARGET=reboot`), in a new namespace either way.
    Stop,
}

impl HookCall {
    /// Reads what LXC says. `words` is what version 0 adds to the hook's line: `NAME lxc TYPE`, and more for some
    /// types; `lookup` reads the environment.
    ///
    /// In start-host only `LXC_PID` is good: after a reboot from inside the same monitor runs the hook, and its
    /// environment still has the `LXC_NET_NS` of before (lxc#3066).
    pub fn read(words: &[String], lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let variable =
            |name: &str| lookup(name).and_then(|value| value.into_string().ok()).filter(|text| !text.is_empty());
        let given = |at: usize, name: &str| {
            let value = words.get(at).cloned().or_else(|| variable(name));
            value.ok_or_else(|| {
                Error::new(Code::InvalidEnvironment, format!("{name} is not set, and no word says it"))
                    .context("this is not called by LXC")
                    .hint("it belongs into a container's configuration: lxc.hook.start-host = springline hook lxc …")
            })
        };
        let name = given(0, "LXC_NAME")?;
        let container = ContainerId::parse(&name).coded(Code::InvalidEnvironment, || "LXC_NAME")?;
        let section = given(1, "LXC_HOOK_SECTION")?;
        let kind = given(2, "LXC_HOOK_TYPE")?;
        let moment = match (section.as_str(), kind.as_str()) {
            ("lxc", "start-host") => {
                let pid = variable("LXC_PID").and_then(|text| text.parse().ok());
                let missing = || Error::new(Code::InvalidEnvironment, "LXC_PID is no process id");
                Moment::Start(pid.ok_or_else(missing)?)
            }
            ("lxc", "stop" | "post-stop") => Moment::Stop,
            (section, kind) => {
                let what = format!("it is called as {section} hook {kind}");
                return Err(Error::new(Code::InvalidEnvironment, what)
                    .context("nothing to do for this hook")
                    .hint("it serves lxc.hook.start-host, lxc.hook.stop and lxc.hook.post-stop"));
            }
        };
        let config = variable("LXC_CONFIG_FILE").unwrap_or_default();
        Ok(Self { folder: folder_of(&config, &name), container, moment })
    }
}

/// The folder of containers: of `/var/lib/lxc/web/config` it is `/var/lib/lxc`. A file elsewhere (`lxc-start -f`) stands
/// for itself.
fn folder_of(config: &str, name: &str) -> String {
    let own = Path::new(config).parent().filter(|folder| folder.file_name().is_some_and(|last| last == name));
    let folder = own.and_then(Path::parent).and_then(Path::to_str);
    folder.unwrap_or(config).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str], environment: &[(&str, &str)]) -> Result<HookCall> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        HookCall::read(&words, |name| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
    }

    const FILE: (&str, &str) = ("LXC_CONFIG_FILE", "/var/lib/lxc/c1/config");

    #[test]
    fn both_versions_say_the_same() {
        let v0 = read(&["c1", "lxc", "start-host"], &[FILE, ("LXC_PID", "42")]).unwrap();
        let v1 =
            [FILE, ("LXC_NAME", "c1"), ("LXC_HOOK_SECTION", "lxc"), ("LXC_HOOK_TYPE", "start-host"), ("LXC_PID", "42")];
        assert_eq!(read(&[], &v1).unwrap(), v0);
        assert_eq!((v0.moment, v0.folder.as_str()), (Moment::Start(42), "/var/lib/lxc"));
    }

    #[test]
    fn the_extra_words_of_stop_are_passed_over() {
        let stop = read(&["c1", "lxc", "stop", "mnt:/proc/7/fd/8", "net:/proc/7/fd/9"], &[]).unwrap();
        assert_eq!(stop.moment, Moment::Stop);
    }

    #[test]
    fn other_hooks_and_other_callers_are_told_so() {
        assert!(read(&["c1", "lxc", "pre-mount"], &[]).unwrap_err().to_string().contains("pre-mount"));
        assert!(read(&["c1", "net", "up"], &[]).is_err());
        assert!(read(&[], &[]).unwrap_err().to_string().contains("not called by LXC"));
        assert!(read(&["c1", "lxc", "start-host"], &[]).is_err());
    }
}
