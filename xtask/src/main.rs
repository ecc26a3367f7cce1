//! `cargo xtask`: the only door for people who build, check or try netmap.

mod bench;
mod build;
mod demo;
mod docker;
mod fuzz;
mod lint;
mod object;
mod package;
mod packages;
mod setup;
mod stages;
mod test;
mod toolchain;
mod vm;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

/// Sets up, builds, checks and shows netmap. Every command first installs what it needs and is missing.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Installs and checks everything that building and testing needs; does nothing where all is there
    Setup,
    /// Builds the binaries: `netmap` with the eBPF programs inside, and `netmap-docker-proxy`
    Build {
        /// Build it optimised, as tests and users run it
        #[arg(long)]
        release: bool,
    },
    /// Builds a Debian package: binaries, unit, man pages, completions; its path
    Package,
    /// Checks format, clippy of host and eBPF code, and documentation; a warning fails
    Lint,
    /// Runs everything that CI runs; ends with the line `N passed, N failed`
    Test {
        /// Run only tests whose names contain one of these, and no lint
        names: Vec<String>,
    },
    /// Runs tests on another kernel, in a virtual machine; ends with the line `N passed, N failed`
    Vm {
        /// Which of Debian's kernels
        #[arg(long, default_value = vm::DEFAULT_KERNEL)]
        kernel: String,
        /// Run these files of tests/tests instead of the usual choice
        names: Vec<String>,
    },
    /// Tries inputs without end on what must hold for all of them; see fuzz/
    Fuzz {
        /// Which target; all of them if none is named
        target: Option<fuzz::Target>,
        /// How long each runs
        #[arg(long, default_value_t = 60)]
        seconds: u32,
        /// Show the target this input instead
        #[arg(long, value_name = "FILE", requires = "target")]
        replay: Option<PathBuf>,
    },
    /// Builds netmap and shows it at work between network namespaces of its own
    Demo {
        /// Passed on to the demo, such as --keep
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measures netmap beside what it replaces, and writes docs/benchmarks
    Bench {
        /// Passed on to the benchmarks, such as --quick or --help
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    // Not returned: with RUST_BACKTRACE set, that would bury the sentence.
    run(Arguments::parse().task).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(task: Task) -> anyhow::Result<ExitCode> {
    match task {
        Task::Setup => setup::run()?,
        Task::Build { release } => build::run(release)?,
        Task::Package => package::run()?,
        Task::Lint => lint::run()?,
        Task::Test { names } => return test::run(&names),
        Task::Vm { kernel, names } => return vm::run(&kernel, &names),
        Task::Fuzz {
            target,
            seconds,
            replay,
        } => fuzz::run(target, seconds, replay.as_deref())?,
        Task::Demo { arguments } => demo::run(&arguments)?,
        Task::Bench { arguments } => bench::run(&arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}
