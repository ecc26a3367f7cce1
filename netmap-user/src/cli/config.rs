//! `netmap config`: what a file says, and what counts.

use std::{io, io::Write, path::Path};

use serde_json::Value;

use super::{
    args::{ConfigArgs, ConfigCheckArgs, ConfigCommand, ConfigShowArgs, Instance},
    failure::Failure,
    output, publish,
};
use crate::{
    api::{
        client::{Client, ClientError},
        types::ConfigReport,
    },
    config::{self, Config, DEFAULT_PATH, Effective, Key, Origin, Setting},
};

/// Checks or shows.
pub(super) fn command(args: &ConfigArgs, instance: &Instance, out: &mut impl Write) -> Result<(), Failure> {
    match &args.command {
        ConfigCommand::Check(args) => check(args, out),
        ConfigCommand::Show(args) => show(args, instance, out),
    }
}

/// What is wrong ends the command; what is not there yet is told.
fn check(args: &ConfigCheckArgs, out: &mut impl Write) -> Result<(), Failure> {
    let config = Config::read(&args.file)?;
    for absence in config::absences(&config) {
        output::complain(format_args!("{}: {absence}", args.file.display()));
    }
    writeln!(out, "{} is valid", args.file.display())?;
    Ok(())
}

fn show(args: &ConfigShowArgs, instance: &Instance, out: &mut impl Write) -> Result<(), Failure> {
    let answer = match &args.file {
        Some(_) => None,
        None => match publish::wait(Client::new(instance.socket()).config())? {
            Ok(report) => Some(report),
            Err(ClientError::NotRunning(_)) => None,
            Err(error) => return Err(error.into()),
        },
    };
    let report = match answer {
        Some(report) => report,
        None => of_file(args.file.as_deref())?,
    };
    if args.json {
        output::json(out, &report)?;
    } else {
        render(&report, out)?;
    }
    Ok(())
}

/// What the file would give, or the usual one; where there is not even that, the defaults.
fn of_file(file: Option<&Path>) -> Result<ConfigReport, Failure> {
    let usual = Path::new(DEFAULT_PATH);
    let file = file.or_else(|| usual.exists().then_some(usual));
    let config = file.map(Config::read).transpose()?.unwrap_or_default();
    Ok(ConfigReport {
        running: false,
        file: file.map(|path| path.display().to_string()),
        settings: Effective::of(&config, &Config::default()).settings,
        pending: None,
    })
}

fn render(report: &ConfigReport, out: &mut impl Write) -> io::Result<()> {
    let whose = if report.running {
        "what the daemon goes by"
    } else {
        "no daemon answers; what it would go by"
    };
    let file = report.file.as_deref().unwrap_or("none");
    writeln!(out, "{whose}; configuration file: {file}")?;
    if let Some(pending) = &report.pending {
        writeln!(out, "not in force: {pending}")?;
    }
    writeln!(out)?;
    let row = |setting: &Setting| {
        vec![
            setting.key.clone(),
            value(setting),
            setting.origin.name().to_owned(),
        ]
    };
    let header = ["KEY", "VALUE", "FROM"].map(str::to_owned).to_vec();
    output::table(out, header, report.settings.iter().map(row))
}

/// As the file would have it; what nobody says, in words.
fn value(setting: &Setting) -> String {
    let nothing = match &setting.value {
        Value::Null => true,
        Value::Array(values) => values.is_empty(),
        _ => false,
    };
    match Key::named(&setting.key) {
        Some(key) if nothing && setting.origin == Origin::Default => format!("({})", key.default),
        _ => setting.value.to_string(),
    }
}
