//! What was measured: every sample, by measure, metric, column and backend.

use std::collections::BTreeMap;

use clap::ValueEnum;
use serde::Serialize;

use crate::backend::Backend;

/// A group of measurements that share their labs; also the order in which they are made and reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub(crate) enum Measure {
    /// UDP packets of 60 bytes, the forwarding core saturated and at a fixed rate
    Udp,
    /// UDP packets that each open a flow
    NewFlows,
    /// The same and connections with up to 60,000 published ports, and what one more costs
    Ports,
    /// TCP bulk, connections, and round trips
    Tcp,
    /// Processes of the host itself that connect to 127.0.0.1
    Localhost,
    /// Memory with many ports and flows
    Memory,
    /// Listing a full flow table, and looking for idle flows in it
    Scale,
    /// One run of netmap's programs
    Prog,
    /// Clients beside a flood
    Flood,
    /// All of it at once for minutes, and nothing left of it
    Soak,
}

/// What is told by a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Metric {
    /// Packets that arrived, thousands a second.
    Kpps,
    /// Time that the forwarding core worked for each, nanoseconds.
    NsPerPacket,
    /// New flows a second, thousands.
    KiloFlows,
    /// Connections a second.
    Connections,
    /// CPU time of all that took part in a connection, microseconds.
    UsPerConnection,
    /// Gigabits a second.
    Gbps,
    /// CPU time of all that took part in a gigabyte, milliseconds.
    MsPerGigabyte,
    /// Median round trip, microseconds.
    P50,
    /// 99th percentile of round trips, microseconds.
    P99,
    /// CPU time of all that took part in a round trip, microseconds.
    UsPerRoundTrip,
    /// Time until published, milliseconds.
    PublishMs,
    /// Time until taken back, milliseconds.
    UnpublishMs,
    /// Memory of processes: resident set of netmap, proportional set of docker-proxies, megabytes.
    ProcessMb,
    /// Memory of the kernel's maps, megabytes.
    MapMb,
    /// Threads.
    Threads,
    /// Time until all is printed, seconds.
    Seconds,
    /// CPU time of the daemon, percent of a core.
    PercentOfCore,
    /// One run of a program, nanoseconds.
    NsPerRun,
    /// Of those begun, in hundredths.
    FailedPercent,
    /// TCP segments that were sent again.
    SentAgain,
    /// Ports that were published, asked and taken back.
    PublishedAndBack,
    /// Packets accounted for, millions.
    MillionPackets,
    /// Cores that the forwarding side kept busy while packets were measured.
    ForwardingCores,
    /// Cores that others kept busy meanwhile.
    ForeignCores,
}

impl Measure {
    /// All, in order.
    pub(crate) const ALL: [Self; 10] = [
        Self::Udp,
        Self::NewFlows,
        Self::Ports,
        Self::Tcp,
        Self::Localhost,
        Self::Memory,
        Self::Scale,
        Self::Prog,
        Self::Flood,
        Self::Soak,
    ];

    /// Its name, as the command line has it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::NewFlows => "newflows",
            Self::Ports => "ports",
            Self::Tcp => "tcp",
            Self::Localhost => "localhost",
            Self::Memory => "memory",
            Self::Scale => "scale",
            Self::Prog => "prog",
            Self::Flood => "flood",
            Self::Soak => "soak",
        }
    }
}

impl Metric {
    /// What it is, with its unit.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Kpps => "packets, thousands a second",
            Self::NsPerPacket => "CPU, ns a packet",
            Self::KiloFlows => "new flows, thousands a second",
            Self::Connections => "connections a second",
            Self::UsPerConnection => "CPU, µs a connection",
            Self::Gbps => "Gbit/s",
            Self::MsPerGigabyte => "CPU, ms a GB",
            Self::P50 => "round trip p50, µs",
            Self::P99 => "round trip p99, µs",
            Self::UsPerRoundTrip => "CPU, µs a round trip",
            Self::PublishMs => "publishing, ms",
            Self::UnpublishMs => "taking back, ms",
            Self::ProcessMb => "memory of processes, MB",
            Self::MapMb => "memory of maps, MB",
            Self::Threads => "threads",
            Self::Seconds => "seconds",
            Self::PercentOfCore => "CPU of the daemon, % of a core",
            Self::NsPerRun => "ns a run",
            Self::FailedPercent => "failed, %",
            Self::PublishedAndBack => "ports published and taken back",
            Self::SentAgain => "TCP segments sent again",
            Self::MillionPackets => "packets, millions, all accounted for",
            Self::ForwardingCores => "cores busy with forwarding",
            Self::ForeignCores => "cores busy with other work",
        }
    }

    /// Whether more is better.
    pub(crate) const fn is_gain(self) -> bool {
        matches!(
            self,
            Self::Kpps | Self::KiloFlows | Self::Connections | Self::Gbps
        )
    }

    /// Whether a plot is made of it.
    pub(crate) const fn is_plotted(self) -> bool {
        matches!(
            self,
            Self::Kpps
                | Self::NsPerPacket
                | Self::KiloFlows
                | Self::Connections
                | Self::UsPerConnection
                | Self::Gbps
                | Self::P50
                | Self::PublishMs
                | Self::ProcessMb
        )
    }

    /// Whether it says how far other figures can be trusted, and is no result itself.
    pub(crate) const fn is_quality(self) -> bool {
        matches!(self, Self::ForwardingCores | Self::ForeignCores)
    }
}

/// Where a figure stands in the report: a table a measure, series and metric, and in it a column.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Place {
    /// The group.
    pub(crate) measure: Measure,
    /// What kind of load.
    pub(crate) series: &'static str,
    /// What the number tells.
    pub(crate) metric: Metric,
    /// The variant; numbers are padded with spaces, so that they sort.
    pub(crate) column: String,
}

/// Every sample.
#[derive(Debug, Default)]
pub(crate) struct Figures(BTreeMap<Place, BTreeMap<Backend, Vec<f64>>>);

/// What a row of samples comes to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    /// Half of the samples are at most this.
    pub(crate) median: f64,
    /// The least.
    pub(crate) min: f64,
    /// The greatest.
    pub(crate) max: f64,
    /// How many.
    pub(crate) n: usize,
}

impl Figures {
    /// Adds a sample.
    pub(crate) fn add(&mut self, place: Place, backend: Backend, value: f64) {
        self.0
            .entry(place)
            .or_default()
            .entry(backend)
            .or_default()
            .push(value);
    }

    /// Every place with its backends' samples.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Place, &BTreeMap<Backend, Vec<f64>>)> {
        self.0.iter()
    }

    /// The summary of one backend at one place.
    pub(crate) fn summary(&self, place: &Place, backend: Backend) -> Option<Summary> {
        Summary::of(self.0.get(place)?.get(&backend)?)
    }

    /// Whether nothing was measured.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Summary {
    /// Of at least one sample.
    pub(crate) fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let (low, high) = (sorted.get((sorted.len() - 1) / 2)?, sorted.get(sorted.len() / 2)?);
        Some(Self {
            median: f64::midpoint(*low, *high),
            min,
            max,
            n: sorted.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_has_the_middle_and_the_ends() {
        let odd = Summary::of(&[3.0, 1.0, 2.0]).unwrap();
        assert_eq!((odd.median, odd.min, odd.max, odd.n), (2.0, 1.0, 3.0, 3));
        let between = Summary::of(&[4.0, 1.0, 2.0, 3.0]);
        assert_eq!(between.map(|summary| summary.median), Some(2.5));
        assert_eq!(Summary::of(&[]), None);
    }
}
