//! What must hold, and whether it does.

use std::fmt::Write as _;

use serde::Serialize;

use super::markdown::number;
use crate::{
    backend::Backend::{self, IptNft, Netmap, NetmapProxy, NftMap, Proxy, Route},
    figures::{Figures, Measure, Metric, Place},
};

/// A target and what became of it.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    what: String,
    required: String,
    measured: String,
    /// None where a figure is missing.
    is_met: Option<bool>,
}

/// A figure's place, without its column.
type Row = (Measure, &'static str, Metric);

const UDP: Row = (Measure::Udp, IN, Metric::Kpps);
const UDP_CPU: Row = (Measure::Udp, IN, Metric::NsPerPacket);
const NEW: Row = (Measure::NewFlows, IN, Metric::KiloFlows);
const IN: &str = "to a published port";
const PORTS_NEW: Row = (Measure::Ports, "new flows", Metric::KiloFlows);
const PORTS_ONE_WAY: Row = (Measure::Ports, "one-way", Metric::Kpps);
const PORTS_ESTABLISHED: Row = (Measure::Ports, "established", Metric::Kpps);
const PORTS_TCP: Row = (Measure::Ports, "connections, one core", Metric::Connections);
const AT_ONCE: Row = (Measure::Ports, "10,000 ports at once", Metric::PublishMs);
const CONNECTIONS: Row = (Measure::Tcp, "connections", Metric::Connections);
const CONNECTIONS_CPU: Row = (Measure::Tcp, "connections", Metric::UsPerConnection);
const BULK: Row = (Measure::Tcp, "bulk", Metric::Gbps);
const ROUND_TRIPS: Row = (Measure::Tcp, "round trips, one core", Metric::P50);
const LOCAL: Row = (Measure::Localhost, "connections", Metric::Connections);
const LOCAL_CPU: Row = (Measure::Localhost, "connections", Metric::UsPerConnection);
const LOCAL_BULK: Row = (Measure::Localhost, "bulk", Metric::Gbps);
const MEMORY: Row = (Measure::Memory, "published ports", Metric::ProcessMb);
const LISTING: Row = (Measure::Scale, "flows", Metric::Seconds);
const LISTING_JSON: Row = (Measure::Scale, "flows --json", Metric::Seconds);
const SWEEPING: Row = (Measure::Scale, "entries", Metric::PercentOfCore);

/// Judges every target.
pub(super) fn judge(figures: &Figures) -> Vec<Verdict> {
    let judge = Judge { figures };
    let mut all = Vec::new();
    for column in ["1 flow", "4,096 flows"] {
        all.push(judge.ratio("UDP established", UDP, column, Netmap, IptNft, 2.2));
        all.push(judge.ratio("UDP established", UDP, column, Netmap, NftMap, 2.2));
        all.push(judge.ratio("UDP established", UDP, column, Netmap, Route, 1.4));
    }
    for fixed in ["1 flow at 150 k/s", "4,096 flows at 150 k/s"] {
        all.push(judge.at_most("CPU a packet, fixed rate", UDP_CPU, fixed, Netmap, IptNft, 0.45));
        all.push(judge.at_most("CPU a packet, fixed rate", UDP_CPU, fixed, Netmap, NftMap, 0.5));
    }
    for other in [IptNft, NftMap] {
        all.push(judge.ratio("UDP one-way", UDP, "1 one-way", Netmap, other, 2.5));
        all.push(judge.ratio("new UDP flows", NEW, "new", Netmap, other, 2.0));
    }
    all.push(judge.ratio("new UDP flows", PORTS_NEW, "  10000", Netmap, NftMap, 2.0));
    all.push(judge.ratio("new UDP flows", PORTS_NEW, "  10000", Netmap, IptNft, 500.0));
    for other in [IptNft, NftMap] {
        for column in ["one core", "two cores"] {
            all.push(judge.ratio("connections a second", CONNECTIONS, column, Netmap, other, 1.3));
            all.push(judge.at_most("CPU a connection", CONNECTIONS_CPU, column, Netmap, other, 0.8));
        }
        for column in ["in", "out"] {
            all.push(judge.ratio("TCP bulk", BULK, column, Netmap, other, 1.0));
        }
    }
    for column in ["TCP", "UDP"] {
        all.push(judge.at_most("ping-pong p50", ROUND_TRIPS, column, Netmap, Route, 1.0));
    }
    for (what, row) in [
        ("UDP established", PORTS_ESTABLISHED),
        ("UDP one-way", PORTS_ONE_WAY),
        ("new UDP flows", PORTS_NEW),
        ("connections a second", PORTS_TCP),
    ] {
        all.push(judge.flat(what, row));
    }
    all.extend(limits(&judge));
    all.extend(local(&judge));
    all
}

/// Targets that are numbers.
fn limits(judge: &Judge<'_>) -> Vec<Verdict> {
    let mut all = Vec::new();
    all.push(judge.limit(
        "publishing 10,000 ports as a range by the CLI",
        AT_ONCE,
        "range by the CLI",
        50.0,
        "ms",
    ));
    all.push(judge.limit(
        "publishing 10,000 single ports in one request",
        AT_ONCE,
        "single in one request",
        1000.0,
        "ms",
    ));
    all.push(judge.limit(
        "daemon with 60,000 ports in two ranges",
        MEMORY,
        "  60000 in two ranges",
        30.0,
        "MB",
    ));
    for (what, row, most, unit) in [
        ("`netmap flows` at 1,000,000 entries", LISTING, 3.0, "s"),
        (
            "`netmap flows --json` at 1,000,000 entries",
            LISTING_JSON,
            3.0,
            "s",
        ),
        (
            "looking for idle flows among 1,000,000 entries",
            SWEEPING,
            5.0,
            "% of a core",
        ),
    ] {
        all.push(judge.limit(what, row, "1000000", most, unit));
    }
    all
}

/// Targets of the host's own connections, and of the proxy.
fn local(judge: &Judge<'_>) -> Vec<Verdict> {
    let mut all = Vec::new();
    for column in ["one core", "two cores"] {
        all.push(judge.ratio("localhost connections", LOCAL, column, Netmap, Route, 0.95));
    }
    for column in ["in", "out"] {
        all.push(judge.ratio("localhost bulk", LOCAL_BULK, column, Netmap, Route, 0.95));
        all.push(judge.ratio(
            "the proxy alone, bulk",
            LOCAL_BULK,
            column,
            NetmapProxy,
            Proxy,
            1.2,
        ));
    }
    for column in ["one core", "two cores"] {
        all.push(judge.ratio(
            "the proxy alone, connections",
            LOCAL,
            column,
            NetmapProxy,
            Proxy,
            1.3,
        ));
        all.push(judge.at_most(
            "the proxy alone, CPU a connection",
            LOCAL_CPU,
            column,
            NetmapProxy,
            Proxy,
            0.7,
        ));
    }
    all.push(judge.ratio(
        "the proxy alone, UDP flood",
        UDP,
        "1 flow",
        NetmapProxy,
        Proxy,
        5.0,
    ));
    all
}

/// The verdicts as a table.
pub(super) fn table(figures: &Figures) -> String {
    let mut text = "## Targets\n\n| target | required | measured | |\n|---|---|---|---|\n".to_owned();
    for Verdict {
        what,
        required,
        measured,
        is_met,
    } in judge(figures)
    {
        let verdict = match is_met {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "not measured",
        };
        // Writing to a string does not fail.
        let _written = writeln!(text, "| {what} | {required} | {measured} | {verdict} |");
    }
    text
}

struct Judge<'figures> {
    figures: &'figures Figures,
}

impl Judge<'_> {
    fn median(&self, (measure, series, metric): Row, column: &str, backend: Backend) -> Option<f64> {
        let place = Place {
            measure,
            series,
            metric,
            column: column.to_owned(),
        };
        Some(self.figures.summary(&place, backend)?.median)
    }

    /// `one` is at least `least` times `other`.
    fn ratio(&self, what: &str, row: Row, column: &str, one: Backend, other: Backend, least: f64) -> Verdict {
        let required = format!("at least {least} x {}", other.name());
        self.compare(what, row, column, [one, other], required, |ratio| ratio >= least)
    }

    /// `one` is at most `most` times `other`.
    fn at_most(
        &self,
        what: &str,
        row: Row,
        column: &str,
        one: Backend,
        other: Backend,
        most: f64,
    ) -> Verdict {
        let required = format!("at most {most} x {}", other.name());
        self.compare(what, row, column, [one, other], required, |ratio| ratio <= most)
    }

    fn compare(
        &self,
        what: &str,
        row: Row,
        column: &str,
        [one, other]: [Backend; 2],
        required: String,
        holds: impl Fn(f64) -> bool,
    ) -> Verdict {
        let pair = self.median(row, column, one).zip(self.median(row, column, other));
        Verdict {
            what: format!("{what} ({}), {}", column.trim_start(), one.name()),
            required,
            measured: pair.map_or_else(String::new, |(one, other)| {
                format!("{} against {}: {:.2} x", number(one), number(other), one / other)
            }),
            is_met: pair.map(|(one, other)| holds(one / other)),
        }
    }

    /// With 60,000 ports within 10 % of its own figure with 4.
    fn flat(&self, what: &str, row: Row) -> Verdict {
        let pair = self
            .median(row, "      4", Netmap)
            .zip(self.median(row, "  60000", Netmap));
        Verdict {
            what: format!("{what}, 60,000 ports"),
            required: "within 10 % of 4 ports".into(),
            measured: pair.map_or_else(String::new, |(few, many)| {
                format!("{} against {}: {:.2} x", number(many), number(few), many / few)
            }),
            is_met: pair.map(|(few, many)| many / few >= 0.9),
        }
    }

    fn limit(&self, what: &str, row: Row, column: &str, most: f64, unit: &str) -> Verdict {
        let measured = self.median(row, column, Netmap);
        Verdict {
            what: what.to_owned(),
            required: format!("under {most} {unit}"),
            measured: measured.map_or_else(String::new, |value| format!("{} {unit}", number(value))),
            is_met: measured.map(|value| value < most),
        }
    }
}
