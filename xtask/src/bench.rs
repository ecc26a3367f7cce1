//! `cargo xtask bench`: hands over to the benchmarks of package netmap-bench.

use std::{env, os::unix::process::CommandExt as _, path::Path, process::Command};

use anyhow::{Context as _, ensure};

use crate::{
    build::{self, cargo, succeed, workspace},
    docker,
    packages::{self, BENCH_TOOLS},
    setup,
};

/// Builds all that the benchmarks need and becomes the benchmarks.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    ensure!(
        packages::is_root(),
        "the benchmarks make network namespaces: run them as root"
    );
    setup::for_building()?;
    setup::for_running()?;
    let netmap = build::netmap(true)?;
    // In place of this process, so that every signal reaches the benchmarks themselves and their exit status is ours.
    let error = command(&netmap)?.args(arguments).exec();
    Err(error).context("cannot run the benchmarks")
}

/// Checks that every measure runs and that packets arrive intact.
pub(crate) fn smoke(netmap: &Path) -> anyhow::Result<()> {
    succeed(command(netmap)?.arg("--smoke"))
}

/// The benchmarks, built, and with all that they call.
fn command(netmap: &Path) -> anyhow::Result<Command> {
    setup::tools(&BENCH_TOOLS)?;
    let docker = docker::unpacked()
        .inspect_err(|error| println!("setup: no Docker to compare with: {error:#}"))
        .ok();
    // The loads of a soak call a program of the tests, which cargo does not build for a library's user.
    succeed(cargo("build").args([
        "--release",
        "--package=netmap-bench",
        "--package=netmap-tests",
        "--bin=netmap-bench",
        "--bin=insider",
    ]))?;
    let mut command = Command::new(build::binary("release", "netmap-bench")?);
    let path = env::var_os("PATH").unwrap_or_default();
    // Where the programs stand that change the network, which a user's PATH often leaves out.
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    command
        .current_dir(workspace())
        .env("NETMAP_BIN", netmap)
        .env("PATH", env::join_paths(folders)?);
    if let Some(docker) = docker {
        command
            .env("DOCKER_PROXY", docker.join("docker-proxy"))
            .env("NETMAP_DOCKER_TOOLS", docker);
    }
    Ok(command)
}
