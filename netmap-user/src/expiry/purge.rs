//! Ends flows that lead where nothing is any more.

use netmap_common::maps::{Address, Flow, FlowKey};

use super::{Swept, Verdict, judge, tally::Tally};
use crate::maps::{FlowCursor, Maps, MapsError, now};

/// How many entries a slice has: about a millisecond's work. Most are not looked at twice.
const SLICE: usize = 4_096;

/// Goes over the whole table once for everything that is lost, a slice at a time and without rests.
#[derive(Debug)]
pub struct Purge {
    cursor: FlowCursor<Address>,
    state: State,
    ended: usize,
    tally: Tally<Address>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Running,
    /// More was lost meanwhile: another lap follows. Beginning anew each time would never come to the end.
    Again,
}

impl Default for Purge {
    fn default() -> Self {
        Self {
            cursor: FlowCursor::new(SLICE),
            state: State::Idle,
            ended: 0,
            tally: Tally::default(),
        }
    }
}

impl Purge {
    /// Something is gone that flows lead to.
    pub fn begin(&mut self) {
        self.state = match self.state {
            State::Idle => {
                self.cursor.rewind();
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

    /// Ends what `is_gone` says so of, in the next slice of the table. Says how many flows went since the beginning when
    /// all were looked at that were there at the last [`Purge::begin`].
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with. It is not running then.
    pub fn slice(
        &mut self,
        maps: &mut Maps,
        is_gone: &dyn Fn(&FlowKey, &Flow) -> bool,
    ) -> Result<Option<usize>, MapsError> {
        let swept = self
            .purge(maps, is_gone)
            .inspect_err(|_| self.state = State::Idle)?;
        self.ended += swept.ended + swept.orphans;
        if !self.cursor.is_at_end() {
            return Ok(None);
        }
        self.cursor.rewind();
        if self.state == State::Again {
            self.state = State::Running;
            return Ok(None);
        }
        self.state = State::Idle;
        Ok(Some(self.ended))
    }

    fn purge(
        &mut self,
        maps: &mut Maps,
        is_gone: &dyn Fn(&FlowKey, &Flow) -> bool,
    ) -> Result<Swept, MapsError> {
        let mut swept = Swept::default();
        maps.v4.flows.read(&mut self.cursor)?;
        for (key, flow) in self.cursor.entries() {
            if is_gone(key, flow) {
                // Under the same key there may be another flow by now.
                let verdict = |flow: &Flow, twin: Option<&Flow>| {
                    if is_gone(key, flow) {
                        judge(key, flow, twin, true, now())
                    } else {
                        Verdict::Keep
                    }
                };
                super::end(maps, key, verdict, &mut self.tally, &mut swept)?;
            }
        }
        self.tally.tell(&mut maps.v4.loads)?;
        Ok(swept)
    }
}
