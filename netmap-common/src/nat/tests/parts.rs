//! The data path in parts, one program after the other, makes the same of a packet as in one.

use proptest::prelude::*;

use super::{
    properties::{Path, answer_to, noise, places, samples, spoiled},
    *,
};
use crate::nat::{Carried, Part, Step, process_part};

/// One packet after the other as the programs hand it on.
fn process_in_parts(frame: &mut [u8], world: &World, hook: Hook) -> Result<Carried, Reason> {
    let mut part = Part::Known;
    // Known, Open, Known.
    for _ in 0..3 {
        match process_part(frame, world, hook, part)? {
            Step::Done(carried) => return Ok(carried),
            Step::Next(next) => part = next,
        }
    }
    panic!("a packet is handed on and on")
}

/// What became of a packet.
struct Shown {
    result: Result<Carried, Reason>,
    output: Vec<u8>,
}

/// Two hosts, one of each kind.
struct Hosts {
    whole: Host,
    parts: Host,
}

impl Hosts {
    fn new() -> Self {
        Self {
            whole: Host::with_8080(),
            parts: Host::with_8080(),
        }
    }

    /// Both make the same of it: gives what.
    fn show(&self, place: Place, frame: &[u8]) -> Shown {
        let (expected, output) = self.whole.run(place, frame);
        self.parts.world.arrival.set(place.1);
        let mut bytes = frame.to_vec();
        let found = process_in_parts(&mut bytes, &self.parts.world, place.0);
        assert_eq!(found, expected, "{frame:x?} at {place:?}");
        assert_eq!(bytes, output, "{frame:x?} at {place:?}");
        assert_eq!(*self.parts.world.flows.borrow(), *self.whole.world.flows.borrow());
        assert_eq!(
            *self.parts.world.fragments.borrow(),
            *self.whole.world.fragments.borrow()
        );
        Shown {
            result: expected,
            output,
        }
    }

    fn tick(&self) {
        self.whole.tick();
        self.parts.tick();
    }

    fn retire(&self, id: RuleId) {
        self.whole.world.retire(id);
        self.parts.world.retire(id);
    }
}

/// What happens after a question has got through.
#[derive(Clone, Debug)]
enum Then {
    Nothing,
    Again,
    Answer,
    Error(usize),
    InPieces(usize),
    Unpublished,
    ASecond,
}

fn then() -> impl Strategy<Value = Then> {
    prop_oneof![
        Just(Then::Nothing),
        Just(Then::Again),
        Just(Then::Answer),
        (0usize..120).prop_map(Then::Error),
        (1usize..5).prop_map(Then::InPieces),
        Just(Then::Unpublished),
        Just(Then::ASecond),
    ]
}

fn follow(hosts: &Hosts, (there, _, _, back): Path, request: &Sample, then: &Then) {
    let Shown { result, output } = hosts.show(there, &request.bytes());
    if result.is_err() {
        return;
    }
    let inside = Sample::read(&output);
    let answer = answer_to(&inside).bytes();
    match *then {
        Then::Nothing => {}
        Then::Again => {
            hosts.show(there, &request.bytes());
        }
        Then::Answer => {
            hosts.show(back, &answer);
        }
        Then::Error(quoted) => {
            let error = error(kind::UNREACHABLE, kind::PORT, inside.dst, &inside, quoted);
            hosts.show(back, &error.bytes());
        }
        Then::InPieces(cut) => {
            let plain = request.options(header::options(0)).bytes();
            let content = &plain[CONTENT..];
            let at = (cut * 8).min(content.len());
            hosts.show(there, &piece(&plain, 9, 0, &content[..at], true));
            hosts.show(there, &piece(&plain, 9, cut * 8, &content[at..], false));
        }
        Then::Unpublished => {
            hosts.retire(RuleId(1));
            hosts.show(back, &answer);
            hosts.show(there, &request.bytes());
        }
        Then::ASecond => {
            hosts.tick();
            hosts.show(back, &answer);
            hosts.show(there, &request.bytes());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_packet_of_a_flow_becomes_the_same(steps in prop::collection::vec((samples(), then()), 1..6)) {
        let hosts = Hosts::new();
        for ((path, request), then) in &steps {
            follow(&hosts, *path, request, then);
        }
    }

    #[test]
    fn what_is_no_packet_becomes_the_same(
        frames in prop::collection::vec((places(), prop_oneof![spoiled(), noise()]), 1..8),
    ) {
        let hosts = Hosts::new();
        for (place, frame) in &frames {
            hosts.show(*place, frame);
        }
    }
}

#[test]
fn a_full_table_and_a_full_pool_refuse_alike() {
    let mut hosts = Hosts::new();
    for host in [&mut hosts.whole, &mut hosts.parts] {
        host.world.flow_capacity = 5;
        host.world.settings.pool = [PortRange {
            first: Port(2_000),
            last: Port(2_000),
        }; 2];
    }
    let show = |place, packet: Sample| {
        hosts
            .show(place, &packet.bytes())
            .result
            .map(|carried| carried.reason)
    };
    assert_eq!(show(C1_PORT, udp(c1(30_000), r(53))), Ok(Reason::EgressOut));
    assert_eq!(
        show(C1B_PORT, udp(c1b(30_000), r(53))),
        Err(Reason::PortsExhausted)
    );
    assert_eq!(
        show(UPLINK_IN, tcp(SYN, r(40_000), h(8_080))),
        Ok(Reason::PublishedIn)
    );
    assert_eq!(
        show(UPLINK_IN, tcp(SYN, r(40_001), h(8_080))),
        Err(Reason::TableFull)
    );
}

#[test]
fn what_has_the_key_of_another_flows_answers_is_not_handed_on_and_on() {
    let hosts = Hosts::new();
    hosts.show(UPLINK_OUT, &udp(c1b(30_000), c1(80)).bytes());
    let shown = hosts.show(UPLINK_OUT, &udp(c1(80), h(30_000)).bytes());
    assert_eq!(shown.result, Err(Reason::SpoofedSource));
}
