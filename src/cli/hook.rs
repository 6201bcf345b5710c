//! `springline hook`: what runtimes call that do not speak CNI.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::interfaces::Interfaces;
use crate::error::Result;
use crate::front::{lxc, oci};
use crate::wire::lxc::HookCall;
use crate::wire::oci::Allowed;

/// For which runtime.
#[derive(Debug, Subcommand)]
pub(super) enum Hook {
    /// LXC: serves lxc.hook.start-host, lxc.hook.stop and lxc.hook.post-stop
    ///
    /// In a container's configuration:
    ///
    ///     lxc.hook.version = 1
    ///     lxc.net.0.type = empty
    ///     lxc.hook.start-host = /usr/bin/springline hook lxc --network public --ip 198.51.100.7
    ///     lxc.hook.stop = /usr/bin/springline hook lxc
    ///     lxc.hook.post-stop = /usr/bin/springline hook lxc
    ///
    /// With several networks, each --network begins another interface, to which the options after it belong. Without
    /// any, the container's interfaces are those of a file (--config):
    ///
    ///     {"interfaces": [{"network": "public", "ip": ["198.51.100.7", "2001:db8::7"], "route": "10.5.5.0/24"},
    ///                     {"network": "lan", "ifname": "lan0", "mac": "02:00:00:00:00:07", "port": "8080:80/tcp"}]}
    #[command(verbatim_doc_comment)]
    Lxc(LxcArguments),
    /// OCI runtimes (runc, crun, youki, podman, CRI-O): serves createRuntime (or prestart) and poststop
    ///
    /// For podman and CRI-O, in /etc/containers/oci/hooks.d/springline.json:
    ///
    ///     {"version": "1.0.0",
    ///      "hook": {"path": "/usr/bin/springline", "args": ["springline", "hook", "oci"]},
    ///      "when": {"annotations": {"^io\\.springline\\.": ".*"}},
    ///      "stages": ["createRuntime", "poststop"]}
    ///
    /// and then:
    ///
    ///     podman run --network none --annotation io.springline.network=public IMAGE
    ///
    /// For runc, crun and youki the same path and args belong into the bundle's config.json, under hooks.createRuntime
    /// and hooks.poststop, and the annotations under annotations:
    ///
    ///     io.springline.network = public                  the only interface, or the first
    ///     io.springline.ip = 198.51.100.7,2001:db8::7     and so .ifname, .mac, .route, .port; commas between several
    ///     io.springline.eth1.network = lan                a further interface, eth1
    ///     io.springline.eth1.mac = 02:00:00:00:00:07
    ///
    /// The options --network, --ip and so on are for containers without such annotations; each --network begins another
    /// interface, to which the options after it belong. A container with neither is left alone.
    ///
    /// Annotations may ask for whatever a network of /etc/cni/net.d allows, ports of the host and routes among them.
    /// Where those who make containers are not those who run the host, say what they may: --allow, --allow-key.
    #[command(verbatim_doc_comment)]
    Oci(OciArguments),
}

/// The hook's line, and what LXC adds to it.
#[derive(Debug, Args)]
pub(super) struct LxcArguments {
    #[command(flatten)]
    interfaces: Interfaces,
    /// The file with the container's interfaces; by default /etc/springline/lxc/NAME.json
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Have the guest's own network service agree with what was made: write its files (springline distconfig)
    #[arg(long)]
    write_config: bool,
    /// What LXC adds with `lxc.hook.version = 0`: NAME lxc TYPE, and more
    #[arg(hide = true)]
    words: Vec<String>,
}

/// The hook's line.
#[derive(Debug, Args)]
pub(super) struct OciArguments {
    #[command(flatten)]
    interfaces: Interfaces,
    /// A network that annotations may name; repeatable. Without it, any
    #[arg(long, value_name = "NETWORK")]
    allow: Vec<String>,
    /// What annotations may say beside network and ifname: ip, route, mac or port; repeatable, or with commas. Without
    /// it, all of them; "none": nothing
    #[arg(long, value_name = "KEY", value_delimiter = ',', value_parser = ["ip", "route", "mac", "port", "none"])]
    allow_key: Vec<String>,
}

pub(super) fn run(hook: &Hook) -> Result<()> {
    match hook {
        Hook::Lxc(arguments) => {
            let call = HookCall::read(&arguments.words, |name| env::var_os(name))?;
            let written =
                lxc::serve(&call, &arguments.interfaces.0, arguments.config.as_deref(), arguments.write_config)?;
            // Into LXC's log: what could not be written is no reason not to start.
            for line in written {
                let _ = writeln!(io::stderr(), "springline: {line}");
            }
            Ok(())
        }
        Hook::Oci(arguments) => {
            let allowed = Allowed { networks: arguments.allow.clone(), keys: arguments.allow_key.clone() };
            oci::serve(&arguments.interfaces.0, &allowed)
        }
    }
}
