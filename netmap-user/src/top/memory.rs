//! What entries of the flow tables had counted in the lap before, in bounded memory.

use std::collections::HashMap;

use netmap_common::maps::{Flow, Ip, Seconds};

/// Entries that are remembered at most: 21 MB, and half as much again while there are ever more. Where there are more, one flow in two is looked at, or in four, and so on.
const ROOM: usize = 1 << 18;

/// How much an entry has grown since the lap before, by which all rates are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Growth {
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

/// Counts of entries, as they were when they were read last.
#[derive(Debug)]
pub(super) struct Memory {
    known: HashMap<Id, Known>,
    room: usize,
    /// Flows are looked at whose nonce ends with so many zero bits.
    shift: u32,
    /// The same at the end of the lap before.
    last: u32,
    /// Counts up.
    lap: u32,
    /// When the lap before began; entries that were opened later have grown from nothing.
    since: Option<Seconds>,
}

#[derive(Debug)]
struct Known {
    bytes: u64,
    packets: u64,
    grown_bytes: u64,
    /// Of one direction of one flow.
    grown_packets: u32,
    lap: u32,
}

impl Known {
    fn new(packets: u64, bytes: u64, grown: Growth, lap: u32) -> Self {
        Self {
            bytes,
            packets,
            grown_bytes: grown.bytes,
            grown_packets: u32::try_from(grown.packets).unwrap_or(u32::MAX),
            lap,
        }
    }
}

/// What tells an entry from others: the nonce is by chance and both twins', so that flows are chosen as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id(u64);

impl Id {
    pub(super) const fn of<A: Ip>(flow: &Flow<A>) -> Self {
        // 68 years of seconds are enough.
        let rest = (flow.created.0 << 1) | flow.side as u32 & 1;
        Self((flow.nonce as u64) << 32 | rest as u64)
    }

    const fn nonce(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The same for both twins.
    pub(super) const fn flow(self) -> Self {
        Self(self.0 & !1)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::with_room(ROOM)
    }
}

impl Memory {
    pub(super) fn with_room(room: usize) -> Self {
        Self {
            known: HashMap::new(),
            room: room.max(1),
            shift: 0,
            last: 0,
            lap: 0,
            since: None,
        }
    }

    /// One flow in so many is looked at.
    pub(super) fn share(&self) -> u64 {
        1 << self.shift.max(self.last)
    }

    /// How much an entry has grown since the lap before; `None` for a flow that is not looked at.
    pub(super) fn see<A: Ip>(&mut self, flow: &Flow<A>) -> Option<Growth> {
        if !self.looks_at(flow.nonce) {
            return None;
        }
        let id = Id::of(flow);
        let is_new = self.since.is_some_and(|since| flow.created >= since);
        if let Some(known) = self.known.get_mut(&id) {
            let grown = Growth {
                packets: flow.packets.saturating_sub(known.packets),
                bytes: flow.bytes.saturating_sub(known.bytes),
            };
            *known = Known::new(flow.packets, flow.bytes, grown, self.lap);
            return Some(self.weighed(flow.nonce, grown));
        }
        while self.known.len() >= self.room && self.shift < 31 {
            self.shift += 1;
            let mask = mask(self.shift);
            self.known.retain(|id, _| id.nonce() & mask == 0);
        }
        if !self.looks_at(flow.nonce) {
            return None;
        }
        // Of one that is older, nobody knows how much of it is new.
        let grown = if is_new {
            Growth {
                packets: flow.packets,
                bytes: flow.bytes,
            }
        } else {
            Growth::default()
        };
        self.known
            .insert(id, Known::new(flow.packets, flow.bytes, grown, self.lap));
        Some(self.weighed(flow.nonce, grown))
    }

    /// How much this entry had grown when it was seen in this lap.
    pub(super) fn grown(&self, id: Id) -> Option<Growth> {
        let known = self.known.get(&id)?;
        (known.lap == self.lap).then_some(Growth {
            packets: known.grown_packets.into(),
            bytes: known.grown_bytes,
        })
    }

    /// Ends a lap that began at `began`: what it did not see is forgotten.
    pub(super) fn end_lap(&mut self, began: Seconds) {
        let lap = self.lap;
        self.known.retain(|_, known| known.lap == lap);
        self.lap = self.lap.wrapping_add(1);
        self.since = Some(began);
        self.last = self.shift;
        if self.shift > 0 && self.known.len() < self.room / 4 {
            self.shift -= 1;
        }
    }

    /// What was not looked at in the lap before has no part in this one: the others stand for it still.
    fn weighed(&self, nonce: u32, grown: Growth) -> Growth {
        if nonce & mask(self.last) == 0 {
            grown
        } else {
            Growth::default()
        }
    }

    const fn looks_at(&self, nonce: u32) -> bool {
        nonce & mask(self.shift) == 0
    }
}

const fn mask(shift: u32) -> u32 {
    (1 << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(nonce: u32, created: u32, packets: u64) -> Flow {
        Flow {
            nonce,
            created: Seconds(created),
            packets,
            bytes: packets * 100,
            ..Flow::default()
        }
    }

    fn grown(packets: u64) -> Growth {
        Growth {
            packets,
            bytes: packets * 100,
        }
    }

    #[test]
    fn an_entry_grows_from_one_lap_to_the_next() {
        let mut memory = Memory::default();
        assert_eq!(memory.see(&entry(7, 10, 50)), Some(grown(0)));
        memory.end_lap(Seconds(20));
        assert_eq!(memory.see(&entry(7, 10, 53)), Some(grown(3)));
        assert_eq!(memory.grown(Id::of(&entry(7, 10, 0))), Some(grown(3)));
        // Opened since the lap before began, and one that was there unseen.
        assert_eq!(memory.see(&entry(8, 20, 5)), Some(grown(5)));
        assert_eq!(memory.see(&entry(9, 19, 5)), Some(grown(0)));
        memory.end_lap(Seconds(22));
        assert_eq!(memory.grown(Id::of(&entry(7, 10, 0))), None);
        // Its counters do not go back, and a new flow of the same keys is another one.
        assert_eq!(memory.see(&entry(7, 10, 1)), Some(grown(0)));
        assert_eq!(memory.see(&entry(70, 23, 1)), Some(grown(1)));
    }

    #[test]
    fn what_has_ended_is_forgotten() {
        let mut memory = Memory::default();
        memory.see(&entry(7, 10, 50));
        memory.end_lap(Seconds(20));
        memory.end_lap(Seconds(22));
        assert!(memory.known.is_empty());
    }

    #[test]
    fn memory_stays_within_its_room_and_still_knows_a_fair_share() {
        let mut memory = Memory::with_room(64);
        let flows = |packets| (0..1_000).map(move |nonce| entry(nonce, 10, packets));
        for lap in 1..4 {
            let mut packets = 0;
            for flow in flows(lap) {
                let share = memory.share();
                packets += memory.see(&flow).map_or(0, |grown| grown.packets * share);
                assert!(memory.known.len() <= 64);
            }
            assert!(lap == 1 || (900..1_100).contains(&packets), "{packets}");
            memory.end_lap(Seconds(10 + u32::try_from(lap).unwrap()));
        }
        assert_eq!(memory.share(), 16);
        // With fewer flows, more of them are looked at again.
        for lap in 0..5 {
            memory.see(&entry(0, 10, 9));
            memory.end_lap(Seconds(20 + lap));
        }
        assert_eq!(memory.share(), 1);
    }
}
