//! Processes of the host itself that connect to 127.0.0.1, and straight to the container.

use anyhow::Result;

use super::{Run, tcp};
use crate::{
    backend::Stage,
    machine::{CLIENT_CORE, SERVER_CORE},
    ports::Ports,
};

pub(super) fn run(run: &mut Run<'_>) -> Result<()> {
    let stage = Stage::on_engine_host(run.backend, Ports::FEW)?;
    for (column, work) in [("in", "upload"), ("out", "download")] {
        tcp::bulk(run, &stage, column, work)?;
    }
    tcp::connections(run, &stage, "connections", "one core", [SERVER_CORE, SERVER_CORE])?;
    tcp::connections(
        run,
        &stage,
        "connections",
        "two cores",
        [CLIENT_CORE, SERVER_CORE],
    )?;
    tcp::pingpong(run, &stage, "TCP", "tcp-pingpong")?;
    tcp::pingpong(run, &stage, "UDP", "udp-pingpong")
}
