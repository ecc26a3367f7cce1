//! Ends flows that lead where nothing is any more.

use netmap_common::{
    maps::{Address6, Flow, FlowKey},
    nat::Lifetimes,
};

use super::{
    Ended, Kinds, Swept, slice,
    verdict::{Verdict, judge},
    walk::{Next, Part, Walk},
};
use crate::maps::{Family, FamilyMaps, Maps, MapsError, now};

/// How many entries a slice has: about a millisecond's work. Most are not looked at twice.
const SLICE: usize = 4_096;

/// Goes over the whole tables once for everything that is lost, a slice at a time and without rests.
#[derive(Debug)]
pub struct Purge {
    walk: Walk,
    state: State,
    ended: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Running,
    /// More was lost meanwhile: another lap follows. Beginning anew each time would never come to the end.
    Again,
}

/// Which flows lead where nothing is any more.
pub struct Gone<'host> {
    /// Of IPv4.
    pub v4: &'host dyn Fn(&FlowKey, &Flow) -> bool,
    /// Of IPv6.
    pub v6: &'host dyn Fn(&FlowKey<Address6>, &Flow<Address6>) -> bool,
}

impl Default for Purge {
    fn default() -> Self {
        Self {
            walk: Walk::new(SLICE),
            state: State::Idle,
            ended: 0,
        }
    }
}

impl Purge {
    /// Something is gone that flows lead to.
    pub fn begin(&mut self) {
        self.state = match self.state {
            State::Idle => {
                self.walk.rewind();
                self.ended = 0;
                State::Running
            }
            State::Running | State::Again => State::Again,
        };
    }

    /// Whether there is something to do.
    pub fn is_running(&self) -> bool {
        self.state != State::Idle
    }

    /// Notes down what it ends from now on, or does not.
    pub fn note(&mut self, is_watched: bool) {
        self.walk.note(is_watched);
    }

    /// What it has noted down since this was last asked.
    pub fn ended(&mut self) -> Ended {
        self.walk.ended()
    }

    /// How many flows it has ended since this was last asked, of IPv4 and of IPv6.
    pub fn take_count(&mut self) -> [Kinds; 2] {
        self.walk.take_ended()
    }

    /// Ends what `gone` says so of, in the next slice of a table. Says how many flows went since the beginning when
    /// all were looked at that were there at the last [`Purge::begin`].
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with. It is not running then.
    pub fn slice(&mut self, maps: &mut Maps, gone: &Gone<'_>) -> Result<Option<usize>, MapsError> {
        let swept = match self.walk.next() {
            Next::V4(part) => purge(&mut maps.v4, part, gone.v4),
            Next::V6(part) => purge(&mut maps.v6, part, gone.v6),
        }
        .inspect_err(|_| self.state = State::Idle)?;
        self.ended += swept.ended + swept.orphans;
        if !self.walk.is_at_end() {
            return Ok(None);
        }
        self.walk.rewind();
        if self.state == State::Again {
            self.state = State::Running;
            return Ok(None);
        }
        self.state = State::Idle;
        Ok(Some(self.ended))
    }
}

fn purge<A: Family>(
    maps: &mut FamilyMaps<A>,
    Part {
        cursor,
        tally,
        obituaries,
        count,
        ..
    }: &mut Part<A>,
    is_gone: &dyn Fn(&FlowKey<A>, &Flow<A>) -> bool,
) -> Result<Swept, MapsError> {
    let mut swept = Swept::default();
    maps.flows.read(cursor)?;
    for (key, flow) in cursor.entries() {
        if is_gone(key, flow) {
            // Under the same key there may be another flow by now.
            let verdict = |flow: &Flow<A>, twin: Option<&Flow<A>>| {
                if is_gone(key, flow) {
                    judge(key, flow, twin, true, &Lifetimes::default(), now())
                } else {
                    Verdict::Keep
                }
            };
            slice::end(maps, key, verdict, (tally, obituaries, count), &mut swept)?;
        }
    }
    tally.tell(&mut maps.loads)?;
    Ok(swept)
}
