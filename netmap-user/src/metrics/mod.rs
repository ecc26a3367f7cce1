//! What Prometheus reads at `GET /metrics`: `OpenMetrics` text, on the API's socket and, if it is wanted, over TCP.
//!
//! A thread of its own reads the maps at each scrape, so that nobody who scrapes keeps packets or commands waiting. Of the
//! daemon's loop it asks what no map knows, a [`Word`]. There is a series for each rule, hook and reason, kind of flow and
//! table, and for so many containers at the most; none for a flow, a port of a range or a client.
//!
//! - [`catalogue`]: every metric, with its name, type, unit, labels and meaning;
//! - `collect`: their values, out of the maps and of a word; `process` has those of the daemon's process;
//! - `page`: values as text;
//! - `serve`: who may ask how often.

pub mod catalogue;
mod collect;
mod page;
mod process;
mod serve;

use std::sync::Arc;

pub use self::serve::{Metrics, MetricsError, listen};
use crate::{
    api::types::{EngineNames, EngineStatus},
    expiry::FlowCounts,
    proxy::Counters,
};

/// What the daemon alone knows.
#[derive(Debug)]
pub struct Word {
    /// What the laps over the flow tables have counted, of IPv4 and of IPv6.
    pub flows: [FlowCounts; 2],
    /// How much is left of lifetimes, in hundredths.
    pub lifetimes_percent: u32,
    /// Interfaces that were asked for and are not there.
    pub missing_interfaces: usize,
    /// Published containers whose place is not known.
    pub unresolved_containers: usize,
    /// Fragments that wait for their first.
    pub fragments_waiting: usize,
    /// The engine that is followed.
    pub engine: Option<EngineStatus>,
    /// What its containers are called.
    pub names: EngineNames,
    /// What the proxy has carried and refused.
    pub proxy: Arc<Counters>,
}
