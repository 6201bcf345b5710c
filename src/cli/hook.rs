//! `springline hook`: what runtimes call that do not speak CNI.

use std::env;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::interfaces::Interfaces;
use crate::error::Result;
use crate::front::lxc;
use crate::wire::lxc::HookCall;

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
    /// any, the container's interfaces are those of a file:
    ///
    ///     {"interfaces": [{"network": "public", "ip": ["198.51.100.7", "2001:db8::7"], "route": "10.5.5.0/24"},
    ///                     {"network": "lan", "ifname": "lan0", "mac": "02:00:00:00:00:07", "port": "8080:80/tcp"}]}
    #[command(verbatim_doc_comment)]
    Lxc(LxcArguments),
}

/// The hook's line, and what LXC adds to it.
#[derive(Debug, Args)]
pub(super) struct LxcArguments {
    #[command(flatten)]
    interfaces: Interfaces,
    /// The file with the container's interfaces; by default /etc/springline/lxc/NAME.json
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What LXC adds with `lxc.hook.version = 0`: NAME lxc TYPE, and more
    #[arg(hide = true)]
    words: Vec<String>,
}

pub(super) fn run(hook: &Hook) -> Result<()> {
    match hook {
        Hook::Lxc(arguments) => {
            let call = HookCall::read(&arguments.words, |name| env::var_os(name))?;
            lxc::serve(&call, &arguments.interfaces.0, arguments.config.as_deref())
        }
    }
}
