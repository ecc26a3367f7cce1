//! `cargo xtask test`: everything that CI runs.

use std::{
    process::{Command, ExitCode},
    time::Duration,
};

use anyhow::ensure;

use crate::{
    bench,
    build::{self, cargo},
    docker, fuzz, lint, package, packages, setup,
    stages::Stages,
};

/// How long each fuzz target runs.
const FUZZING: Duration = Duration::from_secs(60);

/// Runs all stages, or only the tests whose names contain one of `names`.
pub(crate) fn run(names: &[String]) -> anyhow::Result<ExitCode> {
    ensure!(
        packages::is_root(),
        "the integration tests make network namespaces: run `cargo xtask test` as root"
    );
    let mut stages = Stages::default();
    let setup = stages.run("setup", || {
        let toolchain = setup::for_building()?;
        setup::for_running()?;
        println!("eBPF programs are built by {toolchain}");
        Ok((toolchain, docker::unpacked()?))
    });
    let Some((toolchain, docker)) = setup else {
        return Ok(stages.close());
    };

    if names.is_empty() {
        stages.run("lint", || lint::check(&toolchain));
    }
    let mut tests = cargo("test");
    tests.args(["--workspace", "--no-fail-fast"]);
    tests.args(["--exclude", "netmap-tests"]);
    for package in lint::EBPF_PACKAGES {
        tests.args(["--exclude", package]);
    }
    stages.test("unit and property tests", filtered(&mut tests, names, &[]));

    if names.is_empty() {
        for target in fuzz::Target::ALL {
            stages.run(target.stage(), || fuzz::run_one(target, FUZZING));
        }
    }

    let built = stages.run("build of netmap", || {
        Ok((
            build::netmap(true)?,
            build::docker_proxy(true)?,
            build::ebpf_object()?,
        ))
    });
    if let Some((netmap, docker_proxy, object)) = built {
        if names.is_empty() {
            stages.run("smoke of the benchmarks", || bench::smoke(&netmap));
        }
        let deb = stages.run("package", || package::build(&netmap, &docker_proxy));
        let mut tests = cargo("test");
        tests.args(["--package", "netmap-tests", "--no-fail-fast"]);
        tests
            .env("NETMAP_BIN", netmap)
            .env("NETMAP_OBJECT", object)
            .env("NETMAP_DOCKER", docker);
        tests.env("NETMAP_DOCKER_PROXY", docker_proxy);
        if let Some(deb) = deb {
            tests.env("NETMAP_DEB", deb);
        }
        // Each test has namespaces of its own; more at a time than two would only starve each other of time.
        stages.test(
            "integration tests",
            filtered(&mut tests, names, &["--test-threads", "2"]),
        );
    }
    Ok(stages.close())
}

fn filtered<'a>(command: &'a mut Command, names: &[String], arguments: &[&str]) -> &'a mut Command {
    command.arg("--").args(arguments).args(names)
}
