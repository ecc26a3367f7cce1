//! `cargo xtask build`, and the calls of cargo that all tasks share.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

use crate::{object, setup};

/// Builds the binaries and says where they are.
pub(crate) fn run(release: bool) -> anyhow::Result<()> {
    setup::for_building()?;
    println!("{}", netmap(release)?.display());
    println!("{}", docker_proxy(release)?.display());
    Ok(())
}

/// Builds the binary `netmap-docker-proxy`; its path.
///
/// It runs once for each published port, so that it is linked to nothing, and stands where it was linked for: what a
/// process shares with the others it need not write to. `cargo build` makes one that works as well and takes more memory.
pub(crate) fn docker_proxy(release: bool) -> anyhow::Result<PathBuf> {
    const NAME: &str = "netmap-docker-proxy";
    let mut cargo = cargo("rustc");
    cargo.args(["--package", NAME, "--bin", NAME]);
    if release {
        cargo.arg("--release");
    }
    cargo.args([
        "--",
        "-C",
        "target-feature=+crt-static",
        "-C",
        "relocation-model=static",
    ]);
    succeed(&mut cargo)?;
    binary(if release { "release" } else { "debug" }, NAME)
}

/// Builds the binary `netmap`; its path.
pub(crate) fn netmap(release: bool) -> anyhow::Result<PathBuf> {
    let mut cargo = cargo("build");
    cargo.args(["--package", "netmap-user", "--bin", "netmap"]);
    if release {
        cargo.arg("--release");
    }
    succeed(&mut cargo)?;
    binary(if release { "release" } else { "debug" }, "netmap")
}

/// Path of the eBPF object inside the binary that was built last.
pub(crate) fn ebpf_object() -> anyhow::Result<PathBuf> {
    let given = env::var_os("NETMAP_EBPF_OBJECT").map(PathBuf::from);
    let path = match given {
        Some(given) => given,
        None => object::target_dir(&target_dir()?).join("bpfel-unknown-none/release/netmap"),
    };
    ensure!(path.is_file(), "there is no eBPF object {}", path.display());
    Ok(path)
}

/// Path of a binary that was built.
pub(crate) fn binary(profile: &str, name: &str) -> anyhow::Result<PathBuf> {
    let path = target_dir()?.join(profile).join(name);
    ensure!(path.is_file(), "cargo built no {}", path.display());
    Ok(path)
}

/// `cargo SUBCOMMAND` of the toolchain that started this process, in the workspace's root.
pub(crate) fn cargo(subcommand: &str) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.arg(subcommand).current_dir(workspace());
    cargo
}

/// Runs a command whose own output says what it does.
pub(crate) fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    ensure!(status.success(), "{} failed", line_of(command));
    Ok(())
}

/// The folder of the root manifest.
pub(crate) fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// Cargo's target folder, in which this very binary stands.
pub(crate) fn target_dir() -> anyhow::Result<PathBuf> {
    let binary = env::current_exe().context("cannot find this binary")?;
    let folder = binary
        .ancestors()
        .nth(2)
        .context("this binary stands outside of a target folder")?;
    Ok(folder.to_path_buf())
}

fn line_of(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words: Vec<_> = std::iter::once(program)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect();
    format!("`{}`", words.join(" "))
}
