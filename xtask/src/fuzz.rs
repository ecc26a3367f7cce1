//! `cargo xtask fuzz`: the targets of package netmap-fuzz under libFuzzer, guided by coverage, on the stable compiler.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};

use crate::{
    build::{cargo, succeed, target_dir, workspace},
    packages::FUZZ_TOOLS,
    setup,
};

/// What coverage-guided fuzzing asks of the compiler: counters of edges, and a word about every comparison. cargo-fuzz has the
/// same; the sanitizers that need a nightly would find little in code without `unsafe`.
const FLAGS: [&str; 7] = [
    "--cfg",
    "fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// An input that takes longer is a failure, in seconds.
const PATIENCE: u32 = 10;

/// A fuzz target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Target {
    /// The NAT with any packets and any tables
    Process,
    /// What users write and the kernel tells
    Input,
}

/// What libFuzzer told at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Report {
    executions: u64,
    /// The input that something did not hold for.
    failing: Option<String>,
}

impl Target {
    /// Every target.
    pub(crate) const ALL: [Self; 2] = [Self::Process, Self::Input];

    /// Its name, also that of its folders.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Input => "input",
        }
    }

    /// Its name as a stage of a test run.
    pub(crate) const fn stage(self) -> &'static str {
        match self {
            Self::Process => "fuzzing of the NAT",
            Self::Input => "fuzzing of input",
        }
    }

    const fn features(self) -> &'static str {
        match self {
            Self::Process => "engine",
            Self::Input => "engine,input",
        }
    }
}

/// Runs one target or all, each for so many seconds, or shows one a file.
pub(crate) fn run(target: Option<Target>, seconds: u32, replay: Option<&Path>) -> anyhow::Result<()> {
    if let (Some(target), Some(file)) = (target, replay) {
        return show(target, file);
    }
    for one in Target::ALL {
        if target.is_none_or(|target| target == one) {
            run_one(one, Duration::from_secs(seconds.into()))?;
        }
    }
    Ok(())
}

/// Runs a target; fails with the input for which something did not hold.
pub(crate) fn run_one(target: Target, time: Duration) -> anyhow::Result<()> {
    let name = target.name();
    let mut engine = built(target)?;
    // What is found grows beside the build; only what is worth it is kept in the tree.
    let found = target_dir()?.join("fuzz-corpus").join(name);
    let failures = format!("fuzz/failures/{name}/");
    fs::create_dir_all(&found)?;
    fs::create_dir_all(workspace().join(&failures))?;
    engine
        .arg(&found)
        .arg(format!("fuzz/corpus/{name}"))
        .arg(format!("-max_total_time={}", time.as_secs()))
        .arg(format!("-timeout={PATIENCE}"))
        .arg(format!("-artifact_prefix={failures}"))
        .args([
            "-max_len=4096",
            "-print_final_stats=1",
            "-print_funcs=0",
            "-verbosity=0",
        ]);
    let dictionary = format!("fuzz/{name}.dict");
    if workspace().join(&dictionary).is_file() {
        engine.arg(format!("-dict={dictionary}"));
    }
    let began = Instant::now();
    let report = watch(&mut engine)?;
    if let Some(file) = report.failing {
        bail!("{file} fails; see it again with `cargo xtask fuzz {name} --replay {file}`");
    }
    ensure!(report.executions > 0, "nothing was executed");
    let seconds = began.elapsed().as_secs().max(1);
    println!(
        "fuzz {name}: {} executions in {seconds} s, {} a second, nothing found",
        report.executions,
        report.executions / seconds
    );
    Ok(())
}

/// Shows a target one input.
fn show(target: Target, file: &Path) -> anyhow::Result<()> {
    // The engine runs in the workspace's root.
    let file = fs::canonicalize(file).with_context(|| format!("cannot find {}", file.display()))?;
    succeed(built(target)?.arg(&file))?;
    println!("fuzz {}: {} keeps what must hold", target.name(), file.display());
    Ok(())
}

/// The target's program, built.
fn built(target: Target) -> anyhow::Result<Command> {
    if target == Target::Input {
        setup::for_building()?;
    }
    setup::tools(&FUZZ_TOOLS)?;
    let host = host()?;
    let program = format!("fuzz-{}", target.name());
    let mut build = cargo("build");
    build
        .args(["--package", "netmap-fuzz", "--profile", "fuzz", "--bin", &program])
        .args(["--no-default-features", "--features", target.features()])
        // Named, so that build scripts do without the flags.
        .args(["--target", &host])
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f"));
    succeed(&mut build)?;
    let path: PathBuf = [
        &target_dir()?,
        Path::new(&host),
        "fuzz".as_ref(),
        program.as_ref(),
    ]
    .into_iter()
    .collect();
    ensure!(path.is_file(), "cargo built no {}", path.display());
    let mut engine = Command::new(path);
    engine.current_dir(workspace());
    Ok(engine)
}

/// The machine's target triple.
fn host() -> anyhow::Result<String> {
    let rustc = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("cannot run rustc")?;
    let told = String::from_utf8_lossy(&rustc.stdout);
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc tells no host")
}

/// Runs libFuzzer, and passes on what it says.
fn watch(engine: &mut Command) -> anyhow::Result<Report> {
    let mut child = engine
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run the fuzz target")?;
    let output = child.stderr.take().context("the fuzz target has no output")?;
    let mut report = Report::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        if !report.takes(&line) {
            println!("{line}");
        }
    }
    let status = child.wait()?;
    ensure!(
        status.success() || report.failing.is_some(),
        "the fuzz target ended with {status}"
    );
    Ok(report)
}

impl Report {
    /// Reads a line; whether it need not be shown.
    fn takes(&mut self, line: &str) -> bool {
        if let Some((_, file)) = line.split_once("Test unit written to ") {
            self.failing = Some(file.to_owned());
        }
        let Some(statistic) = line.strip_prefix("stat::") else {
            // A dictionary that it recommends, word by word.
            return line.starts_with("######") || line.starts_with('"') && line.contains("# Uses: ");
        };
        let executions = statistic.strip_prefix("number_of_executed_units:");
        if let Some(executions) = executions.and_then(|number| number.trim().parse().ok()) {
            self.executions = executions;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executions_and_a_failing_input_are_read_from_what_libfuzzer_says() {
        let mut report = Report::default();
        assert!(!report.takes("INFO: Seed: 1"));
        assert!(report.takes("stat::number_of_executed_units: 47703"));
        assert!(report.takes("stat::average_exec_per_sec:     6814"));
        assert!(report.takes("\"\\377\\377\" # Uses: 34"));
        assert_eq!((report.executions, report.failing.as_ref()), (47_703, None));
        assert!(!report.takes(
            "artifact_prefix='fuzz/failures/process/'; Test unit written to fuzz/failures/process/crash-1"
        ));
        assert_eq!(report.failing.as_deref(), Some("fuzz/failures/process/crash-1"));
    }

    #[test]
    fn a_target_that_dies_without_a_word_fails() {
        let mut engine = Command::new("sh");
        engine.args(["-c", "exit 3"]);
        assert!(watch(&mut engine).is_err());
        let mut engine = Command::new("sh");
        engine.args(["-c", "echo 'Test unit written to here' >&2; exit 77"]);
        assert_eq!(watch(&mut engine).unwrap().failing.as_deref(), Some("here"));
    }
}
