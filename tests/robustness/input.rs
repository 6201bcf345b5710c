//! x
use crate::scene::{Mode, Scene};
#[test]
fn ready() {
    let bad = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|s| { for k in 0..6 { let bad=&bad; s.spawn(move || {
        let mode = if k % 2 == 0 { Mode::Routed } else { Mode::NewBridge };
        let scene = Scene::new(mode);
        for n in 0..100 {
            let out = scene.call("ADD").run();
            let link = scene.host_link();
            if std::env::var("EXTRA").is_ok() { scene.lab.host().ip(&format!("link show {link}")); 
            scene.container.netns().ip("link show eth0");
            if k % 2 == 1 { scene.lab.host().ip("link show br0"); } }
            if std::env::var("IGMP").is_ok() {
            let h = scene.lab.host().shell(&format!("cat /proc/net/igmp6 /proc/net/if_inet6| grep -e {link} -e br0"));
            let c = scene.container.netns().shell("cat /proc/net/igmp6 /proc/net/if_inet6| grep eth0");
            let ok = scene.container.netns().ping(crate::common::HOST_V6);
            if !ok  { bad.fetch_add(1, std::sync::atomic::Ordering::Relaxed); eprintln!("{k} {mode:?} {n} {ok} \nHOST {h}\nCONT {c}\n"); }
            } else {
            let ok = scene.container.netns().ping(crate::common::HOST_V6);
            if !ok  { bad.fetch_add(1, std::sync::atomic::Ordering::Relaxed); eprintln!("{k} {mode:?} {n} {ok}"); }
            }
            out.result();
            scene.blind_del().run().success();
        }
    }); } });
    panic!("{}", bad.into_inner());
}
