//! For build scripts: builds a package's eBPF object with the compiler that [`super::toolchain`] finds.

use std::{
    env,
    error::Error,
    path::{Path, PathBuf},
};

use super::{object, toolchain};

/// Runs the nested cargo for `binary` of `package`, whose sources are `inputs`, folders of the workspace. The object's
/// path, below `out`.
///
/// # Errors
///
/// One sentence: which tool is missing, or that the programs do not build.
pub(crate) fn build(
    out: &Path,
    package: &str,
    binary: &str,
    inputs: &[&str],
) -> Result<PathBuf, Box<dyn Error>> {
    let manifest = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let workspace = manifest
        .parent()
        .ok_or("the package stands outside of its workspace")?;
    let shared = [
        "xtask/src/embed.rs",
        "xtask/src/object.rs",
        "xtask/src/toolchain.rs",
        "Cargo.toml",
        "Cargo.lock",
    ];
    for input in inputs.iter().chain(&shared) {
        rerun_if_changed(&workspace.join(input));
    }
    let toolchain = toolchain::find()?;
    rerun_if_changed(&toolchain.linker.path);
    rerun_if_changed(Path::new("/usr/bin/rustc"));

    let arch = env::var("CARGO_CFG_TARGET_ARCH")?;
    let target_dir = object::target_dir(out);
    let mut cargo = object::cargo(&toolchain, "build", package, workspace, &target_dir, &arch);
    // Cargo lays the object there under its own lock: builds of two checkouts may share a target folder.
    let artifacts = out.join("artifacts");
    cargo
        .args(["--bin", binary, "-Zunstable-options", "--artifact-dir"])
        .arg(&artifacts);
    let status = cargo
        .status()
        .map_err(|error| format!("cannot run {}: {error}", cargo.get_program().display()))?;
    if !status.success() {
        return Err(format!("the eBPF programs of {package} do not build with {toolchain}").into());
    }
    Ok(artifacts.join(binary))
}

/// Has cargo run the build script again when `path` changes.
pub(crate) fn rerun_if_changed(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}
