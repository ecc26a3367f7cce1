//! `netmap run`.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use super::{
    args::{Instance, RunArgs},
    config::Config,
    failure::Failure,
    privilege,
};
use crate::daemon;

/// What says how much is logged, as in `NETMAP_LOG=netmap_user::host=debug`.
const LOG: &str = "NETMAP_LOG";

/// Runs the daemon until it is stopped.
pub(super) fn run(mut args: RunArgs, instance: Instance) -> Result<(), Failure> {
    let config = match args.config.take() {
        None => Config::default(),
        Some(path) => Config::read(&path).map_err(Failure::usage)?,
    };
    let options = config.overridden(args, instance);
    privilege::check("run")?;
    log();
    Ok(daemon::run(&options)?)
}

fn log() {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::level_filters::LevelFilter::INFO.into())
        .with_env_var(LOG)
        .from_env_lossy();
    tracing_subscriber::fmt()
        // It would tell of a line that could not be written by printing to where none can be, and end the daemon.
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}
