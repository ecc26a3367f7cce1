//! A stretch of time while packets flow.

use std::time::{Duration, Instant};

/// What was seen while packets flowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// Packets that arrived.
    pub(crate) packets: u64,
    /// How long it was.
    pub(crate) time: Duration,
    /// Nanoseconds that the forwarding core worked, and whoever copied bytes.
    pub(crate) work: u64,
    /// Nanoseconds that anybody worked who has nothing to do with it.
    pub(crate) foreign: u64,
}

/// Counters at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Packets that have arrived.
    pub(crate) packets: u64,
    /// When.
    pub(crate) at: Instant,
    /// Nanoseconds that forwarding worked.
    pub(crate) work: u64,
    /// The same with the generator.
    pub(crate) all: u64,
    /// Nanoseconds that the machine worked.
    pub(crate) busy: u64,
}

impl Sample {
    /// What lies between this and a later one.
    pub(crate) fn until(&self, later: &Self) -> Window {
        Window {
            packets: later.packets - self.packets,
            time: later.at - self.at,
            work: later.work.saturating_sub(self.work),
            foreign: (later.busy - self.busy).saturating_sub(later.all.saturating_sub(self.all)),
        }
    }
}

impl Window {
    /// Packets that arrived, thousands a second.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    pub(crate) fn kpps(&self) -> f64 {
        self.packets as f64 / self.time.as_secs_f64() / 1e3
    }

    /// Work of the forwarding core, nanoseconds a packet.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    pub(crate) fn ns_per_packet(&self) -> f64 {
        self.work as f64 / self.packets as f64
    }

    /// How many cores worked for it.
    #[expect(clippy::cast_precision_loss, reason = "times stay far below 2^52")]
    pub(crate) fn forwarding_cores(&self) -> f64 {
        self.work as f64 / self.time.as_secs_f64() / 1e9
    }

    /// How many cores worked for others.
    #[expect(clippy::cast_precision_loss, reason = "times stay far below 2^52")]
    pub(crate) fn foreign_cores(&self) -> f64 {
        self.foreign as f64 / self.time.as_secs_f64() / 1e9
    }
}
