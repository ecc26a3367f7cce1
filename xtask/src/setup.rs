//! `cargo xtask setup`: installs and checks what building and testing needs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail, ensure};

use crate::{
    docker,
    packages::{self, Apt, CLIPPY, COMPILER, TOOLS, Tool},
    toolchain::{self, Origin, Rustc, Toolchain},
    vm,
};

/// The release of bpf-linker that is installed.
const LINKER: &str = "0.13.0";
/// The LLVM versions that this release can be built with.
const LINKER_LLVM: std::ops::RangeInclusive<u32> = 21..=23;
const BPFFS: &str = "/sys/fs/bpf";

/// Everything, and a word on each part.
pub(crate) fn run() -> anyhow::Result<()> {
    let toolchain = for_building()?;
    println!("setup: eBPF programs are built by {toolchain}");
    for_running()?;
    for Tool {
        program,
        package,
        reason,
    } in &TOOLS
    {
        println!("setup: {program} ({package}) {reason}: there");
    }
    println!(
        "setup: Docker (only unpacked) is in {}",
        docker::unpacked()?.display()
    );
    println!(
        "setup: Prometheus (only unpacked) is in {}",
        docker::prometheus()?.display()
    );
    vm::fetch_all()?;
    println!("setup: virtual machines for tests on other kernels: there");
    println!("setup: all is there");
    Ok(())
}

/// What a build and the lints need; silent where all is there.
pub(crate) fn for_building() -> anyhow::Result<Toolchain> {
    host_components()?;
    let mut apt = Apt::default();
    let toolchain = match toolchain::find() {
        Ok(toolchain) => toolchain,
        Err(missing) => {
            println!("setup: {}", missing.sentence());
            ebpf_toolchain(&mut apt)?
        }
    };
    ebpf_clippy(&mut apt, toolchain.rustc.origin)?;
    Ok(toolchain)
}

/// What tests and demo need on top of a build; silent where all is there.
pub(crate) fn for_running() -> anyhow::Result<()> {
    tools(&TOOLS)?;
    file_systems()
}

/// Installs those that are missing.
pub(crate) fn tools(tools: &[Tool]) -> anyhow::Result<()> {
    let missing: Vec<_> = tools
        .iter()
        .filter(|tool| packages::locate(tool.program).is_none())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    for Tool {
        program,
        package,
        reason,
    } in &missing
    {
        println!("setup: {program} ({package}) {reason}: missing");
    }
    let names: Vec<_> = missing.iter().map(|tool| tool.package).collect();
    Apt::default().install(&names)
}

/// rustfmt and clippy of the toolchain that runs this, which rustup's minimal profile leaves out.
fn host_components() -> anyhow::Result<()> {
    for (component, program) in [("rustfmt", "rustfmt"), ("clippy", "cargo-clippy")] {
        // In PATH stands a proxy of rustup, whether the component is there or not.
        if beside_cargo(program).is_none_or(|file| file.is_file()) {
            continue;
        }
        println!("setup: rustup component add {component}");
        let added = Command::new("rustup")
            .args(["component", "add", component])
            .status();
        ensure!(
            added.is_ok_and(|status| status.success()),
            "{program} is missing and rustup could not add it: install rustup's stable toolchain with {component}"
        );
    }
    Ok(())
}

/// The clippy of the compiler that builds the eBPF programs.
fn ebpf_clippy(apt: &mut Apt, origin: Origin) -> anyhow::Result<()> {
    match origin {
        Origin::Debian if Path::new("/usr/bin/clippy-driver").is_file() => Ok(()),
        Origin::Debian => apt.install(&[CLIPPY]),
        Origin::Nightly => {
            let nightly = ["--toolchain", "nightly"];
            let which = Command::new("rustup")
                .args(["which", "cargo-clippy"])
                .args(nightly)
                .output()?;
            if which.status.success() {
                return Ok(());
            }
            println!("setup: rustup component add clippy --toolchain nightly");
            let added = Command::new("rustup")
                .args(["component", "add", "clippy"])
                .args(nightly)
                .status()?;
            ensure!(
                added.success(),
                "rustup's nightly lacks clippy and rustup could not add it"
            );
            Ok(())
        }
    }
}

/// A program of the very toolchain whose cargo started this process.
fn beside_cargo(program: &str) -> Option<PathBuf> {
    let cargo = PathBuf::from(std::env::var_os("CARGO")?);
    Some(cargo.parent()?.join(program))
}

/// Adds a linker to a compiler that is there, or Debian's compiler and a linker.
fn ebpf_toolchain(apt: &mut Apt) -> anyhow::Result<Toolchain> {
    for rustc in toolchain::compilers() {
        if install_linker(apt, &rustc)? {
            return Ok(toolchain::find()?);
        }
        println!(
            "setup: no LLVM {} to build a linker for {} {0}",
            rustc.llvm, rustc.release
        );
    }
    apt.install(&COMPILER).context(
        "no compiler for the eBPF programs: add `rust-src` to a rustup nightly, or use a Debian that has rustc-web",
    )?;
    let compilers = toolchain::compilers();
    let Some(debian) = compilers.iter().find(|rustc| rustc.origin == Origin::Debian) else {
        bail!("rustc-web and rust-web-src are installed but unfit: they differ in version or are too old");
    };
    if toolchain::find().is_err() && !install_linker(apt, debian)? {
        bail!(
            "there is no package llvm-{}-dev to build bpf-linker with",
            debian.llvm
        );
    }
    Ok(toolchain::find()?)
}

/// Builds bpf-linker against the LLVM of a compiler's version; `false` if that LLVM cannot be had.
fn install_linker(apt: &mut Apt, rustc: &Rustc) -> anyhow::Result<bool> {
    let llvm = rustc.llvm;
    if !LINKER_LLVM.contains(&llvm) {
        return Ok(false);
    }
    let prefix = PathBuf::from(format!("/usr/lib/llvm-{llvm}"));
    if !prefix.join("lib/libLLVM.so").exists() {
        let package = format!("llvm-{llvm}-dev");
        if !apt.offers(&package)? {
            return Ok(false);
        }
        apt.install(&[&package])?;
    }
    println!("setup: cargo install bpf-linker {LINKER} for LLVM {llvm}, which takes some minutes");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args([
            "install",
            "bpf-linker",
            "--quiet",
            "--locked",
            "--force",
            "--version",
            LINKER,
        ])
        .args(["--no-default-features", "--features", &format!("llvm-{llvm}")])
        .env("LLVM_PREFIX", &prefix)
        // The workspace's own target folder is none of its business.
        .env_remove("CARGO_TARGET_DIR")
        .status()?;
    ensure!(
        status.success(),
        "bpf-linker {LINKER} does not build with LLVM {llvm}: see cargo's message above"
    );
    Ok(true)
}

/// bpffs holds netmap's pins; cgroup2 carries the hooks for the host's own processes.
fn file_systems() -> anyhow::Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read /proc/self/mounts")?;
    if !is_mounted(&mounts, "bpf", Some(BPFFS)) {
        ensure!(
            packages::is_root(),
            "{BPFFS} is not mounted: run `mount -t bpf bpf {BPFFS}` as root"
        );
        println!("setup: mount -t bpf bpf {BPFFS}");
        let mounted = Command::new("mount").args(["-t", "bpf", "bpf", BPFFS]).status()?;
        ensure!(
            mounted.success(),
            "cannot mount bpffs at {BPFFS}: does this kernel have CONFIG_BPF_SYSCALL?"
        );
    }
    if !is_mounted(&mounts, "cgroup2", None) {
        println!("setup: no cgroup2 is mounted: the host's own processes will go through the socket proxy");
    }
    Ok(())
}

/// Whether `mounts`, as /proc/self/mounts lists them, has a file system of this kind, at `place` if given.
fn is_mounted(mounts: &str, kind: &str, place: Option<&str>) -> bool {
    mounts.lines().any(|line| {
        let mut fields = line.split(' ').skip(1);
        let at = fields.next();
        fields.next() == Some(kind) && (place.is_none() || at == place)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "bpf /sys/fs/bpf bpf rw,mode=700 0 0\n\
        cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nosuid 0 0\n\
        tmpfs /sys/fs/cgroup tmpfs rw 0 0\n";

    #[test]
    fn a_mount_is_recognised_by_kind_and_place() {
        assert!(is_mounted(MOUNTS, "bpf", Some(BPFFS)));
        assert!(is_mounted(MOUNTS, "cgroup2", None));
        assert!(!is_mounted(MOUNTS, "bpf", Some("/elsewhere")));
        assert!(!is_mounted("bpf /sys/fs/bpf tmpfs rw 0 0\n", "bpf", Some(BPFFS)));
    }
}
