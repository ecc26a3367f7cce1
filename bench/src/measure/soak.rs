//! All kinds of load at once for five minutes: what is done, and that nothing is left of it.

use std::time::Duration;

use anyhow::Result;
use netmap_tests::soak::{self, Report};

use super::Run;
use crate::{effort::Effort, figures::Metric};

const SERIES: &str = "all at once";

pub(super) fn run(run: &mut Run<'_>) -> Result<()> {
    let time = Duration::from_secs(match run.effort {
        Effort::Full => 300,
        Effort::Quick => 60,
        // The integration tests have it for longer.
        Effort::Smoke => 1,
    });
    let Report {
        received,
        packets,
        connections,
        bytes,
        datagrams,
        published,
        resident_before,
        resident,
    } = soak::run(time)?;
    let seconds = time.as_secs_f64();
    let mega = |number: u64| to_float(number) / 1e6;
    run.add(SERIES, Metric::MillionPackets, "all hooks", mega(packets));
    run.add(SERIES, Metric::MillionPackets, "uplink", mega(received));
    run.add(
        SERIES,
        Metric::Connections,
        "all",
        to_float(connections) / seconds,
    );
    run.add(SERIES, Metric::Gbps, "bulk", to_float(bytes) * 8e-9 / seconds);
    run.add(
        SERIES,
        Metric::KiloFlows,
        "by datagrams",
        to_float(datagrams) / seconds / 1e3,
    );
    run.add(
        SERIES,
        Metric::PublishedAndBack,
        "ports a second",
        to_float(published) / seconds,
    );
    run.add(SERIES, Metric::ProcessMb, "before", mega(resident_before));
    run.add(SERIES, Metric::ProcessMb, "after", mega(resident));
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
const fn to_float(number: u64) -> f64 {
    number as f64
}
