//! Containers that do as they please with what they were given, and paths that lead elsewhere.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use crate::common::tool;
use crate::scene::{Mode, Scene};
use crate::{both_modes, every_mode, once};

every_mode! {
    del_finds_what_the_container_has_hidden,
}

both_modes! {
    a_crowded_container_is_no_obstacle,
    paths_that_lead_to_no_namespace_are_refused,
}

once! {
    del_spares_the_container_that_has_the_path_now,
}

/// The container has renamed its link, moved it elsewhere, taken it down, changed all of it, or removed it.
fn del_finds_what_the_container_has_hidden(mode: Mode) {
    let deeds = [
        "link del eth0",
        "link set eth0 down",
        "link set eth0 netns ELSEWHERE",
        "link set eth0 netns ELSEWHERE name lan0",
        "address flush dev eth0",
        "link set eth0 address 02:00:00:00:00:99",
        "link set eth0 mtu 1280",
        "link set eth0 alias springline:n/somebody-else/eth0",
    ];
    let scene = Scene::new(mode);
    let elsewhere = scene.lab.container("elsewhere");
    let name = elsewhere.path().rsplit('/').next().expect("a name").to_owned();
    let empty = elsewhere.netns().state();
    for deed in deeds {
        scene.call("ADD").run().result();
        scene.container.netns().ip(&deed.replace("ELSEWHERE", &name));
        scene.blind_del().run().silent();
        scene.assert_restored(&format!("after `ip {deed}` and a DEL"));
        assert_eq!(empty.changes(&elsewhere.netns().state()), Vec::<String>::new(), "after `ip {deed}` and a DEL");
    }
    scene.call("ADD").run().result();
    scene.container.netns().ip("link set eth0 down");
    scene.container.netns().ip("link set eth0 name other0");
    scene.container.netns().ip("link add eth0 type bridge");
    scene.call("DEL").run().silent();
    assert!(scene.container.netns().link("eth0").is_some(), "the container's own link was deleted");
    scene.container.netns().ip("link del eth0");
    scene.assert_restored("after a namesake of the container's own, and a DEL");
}

/// 300 links and 600 routes are no reason to be slow, or to lose one's way.
fn a_crowded_container_is_no_obstacle(mode: Mode) {
    let scene = Scene::with(mode, |lab, container| {
        let pairs = (0..150).map(|n| format!("link add a{n} type veth peer name b{n}\n"));
        let routes = (0..300).map(|n| format!("route add 172.16.{}.{}/32 dev lo\n", n / 200, n % 200));
        let routes6 = (0..300).map(|n| format!("route add 2001:db8:dead::{n:x}/128 dev lo\n"));
        let file = lab.dir().join("batch");
        fs::write(&file, pairs.chain(routes).chain(routes6).collect::<String>()).expect("write a batch");
        container.netns().shell(&format!("{} -batch {}", tool("ip").display(), file.display()));
    });
    let begin = Instant::now();
    let added = scene.call("ADD").run();
    let took = begin.elapsed();
    scene.assert_works(&added);
    scene.blind_del().run().silent();
    scene.assert_restored("after a DEL from a crowded container");
    assert!(took < Duration::from_secs(5), "ADD to a crowded container took {took:?}");
}

/// A file, a directory, a loop of links, a pipe that nobody writes to: ADD says so at once, and DEL does not mind.
fn paths_that_lead_to_no_namespace_are_refused(mode: Mode) {
    let scene = Scene::new(mode);
    let at = |name: &str| scene.lab.dir().join(name);
    fs::write(at("file"), "").expect("write a file");
    fs::create_dir(at("directory")).expect("make a directory");
    symlink(at("loop"), at("loop")).expect("make a loop");
    symlink("/nowhere", at("dangling")).expect("make a link");
    scene.lab.host().shell(&format!("mkfifo {}", at("pipe").display()));
    let long = "x/".repeat(3000);
    let inside = ["file", "directory", "loop", "dangling", "pipe"].map(|name| at(name).display().to_string());
    let others = ["/proc/self/ns/mnt", "/proc/self/ns/pid", "/dev/null", "relative", "/", &long];
    for path in inside.iter().map(String::as_str).chain(others) {
        let short = &path[..path.len().min(60)];
        let begin = Instant::now();
        let error = scene.call("ADD").env("CNI_NETNS", path).run().error();
        assert!([3, 4, 8].contains(&error.code), "{short}: {error:?}");
        assert!(begin.elapsed() < Duration::from_secs(5), "{short}: it took {:?}", begin.elapsed());
        scene.assert_restored(&format!("after an ADD to {short}"));
        scene.call("DEL").env("CNI_NETNS", path).run().silent();
    }
    scene.attach();
    scene.call("DEL").env("CNI_NETNS", &inside[4]).run().silent();
    scene.assert_restored("after a DEL whose path has become a pipe");
}

/// The path leads to another container by now, which has an attachment to the same network under the same name.
fn del_spares_the_container_that_has_the_path_now(mode: Mode) {
    let scene = Scene::new(mode);
    scene.call("ADD").run().result();
    let other = scene.lab.container("other");
    scene.cni().add(&scene.conf, &other, "eth0").result();
    let (there, host) = (other.netns().state(), scene.lab.host_state());
    scene.call("DEL").env("CNI_NETNS", &other.path()).run().silent();
    assert_eq!(there.changes(&other.netns().state()), Vec::<String>::new(), "the other container was harmed");
    let gone = host.changes(&scene.lab.host_state());
    assert!(!gone.is_empty() && gone.iter().all(|line| line.starts_with('-')), "{gone:?}");
    scene.cni().del(&scene.conf, &other, "eth0").silent();
    scene.assert_restored("after both have gone");
}
