//! x
use crate::scene::{Mode, Scene};
#[test]
fn ready() {
    let bad = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|s| { for k in 0..6 { let bad=&bad; s.spawn(move || {
        let mode = if k % 2 == 0 { Mode::Routed } else { Mode::NewBridge };
        let scene = if k < 4 {Scene::not_forwarding(mode)} else {Scene::new(mode)};
        for n in 0..100 {
            let out = scene.call("ADD").run();
            scene.container.netns().ip("link show eth0");
            if k % 2 == 1 { scene.lab.host().ip("link show br0"); }
            let t = std::time::Instant::now();
            let ok4 = scene.container.netns().ping(crate::common::HOST_V4);
            let ok = scene.container.netns().ping(crate::common::HOST_V6);
            if !ok || !ok4 { bad.fetch_add(1, std::sync::atomic::Ordering::Relaxed); eprintln!("{k} {mode:?} {n} {ok4} {ok} {:?} again {}", t.elapsed(), scene.container.netns().ping(crate::common::HOST_V6)); }
            out.result();
            scene.blind_del().run().success();
        }
    }); } });
    panic!("{}", bad.into_inner());
}
