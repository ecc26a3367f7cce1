//! A place in the tables of both families.

use netmap_common::maps::{Address, Address6};

use super::{
    count::{Count, FlowCounts, Kinds},
    obituary::{Ended, Obituaries},
    pressure::Pressure,
    tally::Tally,
};
use crate::maps::{Family, FlowCursor};

/// IPv4's table is gone over first, then IPv6's: a lap is one of both.
#[derive(Debug)]
pub(super) struct Walk {
    v4: Part<Address>,
    v6: Part<Address6>,
}

/// A place in one family's table.
#[derive(Debug)]
pub(super) struct Part<A: Family> {
    /// How far it is read.
    pub(super) cursor: FlowCursor<A>,
    /// Whose flows were seen and ended.
    pub(super) tally: Tally<A>,
    /// How full it is.
    pub(super) pressure: Pressure,
    /// What was ended, for whoever watches.
    pub(super) obituaries: Obituaries<A>,
    /// How many flows there are of which kind.
    pub(super) count: Count,
}

/// The table that has the next slice.
pub(super) enum Next<'walk> {
    V4(&'walk mut Part<Address>),
    V6(&'walk mut Part<Address6>),
}

impl Walk {
    /// At the start, with so many entries a slice.
    pub(super) fn new(slice: usize) -> Self {
        Self {
            v4: Part::new(slice),
            v6: Part::new(slice),
        }
    }

    pub(super) fn next(&mut self) -> Next<'_> {
        if self.v4.cursor.is_at_end() {
            Next::V6(&mut self.v6)
        } else {
            Next::V4(&mut self.v4)
        }
    }

    /// Whether nothing follows what was read last.
    pub(super) fn is_at_end(&self) -> bool {
        self.v4.cursor.is_at_end() && self.v6.cursor.is_at_end()
    }

    /// How much is left of lifetimes, in hundredths, where the table is fuller.
    pub(super) fn left(&self) -> u32 {
        self.v4.pressure.left().min(self.v6.pressure.left())
    }

    /// Notes down what is ended from now on, or does not.
    pub(super) fn note(&mut self, is_watched: bool) {
        self.v4.obituaries.note(is_watched);
        self.v6.obituaries.note(is_watched);
    }

    /// What was noted down since this was last asked.
    pub(super) fn ended(&mut self) -> Ended {
        Ended {
            v4: self.v4.obituaries.take(),
            v6: self.v6.obituaries.take(),
            uses4: self.v4.obituaries.take_uses(),
            uses6: self.v6.obituaries.take_uses(),
        }
    }

    /// What was counted, of IPv4 and of IPv6.
    pub(super) fn counts(&self) -> [FlowCounts; 2] {
        [self.v4.count.flows(), self.v6.count.flows()]
    }

    /// What somebody else has ended.
    pub(super) fn count_ended(&mut self, [v4, v6]: [Kinds; 2]) {
        self.v4.count.add_ended(&v4);
        self.v6.count.add_ended(&v6);
    }

    /// What was ended since this was last asked.
    pub(super) fn take_ended(&mut self) -> [Kinds; 2] {
        [self.v4.count.take_ended(), self.v6.count.take_ended()]
    }

    /// What was counted so far, for another walk over the same tables.
    pub(super) fn take_counts(&mut self) -> [Count; 2] {
        [
            std::mem::take(&mut self.v4.count),
            std::mem::take(&mut self.v6.count),
        ]
    }

    /// Goes on from what another walk has counted; the lap begins anew.
    pub(super) fn set_counts(&mut self, counts: [Count; 2]) {
        [self.v4.count, self.v6.count] = counts.map(Count::without_lap);
    }

    /// Back to the start.
    pub(super) fn rewind(&mut self) {
        self.v4.cursor.rewind();
        self.v6.cursor.rewind();
    }
}

impl<A: Family> Part<A> {
    fn new(slice: usize) -> Self {
        Self {
            cursor: FlowCursor::new(slice),
            tally: Tally::default(),
            pressure: Pressure::default(),
            obituaries: Obituaries::default(),
            count: Count::default(),
        }
    }
}
