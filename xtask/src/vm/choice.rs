//! Which tests run on which kernel. Emulated processors take some ten times as long, and each start of netmap some twelve
//! seconds, for the verifier: so these are few, and together ask of the kernel all that netmap ever does.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

use crate::{build::workspace, test};

/// The first Linux that has all that netmap needs.
const OLDEST: (u32, u32) = (5, 17);

/// Tests of one binary.
struct Choice {
    /// The folder of its package, and its name there.
    binary: (&'static str, &'static str),
    /// All if none is named.
    tests: &'static [&'static str],
    /// Those that are for virtual machines alone.
    ignored: bool,
}

/// For kernels that netmap runs on.
const USUAL: &[Choice] = &[
    // The first, while nothing has loaded the modules that it withholds.
    Choice {
        binary: (LABORATORY, "lacking"),
        tests: &["a_kernel_with_neither_tcx_nor_clsact_is_told_so"],
        ignored: true,
    },
    Choice {
        binary: (PRODUCT, "dataplane"),
        tests: &[
            "clsact::filters_are_exchanged_by_a_second_process_and_removed_with_their_clsact",
            "xdp::its_link_is_kept_by_a_second_process_and_removed_by_down",
        ],
        ignored: false,
    },
    Choice {
        binary: (PRODUCT, "host"),
        tests: &[
            "a_tap_is_reached_through_the_bridge",
            "addresses_and_default_routes_that_come_and_go_are_followed",
            "containers::a_container_that_starts_after_it_was_published_is_found",
            "containers::a_container_whose_veth_is_made_anew_is_found_again",
            "ipv6::a_published_container_is_found_by_neighbour_discovery",
            "ipv6::the_first_view_shows_what_there_is_of_ipv6",
            "isolation_and_leaving_the_bridge_are_noticed",
            "loss::lost_events_end_in_a_right_view",
            "owners::addresses_that_come_and_go_inside_are_followed_in_both_families",
            "the_first_view_shows_what_is_there",
        ],
        ignored: false,
    },
    Choice {
        binary: (LABORATORY, "differential"),
        tests: &[],
        ignored: false,
    },
    Choice {
        binary: (LABORATORY, "rows"),
        tests: &[
            "every_row_holds_with_offloads",
            "every_row_holds_with_native_xdp_without_offloads",
        ],
        ignored: false,
    },
    Choice {
        binary: (LABORATORY, "xdp"),
        tests: &["what_is_dropped_anyway_is_dropped_by_xdp"],
        ignored: false,
    },
    Choice {
        binary: (LABORATORY, "ranges"),
        tests: &["another_program_of_the_host_cannot_bind_inside_a_range"],
        ignored: false,
    },
    Choice {
        binary: (LABORATORY, "lifecycle"),
        tests: &[
            "the_data_plane_outlives_its_daemon_by_accident",
            "down_leaves_nothing",
        ],
        ignored: false,
    },
    Choice {
        binary: (LABORATORY, "stack"),
        tests: &["a_published_container_behind_a_route_sees_the_client"],
        ignored: false,
    },
];

/// For those that it refuses.
const REFUSED: &[Choice] = &[Choice {
    binary: (LABORATORY, "lacking"),
    tests: &["a_kernel_that_is_too_old_is_told_what_it_lacks"],
    ignored: true,
}];

const PRODUCT: &str = "netmap-user";
const LABORATORY: &str = "tests";

/// A call of a binary of tests.
#[derive(Debug)]
pub(crate) struct Call {
    /// Where it is called.
    pub(crate) folder: PathBuf,
    pub(crate) binary: PathBuf,
    /// The tests by their whole names; all if none is named.
    pub(crate) tests: Vec<String>,
    /// Instead of those that run everywhere.
    pub(crate) ignored: bool,
}

/// What runs on this version of the kernel, built; or all of these files of tests/tests, if any is named.
pub(crate) fn calls(version: &str, names: &[String]) -> anyhow::Result<Vec<Call>> {
    let mut laboratory = None;
    let mut product = None;
    let mut find = |(folder, name): (&'static str, &str)| -> anyhow::Result<PathBuf> {
        let (built, command): (_, fn() -> Command) = if folder == PRODUCT {
            (&mut product, test::unit_tests)
        } else {
            (&mut laboratory, test::integration_tests)
        };
        let built = match built {
            Some(built) => built,
            None => built.insert(binaries(command())?),
        };
        let path = built.iter().find(|path| is_named(path, name));
        Ok(path
            .with_context(|| format!("there is no {folder}/tests/{name}.rs"))?
            .clone())
    };
    if !names.is_empty() {
        let all = names.iter().map(|name| {
            Ok(Call {
                folder: workspace().join(LABORATORY),
                binary: find((LABORATORY, name))?,
                tests: Vec::new(),
                ignored: false,
            })
        });
        return all.collect();
    }
    let chosen = if is_refused(version) { REFUSED } else { USUAL };
    let calls = chosen.iter().map(|choice| {
        let call = Call {
            folder: workspace().join(choice.binary.0),
            binary: find(choice.binary)?,
            tests: choice.tests.iter().map(ToString::to_string).collect(),
            ignored: choice.ignored,
        };
        call.check()?;
        Ok(call)
    });
    calls.collect()
}

impl Call {
    /// A test that is no more would run as none, and none as a success.
    fn check(&self) -> anyhow::Result<()> {
        let listed = Command::new(&self.binary)
            .args(["--list", "--exact"])
            .args(&self.tests)
            .output()
            .with_context(|| format!("cannot run {}", self.binary.display()))?;
        let listed = String::from_utf8_lossy(&listed.stdout);
        for test in &self.tests {
            ensure!(
                listed.contains(&format!("{test}: test\n")),
                "{} has no test {test}",
                self.binary.display()
            );
        }
        Ok(())
    }
}

fn is_refused(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < OLDEST
}

/// The binaries that a `cargo test` runs, built.
fn binaries(mut cargo: Command) -> anyhow::Result<Vec<PathBuf>> {
    let output = cargo.arg("--no-run").output().context("cannot run cargo")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the tests cannot be built:\n{said}");
    Ok(said.lines().filter_map(executable).collect())
}

/// Reads cargo's `Executable tests/rows.rs (target/debug/deps/rows-0123)`.
fn executable(line: &str) -> Option<PathBuf> {
    let (source, path) = line.trim().strip_prefix("Executable ")?.split_once(" (")?;
    (!source.starts_with("unittests ")).then_some(())?;
    Some(workspace().join(path.strip_suffix(')')?))
}

/// Whether it is `NAME-` and cargo's hash.
fn is_named(binary: &Path, name: &str) -> bool {
    let file = binary.file_name().unwrap_or_default().to_string_lossy();
    file.rsplit_once('-').is_some_and(|(known, _)| known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargos_words_about_binaries_are_understood() {
        let is_rows = |line| executable(line).is_some_and(|path| is_named(&path, "rows"));
        assert!(is_rows(
            "  Executable tests/rows.rs (target/debug/deps/rows-0123)"
        ));
        assert!(is_rows(
            "  Executable tests/rows/main.rs (/target/debug/deps/rows-0123)"
        ));
        assert!(!is_rows(
            "  Executable tests/rows.rs (target/debug/deps/all-rows-0123)"
        ));
        assert!(!is_rows(
            "  Executable unittests src/bin/rows.rs (target/debug/deps/rows-0123)"
        ));
        assert!(!is_rows("    Finished `test` profile in 0.2s"));
    }

    #[test]
    fn kernels_are_refused_by_number() {
        assert!(["5.10", "5.4", "4.19", "5.16"].into_iter().all(is_refused));
        assert!(!["5.17", "6.1", "6.12", "10.0"].into_iter().any(is_refused));
    }
}
