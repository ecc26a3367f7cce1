//! How fast the table is gone over.

use std::time::Duration;

use super::Swept;

/// A lap takes so long at least.
const LAP: Duration = Duration::from_secs(5);
/// How many times as long as it works it rests, so that a full table costs a thirtieth of a core.
const REST: u32 = 29;
/// The same where it finds flows to end: what a flood has left goes faster than it came.
const REST_BETWEEN_ENDED: u32 = 5;

/// What a lap has taken so far.
#[derive(Debug, Default)]
pub(super) struct Pace(Duration);

impl Pace {
    /// How long to rest after a slice that took `worked`.
    pub(super) fn rest(&mut self, worked: Duration, swept: Swept, is_lap_over: bool) -> Duration {
        let ends_many = (swept.ended + swept.orphans) * 8 >= swept.entries && swept.entries > 0;
        let rest = worked * if ends_many { REST_BETWEEN_ENDED } else { REST };
        self.0 += worked + rest;
        if !is_lap_over {
            return rest;
        }
        rest + LAP.saturating_sub(std::mem::take(&mut self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn swept(entries: usize, ended: usize) -> Swept {
        Swept {
            entries,
            ended,
            orphans: 0,
        }
    }

    #[test]
    fn a_small_table_is_gone_over_every_five_seconds() {
        let mut pace = Pace::default();
        for _ in 0..3 {
            assert_eq!(pace.rest(MS, swept(10, 0), true) + MS, LAP);
        }
    }

    #[test]
    fn a_large_table_takes_a_thirtieth_of_a_core() {
        let mut pace = Pace::default();
        let rests: Duration = (0..1_000)
            .map(|slice| pace.rest(MS, swept(1_024, 0), slice == 999))
            .sum();
        assert_eq!(rests, 1_000 * MS * 29);
    }

    #[test]
    fn ended_flows_are_worth_a_sixth_of_a_core() {
        let mut pace = Pace::default();
        assert_eq!(pace.rest(MS, swept(1_024, 128), false), 5 * MS);
        assert_eq!(pace.rest(MS, swept(1_024, 127), false), 29 * MS);
        assert_eq!(pace.rest(MS, swept(0, 0), false), 29 * MS);
    }
}
