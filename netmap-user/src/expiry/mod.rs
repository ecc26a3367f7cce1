//! Ends flows that are idle, or whose rule, way or other half is gone.
//!
//! The table may hold millions, and the daemon has one thread, so it is read a slice at a time: [`Sweeper`] goes over it
//! lap after lap and says how long to rest after each slice, [`Purge`] does one lap without rests when something is
//! gone that flows lead to. Packets go on meanwhile: a pair is read again right before it goes. A packet in the
//! microseconds between opens the flow anew, or finds within a second that its entry has lost its twin. An established
//! flow never goes for the sake of a new one.
//!
//! No packet waits for this: the data path translates by an entry that is there, however old. So a flow ends when the
//! sweeper comes by: not before its [`lifetime`](netmap_common::nat::lifetime), and a lap later at the most.

mod pace;
mod purge;
mod tally;
mod verdict;

use std::{collections::HashMap, time::Duration};

use netmap_common::maps::{Address, Flow, FlowKey, Generation, RuleId, Seconds};

pub use self::purge::Purge;
use self::{
    pace::Pace,
    tally::Tally,
    verdict::{Lap, Verdict, judge},
};
use crate::{
    maps::{FlowCursor, Maps, MapsError, Rules},
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

/// Goes over the table, lap after lap.
#[derive(Debug)]
pub struct Sweeper {
    cursor: FlowCursor<Address>,
    pace: Pace,
    lap: Lap,
    /// Whose flows it has seen and ended.
    tally: Tally<Address>,
    /// When this lap began.
    began: Option<Seconds>,
    /// What it did.
    swept: Swept,
}

impl Default for Sweeper {
    fn default() -> Self {
        Self {
            cursor: FlowCursor::new(SLICE),
            pace: Pace::default(),
            lap: Lap::default(),
            tally: Tally::default(),
            began: None,
            swept: Swept::default(),
        }
    }
}

impl Sweeper {
    /// Ends, in the next slice of the table, what is idle for longer than its lifetime, and what belongs to a rule that is
    /// no longer published.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with. The next slice begins a lap.
    pub fn slice(&mut self, maps: &mut Maps, now: Seconds) -> Result<Slice, MapsError> {
        let began = thread_time();
        let swept = self.sweep(maps, now).inspect_err(|_| *self = Self::default())?;
        self.swept += swept;
        self.tally.tell(&mut maps.v4.loads)?;
        if self.cursor.is_at_end() {
            self.tally.settle(&mut maps.v4.loads)?;
        }
        let lap = self.cursor.is_at_end().then(|| {
            self.cursor.rewind();
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
        maps.v4.flows.read(&mut self.cursor)?;
        let mut rules = Published::default();
        let mut swept = Swept::default();
        for (key, flow) in self.cursor.entries() {
            swept.entries += 1;
            self.tally.see(key, flow);
            let is_stale = rules.is_stale(&maps.v4.rules, flow)?;
            if !is_stale && !self.lap.looks_at(key, flow, now) {
                continue;
            }
            let twin = maps.v4.flows.get(&flow.twin())?;
            if judge(key, flow, twin.as_ref(), is_stale, now) == Verdict::Keep {
                continue;
            }
            // Read a moment ago: what has had a packet since stays, and so does a later flow under the same key.
            let again = |current: &Flow, twin: Option<&Flow>| {
                let is_stale = is_stale && (current.rule, current.generation) == (flow.rule, flow.generation);
                judge(key, current, twin, is_stale, now)
            };
            end(maps, key, again, &mut self.tally, &mut swept)?;
        }
        Ok(swept)
    }
}

/// Does what `verdict` says of the entry at `key` and its twin, as they are now.
fn end(
    maps: &mut Maps,
    key: &FlowKey,
    verdict: impl FnOnce(&Flow, Option<&Flow>) -> Verdict,
    tally: &mut Tally<Address>,
    swept: &mut Swept,
) -> Result<(), MapsError> {
    let Some(flow) = maps.v4.flows.get(key)? else {
        return Ok(());
    };
    let twin = maps.v4.flows.get(&flow.twin())?;
    match verdict(&flow, twin.as_ref()) {
        Verdict::Keep => {}
        Verdict::Over => {
            if maps.v4.flows.remove(key)? {
                tally.end(key, &flow);
            }
            if let (true, Some(twin)) = (maps.v4.flows.remove(&flow.twin())?, twin) {
                tally.end(&flow.twin(), &twin);
            }
            swept.ended += 1;
        }
        Verdict::Orphan => {
            if maps.v4.flows.remove(key)? {
                tally.end(key, &flow);
            }
            swept.orphans += 1;
        }
    }
    Ok(())
}

impl std::ops::AddAssign for Swept {
    fn add_assign(&mut self, other: Self) {
        self.entries += other.entries;
        self.ended += other.ended;
        self.orphans += other.orphans;
    }
}

/// What the rules of a slice's flows are. Kept no longer than that: between slices the daemon publishes.
#[derive(Default)]
struct Published(HashMap<RuleId, Option<Generation>>);

impl Published {
    fn is_stale(&mut self, rules: &Rules<Address>, flow: &Flow) -> Result<bool, MapsError> {
        if flow.rule == RuleId(0) {
            return Ok(false);
        }
        if let Some(generation) = self.0.get(&flow.rule) {
            return Ok(*generation != Some(flow.generation));
        }
        // An entry with a number that no rule can have is nobody's.
        let generation = if flow.rule.0 < rules.capacity() {
            let rule = rules.get(flow.rule)?;
            rule.is_live().then_some(rule.generation)
        } else {
            None
        };
        self.0.insert(flow.rule, generation);
        Ok(generation != Some(flow.generation))
    }
}
