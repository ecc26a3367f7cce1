//! The flows that had a packet last, a given number of them.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
};

use netmap_common::maps::{Flow, FlowKey, Ip, Port, Seconds};

use super::FlowRow;

/// A flow's place in the order in which flows are printed, which no other has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    last_seen: Reverse<Seconds>,
    /// IPv4's among IPv6's, as mapped ones.
    addresses: [Ipv6Addr; 2],
    ports: [Port; 2],
    protocol: u8,
}

impl Turn {
    pub(super) fn new<A: Ip>(key: &FlowKey<A>, original: &Flow<A>, reply: &Flow<A>) -> Self {
        let mapped = |address: A| match address.into() {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        Self {
            last_seen: Reverse(original.last_seen.max(reply.last_seen)),
            addresses: [mapped(key.src), mapped(key.dst)],
            ports: [key.src_port, key.dst_port],
            protocol: key.protocol,
        }
    }
}

/// Keeps the latest flows and forgets the others as they come, so that it never holds more than it was asked for.
#[derive(Debug)]
pub(super) struct Latest {
    most: usize,
    /// In the order in which they are printed.
    rows: BTreeMap<Turn, FlowRow>,
}

impl Latest {
    pub(super) const fn new(most: usize) -> Self {
        Self {
            most,
            rows: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, turn: Turn, row: FlowRow) {
        self.rows.insert(turn, row);
        if self.rows.len() > self.most {
            self.rows.pop_last();
        }
    }

    /// The one that had a packet last first.
    pub(super) fn into_rows(self) -> impl Iterator<Item = FlowRow> {
        self.rows.into_values()
    }
}

#[cfg(test)]
mod tests {
    use netmap_common::maps::{Address, Address6};

    use super::*;

    fn add<A: Ip>(latest: &mut Latest, port: u16, seen: [u32; 2]) {
        let [original, reply] = seen.map(|seconds| Flow {
            last_seen: Seconds(seconds),
            ..bytemuck::Zeroable::zeroed()
        });
        let key = FlowKey::<A> {
            src_port: Port(port),
            ..FlowKey::default()
        };
        let row = FlowRow::new(key, &original, &reply, Seconds(10));
        latest.add(Turn::new(&key, &original, &reply), row);
    }

    #[test]
    fn either_direction_of_either_family_counts_and_the_rest_is_forgotten() {
        let mut latest = Latest::new(2);
        for (port, seen) in [(1, [5, 0]), (2, [1, 9]), (3, [4, 4]), (4, [0, 5])] {
            add::<Address>(&mut latest, port, seen);
            assert!(latest.rows.len() <= 2);
        }
        add::<Address6>(&mut latest, 5, [3, 3]);
        add::<Address6>(&mut latest, 6, [7, 3]);
        let ports: Vec<_> = latest.into_rows().map(|row| row.original.sport).collect();
        assert_eq!(ports, [2, 6]);
    }
}
