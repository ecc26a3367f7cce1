//! `cargo xtask lint`: format, clippy and documentation, where a warning fails.

use std::env;

use crate::{
    build::{cargo, succeed, target_dir, workspace},
    object, setup,
    toolchain::Toolchain,
};

/// Packages that are built for the eBPF target only.
pub(crate) const EBPF_PACKAGES: [&str; 2] = ["netmap-ebpf", "netmap-bench-ebpf"];

/// Sets up and checks.
pub(crate) fn run() -> anyhow::Result<()> {
    check(&setup::for_building()?)
}

/// Checks all crates; stops at the first that fails.
pub(crate) fn check(toolchain: &Toolchain) -> anyhow::Result<()> {
    succeed(cargo("fmt").args(["--all", "--check"]))?;

    let host = [
        "--workspace",
        "--exclude",
        EBPF_PACKAGES[0],
        "--exclude",
        EBPF_PACKAGES[1],
    ];
    succeed(
        cargo("clippy")
            .args(host)
            .args(["--all-targets", "--", "-D", "warnings"]),
    )?;

    let target_dir = object::target_dir(&target_dir()?);
    for package in EBPF_PACKAGES {
        let mut ebpf = object::cargo(
            toolchain,
            "clippy",
            package,
            workspace(),
            &target_dir,
            env::consts::ARCH,
        );
        succeed(ebpf.args(["--", "-D", "warnings"]))?;
    }

    // The binary's page would land on the library's.
    succeed(
        cargo("doc")
            .args(host)
            .args(["--no-deps", "--lib"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}
