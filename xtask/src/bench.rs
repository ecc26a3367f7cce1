//! `cargo xtask bench`: hands over to the benchmarks of package netmap-bench.

use std::{
    env, fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

use crate::{
    build::{self, cargo, succeed, target_dir, workspace},
    packages::{self, Apt, BENCH_TOOLS, DOCKER},
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
    let proxy = docker_proxy().unwrap_or_else(|error| {
        println!("setup: no docker-proxy to compare with: {error:#}");
        None
    });
    succeed(cargo("build").args(["--release", "--package", "netmap-bench"]))?;
    let mut command = Command::new(build::binary("release", "netmap-bench")?);
    let path = env::var_os("PATH").unwrap_or_default();
    // Where the programs stand that change the network, which a user's PATH often leaves out.
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    command
        .current_dir(workspace())
        .env("NETMAP_BIN", netmap)
        .env("PATH", env::join_paths(folders)?);
    if let Some(proxy) = proxy {
        command.env("DOCKER_PROXY", proxy);
    }
    Ok(command)
}

/// Debian's docker-proxy, taken out of its package; `None` where one is installed.
fn docker_proxy() -> anyhow::Result<Option<PathBuf>> {
    if packages::locate("docker-proxy").is_some() {
        return Ok(None);
    }
    let folder = target_dir()?.join("bench-tools");
    let program = folder.join("docker-proxy");
    if program.is_file() {
        return Ok(Some(program));
    }
    fs::create_dir_all(&folder)?;
    Apt::default().download(DOCKER, &folder)?;
    let package = fs::read_dir(&folder)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt-get fetched no package")?;
    let mut unpack = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(&package)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run dpkg-deb")?;
    let files = unpack.stdout.take().context("dpkg-deb has no output")?;
    let unpacked = Command::new("tar")
        .args(["--extract", "--strip-components=3", "--directory"])
        .arg(&folder)
        .arg("./usr/sbin/docker-proxy")
        .stdin(files)
        .status()
        .context("cannot run tar")?;
    // tar may have ended first, having found what it wanted.
    let _status = unpack.wait()?;
    ensure!(unpacked.success(), "package {DOCKER} has no docker-proxy");
    fs::remove_file(package)?;
    Ok(Some(program))
}
