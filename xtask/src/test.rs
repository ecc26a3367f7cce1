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
    vm,
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
        Ok((toolchain, docker::unpacked()?, docker::prometheus()?))
    });
    let Some((toolchain, docker, prometheus)) = setup else {
        return Ok(stages.close());
    };

    if names.is_empty() {
        stages.run("lint", || lint::check(&toolchain));
    }
    stages.test(
        "unit and property tests",
        filtered(unit_tests().arg("--no-fail-fast"), names, &[]),
    );

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
        let mut tests = integration_tests();
        tests
            .arg("--no-fail-fast")
            .env("NETMAP_BIN", &netmap)
            .env("NETMAP_OBJECT", &object)
            .env("NETMAP_DOCKER_TOOLS", docker)
            .env("NETMAP_PROMETHEUS", prometheus);
        tests.env("NETMAP_DOCKER_PROXY", docker_proxy);
        if let Some(deb) = deb {
            tests.env("NETMAP_DEB", deb);
        }
        // Each test has namespaces of its own; more at a time than two would only starve each other of time.
        stages.test(
            "integration tests",
            filtered(&mut tests, names, &["--test-threads", "2"]),
        );
        if names.is_empty() {
            vm::stages(&mut stages, &netmap, &object);
        }
    }
    Ok(stages.close())
}

/// `cargo test` of all that runs on the host, but the integration tests.
pub(crate) fn unit_tests() -> Command {
    let mut tests = cargo("test");
    tests.args(["--workspace", "--exclude", "netmap-tests"]);
    for package in lint::EBPF_PACKAGES {
        tests.args(["--exclude", package]);
    }
    tests
}

/// `cargo test` of these.
pub(crate) fn integration_tests() -> Command {
    let mut tests = cargo("test");
    tests.args(["--package", "netmap-tests"]);
    tests
}

fn filtered<'a>(command: &'a mut Command, names: &[String], arguments: &[&str]) -> &'a mut Command {
    command.arg("--").args(arguments).args(names)
}
