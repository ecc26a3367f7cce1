//! The table of flows against a plain map: whatever happens, in whatever order.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{
    properties::{Path, answer_to},
    *,
};
use crate::maps::FlowKey;

/// After so long the sweeper ends an idle flow here.
const IDLE: u32 = 100;

/// What happens.
#[derive(Clone, Debug)]
enum Deed {
    /// A packet of a client: it opens a flow, or belongs to one.
    Ask { path: usize, port: u16, tcp: Option<u8> },
    /// An answer to one of the flows there are, with these flags.
    Answer(prop::sample::Index, u8),
    /// Time passes.
    Wait(u32),
    /// The sweeper ends what is idle.
    Sweep,
    /// A rule is taken away.
    Unpublish(u32),
    /// A rule is published anew, its container at another place.
    Move(u32, bool),
    /// There is room for so many entries more than there are; none: for any number.
    Room(Option<usize>),
}

fn deeds() -> impl Strategy<Value = Deed> {
    let flags = prop::sample::select(vec![SYN, ACK, SYN | ACK, FIN | ACK, RST]);
    prop_oneof![
        8 => (0..PATHS.len(), 0u16..4, prop::option::of(prop_oneof![3 => Just(SYN), 1 => flags.clone()]))
            .prop_map(|(path, port, tcp)| Deed::Ask { path, port: 30_000 + port, tcp }),
        6 => (any::<prop::sample::Index>(), flags).prop_map(|(index, flags)| Deed::Answer(index, flags)),
        2 => (1u32..60).prop_map(Deed::Wait),
        1 => Just(Deed::Sweep),
        1 => (1u32..=2).prop_map(Deed::Unpublish),
        2 => (1u32..=2, any::<bool>()).prop_map(|(rule, away)| Deed::Move(rule, away)),
        1 => prop::option::of(0usize..6).prop_map(Deed::Room),
    ]
}

/// The place where answers come is found by what a packet became.
const PATHS: [Path; 5] = [
    (UPLINK_IN, r, h, C1_PORT),
    (C1_PORT, c1, r, UPLINK_IN),
    (C1B_PORT, c1b, r, UPLINK_IN),
    (C2_PORT, c2, gw2, C1_PORT),
    (C1_PORT, c1, h, C1_PORT),
];

/// A flow as the model has it.
#[derive(Clone, Debug)]
struct Expected {
    question: Sample,
    inside: Sample,
    back: Place,
    /// Its rule, and the rule's generation.
    rule: Option<(RuleId, Generation)>,
    seen: Seconds,
}

struct Model {
    host: Host,
    flows: BTreeMap<FlowKey<Address>, Expected>,
}

impl Model {
    fn generation(&self, rule: RuleId) -> Generation {
        self.host.world.rules.borrow()[&rule].generation
    }

    fn counts(&self, flow: &Expected) -> bool {
        flow.rule
            .is_none_or(|(rule, generation)| self.generation(rule) == generation)
    }

    fn do_it(&mut self, deed: &Deed) {
        match *deed {
            Deed::Ask { path, port, tcp } => self.ask(PATHS[path], port, tcp),
            Deed::Answer(index, flags) => self.answer(index, flags),
            Deed::Wait(seconds) => {
                let now = self.host.world.now.get();
                self.host.world.now.set(Seconds(now.0 + seconds));
            }
            Deed::Sweep => self.sweep(),
            Deed::Unpublish(rule) => self.host.world.retire(RuleId(rule)),
            Deed::Move(rule, away) => {
                self.host.world.retire(RuleId(rule));
                let mut rules = self.host.world.rules.borrow_mut();
                let rule = rules.get_mut(&RuleId(rule)).unwrap();
                rule.target = at(if away { c1b(0) } else { c1(0) });
                rule.flags = Rule::LIVE;
            }
            Deed::Room(room) => {
                let entries = self.host.world.flows.borrow().len();
                self.host.world.flow_capacity = room.map_or(0, |room| (entries + room).max(1));
            }
        }
    }

    fn ask(&mut self, (place, client, server, back): Path, port: u16, flags: Option<u8>) {
        let is_egress = back == UPLINK_IN;
        let to = server(if is_egress { 443 } else { 8_080 });
        let (protocol, rule, question) = match flags {
            Some(flags) => (Protocol::Tcp, 1, tcp(flags, client(port), to)),
            None => (Protocol::Udp, 2, udp(client(port), to)),
        };
        let key = key(protocol, question.src, question.dst);
        let known = self.flows.remove(&key);
        let (result, output) = self.host.run(place, &question.bytes());
        let now = self.host.world.now.get();
        if let Some(known) = known.filter(|known| self.counts(known)) {
            assert!(result.is_ok(), "a flow is lost: {result:?} of {question:?}");
            let inside = Sample::read(&output);
            assert_eq!((inside.src, inside.dst), (known.inside.src, known.inside.dst));
            self.flows.insert(key, Expected { seen: now, ..known });
            return;
        }
        let opens = flags.is_none_or(|flags| flags == SYN);
        let rule = (!is_egress).then_some(RuleId(rule));
        let is_live = rule.is_none_or(|rule| self.host.world.rules.borrow()[&rule].is_live());
        match result {
            Ok(_) => {
                assert!(opens && is_live, "nobody may open that: {question:?}");
                let inside = Sample::read(&output);
                let back = match inside.dst.ip() {
                    _ if is_egress => UPLINK_IN,
                    ip if *ip == *c1b(0).ip() => C1B_PORT,
                    _ => C1_PORT,
                };
                let flow = Expected {
                    question,
                    inside,
                    back,
                    rule: rule.map(|rule| (rule, self.generation(rule))),
                    seen: now,
                };
                self.flows.insert(key, flow);
            }
            Err(Reason::MidFlow) => assert!(!opens),
            Err(Reason::ToHost) => assert!(!is_live),
            Err(Reason::TableFull) => assert_ne!(self.host.world.flow_capacity, 0),
            Err(why) => panic!("{} for {question:?}", why.name()),
        }
    }

    fn answer(&mut self, index: prop::sample::Index, flags: u8) {
        if self.flows.is_empty() {
            return;
        }
        let key = *index.get(&self.flows.keys().copied().collect::<Vec<_>>());
        let known = self.flows[&key].clone();
        let answer = match known.inside.content {
            Content::Tcp(_) => answer_to(&known.inside).flags(flags),
            _ => answer_to(&known.inside),
        };
        let (result, output) = self.host.run(known.back, &answer.bytes());
        if !self.counts(&known) {
            assert_eq!(result.map(drop), Err(Reason::Unpublished));
            self.flows.remove(&key);
            return;
        }
        assert!(result.is_ok(), "a flow is lost: {result:?} of {answer:?}");
        let outside = Sample::read(&output);
        assert_eq!(
            (outside.src, outside.dst),
            (known.question.dst, known.question.src)
        );
        self.flows.get_mut(&key).unwrap().seen = self.host.world.now.get();
    }

    fn sweep(&mut self) {
        let now = self.host.world.now.get();
        let is_idle = |flow: &Expected| now.since(flow.seen).0 > IDLE;
        let mut table = self.host.world.flows.borrow_mut();
        for (key, _) in self.flows.iter().filter(|(_, flow)| is_idle(flow)) {
            let entry = table.remove(key).unwrap();
            table.remove(&entry.twin());
        }
        drop(table);
        self.flows.retain(|_, flow| !is_idle(flow));
    }

    /// The table has the model's flows and nothing else.
    fn check(&self) {
        let table = self.host.world.flows.borrow();
        let mut answers = BTreeSet::new();
        for (key, flow) in &self.flows {
            let entry = &table[key];
            let twin = &table[&entry.twin()];
            assert_eq!((twin.twin(), twin.nonce), (*key, entry.nonce));
            assert_eq!((entry.side(), twin.side()), (Side::Original, Side::Reply));
            assert_eq!((entry.rule, entry.generation), flow.rule.unwrap_or_default());
            assert!(answers.insert(entry.twin()), "two flows share their answers");
        }
        assert_eq!(table.len(), self.flows.len() * 2);
        let capacity = self.host.world.flow_capacity;
        assert!(capacity == 0 || table.len() <= capacity);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_table_has_the_flows_that_a_plain_map_has(deeds in prop::collection::vec(deeds(), 1..60)) {
        let mut model = Model {
            host: Host::with_8080(),
            flows: BTreeMap::new(),
        };
        for deed in &deeds {
            model.do_it(deed);
            model.check();
        }
    }
}
