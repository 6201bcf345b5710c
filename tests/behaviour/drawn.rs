//! `springline graph` draws what is there, and what is not any more.

use serde_json::{Value, json};

use crate::common::{Lab, UPLINK_V4, eventually, text_of};
use crate::support::{Attached, Family, bridged, springline, with_ranges};

/// Two routed containers, one of which has drifted, and a bridged one that is dead.
#[test]
fn what_the_kernel_shows() {
    let lab = Lab::with_uplink();
    let (web, mail, db) = (lab.container("web"), lab.container("mail"), lab.container("db"));
    let keys = json!({
        "name": "public", "capabilities": {"portMappings": true}, "bandwidth": {"ingressRate": 20_000_000},
        "routes": ["192.0.2.0/28"],
        "runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80}]},
    });
    let public = with_ranges(&["10.30.0.0/24", "2001:db8:30::/64"], &keys);
    let lan = bridged(&["10.31.0.0/24"], &json!({"name": "lan"}));
    let of_web = Attached::new(&lab, &public, &web);
    let quiet = crate::common::cni::merged(&public, &json!({"routes": [], "runtimeConfig": {"portMappings": []}}));
    let of_mail = Attached::new(&lab, &quiet, &mail);
    let of_db = Attached::new(&lab, &lan, &db);

    let scene = scene(&lab, &[]);
    let names = |list: &Value, key: &str| -> Vec<String> {
        list.as_array().into_iter().flatten().map(|one| text_of(&one[key]).to_owned()).collect()
    };
    assert_eq!(names(&scene["networks"], "name"), ["lan", "public"]);
    assert_eq!(names(&scene["networks"][1]["interfaces"], "container"), ["mail", "web"]);
    let uplink = scene["links"].as_array().into_iter().flatten().find(|link| link["name"] == "uplink");
    let uplink = uplink.expect("the uplink").to_string();
    assert!(uplink.contains(UPLINK_V4) && uplink.contains("default via "), "{uplink}");
    assert_eq!(scene["networks"][0]["carrier"]["name"], "br0");
    assert_eq!(scene["networks"][0]["carrier"]["addresses"], json!(["10.31.0.1/24"]));
    let drawn = &scene["networks"][1]["interfaces"][1];
    let [v4, v6] = [Family::V4, Family::V6].map(|family| of_web.ip(family));
    assert_eq!(drawn["addresses"], json!([format!("{v4}/32"), format!("{v6}/128")]));
    assert_eq!(drawn["gateways"], json!(["169.254.0.1", "fe80::1"]));
    let routes = drawn["host"]["routes"].to_string();
    assert!(routes.contains(&format!("{v4}/32")) && routes.contains("192.0.2.0/28"), "{routes}");
    assert_eq!((&drawn["ports"], &drawn["state"]), (&json!(["8080/tcp→80"]), &json!("ok")));
    assert_eq!(drawn["limits"], json!(["receives 20 Mbit/s"]));

    for (format, words) in
        [("svg", ["<svg", "</svg>"]), ("dot", ["graph springline {", "}"]), ("text", ["host", "br0"])]
    {
        let (ok, text) = springline(&lab, &["graph", "-o", format]);
        assert!(ok, "{text}");
        let attached = [&of_web, &of_mail, &of_db].map(|attached| attached.link.as_str());
        let ids = ["web", "mail", "db", "lan", "public", "br0", "uplink", "8080/tcp"];
        for word in words.into_iter().chain(attached).chain(ids).chain([v4.as_str(), v6.as_str()]) {
            assert!(text.contains(word), "{format}: {word}: {text}");
        }
    }

    // Somebody takes a route away and an address, and a container dies: the picture has none of them.
    lab.host().ip(&format!("route del {}/32 dev {}", of_mail.ip(Family::V4), of_mail.link));
    web.netns().ip(&format!("-6 address del {v6}/128 dev eth0"));
    db.kill();
    eventually("the dead container's link is gone", || lab.host().link(&of_db.link).is_none());
    let scene = self::scene(&lab, &[]);
    let [mail, web] = [0, 1].map(|at| &scene["networks"][1]["interfaces"][at]);
    assert_eq!((&mail["state"], &web["state"]), (&json!("drifted"), &json!("drifted")));
    assert!(!mail["host"]["routes"].to_string().contains(&of_mail.ip(Family::V4)), "{mail}");
    assert!(mail["missing"].to_string().contains("ip route"), "{mail}");
    assert_eq!(web["addresses"], json!([format!("{v4}/32")]));
    let db = &scene["networks"][0]["interfaces"][0];
    assert_eq!((&db["state"], &db["host"]["presence"]), (&json!("orphaned"), &json!("missing")));

    // Names choose, and one that names nothing is told of.
    let chosen = self::scene(&lab, &["web"]);
    assert_eq!(names(&chosen["networks"][0]["interfaces"], "container"), ["web"]);
    let (ok, text) = springline(&lab, &["graph", "nobody"]);
    assert!(!ok && text.contains("no such attachment"), "{text}");
    springline(&lab, &["gc"]);
    of_web.detach();
    of_mail.detach();
    let (ok, text) = springline(&lab, &["graph"]);
    assert!(ok && text.contains("nothing is attached"), "{text}");
}

fn scene(lab: &Lab, names: &[&str]) -> Value {
    let arguments: Vec<&str> = ["graph", "-o", "json"].into_iter().chain(names.iter().copied()).collect();
    let (ok, text) = springline(lab, &arguments);
    assert!(ok, "{text}");
    serde_json::from_str(&text).expect("JSON")
}
