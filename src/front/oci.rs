//! The OCI face: hooks `createRuntime` (or the older `prestart`) and `poststop` of runc, crun, youki, podman, CRI-O.
//!
//! The runtime makes the network namespace, runs the hook in its own namespaces and waits. It may run it with an empty
//! environment, and kill it if a `timeout` is set. Not all of them call `poststop` when a start has failed (crun does
//! not), nor does anybody when they are killed themselves: what is left then goes with the next start of the same
//! container, or with `springline gc`.

use std::io::{self, IsTerminal, Read};

use super::named::Guest;
use crate::error::{Code, Coded, Error, Result};
use crate::exec::Engine;
use crate::kernel::Netns;
use crate::model::{ContainerId, Face, Maker};
use crate::store::Store;
use crate::wire::oci::{Allowed, Moment, State};
use crate::wire::wanted::{self, InterfaceKey};

/// No runtime says more: annotations of Kubernetes end at 256 KiB.
const MAX_STATE: u64 = 4 << 20;

/// Serves one call of the hook. The interfaces are those of the container's annotations, within what is `allowed`, or
/// else those of the line's `options`. A container with neither is none of our business.
pub fn serve(options: &[InterfaceKey], allowed: &Allowed) -> Result<()> {
    let state = State::parse(&read_state()?)?;
    let of_container = || format!("container {:?}", state.id);
    let annotated = state.interfaces(allowed);
    let keys = annotated.map(|annotated| if annotated.is_empty() { options.to_vec() } else { annotated });
    let interfaces = keys.and_then(|keys| wanted::to_model(&keys)).map_err(|error| error.context(of_container()));
    let maker = Maker { face: Face::Oci, instance: state.bundle() };
    let container = ContainerId::parse(&state.id);
    match state.moment() {
        Moment::Begin(pid) => {
            let interfaces = interfaces?;
            if interfaces.is_empty() {
                return Ok(());
            }
            let container = container.coded(Code::InvalidConfig, of_container).map_err(|error| {
                error.hint("runtimes take more than springline, which keeps files by this name: choose another id")
            })?;
            let netns = format!("/proc/{pid}/ns/net");
            refuse_own_namespace(&netns).map_err(|error| error.context(of_container()))?;
            let guest = Guest { container, maker, interfaces };
            let engine = Engine::open(Store::open()?)?;
            // A second hook for the same process: `prestart` beside `createRuntime`, for runtimes of all ages.
            if guest.is_attached(&engine, &netns)? {
                return Ok(());
            }
            guest.attach(&engine, &netns).map(drop)
        }
        // What must be removed is in the records: an annotation that has become wrong must not keep it. An id that is
        // refused at the beginning has none.
        Moment::End => {
            let Ok(container) = container else { return Ok(()) };
            let guest = Guest { container, maker, interfaces: interfaces.unwrap_or_default() };
            guest.detach(&Engine::open(Store::open()?)?).map(drop)
        }
    }
}

fn read_state() -> Result<Vec<u8>> {
    let doing = || "read the container's state from stdin";
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Err(Error::new(Code::InvalidEnvironment, "it is a terminal")
            .context(doing())
            .hint("this is for OCI runtimes to call: see springline hook oci --help"));
    }
    let mut bytes = Vec::new();
    stdin.lock().take(MAX_STATE + 1).read_to_end(&mut bytes).coded(Code::Io, doing)?;
    if bytes.len() as u64 > MAX_STATE {
        return Err(Error::new(Code::Decode, format!("more than {MAX_STATE} bytes")).context(doing()));
    }
    Ok(bytes)
}

/// A container without a network namespace of its own has the host's, which is not to be changed for it.
fn refuse_own_namespace(netns: &str) -> Result<()> {
    if !Netns::open(netns).is_ok_and(|netns| netns.is_current()) {
        return Ok(()); // one that cannot be opened is told of by whoever is to attach it
    }
    Err(Error::new(Code::InvalidNetns, format!("{netns} is the namespace that this hook runs in"))
        .context("it is to have interfaces, but has no network namespace of its own")
        .hint(r#"config.json: "linux": {"namespaces": [{"type": "network"}, …]}; podman: --network none"#)
        .hint("the hook belongs to createRuntime and poststop: createContainer and startContainer run inside"))
}
