//! The LXC face: `lxc.hook.start-host`, `lxc.hook.stop`, `lxc.hook.post-stop`.
//!
//! LXC makes the network namespace (`lxc.net.0.type = empty`) and runs the hook in the host's namespaces when init is
//! there and waits. It has no timeout, and takes what is printed into its log.

use std::fs;
use std::path::{Path, PathBuf};

use super::named::Guest;
use crate::error::{Code, Coded, Error, Result};
use crate::exec::{self, Engine, FileState};
use crate::model::{ContainerId, Face, Maker};
use crate::store::Store;
use crate::wire::lxc::{HookCall, Moment};
use crate::wire::wanted::{self, InterfaceKey, InterfacesFile};

/// Where the containers' own files are, each called by its container's name.
const FOLDER: &str = "/etc/springline/lxc";

/// Serves one call of the hook. The interfaces are those of the options, or else of the container's file: the one that
/// is named, or `/etc/springline/lxc/NAME.json`. With `write_config`, the guest's own network service is told of them;
/// what of that could not be done is returned, and keeps no container from starting.
pub fn serve(
    call: &HookCall,
    options: &[InterfaceKey],
    file: Option<&Path>,
    write_config: bool,
) -> Result<Vec<String>> {
    let maker = Maker { face: Face::Lxc, instance: call.folder.clone() };
    let guest = |interfaces| Guest { container: call.container.clone(), maker, interfaces };
    let interfaces = interfaces(&call.container, options, file).and_then(|keys| wanted::to_model(&keys));
    match call.moment {
        Moment::Start(pid) => {
            let guest = guest(interfaces?);
            refuse_plain_user(&call.container)?;
            let netns = format!("/proc/{pid}/ns/net");
            guest.attach(&Engine::open(Store::open()?)?, &netns).map(drop)?;
            Ok(if write_config { configure(&call.container, pid) } else { Vec::new() })
        }
        // What must be removed is in the records: an option that has become wrong must not keep it.
        Moment::Stop => {
            let guest = guest(interfaces.unwrap_or_default());
            if !nix::unistd::geteuid().is_root() {
                return Ok(Vec::new()); // start-host has refused, so there is nothing; and nothing could be done
            }
            guest.detach(&Engine::open(Store::open()?)?).map(|_| Vec::new())
        }
    }
}

/// Writes the files of the guest's own network service, by way of its init: there all of its file systems are mounted,
/// whatever they are on, and init waits until the hook has ended.
fn configure(container: &ContainerId, pid: u32) -> Vec<String> {
    let configured = Store::open().and_then(|store| {
        let (guest, unfit) = exec::guest_of_container(&store, container)?;
        let report = exec::configure_guest(Path::new(&format!("/proc/{pid}/root")), None, &guest)?;
        let left = report.files.into_iter().filter_map(|(path, state)| match state {
            FileState::LeftAlone(why) => Some(format!("{path} is left alone: {why}")),
            FileState::Written | FileState::Unchanged | FileState::Removed => None,
        });
        Ok(unfit.into_iter().chain(report.warnings).chain(left).collect())
    });
    configured.unwrap_or_else(|error| vec![format!("the guest's own network configuration was not written: {error}")])
}

fn interfaces(container: &ContainerId, options: &[InterfaceKey], file: Option<&Path>) -> Result<Vec<InterfaceKey>> {
    if !options.is_empty() {
        return Ok(options.to_vec());
    }
    let path = file.map_or_else(|| PathBuf::from(FOLDER).join(format!("{container}.json")), Path::to_path_buf);
    let text =
        fs::read(&path).coded(Code::Io, || format!("which networks is {container} to be on? read {}", path.display()));
    let text = text.map_err(|error| {
        error.hint("name them on the hook's line (springline hook lxc --network NAME), or in that file")
    })?;
    InterfacesFile::parse(&text).map_err(|error| error.context(path.display().to_string()))
}

/// LXC runs hooks as whoever starts the container.
fn refuse_plain_user(container: &ContainerId) -> Result<()> {
    let uid = nix::unistd::geteuid();
    if uid.is_root() {
        return Ok(());
    }
    Err(Error::new(Code::InvalidEnvironment, "only root may change the host's network")
        .context(format!("container {container} was started by the user with id {uid}, as whom LXC runs this hook"))
        .hint("start it as root: with lxc.idmap its own root is still an ordinary user of the host")
        .hint("or leave its network to LXC, which has lxc-user-nic(1) for plain users"))
}
