//! `cargo xtask bench`: netmap beside what it replaces, in network namespaces of its own.

mod arguments;
mod backend;
mod effort;
mod figures;
mod generator;
mod interrupt;
mod line;
mod machine;
mod measure;
mod ports;
mod programs;
mod queue;
mod report;
mod schedule;
mod sink;
mod tool;
mod traffic;
mod window;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;

use arguments::{Arguments, Part};

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if interrupt::is_wanted() => {
            println!("\nStopped; everything that the benchmarks made is removed.");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.part {
        Some(Part::Generate) => generator::generate(),
        Some(Part::Tool(tool)) => tool::work(tool),
        None => schedule::run(arguments),
    }
}
