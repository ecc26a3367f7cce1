//! Ends flows that are idle, or whose other half is gone.
//!
//! Packets go on while this reads: a pair is read again right before it goes. A packet in the microseconds between opens
//! the flow anew, or finds within a second that its entry has lost its twin. An established flow never goes for the sake of
//! a new one.

use std::collections::BTreeMap;

use netmap_common::{
    maps::{Flow, FlowKey, Generation, RuleId, Seconds, Side},
    nat::lifetime,
};

use crate::maps::{Maps, MapsError};

/// No flow ends sooner, so entries younger than this are not looked at twice.
const SHORTEST: u32 = 30;

/// How many entries one sweep looks at twice at the most: bounds its memory and its time.
const MOST: usize = 16_384;

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Entries in the table, two a flow.
    pub entries: usize,
    /// Flows that were idle, or of a rule that is gone.
    pub ended: usize,
    /// Entries without a twin.
    pub orphans: usize,
}

/// Looks for idle flows, a part of the quiet ones at a time.
#[derive(Debug, Default)]
pub struct Sweeper {
    /// How many quiet entries the next sweep leaves out, because the last ones have looked at them.
    skip: usize,
}

impl Sweeper {
    /// Ends what is idle for longer than its [`lifetime`], and what belongs to a rule that is no longer published.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn sweep(&mut self, maps: &mut Maps, now: Seconds) -> Result<Swept, MapsError> {
        let rules: BTreeMap<RuleId, Generation> = maps
            .rules
            .live()?
            .into_iter()
            .map(|(id, rule)| (id, rule.generation))
            .collect();
        let is_stale =
            |flow: &Flow| flow.rule != RuleId(0) && rules.get(&flow.rule) != Some(&flow.generation);
        let mut suspects = Vec::new();
        let mut quiet = 0;
        let entries = maps.flows.for_each_flow(|key, flow| {
            if now.since(flow.last_seen).0 < SHORTEST && !is_stale(flow) {
                return;
            }
            quiet += 1;
            if quiet > self.skip && suspects.len() < MOST {
                suspects.push(*key);
            }
        })?;
        // Quiet for long is not idle: without this, connections that rest would hide what lies behind them.
        self.skip = if suspects.len() == MOST {
            self.skip + MOST
        } else {
            0
        };
        let mut swept = Swept {
            entries,
            ..Swept::default()
        };
        for key in suspects {
            end(maps, &key, now, &is_stale, &mut swept)?;
        }
        Ok(swept)
    }
}

fn end(
    maps: &mut Maps,
    key: &FlowKey,
    now: Seconds,
    is_stale: &impl Fn(&Flow) -> bool,
    swept: &mut Swept,
) -> Result<(), MapsError> {
    let Some(flow) = maps.flows.get(key)? else {
        return Ok(());
    };
    match maps.flows.get(&flow.twin())? {
        Some(twin) if twin.nonce == flow.nonce && twin.twin() == *key => {
            let over = is_stale(&flow) || is_idle(&flow, &twin, now);
            if !over {
                return Ok(());
            }
            maps.flows.remove(key)?;
            maps.flows.remove(&flow.twin())?;
            swept.ended += 1;
        }
        // A flow is born answers first: a young half may be about to get its twin.
        _ if now.since(flow.created).0 >= SHORTEST => {
            maps.flows.remove(key)?;
            swept.orphans += 1;
        }
        _ => {}
    }
    Ok(())
}

/// Ends every flow that `gone` says so of; returns how many entries went.
///
/// # Errors
///
/// What bpf(2) fails with.
pub fn purge(maps: &mut Maps, mut gone: impl FnMut(&FlowKey, &Flow) -> bool) -> Result<usize, MapsError> {
    let mut keys = Vec::new();
    maps.flows.for_each_flow(|key, flow| {
        if gone(key, flow) {
            keys.push(*key);
            keys.push(flow.twin());
        }
    })?;
    keys.sort_unstable();
    keys.dedup();
    maps.flows.remove_all(&keys)
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
    use netmap_common::maps::Kind;

    use super::*;

    fn udp(last_seen: u32, packets: u64) -> Flow {
        let to = FlowKey {
            protocol: 17,
            ..FlowKey::default()
        };
        let kind = Kind::Published as u8;
        Flow {
            to,
            kind,
            last_seen: Seconds(last_seen),
            packets,
            ..Flow::default()
        }
    }

    #[test]
    fn either_direction_keeps_a_flow_alive() {
        let (original, reply) = (
            udp(100, 1),
            Flow {
                side: Side::Reply as u8,
                ..udp(350, 1)
            },
        );
        assert!(!is_idle(&original, &reply, Seconds(649)));
        assert!(is_idle(&original, &reply, Seconds(650)));
        assert!(is_idle(&reply, &original, Seconds(650)));
    }

    #[test]
    fn an_unanswered_datagram_to_a_published_port_lives_half_a_minute() {
        let (original, reply) = (
            udp(100, 1),
            Flow {
                side: Side::Reply as u8,
                ..udp(100, 0)
            },
        );
        assert!(!is_idle(&original, &reply, Seconds(129)));
        assert!(is_idle(&original, &reply, Seconds(130)));
    }
}
