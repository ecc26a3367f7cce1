//! How much goes by in a second, out of two looks at the kernel's tables.
//!
//! The data path counts nothing for this: a [`Meter`] remembers what each entry of the flow tables had counted when it last
//! went over them, and says what came since, by flow, by rule and by container. [`Counts`] does the same for counters. Nobody
//! walks a table here: whoever reads it shows the entries, and so one walk serves a listing and its rates.

mod counts;
mod meter;
mod remembered;

use std::{ops::AddAssign, time::Duration};

pub use self::{
    counts::{CountedSince, Counts},
    meter::{Lap, Meter, Opener, Rates, container},
};

/// What came in a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gain {
    /// Packets, both directions.
    pub packets: u64,
    /// Bytes at layer 3, both directions.
    pub bytes: u64,
    /// Flows that were opened.
    pub flows: u64,
}

impl Gain {
    /// The same in a second, if it came in `time`; nothing for no time.
    pub fn a_second(self, time: Duration) -> Rate {
        let [packets, bytes, flows] =
            [self.packets, self.bytes, self.flows].map(|count| a_second(count, time));
        Rate {
            packets,
            bytes,
            flows,
        }
    }
}

impl AddAssign for Gain {
    fn add_assign(&mut self, other: Self) {
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.flows = self.flows.saturating_add(other.flows);
    }
}

/// What comes in a second, on average over a time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate {
    /// Packets a second, both directions.
    pub packets: f64,
    /// Bytes a second at layer 3, both directions.
    pub bytes: f64,
    /// New flows a second.
    pub flows: f64,
}

/// `count` things in `time`, a second; 0 for no time.
#[expect(
    clippy::cast_precision_loss,
    reason = "a rate to 53 bits is more than anybody measures"
)]
pub fn a_second(count: u64, time: Duration) -> f64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 {
        count as f64 / seconds
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_by_the_time_that_has_passed() {
        let gain = Gain {
            packets: 5,
            bytes: 1_000,
            flows: 1,
        };
        let rate = gain.a_second(Duration::from_millis(500));
        let expected = Rate {
            packets: 10.0,
            bytes: 2_000.0,
            flows: 2.0,
        };
        assert_eq!(rate, expected);
        assert_eq!(gain.a_second(Duration::ZERO), Rate::default());
    }
}
