//! Builds the benchmarks' eBPF programs and lays the object where the binary embeds it from: `OUT_DIR/traffic.o`.

use std::{
    env, error, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

#[path = "../xtask/src/object.rs"]
mod object;
#[path = "../xtask/src/toolchain.rs"]
mod toolchain;

/// The package that holds the programs.
const PACKAGE: &str = "netmap-bench-ebpf";

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
    let package = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let workspace = package.parent().ok_or("bench stands outside of its workspace")?;
    for input in [
        "bench-ebpf",
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
    let target_dir = object::target_dir(&out);
    let mut cargo = object::cargo(&toolchain, "build", PACKAGE, workspace, &target_dir, &arch);
    let artifacts = out.join("artifacts");
    cargo
        .args(["--bin", "traffic", "-Zunstable-options", "--artifact-dir"])
        .arg(&artifacts);
    let status = cargo
        .status()
        .map_err(|error| format!("cannot run {}: {error}", cargo.get_program().display()))?;
    if !status.success() {
        return Err(format!("the benchmarks' eBPF programs do not build with {toolchain}").into());
    }
    fs::copy(artifacts.join("traffic"), out.join("traffic.o"))?;
    Ok(())
}

fn rerun_if_changed(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}
