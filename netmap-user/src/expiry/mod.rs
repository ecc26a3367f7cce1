//! Ends flows that are idle, or whose rule, way or other half is gone.
//!
//! The tables, one a family, may hold millions, and the daemon has one thread, so they are read a slice at a time:
//! [`Sweeper`] goes over both lap after lap and says how long to rest after each slice, [`Purge`] does one lap without
//! rests when something is gone that flows lead to. Packets go on meanwhile: a pair is read again right before it goes. A packet in the
//! microseconds between opens the flow anew, or finds within a second that its entry has lost its twin. An established
//! flow never goes for the sake of a new one.
//!
//! No packet waits for this: the data path translates by an entry that is there, however old. So a flow ends when the
//! sweeper comes by: not before its [lifetime](Lifetimes), and a lap later at the most. Where a table is nearly full, lifetimes
//! shrink, but for those of established connections.

mod closing;
mod count;
mod mappings;
mod obituary;
mod pace;
mod pressure;
mod purge;
mod slice;
mod tally;
mod verdict;
mod walk;

use std::time::Duration;

use netmap_common::{maps::Seconds, nat::Lifetimes};

pub use self::{
    closing::{Chosen, Closing, IsChosen},
    count::{FlowCounts, Kinds},
    obituary::{Ended, Obituary, Use},
    purge::{Gone, Purge},
};
use self::{
    pace::Pace,
    verdict::Lap,
    walk::{Next, Walk},
};
use crate::{
    maps::{Maps, MapsError},
    sys::thread_time,
};

/// How many entries a slice has: half a millisecond's work, or three where all twins are looked at. A command waits no
/// longer.
const SLICE: usize = 1_024;

/// What a slice, or a lap, did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Entries that were there, two a flow.
    pub entries: usize,
    /// Flows that were idle, or of a rule that is gone.
    pub ended: usize,
    /// Entries without a twin.
    pub orphans: usize,
}

/// What came of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// What it did.
    pub swept: Swept,
    /// What the lap did that ends with it.
    pub lap: Option<Swept>,
    /// How long to wait with the next one.
    pub rest: Duration,
}

/// Goes over the tables, lap after lap.
#[derive(Debug)]
pub struct Sweeper {
    walk: Walk,
    pace: Pace,
    lap: Lap,
    /// When this lap began.
    began: Option<Seconds>,
    /// What it did.
    swept: Swept,
}

impl Default for Sweeper {
    fn default() -> Self {
        Self::new(Lifetimes::default(), false)
    }
}

impl Sweeper {
    /// Ends flows that idle for longer than these. `keeps_mappings` says that there may be mappings: those of connections
    /// live as long as they.
    pub fn new(lifetimes: Lifetimes, keeps_mappings: bool) -> Self {
        Self {
            walk: Walk::new(SLICE),
            pace: Pace::default(),
            lap: Lap {
                lifetimes,
                keeps_mappings,
                ..Lap::default()
            },
            began: None,
            swept: Swept::default(),
        }
    }
}

impl Sweeper {
    /// Begins a lap anew by these lifetimes. What former laps have counted stays.
    pub fn restart(&mut self, lifetimes: Lifetimes, keeps_mappings: bool) {
        let counts = self.walk.take_counts();
        *self = Self::new(lifetimes, keeps_mappings);
        self.walk.set_counts(counts);
    }

    /// How much is left of lifetimes, in hundredths: less than 100 where a table is nearly full.
    pub fn lifetimes_left(&self) -> u32 {
        self.walk.left()
    }

    /// Whether there may be mappings.
    pub fn keeps_mappings(&self) -> bool {
        self.lap.keeps_mappings
    }

    /// Notes down what it ends from now on, or does not.
    pub fn note(&mut self, is_watched: bool) {
        self.walk.note(is_watched);
    }

    /// What it has noted down since this was last asked.
    pub fn ended(&mut self) -> Ended {
        self.walk.ended()
    }

    /// What its laps have counted: of IPv4, and of IPv6.
    pub fn counts(&self) -> [FlowCounts; 2] {
        self.walk.counts()
    }

    /// Counts what a purge has ended among what laps have.
    pub fn count_purged(&mut self, purged: [Kinds; 2]) {
        self.walk.count_ended(purged);
    }

    /// Ends, in the next slice of a table, what is idle for longer than its lifetime, and what belongs to a rule that is
    /// no longer published.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with. The next slice begins a lap.
    pub fn slice(&mut self, maps: &mut Maps, now: Seconds) -> Result<Slice, MapsError> {
        let began = thread_time();
        let swept = self
            .sweep(maps, now)
            .inspect_err(|_| self.restart(self.lap.lifetimes, self.lap.keeps_mappings))?;
        self.swept += swept;
        let lap = self.walk.is_at_end().then(|| {
            self.walk.rewind();
            self.lap.number = self.lap.number.wrapping_add(1);
            self.lap.previous = self.began.take();
            std::mem::take(&mut self.swept)
        });
        let worked = thread_time().saturating_sub(began);
        let rest = self.pace.rest(worked, swept, lap.is_some());
        Ok(Slice { swept, lap, rest })
    }

    fn sweep(&mut self, maps: &mut Maps, now: Seconds) -> Result<Swept, MapsError> {
        self.began.get_or_insert(now);
        match self.walk.next() {
            Next::V4(part) => slice::sweep(&mut maps.v4, part, self.lap, now),
            Next::V6(part) => slice::sweep(&mut maps.v6, part, self.lap, now),
        }
    }
}

impl std::ops::AddAssign for Swept {
    fn add_assign(&mut self, other: Self) {
        self.entries += other.entries;
        self.ended += other.ended;
        self.orphans += other.orphans;
    }
}
