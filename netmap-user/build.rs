//! Builds the eBPF programs and lays the object where the loader embeds it from: `OUT_DIR/netmap.o`.
//!
//! `NETMAP_EBPF_OBJECT` in the environment names an object that is taken as it is instead. The code compiled here
//! finds the path of the object that it got in `env!("NETMAP_EBPF_OBJECT")`.

use std::{
    env, error, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

#[path = "../xtask/src/object.rs"]
mod object;
#[path = "../xtask/src/toolchain.rs"]
mod toolchain;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn error::Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let embedded = out.join("netmap.o");
    println!("cargo::rerun-if-env-changed=NETMAP_EBPF_OBJECT");
    let built = match env::var_os("NETMAP_EBPF_OBJECT").map(PathBuf::from) {
        Some(given) => {
            rerun_if_changed(&given);
            given
        }
        None => build(&out)?,
    };
    println!("cargo::rustc-env=NETMAP_EBPF_OBJECT={}", embedded.display());

    let bytes =
        fs::read(&built).map_err(|error| format!("cannot read the object {}: {error}", built.display()))?;
    fs::write(&embedded, bytes)?;
    Ok(())
}

/// Runs the nested cargo; its path of the object.
fn build(out: &Path) -> Result<PathBuf, Box<dyn error::Error>> {
    let package = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let workspace = package
        .parent()
        .ok_or("netmap-user stands outside of its workspace")?;
    for input in [
        "netmap-ebpf",
        "netmap-common",
        "xtask/src/object.rs",
        "xtask/src/toolchain.rs",
        "Cargo.toml",
        "Cargo.lock",
    ] {
        rerun_if_changed(&workspace.join(input));
    }
    let toolchain = toolchain::find()?;
    rerun_if_changed(&toolchain.linker.path);
    rerun_if_changed(Path::new("/usr/bin/rustc"));

    let arch = env::var("CARGO_CFG_TARGET_ARCH")?;
    let target_dir = object::target_dir(out);
    let mut cargo = object::cargo(&toolchain, "build", "netmap-ebpf", workspace, &target_dir, &arch);
    // Cargo lays the object there under its own lock: builds of two checkouts may share a target folder.
    let artifacts = out.join("artifacts");
    cargo
        .args(["--bin", "netmap", "-Zunstable-options", "--artifact-dir"])
        .arg(&artifacts);
    let status = cargo
        .status()
        .map_err(|error| format!("cannot run {}: {error}", cargo.get_program().display()))?;
    if !status.success() {
        return Err(format!("the eBPF programs do not build with {toolchain}").into());
    }
    Ok(artifacts.join("netmap"))
}

fn rerun_if_changed(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}
