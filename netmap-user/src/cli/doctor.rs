//! `netmap doctor`: what on this host does not fit.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use serde::Serialize;

use super::{
    args::{DoctorArgs, Instance},
    failure::Failure,
    output,
    ports::{self, PortRow},
    privilege, publish,
    read::{self, ReadError},
};
use crate::{
    api::client::Client,
    binding::Bracketed,
    dataplane,
    doctor::{self, Finding, Patient},
    install::daemons,
};

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    findings: Vec<Finding>,
}

/// Prints what it found. To have found something is to have failed.
pub(super) fn command(args: &DoctorArgs, instance: &Instance, out: &mut impl Write) -> Result<(), Failure> {
    privilege::check("doctor")?;
    let pin_dir = instance.pin_dir();
    let published = match read::open(pin_dir) {
        Ok(tables) => ports::rows(&tables)?,
        Err(ReadError::NotAttached(_)) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let mut findings = doctor::examine(&Patient {
        status: publish::wait(Client::new(instance.socket()).status())?,
        attachments: if pin_dir.is_dir() {
            dataplane::attachments(pin_dir)?
        } else {
            Vec::new()
        },
        published: published.iter().map(|row| (spec(row), row.container)).collect(),
        daemon_json: args
            .daemon_json
            .clone()
            .unwrap_or_else(|| PathBuf::from(daemons::DEFAULT_DAEMON_JSON)),
    });
    findings.retain(|finding| !args.ignore.iter().any(|id| id == finding.id));
    let report = Report { findings };
    if args.json {
        output::json(out, &report)?;
    } else {
        show(&report.findings, out)?;
    }
    if report.findings.is_empty() {
        return Ok(());
    }
    out.flush()?;
    Err(Failure::Found)
}

/// A row as `netmap unpublish` takes it.
fn spec(row: &PortRow) -> String {
    let PortRow {
        port, end, protocol, ..
    } = row;
    let host = Bracketed(row.host);
    if port == end {
        format!("{host}:{port}/{protocol}")
    } else {
        format!("{host}:{port}-{end}/{protocol}")
    }
}

fn show(findings: &[Finding], out: &mut impl Write) -> io::Result<()> {
    for finding in findings {
        let Finding {
            id,
            found,
            means,
            mend,
        } = finding;
        writeln!(out, "{id}: {found}\n  means: {means}\n  mend:  {mend}\n")?;
    }
    match findings.len() {
        0 => writeln!(out, "nothing found"),
        1 => writeln!(out, "1 finding"),
        several => writeln!(out, "{several} findings"),
    }
}
