//! `man/` and `completions/` are generated; here they are compared with what the binary writes today.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

const UPDATE: &str = "UPDATE_GENERATED=1 cargo test --test generated";

/// Files by name.
type Files = BTreeMap<String, String>;

#[test]
fn the_checked_in_man_pages_are_up_to_date() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    springline(&["man", dir.path().to_str().expect("a path of UTF-8")]);
    let pages = read(dir.path());
    assert_eq!(pages.get("springline.1"), Some(&springline(&["man"])), "the main page, without a folder");
    compare("man", &pages);
}

#[test]
fn the_checked_in_completions_are_up_to_date() {
    // By the names under which the shells look for them, but for bash, which wants the bare name.
    let shells = [("bash", "springline.bash"), ("fish", "springline.fish"), ("zsh", "_springline")];
    let files = shells.map(|(shell, file)| (file.to_owned(), springline(&["completions", shell])));
    compare("completions", &files.into());
}

/// groff, with all its warnings, has nothing to say of them.
#[test]
fn the_man_pages_are_well_formed() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("man");
    for (name, text) in read(&dir) {
        assert!(text.contains(".SH NAME\n") && text.contains(".SH DESCRIPTION\n"), "{name} lacks a section");
        match command("groff").args(["-man", "-Tutf8", "-ww"]).arg(dir.join(&name)).output() {
            Ok(output) => assert!(output.stderr.is_empty(), "{name}: {}", String::from_utf8_lossy(&output.stderr)),
            Err(_) => println!("not run: groff on {name} (groff is not installed)"),
        }
    }
}

fn springline(arguments: &[&str]) -> String {
    let output = command(env!("CARGO_BIN_EXE_springline")).args(arguments).output().expect("run springline");
    assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[expect(clippy::disallowed_methods, reason = "tests run other programs")]
fn command(program: &str) -> Command {
    Command::new(program)
}

fn read(dir: &Path) -> Files {
    let files = fs::read_dir(dir).map(|entries| entries.map(|entry| entry.expect("an entry").path()).collect());
    let files: Vec<_> = files.unwrap_or_default();
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    files.iter().map(|path| (name(path), fs::read_to_string(path).expect("a file of UTF-8"))).collect()
}

/// Exactly these files are in the folder, with exactly this content: one for a command that is gone is outdated, too.
fn compare(folder: &str, wanted: &Files) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("make the folder");
        for (name, text) in wanted {
            fs::write(dir.join(name), text).expect("write a file");
        }
    }
    let there = read(&dir);
    let names: BTreeSet<_> = there.keys().chain(wanted.keys()).collect();
    let outdated: Vec<_> = names.into_iter().filter(|name| there.get(*name) != wanted.get(*name)).collect();
    assert!(outdated.is_empty(), "outdated in {folder}/: {outdated:?}: {UPDATE}");
}
