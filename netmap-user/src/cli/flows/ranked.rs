//! The first flows of an order, a given number of them.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
};

use netmap_common::{
    maps::{Flow, FlowKey, Ip, Kind, Port},
    nat::state_name,
};

use super::FlowRow;
use crate::{
    api::flows::{STATES, last_seen},
    cli::args::FlowOrder,
    rates,
};

/// A flow's place in the order in which flows are printed, which no other has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    rank: u128,
    /// IPv4's among IPv6's, as mapped ones.
    addresses: [Ipv6Addr; 2],
    ports: [Port; 2],
    protocol: u8,
}

impl Turn {
    /// What is most or latest comes first, names and addresses go up.
    pub(super) fn new<A: Ip>(
        order: FlowOrder,
        key: &FlowKey<A>,
        original: &Flow<A>,
        reply: &Flow<A>,
    ) -> Self {
        let rank = match order {
            FlowOrder::Idle => downwards(last_seen(original, reply).0.into()),
            FlowOrder::Age => original.created.0.into(),
            FlowOrder::Bytes => downwards(original.bytes.saturating_add(reply.bytes)),
            FlowOrder::Packets => downwards(original.packets.saturating_add(reply.packets)),
            FlowOrder::Client => mapped(key.src.into()).to_bits(),
            FlowOrder::Container => mapped(rates::container(key, original)).to_bits(),
            FlowOrder::Port => key.dst_port.0.into(),
            FlowOrder::Protocol => key.protocol.into(),
            FlowOrder::Kind => original.kind().map_or(u8::MAX, |kind: Kind| kind as u8).into(),
            FlowOrder::State => {
                let state = state_name(original, reply);
                let place = STATES.iter().position(|name| *name == state);
                place.unwrap_or(STATES.len()) as u128
            }
        };
        Self {
            rank,
            addresses: [key.src, key.dst].map(|address| mapped(address.into())),
            ports: [key.src_port, key.dst_port],
            protocol: key.protocol,
        }
    }

    /// Its place where the last comes first.
    pub(super) fn reversed(self) -> Self {
        Self {
            rank: !self.rank,
            ..self
        }
    }
}

fn downwards(number: u64) -> u128 {
    u128::from(!number)
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// Keeps the first flows and forgets the others as they come, so that it never holds more than it was asked for.
#[derive(Debug)]
pub(super) struct Ranked {
    most: usize,
    /// In the order in which they are printed.
    rows: BTreeMap<Turn, FlowRow>,
}

impl Ranked {
    pub(super) const fn new(most: usize) -> Self {
        Self {
            most,
            rows: BTreeMap::new(),
        }
    }

    /// Makes a row of it only if there is a place for it.
    pub(super) fn add(&mut self, turn: Turn, row: impl FnOnce() -> FlowRow) {
        let is_full = self.rows.len() >= self.most;
        if is_full && self.rows.last_key_value().is_none_or(|(last, _)| turn > *last) {
            return;
        }
        self.rows.insert(turn, row());
        if self.rows.len() > self.most {
            self.rows.pop_last();
        }
    }

    /// The first one first.
    pub(super) fn into_rows(self) -> impl Iterator<Item = FlowRow> {
        self.rows.into_values()
    }
}

#[cfg(test)]
mod tests {
    use netmap_common::maps::{Address, Address6, Seconds};

    use super::*;

    fn add<A: Ip>(ranked: &mut Ranked, order: FlowOrder, port: u16, [one, other]: [u32; 2]) {
        let [original, reply] = [one, other].map(|number| Flow {
            last_seen: Seconds(number),
            bytes: number.into(),
            created: Seconds(one),
            ..bytemuck::Zeroable::zeroed()
        });
        let key = FlowKey::<A> {
            src_port: Port(port),
            dst_port: Port(100 - port),
            ..FlowKey::default()
        };
        ranked.add(Turn::new(order, &key, &original, &reply), || {
            FlowRow::new(key, &original, &reply, Seconds(10))
        });
    }

    #[test]
    fn either_direction_of_either_family_counts_and_the_rest_is_forgotten() {
        for (order, expected) in [
            (FlowOrder::Idle, [2, 6]),
            (FlowOrder::Bytes, [6, 2]),
            (FlowOrder::Age, [4, 2]),
            (FlowOrder::Port, [6, 5]),
        ] {
            let mut ranked = Ranked::new(2);
            for (port, seen) in [(1, [5, 0]), (2, [1, 9]), (3, [4, 4]), (4, [0, 5])] {
                add::<Address>(&mut ranked, order, port, seen);
                assert!(ranked.rows.len() <= 2);
            }
            add::<Address6>(&mut ranked, order, 5, [3, 3]);
            add::<Address6>(&mut ranked, order, 6, [7, 3]);
            let ports: Vec<_> = ranked.into_rows().map(|row| row.original.sport).collect();
            assert_eq!(ports, expected, "{order:?}");
        }
    }
}
