//! How full a table is, and so how long its flows may idle.

use netmap_common::nat::Lifetimes;

use super::{Swept, verdict::Lap};

/// What laps have found of one table.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    /// What the last lap left.
    before: usize,
    /// What this one has left so far.
    now: usize,
    /// How much this lap takes off lifetimes, in hundredths: the most of all its slices.
    taken: u32,
    /// How much the last one took.
    taken_before: u32,
}

impl Pressure {
    /// The lap for the next slice of a table that has room for `capacity` entries.
    ///
    /// Where lifetimes are others than a lap ago, entries may come of age unnoticed: so all are looked at.
    pub(super) fn applied_to(&mut self, lap: Lap, capacity: u32) -> Lap {
        let entries = u64::try_from(self.before.max(self.now)).unwrap_or(u64::MAX);
        let fill = entries.saturating_mul(100) / u64::from(capacity.max(1));
        let left = Lifetimes::left_at(u32::try_from(fill).unwrap_or(u32::MAX));
        self.taken = self.taken.max(100 - left);
        Lap {
            previous: lap.previous.filter(|_| self.taken == self.taken_before),
            lifetimes: lap.lifetimes.shrunk_to(self.left()),
            ..lap
        }
    }

    /// A slice was swept.
    pub(super) fn add(&mut self, swept: Swept) {
        self.now += swept.entries.saturating_sub(2 * swept.ended + swept.orphans);
    }

    /// All were.
    pub(super) fn end_lap(&mut self) {
        self.before = std::mem::take(&mut self.now);
        self.taken_before = std::mem::take(&mut self.taken);
    }

    /// How much is left of lifetimes, in hundredths.
    pub(super) fn left(&self) -> u32 {
        100 - self.taken.max(self.taken_before)
    }
}

#[cfg(test)]
mod tests {
    use netmap_common::maps::Seconds;

    use super::*;

    fn swept(entries: usize, ended: usize) -> Swept {
        Swept {
            entries,
            ended,
            orphans: 0,
        }
    }

    fn lap() -> Lap {
        Lap {
            previous: Some(Seconds(7)),
            ..Lap::default()
        }
    }

    #[test]
    fn a_flood_shortens_lifetimes_in_the_lap_that_finds_it_and_they_come_back_after_it() {
        let mut pressure = Pressure::default();
        assert_eq!(pressure.applied_to(lap(), 1_000).lifetimes, Lifetimes::default());
        pressure.add(swept(900, 0));
        // Still the same lap: all entries from here on are looked at.
        let shrunk = pressure.applied_to(lap(), 1_000);
        assert_eq!((pressure.left(), shrunk.previous), (63, None));
        assert_eq!(shrunk.lifetimes, Lifetimes::default().shrunk_to(63));
        pressure.add(swept(100, 50));
        pressure.end_lap();
        // The next lap begins with what that one left, and looks at all that it had passed by before it knew.
        pressure.applied_to(lap(), 1_000);
        assert_eq!(pressure.left(), 63);
        pressure.add(swept(200, 50));
        pressure.end_lap();
        assert_eq!(pressure.applied_to(lap(), 1_000).previous, None);
        pressure.end_lap();
        let usual = pressure.applied_to(lap(), 1_000);
        assert_eq!((pressure.left(), usual.previous), (100, Some(Seconds(7))));
    }
}
