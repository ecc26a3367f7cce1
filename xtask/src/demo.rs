//! `cargo xtask demo`: hands over to the demo of package netmap-tests.

use std::{os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, ensure};

use crate::{
    build::{self, cargo, succeed},
    packages, setup,
};

/// Builds all that the demo needs and becomes the demo.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    ensure!(
        packages::is_root(),
        "the demo makes network namespaces: run it as root"
    );
    setup::for_building()?;
    setup::for_running()?;
    let netmap = build::netmap(true)?;
    succeed(cargo("build").args(["--package", "netmap-tests", "--bin", "demo", "--bin", "insider"]))?;
    let demo = build::binary("debug", "demo")?;

    // In place of this process, so that every signal reaches the demo itself and its exit status is ours.
    let error = Command::new(&demo)
        .args(arguments)
        .env("NETMAP_BIN", netmap)
        .exec();
    Err(error).with_context(|| format!("cannot run {}", demo.display()))
}
