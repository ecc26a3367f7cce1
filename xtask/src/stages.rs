//! Stages of a test run: each is announced, timed and, if it failed, remembered.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context as _, ensure};

/// What has run so far.
#[derive(Default)]
pub(crate) struct Stages {
    failed: Vec<&'static str>,
    tests: Tally,
}

/// Tests that passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
}

impl Stages {
    /// Runs a stage; a failure is printed and remembered, and the next stage may run all the same.
    pub(crate) fn run<T>(
        &mut self,
        name: &'static str,
        stage: impl FnOnce() -> anyhow::Result<T>,
    ) -> Option<T> {
        println!("==> {name}");
        let began = Instant::now();
        let result = stage();
        let seconds = began.elapsed().as_secs_f64();
        match result {
            Ok(value) => {
                println!("==> {name}: ok in {seconds:.1} s");
                Some(value)
            }
            Err(error) => {
                println!("==> {name}: FAILED in {seconds:.1} s: {error:#}");
                self.failed.push(name);
                None
            }
        }
    }

    /// Runs a stage of one `cargo test`, and adds up its tests while they run.
    pub(crate) fn test(&mut self, name: &'static str, command: &mut Command) {
        self.test_ending(name, command, 0);
    }

    /// The same of a command whose exit status is another when all is well.
    pub(crate) fn test_ending(&mut self, name: &'static str, command: &mut Command, good: i32) {
        let mut tests = Tally::default();
        self.run(name, || stream(command, &mut tests, good));
        self.tests.passed += tests.passed;
        self.tests.failed += tests.failed;
    }

    /// Ends the run with the line that says it all, after which nothing is printed.
    pub(crate) fn close(self) -> ExitCode {
        let Tally { passed, failed } = self.tests;
        if !self.failed.is_empty() {
            println!("==> failed: {}", self.failed.join(", "));
        } else if passed == 0 {
            println!("==> failed: no test ran");
        }
        println!("{passed} passed, {failed} failed");
        if self.failed.is_empty() && passed > 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

fn stream(command: &mut Command, tests: &mut Tally, good: i32) -> anyhow::Result<()> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    let output = child.stdout.take().context("it has no output")?;
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        if let Some(result) = Tally::of(&line) {
            tests.passed += result.passed;
            tests.failed += result.failed;
        }
    }
    let status = child.wait()?;
    ensure!(tests.failed == 0, "tests failed: {}", tests.failed);
    ensure!(status.code() == Some(good), "it ended with {status}");
    Ok(())
}

impl Tally {
    /// Reads libtest's last line of a binary, `test result: ok. 5 passed; 0 failed; ...`.
    fn of(line: &str) -> Option<Self> {
        let (_verdict, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let count = |what: &str| {
            counts
                .split("; ")
                .find_map(|field| field.strip_suffix(what)?.trim_end().parse().ok())
        };
        Some(Self {
            passed: count("passed")?,
            failed: count("failed")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtests_closing_line_is_counted() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.10s";
        assert_eq!(
            Tally::of(line),
            Some(Tally {
                passed: 12,
                failed: 3
            })
        );
        assert_eq!(Tally::of("test nat::a_test ... ok"), None);
        assert_eq!(Tally::of("test result: "), None);
    }

    #[test]
    fn a_run_that_dies_without_a_closing_line_fails() {
        let mut stages = Stages::default();
        stages.test(
            "dies",
            Command::new("sh").args(["-c", "echo 'test result: ok. 2 passed; 0 failed'; kill -9 $$"]),
        );
        assert_eq!(stages.failed, ["dies"]);
        assert_eq!(stages.tests, Tally { passed: 2, failed: 0 });
        assert_eq!(stages.close(), ExitCode::FAILURE);
    }

    #[test]
    fn counts_are_summed_over_runs_and_one_failure_fails_all() {
        let mut stages = Stages::default();
        stages.test(
            "first",
            Command::new("echo").arg("test result: ok. 2 passed; 0 failed; 0 ignored"),
        );
        stages.test(
            "second",
            Command::new("echo").arg("test result: FAILED. 3 passed; 1 failed; 0 ignored"),
        );
        assert_eq!(stages.tests, Tally { passed: 5, failed: 1 });
        assert_eq!(stages.failed, ["second"]);
        assert_eq!(stages.close(), ExitCode::FAILURE);
    }

    #[test]
    fn runs_that_all_pass_are_a_success() {
        let mut stages = Stages::default();
        stages.test(
            "only",
            Command::new("echo").arg("test result: ok. 2 passed; 0 failed; 0 ignored"),
        );
        assert_eq!(stages.close(), ExitCode::SUCCESS);
    }

    #[test]
    fn a_run_without_any_test_is_no_success() {
        assert_eq!(Stages::default().close(), ExitCode::FAILURE);
    }
}
