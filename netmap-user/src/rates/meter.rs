//! Rates of flows, rules and containers.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher as _,
    net::IpAddr,
    time::Duration,
};

use netmap_common::maps::{Flow, FlowKey, Generation, Ip, Kind, RuleId, Side};

use super::{
    Gain,
    remembered::{Before, MOST, Remembered, Total},
};
use crate::maps::Family;

/// Who opened a flow: a published rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Opener {
    /// A rule of IPv6; numbers are a family's own.
    pub is_ipv6: bool,
    /// Its number.
    pub rule: RuleId,
    /// Its generation. The same number with another is another rule.
    pub generation: Generation,
}

impl Opener {
    /// The rule with this number.
    pub fn new<A: Ip>(rule: RuleId, generation: Generation) -> Self {
        Self {
            is_ipv6: A::ANY.into().is_ipv6(),
            rule,
            generation,
        }
    }

    /// Of an entry of a flow, none where no rule opened it.
    pub fn of<A: Ip>(flow: &Flow<A>) -> Option<Self> {
        (flow.rule != RuleId::default()).then(|| Self::new::<A>(flow.rule, flow.generation))
    }
}

/// The container of a flow, by either of its entries: who was asked, or who asks where it goes out.
pub fn container<A: Ip>(key: &FlowKey<A>, flow: &Flow<A>) -> IpAddr {
    let leaves = matches!(flow.kind(), Some(Kind::Egress | Kind::Mapping));
    let address = match (flow.side(), leaves) {
        (Side::Original, true) | (Side::Reply, false) => key.src,
        (Side::Original, false) | (Side::Reply, true) => flow.to.dst,
    };
    address.into()
}

/// Goes over the flow tables again and again, and says what came between. Holds 14 MB at the most: where the tables have more than
/// 262,144 entries, a part of them by chance stands for all, and [`Rates::is_estimate`] says so.
#[derive(Debug)]
pub struct Meter {
    most: usize,
    hasher: RandomState,
    last: Option<(Duration, Remembered)>,
}

impl Default for Meter {
    fn default() -> Self {
        Self::new(MOST)
    }
}

/// What came between two looks.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    /// How long that was; none at the first look, which knows of nothing before.
    pub time: Option<Duration>,
    /// By the rule that opened the flow.
    pub rules: HashMap<Opener, Gain>,
    /// By the flow's container.
    pub containers: HashMap<IpAddr, Gain>,
    /// Of all flows.
    pub all: Gain,
    /// Whether it is reckoned from a part of the entries.
    pub is_estimate: bool,
}

/// One look at the tables: show it every entry, of both families.
#[derive(Debug)]
pub struct Lap<'meter> {
    meter: &'meter mut Meter,
    at: Duration,
    before: Option<Remembered>,
    now: Remembered,
    rates: Rates,
}

impl Meter {
    fn new(most: usize) -> Self {
        Self {
            most,
            hasher: RandomState::new(),
            last: None,
        }
    }

    /// Looks again, at a time of any clock that does not go back ([`crate::sys::monotonic_time`]).
    pub fn look(&mut self, at: Duration) -> Lap<'_> {
        let (time, before) = match self.last.take() {
            Some((last, before)) => (Some(at.saturating_sub(last)), Some(before)),
            None => (None, None),
        };
        let now = Remembered::new(self.most);
        Lap {
            meter: self,
            at,
            before,
            now,
            rates: Rates {
                time,
                ..Rates::default()
            },
        }
    }
}

impl Lap<'_> {
    /// Sees an entry, half a flow, each once. Says what that half has gained since the last look: none at the first one, and none for
    /// an entry that is not among those which stand for all.
    pub fn see<A: Family>(&mut self, key: &FlowKey<A>, flow: &Flow<A>) -> Option<Gain> {
        // A flow that is opened again under the same key counts anew.
        let hash = self
            .meter
            .hasher
            .hash_one((key, flow.nonce, flow.created.0, flow.side));
        let total = (flow.packets, flow.bytes);
        self.now.add(hash, total);
        let before = self.before.as_ref()?;
        let (is_new, (packets, bytes)) = match before.before(hash) {
            Before::Known(total) => (false, total),
            Before::New => (true, Total::default()),
            Before::NotChosen => return None,
        };
        let gain = Gain {
            packets: flow.packets.saturating_sub(packets),
            bytes: flow.bytes.saturating_sub(bytes),
            flows: u64::from(is_new && flow.side() == Side::Original),
        };
        if gain == Gain::default() {
            return Some(gain);
        }
        let weighed = times(gain, before.weight());
        self.rates.all += weighed;
        *self.rates.containers.entry(container(key, flow)).or_default() += weighed;
        if let Some(opener) = Opener::of(flow) {
            *self.rates.rules.entry(opener).or_default() += weighed;
        }
        Some(gain)
    }

    /// How long ago the last look was, if there was one.
    pub const fn time(&self) -> Option<Duration> {
        self.rates.time
    }

    /// That was all. The next look is at what comes from now on.
    pub fn end(self) -> Rates {
        let Self {
            meter,
            at,
            before,
            now,
            mut rates,
        } = self;
        rates.is_estimate = before.is_some_and(|before| before.weight() > 1);
        meter.last = Some((at, now));
        rates
    }
}

fn times(gain: Gain, weight: u64) -> Gain {
    Gain {
        packets: gain.packets.saturating_mul(weight),
        bytes: gain.bytes.saturating_mul(weight),
        flows: gain.flows.saturating_mul(weight),
    }
}

#[cfg(test)]
mod tests {
    use netmap_common::maps::{Address, Address6, Port, Protocol};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const RULE: RuleId = RuleId(7);

    /// The halves of flow number `port` from a client by a rule to a container.
    fn twins(port: u16, nonce: u32, packets: [u64; 2]) -> [(FlowKey<Address>, Flow); 2] {
        let (client, host, web) = (Address(1), Address(2), Address(3));
        let key = FlowKey::new(Protocol::Tcp, client, Port(port), host, Port(8080));
        let to = FlowKey::new(Protocol::Tcp, client, Port(port), web, Port(80));
        let flow = |to, side: Side, packets| Flow {
            to,
            nonce,
            rule: RULE,
            generation: Generation(1),
            kind: Kind::Published as u8,
            side: side as u8,
            packets,
            bytes: packets * 100,
            ..Flow::default()
        };
        let [original, reply] = packets;
        [
            (key, flow(to, Side::Original, original)),
            (to.reversed(), flow(key.reversed(), Side::Reply, reply)),
        ]
    }

    fn look(meter: &mut Meter, at: Duration, entries: &[(FlowKey, Flow)]) -> Rates {
        let mut lap = meter.look(at);
        for (key, flow) in entries {
            lap.see(key, flow);
        }
        lap.end()
    }

    #[test]
    fn only_what_came_since_the_last_look_counts_for_the_rule_and_the_container() {
        let mut meter = Meter::default();
        let old = twins(1, 5, [10, 20]);
        let first = look(&mut meter, SECOND, &old);
        assert!(first.time.is_none() && first.rules.is_empty() && first.all == Gain::default());

        // The old flow goes on, and there is a new one; a third has ended meanwhile, or never was.
        let entries = [twins(1, 5, [13, 21]), twins(2, 6, [2, 1])].concat();
        let second = look(&mut meter, 3 * SECOND, &entries);
        let expected = Gain {
            packets: 3 + 1 + 2 + 1,
            bytes: 700,
            flows: 1,
        };
        let opener = Opener::new::<Address>(RULE, Generation(1));
        assert_eq!(second.time, Some(2 * SECOND));
        assert_eq!(second.rules, HashMap::from([(opener, expected)]));
        assert_eq!(second.containers, HashMap::from([(Address(3).into(), expected)]));
        assert!(second.all == expected && !second.is_estimate);

        // Nothing came, and one is gone, which takes nothing back.
        let third = look(&mut meter, 4 * SECOND, &entries[..2]);
        assert!(third.rules.is_empty() && third.all == Gain::default());
        // The same addresses and ports, another flow.
        let again = look(&mut meter, 5 * SECOND, &twins(1, 9, [1, 0]));
        assert_eq!((again.all.packets, again.all.flows), (1, 1));
    }

    #[test]
    fn a_part_of_a_large_table_stands_for_all_of_it() {
        const FLOWS: u16 = 20_000;
        let mut meter = Meter::new(4_096);
        let entries =
            |packets| -> Vec<_> { (0..FLOWS).flat_map(|port| twins(port, 1, [packets, 0])).collect() };
        look(&mut meter, SECOND, &entries(1));
        let rates = look(&mut meter, 2 * SECOND, &entries(3));
        let expected = u64::from(FLOWS) * 2;
        assert!(rates.is_estimate);
        assert!(rates.all.packets.abs_diff(expected) < expected / 5, "{rates:?}");
        assert_eq!(rates.all.flows, 0);
    }

    #[test]
    fn a_container_is_who_is_asked_or_who_asks() {
        let web: IpAddr = Address(3).into();
        for (key, flow) in twins(1, 1, [1, 1]) {
            assert_eq!(container(&key, &flow), web);
        }
        let (own, out) = (Address6([1, 0, 0, 1]), Address6([9, 0, 0, 9]));
        let key = FlowKey::new(Protocol::Udp, own, Port(5), out, Port(53));
        let to = FlowKey {
            src: Address6([2, 0, 0, 2]),
            ..key
        };
        let flow = |to, side: Side| Flow::<Address6> {
            to,
            kind: Kind::Egress as u8,
            side: side as u8,
            ..bytemuck::Zeroable::zeroed()
        };
        assert_eq!(container(&key, &flow(to, Side::Original)), IpAddr::from(own));
        let reply = flow(key.reversed(), Side::Reply);
        assert_eq!(container(&to.reversed(), &reply), IpAddr::from(own));
        assert_eq!(Opener::of(&reply), None);
        assert!(Opener::new::<Address6>(RULE, Generation(1)).is_ipv6);
    }
}
