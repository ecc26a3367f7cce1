//! Round trip times.

use std::time::Duration;

/// Times, each kept as it is.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    nanoseconds: Vec<u64>,
}

impl Histogram {
    /// Adds one.
    pub(super) fn add(&mut self, time: Duration) {
        self.nanoseconds
            .push(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.nanoseconds.len() as u64
    }

    /// The times that half and 99 of 100 stay within, nanoseconds, leaving out the first tenth, in which caches warm up.
    pub(super) fn percentiles(mut self) -> [u64; 2] {
        self.nanoseconds.drain(..self.nanoseconds.len() / 10);
        self.nanoseconds.sort_unstable();
        let last = self.nanoseconds.len().saturating_sub(1);
        [50, 99].map(|percent| self.nanoseconds.get(last * percent / 100).copied().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_leave_out_the_first_tenth() {
        let mut histogram = Histogram::default();
        for _ in 0..10 {
            histogram.add(Duration::from_secs(1));
        }
        for time in 0..90 {
            histogram.add(Duration::from_nanos(time));
        }
        assert_eq!(histogram.count(), 100);
        assert_eq!(histogram.percentiles(), [44, 88]);
    }
}
