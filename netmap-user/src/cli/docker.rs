//! `netmap docker`: Docker's settings there and back.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    args::{DockerArgs, DockerCommand, DockerPlaces, Instance},
    failure::Failure,
    output, publish,
};
use crate::{
    api::client::Client,
    install::{self, Change, Places, Plan, daemons, unit, wanted},
};

/// Does one of its commands.
pub(super) fn command(args: DockerArgs, instance: &Instance, out: &mut impl Write) -> Result<(), Failure> {
    match args.command {
        DockerCommand::Install(args) => {
            let places = places(&args.places)?;
            let plan = install::install(&places)?;
            if args.print {
                return print(&plan, &places, out);
            }
            plan.carry_out()?;
            tell(&plan, out)?;
            if plan.changes.is_empty() {
                writeln!(out, "nothing to change")?;
            } else {
                after(&plan, &args.places, out)?;
            }
            Ok(())
        }
        DockerCommand::Remove(args) => {
            let places = places(&args.places)?;
            let plan = install::remove(&places)?;
            if args.print {
                return print(&plan, &places, out);
            }
            plan.carry_out()?;
            tell(&plan, out)?;
            if plan.changes.is_empty() {
                writeln!(out, "nothing to take back")?;
            } else {
                after(&plan, &args.places, out)?;
                writeln!(
                    out,
                    "then `systemctl disable --now netmap` and `netmap down`: Docker publishes by itself again"
                )?;
            }
            Ok(())
        }
        DockerCommand::Status(args) => status(&args.places, args.json, instance, out),
    }
}

/// Where Docker's settings are, by what was said and by what is usual.
fn places(said: &DockerPlaces) -> Result<Places, Failure> {
    let systemd = match &said.systemd_dir {
        Some(folder) => Some(folder.clone()),
        // No systemd, no drop-in.
        None => Some(PathBuf::from(unit::FOLDER)).filter(|folder| folder.is_dir()),
    };
    Ok(Places {
        daemon_json: daemon_json(said),
        proxy: match &said.proxy_path {
            Some(path) => path.clone(),
            None => usual_proxy()?,
        },
        systemd,
    })
}

fn daemon_json(said: &DockerPlaces) -> PathBuf {
    let usual = || PathBuf::from(daemons::DEFAULT_DAEMON_JSON);
    said.daemon_json.clone().unwrap_or_else(usual)
}

/// Beside this very program.
fn usual_proxy() -> std::io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(wanted::PROXY_NAME))
}

/// What would be written.
fn print(plan: &Plan, places: &Places, out: &mut impl Write) -> Result<(), Failure> {
    let backup = install::backup_of(&places.daemon_json);
    for Change { path, text } in plan.changes.iter().filter(|change| change.path != backup) {
        match text {
            Some(text) => writeln!(out, "# {}\n{text}", path.display())?,
            None => writeln!(out, "# {} goes\n", path.display())?,
        }
    }
    for remark in &plan.remarks {
        writeln!(out, "# {remark}")?;
    }
    Ok(())
}

/// What was written.
fn tell(plan: &Plan, out: &mut impl Write) -> std::io::Result<()> {
    for Change { path, text } in &plan.changes {
        let done = if text.is_some() { "wrote" } else { "removed" };
        writeln!(out, "{done} {}", path.display())?;
    }
    for remark in &plan.remarks {
        writeln!(out, "note: {remark}")?;
    }
    Ok(())
}

/// What to restart.
fn after(plan: &Plan, said: &DockerPlaces, out: &mut impl Write) -> std::io::Result<()> {
    let has_unit = plan
        .changes
        .iter()
        .any(|change| change.path.extension().is_some_and(|kind| kind == "conf"));
    let daemons = daemons::reading(&daemon_json(said));
    match daemons.first() {
        _ if has_unit && said.systemd_dir.is_none() => {
            writeln!(
                out,
                "now `systemctl daemon-reload && systemctl restart netmap docker`"
            )
        }
        Some(daemon) => writeln!(
            out,
            "now restart dockerd, pid {}: it reads its settings at the start",
            daemon.pid
        ),
        None => writeln!(out, "dockerd does not run; it reads its settings when it starts"),
    }
}

/// What `netmap docker status --json` prints.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "answers to questions, a key each")]
struct Status<'a> {
    daemon_json: &'a Path,
    /// Docker publishes by netmap from its next start on.
    installed: bool,
    /// Keys that say something else, with what they should say.
    missing: serde_json::Map<String, serde_json::Value>,
    proxy: PathBuf,
    proxy_runs: bool,
    /// By which systemd starts netmap before Docker.
    drop_in: Option<PathBuf>,
    /// By which systemd has netmap follow Docker.
    follows: Option<PathBuf>,
    backup: Option<PathBuf>,
    /// The dockerds that read this daemon.json.
    dockerd: Vec<u32>,
    /// One of them has not read it since it was written.
    restart_needed: bool,
    /// netmap's own daemon answers.
    netmap: bool,
}

fn status(said: &DockerPlaces, json: bool, instance: &Instance, out: &mut impl Write) -> Result<(), Failure> {
    let path = daemon_json(said);
    let text = install::read(&path)?;
    let document = install::parse(&path, text.as_deref())?;
    let proxy = match (&said.proxy_path, wanted::proxy_of(&document)) {
        (Some(proxy), _) => proxy.clone(),
        (None, Some(proxy)) if wanted::is_ours(&document) => proxy,
        _ => usual_proxy()?,
    };
    let missing: serde_json::Map<_, _> = wanted::differences(&document, &proxy)
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    let units = said
        .systemd_dir
        .clone()
        .unwrap_or_else(|| PathBuf::from(unit::FOLDER));
    let daemons = daemons::reading(&path);
    let written = std::fs::metadata(&path).and_then(|file| file.modified()).ok();
    let status = Status {
        daemon_json: &path,
        installed: missing.is_empty(),
        proxy_runs: wanted::check_proxy(&proxy).is_ok(),
        proxy,
        missing,
        drop_in: Some(unit::before_docker(&units)).filter(|path| path.exists()),
        follows: Some(unit::follows_docker(&units)).filter(|path| path.exists()),
        backup: Some(install::backup_of(&path)).filter(|path| path.exists()),
        restart_needed: daemons.iter().any(|daemon| daemon.since < written),
        dockerd: daemons.iter().map(|daemon| daemon.pid).collect(),
        netmap: publish::wait(Client::new(instance.socket()).status())?.is_ok(),
    };
    if json {
        output::json(out, &status)?;
    } else {
        show(&status, out)?;
    }
    Ok(())
}

fn show(status: &Status<'_>, out: &mut impl Write) -> std::io::Result<()> {
    let path = status.daemon_json.display();
    if status.installed {
        writeln!(out, "{path}: Docker publishes by netmap")?;
    } else {
        writeln!(
            out,
            "{path}: Docker publishes by itself; `netmap docker install` sets"
        )?;
        for (key, value) in &status.missing {
            writeln!(out, "  {key}: {value}")?;
        }
    }
    let proxy = status.proxy.display();
    let runs = if status.proxy_runs {
        "there"
    } else {
        "missing, or not to be run"
    };
    writeln!(out, "{proxy}: {runs}")?;
    match &status.drop_in {
        Some(path) => writeln!(out, "{}: netmap starts before Docker", path.display())?,
        None => writeln!(out, "no drop-in: systemd may start Docker before netmap")?,
    }
    if let Some(path) = &status.follows {
        writeln!(out, "{}: netmap follows Docker", path.display())?;
    }
    if let Some(path) = &status.backup {
        writeln!(out, "{}: what was there before", path.display())?;
    }
    match status.dockerd.as_slice() {
        [] => writeln!(out, "dockerd does not run")?,
        [pid, ..] if status.restart_needed => {
            writeln!(out, "dockerd, pid {pid}, has older settings: restart it")?;
        }
        [pid, ..] => writeln!(out, "dockerd, pid {pid}, has these settings")?,
    }
    let runs = if status.netmap {
        "runs"
    } else {
        "does not run: no container with published ports will start"
    };
    writeln!(out, "netmap's daemon {runs}")
}
