//! Whether an entry stays.

use netmap_common::{
    maps::{Flow, FlowKey, Seconds, Side},
    nat::lifetime,
};

/// No flow ends sooner, so entries younger than this are not looked at twice.
const SHORTEST: u32 = 30;

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

/// Whether its direction had a packet so lately that its flow cannot be idle.
pub(super) fn is_young(flow: &Flow, now: Seconds) -> bool {
    now.since(flow.last_seen).0 < SHORTEST
}

/// Of the entry at `key`, from what is at its twin's key. `ends` if its rule or way is gone.
pub(super) fn judge(key: &FlowKey, flow: &Flow, twin: Option<&Flow>, ends: bool, now: Seconds) -> Verdict {
    match twin {
        Some(twin) if twin.nonce == flow.nonce && twin.twin() == *key => {
            if ends || is_idle(flow, twin, now) {
                Verdict::Over
            } else {
                Verdict::Keep
            }
        }
        // A flow is born answers first: a young half may be about to get its twin.
        _ if ends || now.since(flow.created).0 >= SHORTEST => Verdict::Orphan,
        _ => Verdict::Keep,
    }
}

fn is_idle(flow: &Flow, twin: &Flow, now: Seconds) -> bool {
    let (original, reply) = if flow.side() == Side::Original {
        (flow, twin)
    } else {
        (twin, flow)
    };
    let last_seen = original.last_seen.max(reply.last_seen);
    now.since(last_seen) >= lifetime(original, reply)
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
        judge(&key, flow, twin, false, Seconds(now))
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
        assert!(is_young(&original, Seconds(129)));
        assert_eq!(verdict(&original, Some(&reply), 129), Verdict::Keep);
        assert!(!is_young(&original, Seconds(130)));
        assert_eq!(verdict(&original, Some(&reply), 130), Verdict::Over);
    }

    #[test]
    fn what_leads_nowhere_ends_at_once_and_with_its_own_twin_only() {
        let (original, reply) = twins(100, 1);
        let gone = |twin: Option<&Flow>, now| judge(&KEY, &original, twin, true, Seconds(now));
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
