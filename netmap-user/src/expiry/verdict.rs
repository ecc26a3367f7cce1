//! Whether an entry stays.

use netmap_common::{
    maps::{Flow, FlowKey, Ip, Seconds, Side},
    nat::Lifetimes,
};

/// A flow is born answers first: so long a half may wait for its twin.
const YOUNG: Seconds = Seconds(30);
/// Of this many laps, one looks at an entry whatever its age.
const LAPS: u32 = 16;

/// One time over the table.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lap {
    /// How many there were before.
    pub(super) number: u32,
    /// When the one before began, if there was one.
    pub(super) previous: Option<Seconds>,
    /// How long flows live.
    pub(super) lifetimes: Lifetimes,
    /// Whether there may be mappings.
    pub(super) keeps_mappings: bool,
}

impl Lap {
    /// Whether the entry at `key` is worth a look at its twin, which costs some six times as much as the entry itself.
    ///
    /// A flow is over when a lifetime has passed since the later one of its twins' last packets, so it is enough to look at
    /// an entry in the lap after its own last packet is a lifetime ago. A lap in which nothing is known of the one before
    /// looks at all, and each looks at some: those that have lost their twin otherwise than by age.
    pub(super) fn looks_at<A: Ip>(self, key: &FlowKey<A>, flow: &Flow<A>, now: Seconds) -> bool {
        let idle = now.since(flow.last_seen);
        if idle < self.lifetimes.shortest() {
            return false;
        }
        let Some(previous) = self.previous else {
            return true;
        };
        let idle_before = previous.since(flow.last_seen);
        let has_come_of_age = |lifetime: &Seconds| idle_before < *lifetime && *lifetime <= idle;
        let ports = u32::from(key.src_port.0 ^ key.dst_port.0);
        let words = key.src.words().into_iter().chain(key.dst.words());
        let [spread, ..] = words.fold(ports, |sum, word| sum ^ word).to_le_bytes();
        self.lifetimes.all().iter().any(has_come_of_age) || u32::from(spread) % LAPS == self.number % LAPS
    }
}

/// What becomes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Keep,
    /// It goes, and its twin.
    Over,
    /// It goes alone: its twin is missing, or another flow's.
    Orphan,
}

/// Of the entry at `key`, from what is at its twin's key. `ends` if its rule or way is gone; else it may idle for
/// `lifetimes`.
pub(super) fn judge<A: Ip>(
    key: &FlowKey<A>,
    flow: &Flow<A>,
    twin: Option<&Flow<A>>,
    ends: bool,
    lifetimes: &Lifetimes,
    now: Seconds,
) -> Verdict {
    match twin {
        Some(twin) if twin.nonce == flow.nonce && twin.twin() == *key => {
            if ends || is_idle(flow, twin, lifetimes, now) {
                Verdict::Over
            } else {
                Verdict::Keep
            }
        }
        // A flow is born answers first: a young half may be about to get its twin.
        _ if ends || now.since(flow.created) >= YOUNG => Verdict::Orphan,
        _ => Verdict::Keep,
    }
}

fn is_idle<A: Ip>(flow: &Flow<A>, twin: &Flow<A>, lifetimes: &Lifetimes, now: Seconds) -> bool {
    let (original, reply) = if flow.side() == Side::Original {
        (flow, twin)
    } else {
        (twin, flow)
    };
    let last_seen = original.last_seen.max(reply.last_seen);
    now.since(last_seen) >= lifetimes.of(original, reply)
}

#[cfg(test)]
mod tests {
    use netmap_common::maps::{Kind, Port};

    use super::*;

    const KEY: FlowKey = FlowKey {
        src_port: Port(7),
        protocol: 17,
        ..EMPTY
    };
    const EMPTY: FlowKey = FlowKey {
        src: netmap_common::maps::Address(0),
        dst: netmap_common::maps::Address(0),
        src_port: Port(0),
        dst_port: Port(0),
        protocol: 0,
        pad: 0,
        pad_word: 0,
    };

    /// The twins of a datagram's flow to a published port.
    fn twins(last_seen: u32, answers: u64) -> (Flow, Flow) {
        let original = Flow {
            to: KEY,
            kind: Kind::Published as u8,
            nonce: 5,
            created: Seconds(100),
            last_seen: Seconds(last_seen),
            packets: 1,
            ..Flow::default()
        };
        let reply = Flow {
            to: KEY.reversed(),
            side: Side::Reply as u8,
            packets: answers,
            ..original
        };
        (original, reply)
    }

    fn verdict(flow: &Flow, twin: Option<&Flow>, now: u32) -> Verdict {
        let key = if flow.side() == Side::Original {
            KEY
        } else {
            KEY.reversed()
        };
        judge(&key, flow, twin, false, &Lifetimes::default(), Seconds(now))
    }

    #[test]
    fn either_direction_keeps_a_flow_alive() {
        let (mut original, reply) = twins(350, 1);
        original.last_seen = Seconds(100);
        for (one, other) in [(&original, &reply), (&reply, &original)] {
            assert_eq!(verdict(one, Some(other), 649), Verdict::Keep);
            assert_eq!(verdict(one, Some(other), 650), Verdict::Over);
        }
    }

    #[test]
    fn an_unanswered_datagram_to_a_published_port_lives_half_a_minute() {
        let (original, reply) = twins(100, 0);
        assert_eq!(verdict(&original, Some(&reply), 129), Verdict::Keep);
        assert_eq!(verdict(&original, Some(&reply), 130), Verdict::Over);
    }

    #[test]
    fn an_entry_is_looked_at_when_a_lifetime_has_passed_since_its_packet() {
        let (flow, _) = twins(1_000, 1);
        let looks = |previous, now| {
            let lap = Lap {
                // Not this key's turn.
                number: 1,
                previous,
                ..Lap::default()
            };
            lap.looks_at(&KEY, &flow, Seconds(now))
        };
        for lifetime in Lifetimes::default().all().map(|lifetime| lifetime.0) {
            let over = 1_000 + lifetime;
            assert!(looks(Some(Seconds(over - 1)), over));
            assert!(!looks(Some(Seconds(over)), over + 5), "{lifetime}");
        }
        assert!(looks(Some(Seconds(900)), 1_030));
        assert!(!looks(Some(Seconds(900)), 1_029));
        // A daemon that was just started.
        assert!(looks(None, 1_040) && !looks(None, 1_029));
    }

    #[test]
    fn every_entry_has_its_turn() {
        let (flow, _) = twins(1_000, 1);
        let turns = (0..LAPS).filter(|number| {
            let lap = Lap {
                number: *number,
                previous: Some(Seconds(2_000)),
                ..Lap::default()
            };
            lap.looks_at(&KEY, &flow, Seconds(2_005))
        });
        assert_eq!(turns.count(), 1);
    }

    #[test]
    fn what_leads_nowhere_ends_at_once_and_with_its_own_twin_only() {
        let (original, reply) = twins(100, 1);
        let gone = |twin: Option<&Flow>, now| {
            judge(&KEY, &original, twin, true, &Lifetimes::default(), Seconds(now))
        };
        assert_eq!(gone(Some(&reply), 100), Verdict::Over);
        let another = Flow { nonce: 6, ..reply };
        assert_eq!(gone(Some(&another), 100), Verdict::Orphan);
        assert_eq!(gone(None, 100), Verdict::Orphan);
    }

    #[test]
    fn half_a_flow_goes_alone_and_not_before_it_can_be_whole() {
        let (original, reply) = twins(100, 1);
        let another = Flow { nonce: 6, ..reply };
        let elsewhere = Flow { to: KEY, ..reply };
        for twin in [None, Some(&another), Some(&elsewhere)] {
            assert_eq!(verdict(&original, twin, 129), Verdict::Keep);
            assert_eq!(verdict(&original, twin, 130), Verdict::Orphan);
        }
    }
}
