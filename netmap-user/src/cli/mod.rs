//! The commands. A contract: scripts depend on the words, the JSON keys and the exit status.
//!
//! [`args`] says what can be written, one file a command says what it does. Tables go to stdout, everything else to
//! stderr as `netmap: sentence`. Exit status: 0 done, 1 failed, 2 wrong usage.

pub mod args;
pub(crate) mod batch;
mod config;
mod docker;
mod doctor;
mod down;
pub mod explain;
mod failure;
pub mod flows;
mod help;
mod monitor;
mod names;
mod output;
pub mod ports;
pub mod privilege;
mod publish;
pub mod read;
mod reload;
mod run;
pub mod stats;
pub mod status;
mod top;

#[cfg(test)]
mod sample;

use std::{ffi::OsString, io::Write, process::ExitCode};

use clap::Parser as _;

use args::{Cli, Command};
use failure::Failure;

/// Does what the arguments say, the program's name first.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return failure::report_usage(&error),
    };
    let mut out = output::stdout();
    let done = dispatch(cli, &mut out).and_then(|()| Ok(out.flush()?));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn dispatch(cli: Cli, out: &mut impl Write) -> Result<(), Failure> {
    let instance = cli.instance;
    match cli.command {
        Command::Run(args) => run::run(*args, instance),
        Command::Publish(args) => publish::publish(args, &instance, out),
        Command::Unpublish(args) => publish::unpublish(&args, &instance, out),
        Command::Ports(args) => ports::command(&args, &instance, out),
        Command::Flows(args) => flows::command(&args, &instance, out),
        Command::Stats(args) => stats::command(&args, &instance, out),
        Command::Monitor(args) => monitor::command(&args, &instance, out),
        Command::Explain(args) => explain::command(&args, &instance, out),
        Command::Top(args) => top::command(&args, &instance, out),
        Command::Status(args) => status::command(&args, &instance, out),
        Command::Config(args) => config::command(&args, &instance, out),
        Command::Reload(args) => reload::command(&args, &instance, out),
        Command::Docker(args) => docker::command(args, &instance, out),
        Command::Doctor(args) => doctor::command(&args, &instance, out),
        Command::Down(args) => down::command(args, &instance, out),
    }
}
