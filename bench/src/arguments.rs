//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::{backend::Backend, effort::Effort, figures::Measure, tool::Tool};

/// Measures netmap beside what it replaces: traffic of its own in network namespaces of its own, all removed at the end.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
pub(crate) struct Arguments {
    /// Fewer backends, variants and rounds: about two minutes
    #[arg(long, conflicts_with = "smoke")]
    pub(crate) quick: bool,
    /// Only check that every measure runs and that packets arrive intact; the figures mean nothing
    #[arg(long)]
    pub(crate) smoke: bool,
    /// How often everything is built and measured anew [default: 5, with --quick 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: Option<u32>,
    /// Only these measures
    #[arg(long, value_name = "MEASURE", value_delimiter = ',')]
    pub(crate) only: Vec<Measure>,
    /// Only these backends
    #[arg(long, value_name = "BACKEND", value_delimiter = ',')]
    pub(crate) backends: Vec<Backend>,
    /// Where results.md, results.json and the plots go [default: docs/benchmarks; without this, --quick and --smoke write
    /// none]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// What the processes of the benchmark's own do
    #[command(subcommand)]
    pub(crate) part: Option<Part>,
}

/// A part that runs in a process of its own.
#[derive(Debug, Subcommand)]
pub(crate) enum Part {
    /// Sends the traffic that standard input describes, until it is killed
    #[command(hide = true)]
    Generate,
    /// Serves, or is a client
    #[command(hide = true)]
    Tool(Tool),
}

impl Arguments {
    /// How much to measure.
    pub(crate) const fn effort(&self) -> Effort {
        match (self.smoke, self.quick) {
            (true, _) => Effort::Smoke,
            (_, true) => Effort::Quick,
            _ => Effort::Full,
        }
    }

    /// Where results go, if anywhere.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        let published = || (self.effort() == Effort::Full).then(|| PathBuf::from("docs/benchmarks"));
        self.out.clone().or_else(published)
    }
}
