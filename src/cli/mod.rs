//! The command line, one file a command.

mod attach;
mod change;
mod check;
mod completions;
mod demo;
mod detach;
mod distconfig;
mod doctor;
mod gc;
mod graph;
mod hook;
mod interfaces;
mod list;
mod man;
mod netns;
mod output;
mod plan;
mod progress;
mod schema;
mod table;
mod watch;
mod world;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::{Code, Coded, Error, Result};

/// Moors containers to their host's network.
///
/// As a CNI plugin, springline is called by a container runtime, without arguments: the variables
/// `CNI_COMMAND` and its companions say what to do, the network's configuration is on stdin.
#[derive(Debug, Parser)]
#[command(name = "springline", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show it at work: a host and two containers in throw-away namespaces, attached, pinged, detached
    ///
    /// Needs root, or a kernel that lets users make user namespaces. Nothing outside of the demonstration's
    /// own namespaces and a temporary folder is touched, and nothing is left.
    Demo,
    /// Attach a network namespace to a network
    ///
    /// The network is one of /etc/cni/net.d (or of $NETCONFPATH), the same that container runtimes use. It works whole
    /// or not at all.
    Attach(attach::Arguments),
    /// Print what `attach` would do, step by step, without doing it
    ///
    /// Without --netns, nothing but the configuration is needed, and no privileges: the plan is for an empty namespace on
    /// a host with nothing of springline's on it. With --netns it is for that namespace and this host, as they are now.
    Plan(plan::Arguments),
    /// Detach what was attached, by whomever
    Detach(detach::Arguments),
    /// List the attachments: what is plugged where, by whom, and whether it is as recorded
    Ls(list::Arguments),
    /// Show all that is known of attachments
    Inspect(list::Arguments),
    /// Draw the host: links, networks, bridges, containers, addresses, routes, ports
    ///
    /// What the kernel shows is drawn, so that what has drifted is seen. `springline graph -o svg > host.svg` makes a
    /// picture for any browser.
    Graph(graph::Arguments),
    /// Addresses of an attachment that is in use: give, take, list
    #[command(subcommand)]
    Ip(change::Ip),
    /// Networks that the host routes to an attachment: add, take away, list
    #[command(subcommand)]
    Route(change::Route),
    /// Rates, MTU, isolation and ports of an attachment that is in use
    Set(change::Set),
    /// Give the interface of an attachment that is in use another name, inside its container
    ///
    /// Addresses, routes and sysctls stay with it, and from Linux 6.2 on no packet is lost. Whoever has attached it goes on
    /// asking for it by the old name, which remains part of the attachment's: NETWORK/ID/IFNAME.
    Rename(change::Rename),
    /// Named network namespaces: make, remove, list, run a command in one
    #[command(subcommand)]
    Netns(netns::Command),
    /// Compare attachments with their records, and put right what has drifted
    ///
    /// Without names, all attachments of this host. The exit status is 0 if all of them are as recorded, or have been
    /// put right.
    Check(check::Arguments),
    /// Remove what dead containers have left: attachments whose network namespace is gone
    ///
    /// A namespace lives if its path still leads to it, by the kernel's cookie: one that was made anew at the same
    /// path is another. What is alive is never touched.
    Gc(gc::Arguments),
    /// Keep an eye on containers' links: withdraw routes to what is unplugged, put right what drifts, remove what is dead
    ///
    /// Runs until SIGTERM or SIGINT. When a container's interface goes down, the host's routes to it go, so that routing
    /// daemons withdraw them; when it comes up again, they are put back. What `check --repair` and `gc` do now and then is
    /// done when it happens. Nothing depends on it: without it, routes stay while an interface is down.
    Watch(watch::Arguments),
    /// Say what is wrong with this host for containers, why it matters, and the command that mends it
    ///
    /// Forwarding, default routes at risk, sysctls that contradict a network's gateway scheme, other people's firewalls and
    /// network services, missing kernel features, and what dead containers have left. It changes nothing: what the kernel
    /// can do is tried out in a namespace of its own.
    #[command(after_long_help = doctor::EXIT_STATUS)]
    Doctor(doctor::Arguments),
    /// Serve a container runtime that does not speak CNI
    #[command(subcommand)]
    Hook(hook::Hook),
    /// Write a guest's own network configuration, so that it agrees with what was plumbed instead of wiping it
    #[command(after_long_help = distconfig::EXAMPLE)]
    Distconfig(distconfig::Arguments),
    /// Print the JSON schema of the network configuration
    Schema,
    /// Write the manual: one page a command
    Man(man::Arguments),
    /// Print a shell's completions
    Completions(completions::Arguments),
}

/// Parses the command line and runs the command.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let mut out = io::stdout().lock();
    let mut status = ExitCode::SUCCESS;
    let done = match arguments.command {
        Command::Attach(arguments) => attach::run(&arguments, &mut out),
        Command::Plan(arguments) => plan::run(&arguments, &mut out),
        Command::Detach(arguments) => detach::run(&arguments, &mut out),
        Command::Ls(arguments) => list::ls(&arguments, &mut out),
        Command::Inspect(arguments) => list::inspect(&arguments, &mut out),
        Command::Graph(arguments) => graph::run(&arguments, &mut out),
        Command::Ip(command) => change::ip(&command, &mut out),
        Command::Route(command) => change::route(&command, &mut out),
        Command::Set(arguments) => change::set(&arguments),
        Command::Rename(arguments) => change::rename(&arguments),
        Command::Netns(command) => netns::run(&command, &mut out),
        Command::Demo => demo::run(&mut out),
        Command::Check(arguments) => check::run(&arguments, &mut out),
        Command::Gc(arguments) => gc::run(&arguments, &mut out),
        Command::Watch(arguments) => watch::run(&arguments, &mut out),
        Command::Doctor(arguments) => doctor::run(&arguments, &mut out).map(|found| status = found),
        Command::Hook(hook) => hook::run(&hook),
        Command::Distconfig(arguments) => distconfig::run(&arguments, &mut out),
        Command::Schema => schema::run(&mut out),
        Command::Man(arguments) => man::run(&arguments, &mut out),
        Command::Completions(arguments) => completions::run(&arguments, &mut out),
    };
    match done.and_then(|()| out.flush().coded(Code::Io, || "write to stdout")) {
        Ok(()) => status,
        Err(error) if is_broken_pipe(&error) => status, // `springline schema | head`
        Err(error) => {
            let _ = writeln!(io::stderr(), "springline: {error}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &Error) -> bool {
    let cause = error.source.downcast_ref::<io::Error>();
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// Writes one line.
fn say(out: &mut impl Write, line: impl std::fmt::Display) -> Result<()> {
    writeln!(out, "{line}").coded(Code::Io, || "write to stdout")
}
