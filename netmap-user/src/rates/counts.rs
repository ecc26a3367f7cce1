//! Rates of counters.

use std::{collections::HashMap, time::Duration};

use netmap_common::maps::{Count, Hook, Reason};

/// All counters, as they were at one time.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    at: Duration,
    counts: HashMap<(Hook, Reason), Count>,
}

/// What counters have counted since an earlier time.
#[derive(Clone, Debug, Default)]
pub struct CountedSince {
    /// How long that is.
    pub time: Duration,
    /// By hook and reason; those that have not moved too.
    pub counts: HashMap<(Hook, Reason), Count>,
}

impl Counts {
    /// What was read at a time of any clock that does not go back ([`crate::sys::monotonic_time`]).
    pub fn new(at: Duration, counters: impl IntoIterator<Item = (Hook, Reason, Count)>) -> Self {
        let counters = counters.into_iter();
        let counts = counters.map(|(hook, reason, count)| ((hook, reason), count));
        Self {
            at,
            counts: counts.collect(),
        }
    }

    /// What was counted from `earlier` to here. Counters that are lower than they were began anew meanwhile: all of it is new.
    pub fn since(&self, earlier: &Self) -> CountedSince {
        let grown = |now: u64, before: u64| now.checked_sub(before).unwrap_or(now);
        let counts = self.counts.iter().map(|(place, now)| {
            let before = earlier.counts.get(place).copied().unwrap_or_default();
            let count = Count {
                packets: grown(now.packets, before.packets),
                bytes: grown(now.bytes, before.bytes),
            };
            (*place, count)
        });
        CountedSince {
            time: self.at.saturating_sub(earlier.at),
            counts: counts.collect(),
        }
    }
}

impl CountedSince {
    /// What one counter has counted.
    pub fn get(&self, hook: Hook, reason: Reason) -> Count {
        self.counts.get(&(hook, reason)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_the_difference_and_all_of_it_after_a_new_beginning() {
        let counts = |seconds, packets| {
            let count = Count {
                packets,
                bytes: 2 * packets,
            };
            Counts::new(
                Duration::from_secs(seconds),
                [(Hook::UplinkIn, Reason::PublishedIn, count)],
            )
        };
        let of = |since: &CountedSince| since.get(Hook::UplinkIn, Reason::PublishedIn).packets;
        let (first, second, anew) = (counts(1, 10), counts(3, 17), counts(4, 2));
        let since = second.since(&first);
        assert_eq!((since.time, of(&since)), (Duration::from_secs(2), 7));
        assert_eq!(of(&anew.since(&second)), 2);
        assert_eq!(of(&second.since(&Counts::default())), 17);
        assert_eq!(since.get(Hook::PortIn, Reason::PublishedIn), Count::default());
    }
}
