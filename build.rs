//! Links `target/<profile>/springline` to the binary, which an explicit build target (see
//! `.cargo/config.toml`) puts into `target/<triple>/<profile>/`. Of several targets, it is the one that was built first
//! or configured anew last: scripts name the triple.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    link_for_release();
    let (Some(out), Some(target)) = (env::var_os("OUT_DIR").map(PathBuf::from), env::var_os("TARGET")) else {
        return Ok(());
    };
    // OUT_DIR is target/<triple>/<profile>/build/springline-<hash>/out.
    let Some(profile_dir) = out.ancestors().nth(3) else { return Ok(()) };
    let (Some(profile), Some(triple_dir)) = (profile_dir.file_name(), profile_dir.parent()) else { return Ok(()) };
    if triple_dir.file_name() != Some(&target) {
        return Ok(()); // built without an explicit target: the binary is where it is expected
    }
    let Some(target_dir) = triple_dir.parent() else { return Ok(()) };
    let link = target_dir.join(profile).join("springline");
    let _ = fs::remove_file(&link);
    fs::create_dir_all(target_dir.join(profile))?;
    std::os::unix::fs::symlink(Path::new("..").join(&target).join(profile).join("springline"), link)
}

/// What is released has no symbols, but for whoever sets `SPRINGLINE_SYMBOLS`: stripped by the linker, it is the same program
/// with and without, which it would not be by the profile's `strip` (cargo makes other names for other profiles).
/// It is linked by two scripts: nothing unwinds, and the tables for it (`.eh_frame`) are an eighth of the
/// program; and what an ADD runs is put together, for a program that runs for two milliseconds pays for each page.
/// musl's target only, for which programs are released: glibc's own start-up objects refer to their tables.
fn link_for_release() {
    let has = |key: &str, value: &str| env::var(key).is_ok_and(|is| is == value);
    println!("cargo::rerun-if-env-changed=SPRINGLINE_SYMBOLS");
    if has("PROFILE", "release") && env::var_os("SPRINGLINE_SYMBOLS").is_none() {
        println!("cargo::rustc-link-arg-bins=-Wl,--strip-all");
    }
    if has("CARGO_CFG_TARGET_ENV", "musl") && has("PROFILE", "release") {
        println!("cargo::rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
        let packaging = Path::new(&env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("packaging");
        for script in ["no-unwinding.ld", "hot-functions.ld"].map(|name| packaging.join(name)) {
            println!("cargo::rerun-if-changed={}", script.display());
            println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", script.display());
        }
    }
}
