//! Springline moors a container to its host's network.
//!
//! A *spring line* is the rope that holds a ship to the dock; ours is a veth pair. A container runtime hands
//! over a configuration, a network namespace and a verb; springline creates a routed or bridged veth pair with
//! the peer born inside the namespace, configures both sides over netlink, puts what guards, masquerades and maps
//! ports into `nf_tables`, and returns the result: in two to four milliseconds, the process itself included,
//! without running any other program, and leaving nothing behind.
//!
//! # The one idea
//!
//! ```text
//! wire (CNI, netavark, OCI, LXC, options) ──▶ model::Attachment   validated, no I/O
//!            kernel + store ──observe──▶ plan::Facts      links, addresses, routes, leases, stakes
//! plan::attach(&Attachment, &Facts) ──▶ Vec<plan::Step>   pure; prints as the ip lines that it equals
//!                  exec (runs steps) ──▶ journal, undo    the only place that changes the system
//! ```
//!
//! One plan, many uses: ADD runs it, CHECK asks which steps do not hold, DEL runs the inverses of what the
//! record and the facts show to be ours, GC is DEL of every attachment that is not valid any more; a change of an
//! attachment in use is the difference of two plans ([`plan::change`]). No verb and no face has a second
//! implementation: a hook, a netavark plugin and the command line come down to a network's configuration and an
//! [`model::Wish`] ([`front::named`]). What keeps it honest:
//!
//! - **Record first.** The record names every step before the first one is run, and is the last thing removed.
//!   Whoever finds it (DEL, GC, the next ADD of the same key) knows what may be there.
//! - **Proof before removal.** A link is deleted only if its alias is ours, a lease only if it names us, a
//!   shared object only by the last one that has a stake in it.
//! - **By whom.** A record says by which face it was made, and for which instance of a runtime: ids are unique
//!   within one only, and a hook leaves another's alone ([`model::Maker`]).
//! - **Identity by cookie.** A namespace is known by `SO_NETNS_COOKIE`, for paths and inode numbers are used
//!   again at once. DEL never looks into the container at all.
//! - **An order that is safe at every point.** Reserve before create, host route before the container's link
//!   is up, `accept_ra=0` before a link is up.
//!
//! # Floors
//!
//! A file imports only from floors below its own (`tests/floors.rs` reads the imports).
//!
//! | floor | modules | what they may do |
//! |---|---|---|
//! | 0 | [`model`], [`error`] | words and rules: names, MACs, prefixes, networks, attachments; no I/O |
//! | 1 | [`wire`], [`plan`], [`guest`], [`doctor`], [`graph`] | outsiders' documents; facts, steps, plans; the files of a guest's network service; what is wrong with a host; its picture: pure |
//! | 2 | [`kernel`], [`store`], [`ipam`] | netlink and namespaces; files; choosing addresses |
//! | 3 | [`exec`] | plan → kernel and store, journal, undo |
//! | 4 | [`front`], [`cli`] | read input, call the floors below, print |
//!
//! # Decisions worth knowing
//!
//! *Two locks.* A verb holds its attachment's lock for its whole length, and the state lock only while it
//! observes and changes: about a millisecond, in which nobody else can take the same address, route or bridge.
//! A delegated IPAM plugin, which may take long, runs outside of it.
//!
//! *Elements, not rules.* The rules in `nf_tables` are the same for every attachment and are made once
//! ([`plan::Part`]); an attachment adds elements to their sets, all in one transaction, each with its key as comment.
//! So the work is the same for the first container and the thousandth, and what is left of a dead one says whose it
//! was.
//!
//! *Two plans with a delegate.* `dhcp` asks through the interface, so with a delegated plugin the link comes
//! first; when the addresses are known, a second plan against new facts adds what is missing. Nothing else is
//! special about it: a plan contains only what does not hold yet.
//!
//! *Privileges stay.* `no_new_privs` binds those who are exec'd, and the verbs exec nobody but a delegated IPAM plugin,
//! for which it would be wrong: it may need its file capabilities, or a transition of `SELinux` or `AppArmor`, and so may
//! what `netns exec` becomes. Of the capabilities, `CAP_NET_ADMIN` and `CAP_SYS_ADMIN` (`setns(2)`) are needed to the end,
//! and with the latter all others are within reach; `CAP_SYS_PTRACE` leads to `/proc/PID/ns/net`, `CAP_DAC_OVERRIDE` to
//! state folders of others. A Landlock ruleset is inherited by the delegate, whose folders nobody knows, and takes a dozen
//! system calls. What guards instead: no unsafe code but five calls and an allocator, names that lead nowhere ([`model`]), and
//! files that are made exclusively, replaced by renaming, or written in place only where no symlink is followed.

pub mod cli;
pub mod doctor;
pub mod error;
pub mod exec;
pub mod front;
pub mod graph;
pub mod guest;
pub mod ipam;
pub mod kernel;
pub mod model;
pub mod plan;
pub mod store;
pub mod wire;
