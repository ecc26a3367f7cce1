//! The same in front of more and more published ports: the measured one is the last.

use std::time::Instant;

use anyhow::Result;
use netmap_tests::{scene::Transport, topology::C1};

use super::{Run, newflows, numbered, tcp};
use crate::{
    backend::{Backend, Stage},
    figures::Metric,
    interrupt,
    line::{ANSWERED, Direction, Line, UNANSWERED},
    ports::Ports,
};

/// More than this many ports, iptables is not asked to carry: a packet of a new flow would take milliseconds, and a
/// change of one rule seconds.
const MOST_RULES: u16 = 10_000;
/// How often one more port is published and taken back.
const CHANGES: usize = 3;

pub(super) fn run(run: &mut Run<'_>) -> Result<()> {
    for count in run.effort.port_counts() {
        let is_list = matches!(run.backend, Backend::IptNft | Backend::IptLegacy);
        if is_list && *count > MOST_RULES {
            continue;
        }
        interrupt::check()?;
        datagrams(run, *count)?;
        interrupt::check()?;
        connections(run, *count)?;
    }
    if run.backend == Backend::Netmap {
        at_once(run)?;
    }
    Ok(())
}

fn datagrams(run: &mut Run<'_>, count: u16) -> Result<()> {
    let column = numbered(count.into());
    let stage = newflows::stage(run.backend, Ports::numbering(count, Transport::Udp))?;
    for _ in 0..if run.effort.is_full() { CHANGES } else { 1 } {
        let taken = stage.publish(Ports::SPARE)?;
        run.add(
            "one more port",
            Metric::PublishMs,
            &column,
            taken.as_secs_f64() * 1e3,
        );
        let taken = stage.unpublish(Ports::SPARE)?;
        run.add(
            "one more port",
            Metric::UnpublishMs,
            &column,
            taken.as_secs_f64() * 1e3,
        );
    }
    let line = Line::new(&stage, Direction::In, 1, run.effort)?;
    for (series, port) in [("established", ANSWERED), ("one-way", UNANSWERED)] {
        let traffic = line.traffic(line.flows(port, 1), None);
        let window = line.run(&traffic, run.effort)?;
        run.add_window(series, Metric::Kpps, &column, &window);
    }
    // Last, as it fills tables.
    let window = newflows::open(&line, run.effort)?;
    run.add_window("new flows", Metric::KiloFlows, &column, &window);
    Ok(())
}

fn connections(run: &mut Run<'_>, count: u16) -> Result<()> {
    let stage = Stage::new(run.backend, Ports::numbering(count, Transport::Tcp))?;
    let column = numbered(count.into());
    tcp::connections(run, &stage, "connections, one core", &column, [1, 1])
}

/// Ten thousand ports at a time, as a range by the command line and one by one in one request.
fn at_once(run: &mut Run<'_>) -> Result<()> {
    let stage = Stage::new(Backend::Netmap, Ports::FEW)?;
    let Some(netmap) = stage.netmap() else {
        return Ok(());
    };
    let start = Instant::now();
    netmap.publish("20000-29999:20000-29999/udp", C1)?;
    let taken = start.elapsed();
    run.add(
        "10,000 ports at once",
        Metric::PublishMs,
        "range by the CLI",
        taken.as_secs_f64() * 1e3,
    );
    let start = Instant::now();
    netmap.unpublish("20000-29999/udp")?;
    let taken = start.elapsed();
    run.add(
        "10,000 ports at once",
        Metric::UnpublishMs,
        "range by the CLI",
        taken.as_secs_f64() * 1e3,
    );

    let bindings: Vec<_> = Ports::numbering(10_001, Transport::Tcp).others().collect();
    let start = Instant::now();
    crate::backend::publish_single(netmap, &bindings)?;
    let taken = start.elapsed();
    run.add(
        "10,000 ports at once",
        Metric::PublishMs,
        "single in one request",
        taken.as_secs_f64() * 1e3,
    );
    Ok(())
}
