//! What it asks of the kernel: no program, few messages, no waiting for grace periods.

use crate::scene::{Mode, Scene};
use crate::trace::{Effect, Fault, Log, start};
use crate::{every_mode, once};

every_mode! {
    no_program_is_run,
}

once! {
    a_routed_add_is_four_messages,
    del_does_not_wait_for_the_grace_period,
    it_only_opens_in_the_containers_namespace,
}

/// No program is run, but the delegate, if there is one.
fn no_program_is_run(mode: Mode) {
    let scene = Scene::new(mode);
    for verb in ["ADD", "DEL"] {
        let (outcome, log) = start(&scene.lab, scene.call(verb), &[]).finish_all();
        outcome.success();
        let programs: Vec<&str> = log.lines().map(|(_, line)| line).filter(|line| line.starts_with("exec")).collect();
        let expected = usize::from(mode == Mode::Delegated);
        assert_eq!(programs.len(), expected, "{verb}: {programs:?}");
    }
}

/// The pair, the host, the container: three datagrams that change something, and one to spare.
fn a_routed_add_is_four_messages(mode: Mode) {
    let scene = Scene::new(mode);
    let (outcome, log) = start(&scene.lab, scene.call("ADD"), &[]).finish_all();
    outcome.success();
    let changes: Vec<&str> = log.lines().map(|(_, line)| line).filter(|line| is_change(line)).collect();
    assert!((1..=4).contains(&changes.len()), "{} datagrams: {changes:#?}", changes.len());
}

/// The kernel answers the deletion of a link after an RCU barrier: a child waits for that, not the runtime. Here the
/// kernel takes two seconds, so that it is the last on any machine.
fn del_does_not_wait_for_the_grace_period(mode: Mode) {
    let scene = Scene::new(mode);
    scene.call("ADD").run().result();
    let fault = Fault { syscall: "sendto", when: 1, and_later: false, effect: Effect::Late };
    let (outcome, log) = start(&scene.lab, scene.call("DEL"), &[fault]).finish_all();
    outcome.silent();
    assert!(is_parent_first(&log), "the plugin ended after the kernel's answer to its child");
    scene.assert_restored("after DEL");
}

/// A bridge that goes with its last port is out of the list of links, and all that stood on it is gone, long before the
/// kernel says by `RTM_DELLINK` that the bridge is: nobody waits for that.
#[test]
fn del_does_not_wait_for_the_grace_period_of_a_bridge() {
    let scene = Scene::new(Mode::NewBridge);
    scene.call("ADD").run().result();
    let (outcome, log) = start(&scene.lab, scene.call("DEL"), &[]).finish_all();
    outcome.silent();
    scene.assert_restored("after DEL");
    let (main, _) = log.lines().next().expect("something was called");
    let told = |what: &str| {
        let all = log.lines().filter(|(pid, line)| *pid == main && line.starts_with("recvfrom("));
        all.filter(|(_, line)| line.contains(what) && !line.contains("ifi_family=AF_BRIDGE")).count()
    };
    assert_eq!(
        (told("RTM_DELLINK"), told("RTM_DELNETCONF")),
        (1, 2),
        "the pair is gone; two families have left the bridge"
    );
}

/// It goes to the container's namespace to open what it needs there, and is back before it does anything.
fn it_only_opens_in_the_containers_namespace(mode: Mode) {
    let scene = Scene::new(mode);
    let (outcome, log) = start(&scene.lab, scene.call("ADD"), &[]).finish_all();
    outcome.success();
    let calls: Vec<&str> = log.lines().map(|(_, line)| line).collect();
    let moves: Vec<usize> = (0..calls.len()).filter(|at| calls[*at].starts_with("setns(")).collect();
    let [there, back] = moves[..] else { panic!("there and back again: {moves:?}") };
    let harmless = ["socket(", "connect(", "setsockopt(", "getsockopt(", "openat(", "open(", "fcntl(", "brk(", "mmap("];
    for call in &calls[there + 1..back] {
        assert!(harmless.iter().any(|name| call.starts_with(name)), "in the container's namespace: {call}");
    }
    assert!(calls[there].ends_with("= 0") && calls[back].ends_with("= 0"), "{} {}", calls[there], calls[back]);
}

/// Whether a line is a netlink datagram with a message that changes something. strace knows some types by name;
/// of the numbers, those that are 2 modulo 4 are questions (`rtnl_msg_handlers` in `net/core/rtnetlink.c`).
fn is_change(line: &str) -> bool {
    let types = line.starts_with("sendto(").then(|| line.split("nlmsg_type=").skip(1)).into_iter().flatten();
    let mut words = types.map(|rest| rest.split([',', ' ']).next().unwrap_or_default());
    words.any(|word| match word.strip_prefix("0x") {
        Some(number) => u16::from_str_radix(number, 16).is_ok_and(|number| number >= 16 && number % 4 != 2),
        None => word.starts_with("RTM_") && !word.starts_with("RTM_GET"),
    })
}

/// Whether the plugin had ended when its child, which asked for a link's deletion, got the kernel's answer.
fn is_parent_first(log: &Log) -> bool {
    let lines: Vec<_> = log.lines().collect();
    let Some((main, _)) = lines.first() else { return false };
    let end = lines.iter().position(|(pid, line)| pid == main && line.starts_with("exit_group("));
    let answer = lines.iter().position(|(pid, line)| pid != main && line.contains("recvfrom("));
    matches!((end, answer), (Some(end), Some(answer)) if end < answer)
}
