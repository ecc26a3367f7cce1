//! TCP through a published port, and round trips over TCP and UDP.

use anyhow::{Result, ensure};
use netmap_tests::scene::{PUBLISHED, SERVED};

use super::Run;
use crate::{
    backend::{Backend, Stage},
    figures::Metric,
    machine::{CLIENT_CORE, Meter, SERVER_CORE},
    ports::Ports,
    tool::{self, Outcome, Server},
};

/// Connections that a client has at a time.
const AT_ONCE: &str = "32";

pub(super) fn run(run: &mut Run<'_>) -> Result<()> {
    let stage = Stage::new(run.backend, Ports::FEW)?;
    for (column, upload) in [("in", "upload"), ("out", "download")] {
        bulk(run, &stage, column, upload)?;
    }
    connections(run, &stage, "connections", "one core", [SERVER_CORE, SERVER_CORE])?;
    connections(
        run,
        &stage,
        "connections",
        "two cores",
        [CLIENT_CORE, SERVER_CORE],
    )?;
    for (column, work) in [("TCP", "tcp-pingpong"), ("UDP", "udp-pingpong")] {
        pingpong(run, &stage, column, work)?;
    }
    Ok(())
}

/// Bytes in one direction, client and server on a core each.
pub(super) fn bulk(run: &mut Run<'_>, stage: &Stage, column: &str, work: &str) -> Result<()> {
    let (outcome, cpu) = Load::of(run, stage).drive([CLIENT_CORE, SERVER_CORE], &[work])?;
    let gigabytes = outcome.done / 1e9;
    run.add("bulk", Metric::Gbps, column, gigabytes * 8.0 / outcome.seconds);
    run.add("bulk", Metric::MsPerGigabyte, column, cpu / 1e6 / gigabytes);
    Ok(())
}

/// Connect, request, answer, close; client and server on these cores.
pub(super) fn connections(
    run: &mut Run<'_>,
    stage: &Stage,
    series: &'static str,
    column: &str,
    cores: [usize; 2],
) -> Result<()> {
    let (outcome, cpu) = Load::of(run, stage).drive(cores, &["connect", AT_ONCE])?;
    run.add(
        series,
        Metric::Connections,
        column,
        outcome.done / outcome.seconds,
    );
    run.add(series, Metric::UsPerConnection, column, cpu / 1e3 / outcome.done);
    Ok(())
}

/// One request at a time, all on one core.
pub(super) fn pingpong(run: &mut Run<'_>, stage: &Stage, column: &str, work: &str) -> Result<()> {
    let (outcome, cpu) = Load::of(run, stage).drive([SERVER_CORE, SERVER_CORE], &[work])?;
    run.add("round trips, one core", Metric::P50, column, outcome.p50 / 1e3);
    run.add("round trips, one core", Metric::P99, column, outcome.p99 / 1e3);
    run.add(
        "round trips, one core",
        Metric::UsPerRoundTrip,
        column,
        cpu / 1e3 / outcome.done,
    );
    Ok(())
}

/// Who connects to what.
struct Load<'stage> {
    stage: &'stage Stage,
    is_local: bool,
    time: String,
}

/// An outcome in numbers to divide.
struct Got {
    done: f64,
    seconds: f64,
    p50: f64,
    p99: f64,
}

impl<'stage> Load<'stage> {
    fn of(run: &Run<'_>, stage: &'stage Stage) -> Self {
        Self {
            stage,
            is_local: run.measure == crate::figures::Measure::Localhost,
            time: run.effort.client_time(),
        }
    }

    /// Runs server and client on these cores; what the client got, and the nanoseconds that all worked together.
    fn drive(&self, [client, server]: [usize; 2], work: &[&str]) -> Result<(Got, f64)> {
        let Self { stage, time, .. } = self;
        let (command, to) = if self.is_local {
            let command = match stage.netmap() {
                Some(netmap) => netmap.host_command(std::env::current_exe()?),
                None => tool::inside(&stage.lab.host)?,
            };
            let to = match stage.backend {
                Backend::Route => Backend::Route.address().to_string(),
                _ => format!("127.0.0.1:{PUBLISHED}"),
            };
            (command, to)
        } else {
            (
                tool::inside(&stage.lab.remote)?,
                stage.backend.address().to_string(),
            )
        };
        let server = Server::start(tool::inside(&stage.lab.c1)?, server, Backend::Route.address())?;
        let mut processes = stage.processes();
        processes.push(server.pid());
        let meter = Meter::of_threads(&[])?.with_processes(&processes);
        let before = meter.nanoseconds();
        let (what, more) = work.split_first().unwrap_or((&"", &[]));
        let mut arguments = vec![*what, &to, time];
        arguments.extend(more);
        let outcome = tool::run(command, client, &arguments)?;
        let cpu = meter.nanoseconds() - before + outcome.cpu;
        Got::of(&outcome, stage.backend, what).map(|got| (got, to_float(cpu)))
    }
}

impl Got {
    fn of(outcome: &Outcome, backend: Backend, what: &str) -> Result<Self> {
        let Outcome { done, failed, .. } = *outcome;
        ensure!(
            done > 0 && failed <= done / 100,
            "through {}, of {what} to port {SERVED} {failed} failed and {done} did not",
            backend.name()
        );
        Ok(Self {
            done: to_float(done),
            seconds: outcome.seconds,
            p50: to_float(outcome.p50),
            p99: to_float(outcome.p99),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts and times stay far below 2^52")]
const fn to_float(number: u64) -> f64 {
    number as f64
}
