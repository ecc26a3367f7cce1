//! The measures: each builds its labs, loads them, and writes down what it saw.

mod flood;
mod localhost;
mod memory;
mod newflows;
mod ports;
mod prog;
mod scale;
mod soak;
mod tcp;
mod udp;

use anyhow::Result;

use crate::{
    backend::Backend,
    effort::Effort,
    figures::{Figures, Measure, Metric, Place},
    window::Window,
};

/// One measure of one backend, writing down its figures.
#[derive(Debug)]
pub(crate) struct Run<'figures> {
    /// What is measured.
    pub(crate) measure: Measure,
    /// On what.
    pub(crate) backend: Backend,
    /// How much.
    pub(crate) effort: Effort,
    /// Where figures go.
    pub(crate) figures: &'figures mut Figures,
}

impl Measure {
    /// The backends that it compares.
    pub(crate) const fn backends(self) -> &'static [Backend] {
        use Backend::{IptLegacy, IptNft, Netmap, NetmapProxy, NetmapXdp, NftMap, Proxy, Route};
        match self {
            Self::Udp | Self::Tcp => &[
                Route,
                IptNft,
                IptLegacy,
                NftMap,
                Proxy,
                Netmap,
                NetmapProxy,
                NetmapXdp,
            ],
            Self::NewFlows => &[Route, IptNft, IptLegacy, NftMap, Netmap, NetmapXdp],
            Self::Ports => &[IptNft, IptLegacy, NftMap, Netmap],
            Self::Localhost => &[Route, Proxy, Netmap, NetmapProxy],
            Self::Memory => &[Proxy, Netmap],
            Self::Scale | Self::Prog | Self::Flood | Self::Soak => &[Netmap],
        }
    }
}

impl Run<'_> {
    /// Measures.
    pub(crate) fn go(mut self) -> Result<()> {
        match self.measure {
            Measure::Udp => udp::run(&mut self),
            Measure::NewFlows => newflows::run(&mut self),
            Measure::Ports => ports::run(&mut self),
            Measure::Tcp => tcp::run(&mut self),
            Measure::Localhost => localhost::run(&mut self),
            Measure::Memory => memory::run(&mut self),
            Measure::Scale => scale::run(&mut self),
            Measure::Prog => prog::run(&mut self),
            Measure::Flood => flood::run(&mut self),
            Measure::Soak => soak::run(&mut self),
        }
    }

    fn add(&mut self, series: &'static str, metric: Metric, column: impl Into<String>, value: f64) {
        let place = Place {
            measure: self.measure,
            series,
            metric,
            column: column.into(),
        };
        self.figures.add(place, self.backend, value);
    }

    /// Writes down a window of packets.
    fn add_window(&mut self, series: &'static str, rate: Metric, column: &str, window: &Window) {
        self.add(series, rate, column, window.kpps());
        self.add(series, Metric::NsPerPacket, column, window.ns_per_packet());
        self.add(series, Metric::ForwardingCores, column, window.forwarding_cores());
        self.add(series, Metric::ForeignCores, column, window.foreign_cores());
    }
}

/// A number as a column's name, padded so that columns sort by it.
fn numbered(number: u32) -> String {
    format!("{number:>7}")
}
