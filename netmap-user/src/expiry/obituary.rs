//! What was ended: each flow for whoever watches, and of rules when they were last used.

use std::collections::HashMap;

use netmap_common::maps::{Address, Address6, Flow, FlowKey, Generation, Ip, RuleId, Seconds, Side};

/// A flow that was ended, as it was last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Obituary<A: Ip> {
    /// The packet that opened it, as it came.
    pub key: FlowKey<A>,
    /// Its original direction.
    pub original: Flow<A>,
    /// Its answers.
    pub reply: Flow<A>,
}

/// When flows that a rule opened had their last packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// The rule.
    pub rule: RuleId,
    /// Its generation.
    pub generation: Generation,
    /// The last packet of the flows that have ended.
    pub seen: Seconds,
}

/// Flows of both families.
#[derive(Debug, Default)]
pub struct Ended {
    /// IPv4's.
    pub v4: Vec<Obituary<Address>>,
    /// IPv6's.
    pub v6: Vec<Obituary<Address6>>,
    /// Rules of IPv4 whose flows have ended, watched or not.
    pub uses4: Vec<Use>,
    /// Rules of IPv6.
    pub uses6: Vec<Use>,
}

/// A list of them, kept only while somebody wants it.
#[derive(Debug)]
pub(super) struct Obituaries<A: Ip> {
    is_kept: bool,
    list: Vec<Obituary<A>>,
    /// A slice's, so there are few.
    uses: HashMap<(RuleId, Generation), Seconds>,
}

impl<A: Ip> Default for Obituaries<A> {
    fn default() -> Self {
        Self {
            is_kept: false,
            list: Vec::new(),
            uses: HashMap::new(),
        }
    }
}

impl<A: Ip> Obituaries<A> {
    pub(super) const fn note(&mut self, is_kept: bool) {
        self.is_kept = is_kept;
    }

    /// A flow whose entry at `key` and its twin were ended.
    pub(super) fn add(&mut self, key: &FlowKey<A>, flow: &Flow<A>, twin: &Flow<A>) {
        if flow.rule != RuleId::default() {
            let last = self.uses.entry((flow.rule, flow.generation)).or_default();
            *last = flow.last_seen.max(twin.last_seen).max(*last);
        }
        if !self.is_kept {
            return;
        }
        let (key, original, reply) = match flow.side() {
            Side::Original => (*key, *flow, *twin),
            Side::Reply => (flow.twin(), *twin, *flow),
        };
        self.list.push(Obituary { key, original, reply });
    }

    pub(super) fn take(&mut self) -> Vec<Obituary<A>> {
        std::mem::take(&mut self.list)
    }

    /// Which rules' flows have ended since this was last asked.
    pub(super) fn take_uses(&mut self) -> Vec<Use> {
        let uses = self.uses.drain();
        uses.map(|((rule, generation), seen)| Use {
            rule,
            generation,
            seen,
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use netmap_common::maps::Port;

    use super::*;

    #[test]
    fn whichever_half_is_found_first_the_flow_is_the_same() {
        let key = FlowKey {
            src_port: Port(7),
            ..FlowKey::<Address>::default()
        };
        let original = Flow {
            rule: RuleId(4),
            generation: Generation(2),
            last_seen: Seconds(30),
            to: FlowKey {
                src_port: Port(8),
                ..key
            },
            packets: 3,
            ..Flow::default()
        };
        let reply = Flow {
            to: key.reversed(),
            side: Side::Reply as u8,
            packets: 2,
            last_seen: Seconds(20),
            ..original
        };
        let mut list = Obituaries::default();
        list.add(&key, &original, &reply);
        assert_eq!(list.take(), []);
        let last = Use {
            rule: RuleId(4),
            generation: Generation(2),
            seen: Seconds(30),
        };
        assert_eq!(list.take_uses(), [last], "watched or not");
        assert_eq!(list.take_uses(), []);
        list.note(true);
        list.add(&key, &original, &reply);
        list.add(&original.twin(), &reply, &original);
        let expected = Obituary { key, original, reply };
        assert_eq!(list.take(), [expected; 2]);
    }
}
