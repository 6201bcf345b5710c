//! The floors hold: a file imports only from floors below its own, or from its own module.

use std::fs;
use std::path::{Path, PathBuf};

/// The floor of each top-level module; see the table in `src/lib.rs`.
const FLOORS: [(&str, u8); 13] = [
    ("error", 0),
    ("model", 0),
    ("wire", 1),
    ("plan", 1),
    ("guest", 1),
    ("doctor", 1),
    ("graph", 1),
    ("kernel", 2),
    ("store", 2),
    ("ipam", 2),
    ("exec", 3),
    ("front", 4),
    ("cli", 4),
];

/// Neighbours on one floor that may see each other, and why.
const NEIGHBOURS: [(&str, &str); 6] = [
    ("model", "error"), // the one error type
    ("doctor", "plan"), // which sysctls there are is said once
    ("ipam", "store"),  // ranges are chosen over the lease store
    ("ipam", "kernel"),
    ("store", "kernel"), // to wait for a lock has a deadline
    ("cli", "front"),    // the demonstration goes through the same runtime
];

#[test]
fn imports_go_downwards_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let mut imports = 0;
    for file in rust_files(&src) {
        let relative = file.strip_prefix(&src).expect("below src");
        let Some(here) = module_of(relative) else { continue };
        let text = fs::read_to_string(&file).expect("a source file");
        for there in text.split("crate::").skip(1).filter_map(first_word).filter(|word| floor(word).is_some()) {
            imports += 1;
            let down = floor(there) < floor(here);
            if !down && there != here && !NEIGHBOURS.contains(&(here, there)) {
                wrong.push(format!("{} imports crate::{there}", relative.display()));
            }
        }
    }
    assert!(imports > 100, "only {imports} imports found: does the test still read the sources?");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn pure_floors_hold_no_async_and_no_io() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for module in ["model", "plan", "wire", "guest", "doctor", "graph"] {
        for file in rust_files(&src.join(module)) {
            let text = fs::read_to_string(&file).expect("a source file");
            let code = text.split("#[cfg(test)]").next().unwrap_or_default().lines();
            let code: String = code.filter(|line| !line.trim_start().starts_with("//")).collect();
            for banned in ["async fn", ".await", "std::fs", "tokio", "rtnetlink", "nix"] {
                let mut found = code.split(banned).skip(1);
                let is_whole_word = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric());
                assert!(!found.any(is_whole_word), "{} contains {banned}", file.display());
            }
        }
    }
}

fn floor(module: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

fn module_of(relative: &Path) -> Option<&str> {
    let first = relative.components().next()?.as_os_str().to_str()?;
    Some(first.strip_suffix(".rs").unwrap_or(first)).filter(|module| floor(module).is_some())
}

fn first_word(text: &str) -> Option<&str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).expect("a folder of sources").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
