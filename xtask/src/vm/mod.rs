//! `cargo xtask vm`: the tests that ask most of a kernel, on others than this machine's.
//!
//! The guest sees this machine's files, read-only and under a file system in memory, so it finds the tests' binaries and all
//! that they call where they are here.

mod choice;
mod guest;
mod initramfs;
mod kernel;

use std::{
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, ensure};

use self::kernel::Kernel;
use crate::{
    build::{self, target_dir},
    packages::{self, VM_TOOLS},
    setup,
    stages::Stages,
};

/// The kernel that is booted unless another is named: Debian 12's, which has no tcx.
pub(crate) const DEFAULT_KERNEL: &str = "6.1";

/// One that netmap does not run on: it has to say why.
const TOO_OLD: &str = "5.10";

/// Every kernel that `cargo xtask test` boots, and the stage of its tests.
const STAGES: [(&str, &str); 2] = [
    (DEFAULT_KERNEL, "tests on Linux 6.1"),
    (TOO_OLD, "refusal by Linux 5.10"),
];

/// Boots Debian's kernel of this version and runs the chosen tests, or the binaries named.
pub(crate) fn run(version: &str, names: &[String]) -> anyhow::Result<ExitCode> {
    ensure!(
        packages::is_root(),
        "the guest's tests run as root on files that root may read: run `cargo xtask vm` as root"
    );
    let mut stages = Stages::default();
    let built = stages.run("setup", || {
        setup::for_building()?;
        setup::for_running()?;
        fetch(version)
    });
    let built = built.and_then(|()| {
        stages.run("build of netmap", || {
            Ok((build::netmap(true)?, build::ebpf_object()?))
        })
    });
    if let Some((netmap, object)) = built {
        stage(
            &mut stages,
            "tests on another kernel",
            version,
            names,
            &netmap,
            &object,
        );
    }
    Ok(stages.close())
}

/// What a virtual machine needs that boots this kernel; silent where all is there.
pub(crate) fn fetch(version: &str) -> anyhow::Result<()> {
    setup::tools(&VM_TOOLS)
        .and_then(|()| Kernel::unpacked(version, &target_dir()?.join("vm")))
        .with_context(|| format!("there is no virtual machine for tests on Linux {version}"))?;
    Ok(())
}

/// The same for all that `cargo xtask test` boots.
pub(crate) fn fetch_all() -> anyhow::Result<()> {
    STAGES.iter().try_for_each(|(version, _)| fetch(version))
}

/// Every kernel as stages of a larger run, which fail by themselves where one cannot be had.
pub(crate) fn stages(stages: &mut Stages, netmap: &Path, object: &Path) {
    if stages.run("virtual machines", fetch_all).is_none() {
        return;
    }
    for (version, name) in STAGES {
        stage(stages, name, version, &[], netmap, object);
    }
}

fn stage(
    stages: &mut Stages,
    name: &'static str,
    version: &str,
    names: &[String],
    netmap: &Path,
    object: &Path,
) {
    let machine = stages.run("build of its tests", || prepare(version, names, netmap, object));
    if let Some(mut machine) = machine {
        stages.test_ending(name, &mut machine, guest::PASSED);
    }
}

/// The command that boots, tests and ends.
fn prepare(version: &str, names: &[String], netmap: &Path, object: &Path) -> anyhow::Result<Command> {
    let calls = choice::calls(version, names)?;
    let folder = target_dir()?.join("vm");
    let kernel = Kernel::unpacked(version, &folder)?;
    println!("booting {}", kernel.release());
    let initramfs = initramfs::pack(&kernel, &folder)?;
    let script = guest::write(&folder, netmap, object, &calls)?;
    Ok(guest::boot(&kernel, &initramfs, &script))
}
