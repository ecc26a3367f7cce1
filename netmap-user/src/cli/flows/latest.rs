//! The flows that had a packet last, a given number of them.

use std::{cmp::Reverse, collections::BTreeMap};

use netmap_common::maps::{FlowKey, Seconds};

use super::Twins;

/// Keeps the latest flows and forgets the others as they come, so that it never holds more than it was asked for.
#[derive(Debug)]
pub(super) struct Latest {
    most: usize,
    /// In the order in which they are printed.
    flows: BTreeMap<(Reverse<Seconds>, FlowKey), Twins>,
}

impl Latest {
    pub(super) const fn new(most: usize) -> Self {
        Self {
            most,
            flows: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, twins: Twins) {
        let last_seen = twins.original.last_seen.max(twins.reply.last_seen);
        self.flows.insert((Reverse(last_seen), twins.key), twins);
        if self.flows.len() > self.most {
            self.flows.pop_last();
        }
    }

    /// The one that had a packet last first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Twins> {
        self.flows.values()
    }
}

#[cfg(test)]
mod tests {
    use netmap_common::maps::{Flow, Port};

    use super::*;

    #[test]
    fn either_direction_counts_and_the_rest_is_forgotten() {
        let mut latest = Latest::new(2);
        for (port, original, reply) in [(1, 5, 0), (2, 1, 9), (3, 4, 4), (4, 0, 5)] {
            let seen = |seconds| Flow {
                last_seen: Seconds(seconds),
                ..Flow::default()
            };
            let key = FlowKey {
                src_port: Port(port),
                ..FlowKey::default()
            };
            latest.add(Twins {
                key,
                original: seen(original),
                reply: seen(reply),
            });
            assert!(latest.flows.len() <= 2);
        }
        let ports: Vec<_> = latest.iter().map(|twins| twins.key.src_port.0).collect();
        assert_eq!(ports, [2, 1]);
    }
}
