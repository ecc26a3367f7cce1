//! One lap over the flow tables, entry by entry: what is carried by rule and by container, and the busiest flows.
//!
//! It needs no look-up for an entry's twin but for the flows that are shown in the end.

use std::{collections::HashMap, net::IpAddr};

use netmap_common::{
    maps::{Address, Address6, Flow, FlowKey, Ip, Kind, Protocol, RuleId, Seconds, Side},
    nat::state_name,
};

use super::{
    busiest::Busiest,
    memory::{Growth, Id, Memory},
    sample::{FlowLine, RuleKey, Traffic},
    wish::{FlowOrder, Wish},
};
use crate::api::flows::last_seen;

/// Containers that are counted by themselves at most; a host has fewer, but somebody may invent addresses.
const CONTAINERS: usize = 1 << 16;

/// What was counted of a rule or a container, since the lap before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) traffic: Traffic,
    pub(super) flows: u64,
    /// Flows opened in the whole seconds of the lap.
    pub(super) opened: u64,
}

/// What a lap adds up.
pub(super) struct Walk<'lap> {
    memory: &'lap mut Memory,
    wish: &'lap Wish,
    /// The whole seconds in which flows are new: from the first, before the last.
    new: (Seconds, Seconds),
    now: Seconds,
    turn: u64,
    pub(super) rules: HashMap<RuleKey, Sum>,
    pub(super) containers: HashMap<IpAddr, Sum>,
    pub(super) all: Sum,
    /// Entries of either family.
    pub(super) entries: [u64; 2],
    busiest: Busiest<Entry>,
}

/// An entry that may be shown.
#[derive(Clone, Copy, Debug)]
pub(super) enum Entry {
    /// Of IPv4.
    V4(FlowKey, Flow),
    /// Of IPv6.
    V6(FlowKey<Address6>, Flow<Address6>),
}

/// A family whose entries can be kept.
pub(super) trait Kept: Ip {
    const IS_V6: bool;
    fn entry(key: FlowKey<Self>, flow: Flow<Self>) -> Entry;
}

impl Kept for Address {
    const IS_V6: bool = false;
    fn entry(key: FlowKey, flow: Flow) -> Entry {
        Entry::V4(key, flow)
    }
}

impl Kept for Address6 {
    const IS_V6: bool = true;
    fn entry(key: FlowKey<Self>, flow: Flow<Self>) -> Entry {
        Entry::V6(key, flow)
    }
}

impl<'lap> Walk<'lap> {
    /// A lap at `now`, after one at `before`.
    pub(super) fn new(
        memory: &'lap mut Memory,
        wish: &'lap Wish,
        before: Option<Seconds>,
        now: Seconds,
    ) -> Self {
        Self {
            memory,
            wish,
            new: (before.unwrap_or(now), now),
            now,
            turn: 0,
            rules: HashMap::new(),
            containers: HashMap::new(),
            all: Sum::default(),
            entries: [0; 2],
            busiest: Busiest::new(wish.flows.saturating_mul(2)),
        }
    }

    /// Adds an entry.
    pub(super) fn see<A: Kept>(&mut self, key: &FlowKey<A>, flow: &Flow<A>) {
        let [v4, v6] = &mut self.entries;
        *(if A::IS_V6 { v6 } else { v4 }) += 1;
        let Some(kind) = flow.kind() else { return };
        if kind == Kind::Mapping {
            // No flow: it keeps a port for others, and no packet is its own.
            return;
        }
        let share = self.memory.share();
        let grown = self.memory.see(flow);
        let looked = grown.unwrap_or_default();
        let is_original = flow.side() == Side::Original;
        let (first, end) = self.new;
        let sum = Sum {
            traffic: traffic(kind, flow.side(), looked, share),
            flows: is_original.into(),
            opened: (is_original && first <= flow.created && flow.created < end).into(),
        };
        self.all.add(sum);
        let rule = rule_of(flow);
        if let Some(rule) = rule {
            self.rules.entry(rule).or_default().add(sum);
        }
        let (container, client) = containers_of(key, flow, kind);
        self.add_container(container, sum);
        if let Some(client) = client {
            let turned = Sum {
                traffic: sum.traffic.turned(),
                ..sum
            };
            self.add_container(client, turned);
        }
        if grown.is_some()
            && self
                .wish
                .focus
                .includes(key, flow, rule, [Some(container), client])
        {
            let score = match self.wish.order {
                FlowOrder::Bytes => looked.bytes,
                FlowOrder::Packets => looked.packets,
                FlowOrder::Total => flow.bytes,
                FlowOrder::Newest => flow.created.0.into(),
            };
            self.busiest
                .offer((score, flow.last_seen.0.into()), self.turn, || {
                    A::entry(*key, *flow)
                });
            self.turn += 1;
        }
    }

    fn add_container(&mut self, address: IpAddr, sum: Sum) {
        if self.containers.len() < CONTAINERS || self.containers.contains_key(&address) {
            self.containers.entry(address).or_default().add(sum);
        }
    }

    /// The entries whose flows are to be shown, the busiest first, each of another flow.
    pub(super) fn take_busiest(&mut self) -> Vec<Entry> {
        let busiest = std::mem::replace(&mut self.busiest, Busiest::new(0));
        let mut seen = std::collections::HashSet::new();
        let first_of_flow = |entry: &Entry| {
            seen.insert(match entry {
                Entry::V4(_, flow) => Id::of(flow).flow(),
                Entry::V6(_, flow) => Id::of(flow).flow(),
            })
        };
        busiest
            .into_items()
            .filter(first_of_flow)
            .take(self.wish.flows)
            .collect()
    }

    /// A flow out of one of its entries, with what `twin` finds. Rates are still what it has grown.
    pub(super) fn flow<A: Kept>(
        &self,
        key: &FlowKey<A>,
        flow: &Flow<A>,
        twin: impl FnOnce(&FlowKey<A>) -> Option<Flow<A>>,
    ) -> Option<FlowLine> {
        let other_key = flow.twin();
        let other = twin(&other_key).filter(|other| other.nonce == flow.nonce && other.twin() == *key)?;
        let (key, original, reply) = match flow.side() {
            Side::Original => (*key, flow, &other),
            Side::Reply => (other_key, &other, flow),
        };
        let kind = original.kind()?;
        let grown = |entry: &Flow<A>| self.memory.grown(Id::of(entry)).unwrap_or_default();
        let mut there = traffic(kind, Side::Original, grown(original), 1);
        there.add(traffic(kind, Side::Reply, grown(reply), 1));
        Some(FlowLine {
            protocol: Protocol::from_number(key.protocol).map_or("unknown", Protocol::name),
            kind: kind.name(),
            state: state_name(original, reply),
            original: key.into(),
            translated: original.to.into(),
            rule: rule_of(original),
            traffic: there,
            bytes: original.bytes.saturating_add(reply.bytes),
            age: self.now.since(original.created).0,
            idle: self.now.since(last_seen(original, reply)).0,
        })
    }
}

impl Sum {
    fn add(&mut self, more: Self) {
        self.traffic.add(more.traffic);
        self.flows += more.flows;
        self.opened += more.opened;
    }
}

impl Traffic {
    fn add(&mut self, more: Self) {
        self.bytes_in = self.bytes_in.saturating_add(more.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(more.bytes_out);
        self.packets_in = self.packets_in.saturating_add(more.packets_in);
        self.packets_out = self.packets_out.saturating_add(more.packets_out);
    }

    /// As the other end sees it.
    const fn turned(self) -> Self {
        Self {
            bytes_in: self.bytes_out,
            bytes_out: self.bytes_in,
            packets_in: self.packets_out,
            packets_out: self.packets_in,
        }
    }
}

fn rule_of<A: Kept>(flow: &Flow<A>) -> Option<RuleKey> {
    (flow.rule != RuleId::default()).then_some(RuleKey {
        is_v6: A::IS_V6,
        rule: flow.rule.0,
        generation: flow.generation.0,
    })
}

/// What an entry has grown, as its container sees it: only where the container opened the flow, answers go in.
const fn traffic(kind: Kind, side: Side, grown: Growth, share: u64) -> Traffic {
    let is_in = matches!(kind, Kind::Egress) != matches!(side, Side::Original);
    let (bytes, packets) = (
        grown.bytes.saturating_mul(share),
        grown.packets.saturating_mul(share),
    );
    if is_in {
        Traffic {
            bytes_in: bytes,
            packets_in: packets,
            bytes_out: 0,
            packets_out: 0,
        }
    } else {
        Traffic {
            bytes_in: 0,
            packets_in: 0,
            bytes_out: bytes,
            packets_out: packets,
        }
    }
}

/// The container that a flow is of, and the one that is its client.
fn containers_of<A: Ip>(key: &FlowKey<A>, flow: &Flow<A>, kind: Kind) -> (IpAddr, Option<IpAddr>) {
    let is_original = flow.side() == Side::Original;
    let (opener, target) = if is_original {
        (key.src, flow.to.dst)
    } else {
        (flow.to.dst, key.src)
    };
    match kind {
        Kind::Egress => (opener.into(), None),
        Kind::Hairpin => (target.into(), Some(opener.into())),
        _ => (target.into(), None),
    }
}

#[cfg(test)]
mod tests;
