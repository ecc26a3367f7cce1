//! `netmap run`.

use super::{
    args::{Instance, RunArgs},
    failure::Failure,
    privilege,
};
use crate::{config::Source, daemon, log::Logs};

/// Runs the daemon until it is stopped.
pub(super) fn run(mut args: RunArgs, instance: Instance) -> Result<(), Failure> {
    let source = Source {
        // To be found again from wherever.
        file: args
            .config
            .take()
            .map(|path| std::path::absolute(&path).unwrap_or(path)),
        flags: args.into_config(instance),
    };
    let settings = source.read().map_err(Failure::usage)?;
    privilege::check("run")?;
    let logs = Logs::start(&settings.options.log);
    Ok(daemon::run(source, settings, logs)?)
}
