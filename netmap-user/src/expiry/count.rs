//! How many flows there are, and how many came and went, as laps find out: nothing else comes by every entry.

use std::{collections::HashMap, sync::Arc};

use netmap_common::maps::{Flow, Generation, Ip, Kind, RuleId, Seconds, Side};

/// Numbers of flows by [`Kind`], which is the index.
pub type Kinds = [u64; KINDS];

/// How many kinds there are.
const KINDS: usize = Kind::Mapped as usize + 1;

/// What laps have counted in one family's table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowCounts {
    /// Flows that the last lap has come by and left.
    pub live: Kinds,
    /// Flows opened since the daemon started. What came and went between two laps is not among them.
    pub opened: Kinds,
    /// Flows ended by the daemon since it started.
    pub ended: Kinds,
    /// Those of [`FlowCounts::live`] that a rule has opened, by its number and its generation then.
    pub rules: Arc<HashMap<(RuleId, Generation), u64>>,
}

/// The same while a lap goes on.
#[derive(Debug, Default)]
pub(super) struct Count {
    flows: FlowCounts,
    lap: Lap,
    /// When the first lap came by its first entry, until it is over: what was opened later is new.
    first: Option<Seconds>,
    /// Whether a lap was over already.
    has_lapped: bool,
}

/// What this lap has seen so far.
#[derive(Debug, Default)]
struct Lap {
    seen: Kinds,
    /// Those that were opened since the first lap began.
    young: Kinds,
    /// What was ended in the meantime, by whomever.
    ended: Kinds,
    rules: HashMap<(RuleId, Generation), u64>,
}

impl Count {
    /// An entry that the lap came by.
    pub(super) fn see<A: Ip>(&mut self, flow: &Flow<A>, now: Seconds) {
        let first = *self.first.get_or_insert(now);
        if flow.side() != Side::Original {
            return;
        }
        add(&mut self.lap.seen, flow, 1);
        if flow.created >= first {
            add(&mut self.lap.young, flow, 1);
        }
        if flow.rule != RuleId(0) {
            *self.lap.rules.entry((flow.rule, flow.generation)).or_default() += 1;
        }
    }

    /// A flow that was ended when the lap came by this entry of it.
    pub(super) fn end<A: Ip>(&mut self, flow: &Flow<A>) {
        add(&mut self.flows.ended, flow, 1);
        add(&mut self.lap.ended, flow, 1);
        if flow.side() == Side::Original {
            self.forget(flow);
        }
    }

    /// An entry that has gone alone: where it is the first of the two, a flow.
    pub(super) fn end_orphan<A: Ip>(&mut self, flow: &Flow<A>) {
        if flow.side() == Side::Original {
            self.end(flow);
        }
    }

    /// What somebody else has ended.
    pub(super) fn add_ended(&mut self, ended: &Kinds) {
        for (kind, more) in ended.iter().enumerate() {
            for sum in [&mut self.flows.ended, &mut self.lap.ended] {
                if let Some(sum) = sum.get_mut(kind) {
                    *sum += more;
                }
            }
        }
    }

    /// What was ended since this was last asked.
    pub(super) fn take_ended(&mut self) -> Kinds {
        std::mem::take(&mut self.lap.ended)
    }

    /// All entries were seen.
    pub(super) fn end_lap(&mut self) {
        let Lap {
            seen,
            young,
            ended,
            rules,
        } = std::mem::take(&mut self.lap);
        let before = self.flows.live;
        for (kind, opened) in self.flows.opened.iter_mut().enumerate() {
            let of = |kinds: &Kinds| kinds.get(kind).copied().unwrap_or_default();
            *opened += if self.has_lapped {
                (of(&seen) + of(&ended)).saturating_sub(of(&before))
            } else {
                of(&young)
            };
        }
        self.flows.live = seen;
        self.flows.rules = Arc::new(rules);
        self.has_lapped = true;
    }

    /// The numbers as of the last lap.
    pub(super) fn flows(&self) -> FlowCounts {
        self.flows.clone()
    }

    /// The same at the start of a lap.
    pub(super) fn without_lap(self) -> Self {
        let ended = self.lap.ended;
        Self {
            lap: Lap {
                ended,
                ..Lap::default()
            },
            ..self
        }
    }

    fn forget<A: Ip>(&mut self, flow: &Flow<A>) {
        let Lap {
            seen, young, rules, ..
        } = &mut self.lap;
        for kinds in [seen, young] {
            if let Some(count) = kinds.get_mut(usize::from(flow.kind)) {
                *count = count.saturating_sub(1);
            }
        }
        if let Some(count) = rules.get_mut(&(flow.rule, flow.generation)) {
            *count = count.saturating_sub(1);
        }
    }
}

fn add<A: Ip>(kinds: &mut Kinds, flow: &Flow<A>, count: u64) {
    // A kind that no version of this code wrote is nobody's.
    if let Some(sum) = kinds.get_mut(usize::from(flow.kind)) {
        *sum += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EGRESS: usize = Kind::Egress as usize;

    fn flow(created: u32) -> Flow {
        Flow {
            kind: Kind::Egress as u8,
            created: Seconds(created),
            rule: RuleId(7),
            ..Flow::default()
        }
    }

    fn reply(created: u32) -> Flow {
        Flow {
            side: Side::Reply as u8,
            ..flow(created)
        }
    }

    #[test]
    fn a_flow_is_counted_once_and_what_was_there_before_was_not_opened() {
        let mut count = Count::default();
        for flow in [flow(5), reply(5), flow(12), reply(12)] {
            count.see(&flow, Seconds(10));
        }
        assert_eq!(count.flows(), FlowCounts::default(), "the lap is not over");
        count.end_lap();
        let flows = count.flows();
        assert_eq!((flows.live[EGRESS], flows.opened[EGRESS]), (2, 1));
        assert_eq!(flows.rules[&(RuleId(7), Generation(0))], 2);
    }

    #[test]
    fn what_has_ended_and_what_has_come_is_told_apart() {
        let mut count = Count::default();
        count.see(&flow(5), Seconds(10));
        count.see(&flow(5), Seconds(10));
        count.end_lap();
        // One of both is ended, three have come, of which a purge has ended one.
        for created in [5, 5, 12, 13] {
            count.see(&flow(created), Seconds(15));
        }
        count.end(&flow(5));
        let mut purged = Kinds::default();
        purged[EGRESS] = 1;
        count.add_ended(&purged);
        count.end_lap();
        let flows = count.flows();
        assert_eq!(
            (flows.live[EGRESS], flows.opened[EGRESS], flows.ended[EGRESS]),
            (3, 3, 2)
        );
        assert_eq!(flows.rules[&(RuleId(7), Generation(0))], 3);
    }

    #[test]
    fn a_lap_that_failed_takes_nothing_back() {
        let mut count = Count::default();
        count.see(&flow(12), Seconds(10));
        count.end_lap();
        let before = count.flows();
        count.see(&flow(12), Seconds(20));
        let mut count = count.without_lap();
        assert_eq!(count.flows(), before);
        count.see(&flow(12), Seconds(30));
        count.end_lap();
        assert_eq!(count.flows(), before);
    }
}
