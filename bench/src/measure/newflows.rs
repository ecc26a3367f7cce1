//! UDP packets that each open a flow.

use std::fs;

use anyhow::Result;

use super::Run;
use crate::{
    backend::{Backend, Stage},
    effort::Effort,
    figures::Metric,
    line::{Direction, Line},
    ports::Ports,
    traffic::Sources,
    window::Window,
};

/// Room for more flows than are opened, so that nobody has to refuse one.
pub(super) const ROOMY: [&str; 2] = ["--flow-entries", "1048576"];

pub(super) fn run(run: &mut Run<'_>) -> Result<()> {
    let stage = stage(run.backend, Ports::FEW)?;
    let line = Line::new(&stage, Direction::In, 1, run.effort)?;
    let window = open(&line, run.effort)?;
    run.add_window("to a published port", Metric::KiloFlows, "new", &window);
    Ok(())
}

/// A stage whose tables hold all flows that [`open`] opens.
pub(super) fn stage(backend: Backend, ports: Ports) -> Result<Stage> {
    Stage::with(backend, ports, &ROOMY)
}

/// Opens flows as fast as the line goes, up to three quarters of what connection tracking holds.
pub(super) fn open(line: &Line<'_>, effort: Effort) -> Result<Window> {
    const DEFAULT: u64 = 262_144;
    // The limit is one for all network namespaces, and those of the benchmarks may not change it.
    let limit = fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_max")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(DEFAULT)
        .min(DEFAULT);
    line.run_up_to(&line.traffic(Sources::always_new(), None), limit / 4 * 3, effort)
}
