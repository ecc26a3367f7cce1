//! `cargo xtask vm`: the tests that ask most of a kernel, on another one than this machine's.
//!
//! The guest sees this machine's files, read-only and under a file system in memory, so it finds the tests' binaries and all
//! that they call where they are here. Its processors are emulated, which takes some ten times as long: hence a choice of tests.

mod guest;
mod initramfs;
mod kernel;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, ensure};

use self::kernel::Kernel;
use crate::{
    build::{self, cargo, target_dir, workspace},
    packages::{self, VM_TOOLS},
    setup,
    stages::Stages,
};

/// The kernel that is booted unless another is named: Debian 12's.
pub(crate) const DEFAULT_KERNEL: &str = "6.1";

/// A binary of tests, and which of its tests; all if none is named.
type Choice = (&'static str, &'static [&'static str]);

/// What runs where nothing else is asked for.
const CHOICE: [Choice; 4] = [
    (
        "rows",
        &[
            "every_row_holds_with_offloads",
            "every_row_holds_behind_a_firewall_that_drops_what_is_forwarded",
        ],
    ),
    (
        "lifecycle",
        &["the_data_plane_outlives_its_daemon", "down_leaves_nothing"],
    ),
    ("stack", &[]),
    ("mapping", &[]),
];

/// Boots Debian's kernel of this version and runs the chosen tests, or the binaries named.
pub(crate) fn run(version: &str, names: &[String]) -> anyhow::Result<ExitCode> {
    ensure!(
        packages::is_root(),
        "the guest's tests run as root on files that root may read: run `cargo xtask vm` as root"
    );
    let mut stages = Stages::default();
    stages.run("setup", || {
        setup::for_building()?;
        setup::for_running()?;
        Ok(())
    });
    let built = stages.run("build of netmap", || {
        Ok((build::netmap(true)?, build::ebpf_object()?))
    });
    if let Some((netmap, object)) = built {
        stage(&mut stages, version, names, &netmap, &object);
    }
    Ok(stages.close())
}

/// The same as a stage of a larger run.
pub(crate) fn stage(stages: &mut Stages, version: &str, names: &[String], netmap: &Path, object: &Path) {
    let machine = stages.run("virtual machine", || prepare(version, names, netmap, object));
    if let Some(mut machine) = machine {
        stages.test_ending("tests on another kernel", &mut machine, guest::PASSED);
    }
}

/// The command that boots, tests and ends.
fn prepare(version: &str, names: &[String], netmap: &Path, object: &Path) -> anyhow::Result<Command> {
    setup::tools(&VM_TOOLS)?;
    let folder = target_dir()?.join("vm");
    let kernel = Kernel::unpacked(version, &folder)?;
    println!("booting {}", kernel.release());
    let initramfs = initramfs::pack(&kernel, &folder)?;
    let script = guest::write(&folder, netmap, object, &commands(names)?)?;
    Ok(guest::boot(&kernel, &initramfs, &script))
}

/// The tests as the guest calls them.
fn commands(names: &[String]) -> anyhow::Result<Vec<Vec<String>>> {
    let binaries = binaries()?;
    let find = |name: &str| -> anyhow::Result<String> {
        let found = binaries.iter().find(|(known, _)| known == name);
        let (_, path) = found.with_context(|| format!("there is no tests/tests/{name}.rs"))?;
        Ok(path.display().to_string())
    };
    if names.is_empty() {
        let chosen = CHOICE.iter().map(|(name, tests)| {
            let tests = tests.iter().map(ToString::to_string);
            Ok(std::iter::once(find(name)?).chain(tests).collect())
        });
        return chosen.collect();
    }
    names.iter().map(|name| Ok(vec![find(name)?])).collect()
}

/// Every binary of tests, built, by its name.
fn binaries() -> anyhow::Result<Vec<(String, PathBuf)>> {
    let output = cargo("test")
        .args(["--package", "netmap-tests", "--no-run"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .context("cannot run cargo")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the tests cannot be built:\n{said}");
    Ok(said.lines().filter_map(executable).collect())
}

/// Reads cargo's `Executable tests/rows.rs (target/debug/deps/rows-0123)`.
fn executable(line: &str) -> Option<(String, PathBuf)> {
    let (source, path) = line.trim().strip_prefix("Executable ")?.split_once(" (")?;
    let source = Path::new(source.split_whitespace().last()?);
    let name = match source.file_stem()?.to_str()? {
        "main" => source.parent()?.file_name()?.to_str()?,
        name => name,
    };
    Some((name.to_owned(), workspace().join(path.strip_suffix(')')?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargos_words_about_binaries_are_understood() {
        let read =
            |line| executable(line).map(|(name, path)| (name, path.ends_with("target/debug/deps/x-1")));
        let found = |name: &str| Some((name.to_owned(), true));
        assert_eq!(
            read("  Executable tests/rows.rs (target/debug/deps/x-1)"),
            found("rows")
        );
        assert_eq!(
            read("  Executable tests/differential/main.rs (target/debug/deps/x-1)"),
            found("differential")
        );
        assert_eq!(
            read("  Executable unittests src/lib.rs (target/debug/deps/x-1)"),
            found("lib")
        );
        assert_eq!(read("    Finished `test` profile in 0.2s"), None);
    }
}
