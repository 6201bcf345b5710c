//! `springline distconfig`: the guest's own network service agrees with what was plumbed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::output::Output;
use super::say;
use crate::error::{Code, Coded, Error, Result};
use crate::exec::{FileState, GuestReport, configure_guest, guest_of_container, preview_guest, release_guest};
use crate::guest::{Distro, Ownership};
use crate::model::{ContainerId, Guest};
use crate::store::Store;

/// What `--config` reads, by an example.
pub(super) const EXAMPLE: &str = r#"Which files are written depends on the distribution and on the network service that its rootfs has:

  alpine                 /etc/network/interfaces (a block), or a fragment in interfaces.d if that is sourced
  arch                   systemd-networkd, NetworkManager
  centos and relatives   NetworkManager keyfiles; ifcfg files up to version 7, or without NetworkManager
  debian, devuan         netplan, systemd-networkd, ifupdown, NetworkManager: the first that is there
  fedora                 NetworkManager keyfiles, systemd-networkd, ifcfg files
  nixos                  systemd-networkd, otherwise /ifcfg.add and /ifcfg.del
  opensuse               NetworkManager, systemd-networkd, wicked
  ubuntu                 netplan, systemd-networkd, ifupdown, NetworkManager
  void                   a script of runit's first stage

Files are replaced whole, only if they change, and never through a symbolic link. One that its owner may not write
(chmod u-w) is left alone. What was there under the name of one of springline's is kept as before-springline.NAME.

--config reads JSON. Only "name" is required; "addressing" is "static" or "automatic" (DHCP, router advertisements):

  {"interfaces": [{
    "name": "eth0", "mtu": 1500, "addressing": "static",
    "addresses": ["198.51.100.7/32", "2001:db8::7/128", "fe80::2/64"],
    "routes": [{"dst": "0.0.0.0/0", "via": "169.254.0.1", "onlink": true}, {"dst": "::/0", "via": "fe80::1"}],
    "dns": {"nameservers": ["192.0.2.53"], "search": ["example.net"]}
  }]}

A route may also have "src", "metric", "table", "scope", "mtu" and "advmss"; an IPv4 one an IPv6 "via".

The exit status is 0 also if the distribution, or its network service, is not known: then a warning says so, and
nothing is written."#;

/// Whose files to write.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The guest's root: a folder, or /proc/PID/root
    #[arg(long, value_name = "DIR")]
    rootfs: PathBuf,
    /// The guest's distribution, or `auto` to look into its os-release
    #[arg(long, default_value = "auto", value_parser = parse_distro)]
    distro: Choice,
    /// Write what the container of this id was given, as springline has recorded it
    #[arg(long, value_name = "CONTAINER")]
    id: Option<String>,
    /// Write what this file (or `-`, stdin) says, for a rootfs that is prepared before any start
    #[arg(long, value_name = "FILE", conflicts_with = "id")]
    config: Option<PathBuf>,
    /// Take out all files of springline's, and put back what was there before
    #[arg(long, conflicts_with_all = ["id", "config"])]
    remove: bool,
    /// Print the files with their contents, and touch nothing
    #[arg(long, conflicts_with = "remove")]
    dry_run: bool,
    #[command(flatten)]
    output: Output,
}

/// `auto` is `None`.
#[derive(Debug, Clone, Copy)]
struct Choice(Option<Distro>);

fn parse_distro(text: &str) -> Result<Choice, String> {
    if text == "auto" {
        return Ok(Choice(None));
    }
    let unknown = || format!("known are auto, {}", Distro::names().collect::<Vec<_>>().join(", "));
    Distro::named(text).map(|distro| Choice(Some(distro))).ok_or_else(unknown)
}

/// Writes, or shows what would be written.
pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<()> {
    if arguments.remove {
        return show(&release_guest(&arguments.rootfs)?, arguments, out);
    }
    let (guest, warnings) = wanted(arguments)?;
    let Choice(distro) = arguments.distro;
    if arguments.dry_run {
        return preview(&guest, warnings, arguments, out);
    }
    let mut report = configure_guest(&arguments.rootfs, distro, &guest)?;
    report.warnings.splice(0..0, warnings);
    show(&report, arguments, out)
}

/// The guest, and what of it cannot be written.
fn wanted(arguments: &Arguments) -> Result<(Guest, Vec<String>)> {
    let (guest, warnings) = match (&arguments.id, &arguments.config) {
        (Some(id), _) => {
            let container = ContainerId::parse(id).coded(Code::InvalidConfig, || "--id")?;
            let (guest, warnings) = guest_of_container(&Store::open()?, &container)?;
            if guest.interfaces.is_empty() && warnings.is_empty() {
                return Err(Error::new(Code::InvalidConfig, format!("container {id} has no attachment"))
                    .hint("before its first start, describe its interfaces by --config")
                    .hint("--remove takes out what was written before"));
            }
            (guest, warnings)
        }
        (None, Some(path)) => (read_config(path)?, Vec::new()),
        (None, None) => {
            return Err(Error::new(Code::InvalidConfig, "nothing says what is to be written")
                .hint("name a container by --id, a description by --config, or --remove"));
        }
    };
    let mut names: Vec<&str> = guest.interfaces.iter().map(|interface| interface.name.as_str()).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    if names.len() < count {
        return Err(Error::new(Code::InvalidConfig, "an interface is there twice"));
    }
    Ok((guest, warnings))
}

fn read_config(path: &PathBuf) -> Result<Guest> {
    let mut text = String::new();
    let doing = || format!("read {}", path.display());
    let from: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).coded(Code::Io, doing)?)
    };
    from.take(1 << 20).read_to_string(&mut text).coded(Code::Io, doing)?;
    let mut deserializer = serde_json::Deserializer::from_str(&text);
    let guest: Guest = serde_path_to_error::deserialize(&mut deserializer).coded(Code::Decode, doing)?;
    if guest.interfaces.is_empty() {
        return Err(Error::new(Code::InvalidConfig, "no interfaces").context(doing()).hint("--remove takes all out"));
    }
    Ok(guest)
}

fn preview(guest: &Guest, mut warnings: Vec<String>, arguments: &Arguments, out: &mut impl Write) -> Result<()> {
    let (distro, draft) = preview_guest(&arguments.rootfs, arguments.distro.0, guest)?;
    warnings.extend(draft.warnings);
    if arguments.output.is_json() {
        let file = |file: &crate::guest::GuestFile| {
            let shared = file.ownership == Ownership::Shared;
            json!({"path": format!("/{}", file.path), "mode": format!("{:04o}", file.mode), "shared": shared,
                "content": file.content})
        };
        let files: Vec<Value> = draft.files.iter().map(file).collect();
        let value = json!({"distro": distro.map(|distro| distro.to_string()),
            "service": draft.service.map(|service| service.to_string()), "files": files, "warnings": warnings});
        return say(out, format!("{value:#}"));
    }
    for file in &draft.files {
        let kept = if file.ownership == Ownership::Shared { "mode kept".into() } else { format!("{:04o}", file.mode) };
        say(out, format!("==> /{} ({kept})\n{}", file.path, file.content))?;
    }
    warnings.iter().try_for_each(|warning| warn(warning))
}

fn show(report: &GuestReport, arguments: &Arguments, out: &mut impl Write) -> Result<()> {
    if arguments.output.is_json() {
        let file = |(path, state): &(String, FileState)| {
            let mut value = json!({"path": format!("/{path}"), "state": word(state)});
            if let FileState::LeftAlone(why) = state {
                value["why"] = why.as_str().into();
            }
            value
        };
        let files: Vec<Value> = report.files.iter().map(file).collect();
        let value = json!({"distro": report.distro.map(|distro| distro.to_string()),
            "service": report.service.map(|service| service.to_string()), "files": files,
            "warnings": report.warnings});
        return say(out, format!("{value:#}"));
    }
    for (path, state) in &report.files {
        let why = if let FileState::LeftAlone(why) = state { format!(": {why}") } else { String::new() };
        say(out, format!("{:<10} /{path}{why}", word(state)))?;
    }
    report.warnings.iter().try_for_each(|warning| warn(warning))
}

/// To stderr: stdout lists files.
fn warn(warning: &str) -> Result<()> {
    writeln!(io::stderr(), "springline: warning: {warning}").coded(Code::Io, || "write to stderr")
}

fn word(state: &FileState) -> &'static str {
    match state {
        FileState::Written => "written",
        FileState::Unchanged => "unchanged",
        FileState::Removed => "removed",
        FileState::LeftAlone(_) => "left alone",
    }
}
