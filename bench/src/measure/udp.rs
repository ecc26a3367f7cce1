//! UDP packets of 60 bytes: how many one core forwards, and how long it works for each.

use anyhow::Result;

use super::Run;
use crate::{
    backend::Stage,
    effort::Effort,
    figures::Metric,
    line::{ANSWERED, Direction, Line, UNANSWERED},
    ports::Ports,
};

/// Packets a second at the fixed rate, which every kernel path can carry.
const RATE: u64 = 150_000;
/// The fixed rate that proxies are asked to carry.
const PROXY_RATE: u64 = 50_000;

/// A column: flows that were answered or never, how many, and at which rate.
struct Load {
    column: &'static str,
    is_answered: bool,
    is_many: bool,
    rate: Option<u64>,
}

const fn load(column: &'static str, is_answered: bool, is_many: bool, rate: Option<u64>) -> Load {
    Load {
        column,
        is_answered,
        is_many,
        rate,
    }
}

const EVERY: &[Load] = &[
    load("1 flow", true, false, None),
    load("4,096 flows", true, true, None),
    load("1 flow at 150 k/s", true, false, Some(RATE)),
    load("4,096 flows at 150 k/s", true, true, Some(RATE)),
    load("1 one-way", false, false, None),
    load("4,096 one-way", false, true, None),
    load("4,096 one-way at 150 k/s", false, true, Some(RATE)),
];
const QUICK: &[Load] = &[
    load("1 flow", true, false, None),
    load("4,096 flows", true, true, None),
    load("1 flow at 150 k/s", true, false, Some(RATE)),
    load("4,096 flows at 150 k/s", true, true, Some(RATE)),
    load("1 one-way", false, false, None),
];
const OUT: &[Load] = &[
    load("1 flow", true, false, None),
    load("4,096 flows", true, true, None),
];
const PROXIED: &[Load] = &[
    load("1 flow", true, false, None),
    load("1 flow at 50 k/s", true, false, Some(PROXY_RATE)),
];

pub(super) fn run(run: &mut Run<'_>) -> Result<()> {
    let stage = Stage::new(run.backend, Ports::FEW)?;
    if run.backend.is_proxy() {
        return send(run, &stage, Direction::In, PROXIED, 1);
    }
    let many = run.effort.many_flows();
    let loads = match run.effort {
        Effort::Full | Effort::Smoke => EVERY,
        Effort::Quick => QUICK,
    };
    send(run, &stage, Direction::In, loads, many)?;
    send(run, &stage, Direction::Out, OUT, many)
}

fn send(run: &mut Run<'_>, stage: &Stage, direction: Direction, loads: &[Load], many: u16) -> Result<()> {
    let series = match direction {
        Direction::In => "to a published port",
        Direction::Out => "from a container",
    };
    let line = Line::new(stage, direction, many, run.effort)?;
    for load in loads {
        let port = if load.is_answered { ANSWERED } else { UNANSWERED };
        let flows = if load.is_many { many } else { 1 };
        let traffic = line.traffic(line.flows(port, flows), load.rate);
        let window = line.run(&traffic, run.effort)?;
        run.add_window(series, Metric::Kpps, load.column, &window);
    }
    Ok(())
}
