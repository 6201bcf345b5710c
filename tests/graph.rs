//! The picture of a host, drawn from scenes that are made up: `tests/graphs/`.
//!
//! `UPDATE_GRAPHS=1 cargo test --test graph` writes them anew: look at them. `KEEP_GRAPHS=FOLDER` has the pictures that
//! are too big to be kept written there.

#![allow(clippy::unwrap_used)] // clippy.toml allows it in tests, but not in what tests call

#[path = "graph/scenes.rs"]
mod scenes;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::{env, fs};

use springline::graph::{Charset, Scene, dot, svg, tree};

const PYTHON: &str = "/usr/bin/python3";

/// All scenes, and which of their pictures are kept.
fn all() -> [(&'static str, Scene, &'static [&'static str]); 4] {
    [
        ("empty", scenes::empty(), &["svg", "dot", "txt"]),
        ("three", scenes::three(), &["svg", "dot", "txt"]),
        ("sixty", scenes::sixty(), &["txt"]),
        ("hostile", scenes::hostile(), &[]),
    ]
}

fn drawn(scene: &Scene, format: &str) -> String {
    match format {
        "svg" => svg(scene),
        "dot" => dot(scene),
        _ => tree(scene, Charset::Unicode),
    }
}

fn containers(scene: &Scene) -> Vec<&str> {
    let interfaces = scene.networks.iter().flat_map(|network| &network.interfaces);
    interfaces.map(|interface| interface.container.as_str()).collect()
}

/// As [`springline::graph`] writes what is no character of XML, or would confuse a terminal.
fn without_controls(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || c == '\u{202e}' { '\u{fffd}' } else { c }).collect()
}

#[test]
fn pictures_are_as_kept() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/graphs");
    let mut differ = Vec::new();
    for (name, scene, kept) in all() {
        for format in kept {
            let path = root.join(format!("{name}.{format}"));
            let new = drawn(&scene, format);
            if fs::read_to_string(&path).ok().as_ref() == Some(&new) {
                continue;
            }
            if env::var_os("UPDATE_GRAPHS").is_some() {
                fs::write(&path, new).unwrap();
            } else {
                differ.push(format!("{name}.{format}"));
            }
        }
        if let Some(folder) = env::var_os("KEEP_GRAPHS") {
            fs::write(Path::new(&folder).join(format!("{name}.svg")), svg(&scene)).unwrap();
        }
    }
    assert!(differ.is_empty(), "UPDATE_GRAPHS=1 takes the new pictures for the right ones: {differ:?}");
}

#[test]
fn svg_is_well_formed_names_everybody_and_nothing_overlaps() {
    if !Path::new(PYTHON).exists() {
        return not_run("the check of SVG pictures", "no python3: install the package python3-minimal");
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/graph/check.py");
    for (name, scene, _) in all() {
        let names: Vec<String> = containers(&scene).into_iter().map(without_controls).collect();
        let arguments = [script.to_str().unwrap().to_owned()].into_iter().chain(names).collect::<Vec<_>>();
        let output = piped(PYTHON, &arguments, &svg(&scene));
        let said = [output.stdout.as_slice(), &output.stderr].map(String::from_utf8_lossy).concat();
        assert!(output.status.success(), "{name}:\n{said}");
        let count = format!("{} containers", containers(&scene).len());
        assert!(said.contains(&count), "{name}: {said}");
    }
}

#[test]
fn any_number_of_containers_and_networks_fits() {
    if !Path::new(PYTHON).exists() {
        return not_run("the check of SVG pictures", "no python3: install the package python3-minimal");
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/graph/check.py");
    let sixty = scenes::sixty();
    for count in [1, 2, 4, 5, 6, 11] {
        let mut scene = sixty.clone();
        for network in &mut scene.networks {
            network.interfaces.truncate(count);
        }
        scene.networks = scene.networks.iter().cycle().take(count * 2).cloned().collect();
        let output = piped(PYTHON, &[script.to_str().unwrap().to_owned()], &svg(&scene));
        assert!(output.status.success(), "{count}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn dot_is_read_by_graphviz() {
    let Some(program) = ["/usr/bin/dot", "/usr/local/bin/dot"].into_iter().find(|path| Path::new(path).exists()) else {
        return not_run("graphviz reads the pictures for it", "no dot: install the package graphviz");
    };
    for (name, scene, _) in all() {
        let output = piped(program, &["-Tplain".to_owned()], &dot(&scene));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("rror"), "{name}: {said}");
        let nodes = String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.starts_with("node c")).count();
        assert_eq!(nodes, containers(&scene).len(), "{name}");
    }
}

/// Quotes are balanced in every line of it: what is needed to be read, where there is no graphviz to ask.
#[test]
fn dot_is_quoted() {
    for (name, scene, _) in all() {
        let text = dot(&scene);
        for line in text.lines() {
            let plain = line.replace("\\\\", "").replace("\\\"", "");
            assert_eq!(plain.matches('"').count() % 2, 0, "{name}: {line}");
        }
        let count = |c: char| {
            let outside = text
                .lines()
                .map(|line| line.replace("\\\\", "").replace("\\\"", "").split('"').step_by(2).collect::<String>());
            outside.map(|line| line.matches(c).count()).sum::<usize>()
        };
        assert_eq!((count('{'), count('[')), (count('}'), count(']')), "{name}");
    }
}

#[test]
fn trees_have_everybody_and_no_control_characters() {
    for (name, scene, _) in all() {
        for charset in [Charset::Unicode, Charset::Ascii] {
            let text = tree(&scene, charset);
            assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{name}");
            assert!(charset == Charset::Unicode || text.is_ascii(), "{name}");
            for container in containers(&scene).into_iter().filter(|container| container.is_ascii()) {
                let written = without_controls(container);
                let written = if charset == Charset::Ascii { written.replace('\u{fffd}', "?") } else { written };
                assert!(text.contains(&written), "{name}: {container}");
            }
        }
    }
}

/// What programs get can be read back.
#[test]
fn json_is_the_whole_scene() {
    for (name, scene, _) in all() {
        let text = serde_json::to_string(&scene).unwrap();
        assert_eq!(serde_json::from_str::<Scene>(&text).unwrap(), scene, "{name}");
    }
}

#[expect(clippy::disallowed_methods, reason = "springline runs no other program; its tests do")]
fn piped(program: &str, arguments: &[String], input: &str) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input.as_bytes()));
        child.wait_with_output().unwrap()
    })
}

/// Says that something was not tested, and why, where the test harness does not swallow it.
fn not_run(what: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "not run: {what}: {why}");
}
