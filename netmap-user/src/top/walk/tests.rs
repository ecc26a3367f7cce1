use netmap_common::maps::{Generation, Port};

use super::{super::wish::Focus, *};

const NOW: Seconds = Seconds(1_000);
const RULE: RuleKey = RuleKey {
    is_v6: false,
    rule: 7,
    generation: 3,
};
const CLIENT: Address = Address(0xc000_0207);
const HOST: Address = Address(0xc633_6401);
const WEB: Address = Address(0xac1e_0102);
const OTHER: Address = Address(0xac1e_0103);

fn wish() -> Wish {
    Wish {
        flows: 10,
        order: FlowOrder::Bytes,
        focus: Focus::default(),
        paused: false,
    }
}

/// Both entries of a flow that turns `from` into `to`, with so many packets of 100 bytes each way.
fn flow(
    kind: Kind,
    nonce: u32,
    from: [Address; 2],
    to: [Address; 2],
    packets: [u64; 2],
) -> [(FlowKey, Flow); 2] {
    let key =
        |[src, dst]: [Address; 2], port| FlowKey::new(Protocol::Tcp, src, Port(40_000), dst, Port(port));
    let (from, to) = (key(from, 8080), key(to, 80));
    let entry = |to, side: Side, packets| Flow {
        to,
        kind: kind as u8,
        side: side as u8,
        nonce,
        rule: RuleId(if kind == Kind::Egress { 0 } else { RULE.rule }),
        generation: Generation(RULE.generation),
        created: Seconds(990),
        last_seen: NOW,
        packets,
        bytes: 100 * packets,
        ..Flow::default()
    };
    let [original, reply] = packets;
    [
        (from, entry(to, Side::Original, original)),
        (to.reversed(), entry(from.reversed(), Side::Reply, reply)),
    ]
}

fn published(nonce: u32, packets: [u64; 2]) -> [(FlowKey, Flow); 2] {
    flow(Kind::Published, nonce, [CLIENT, HOST], [CLIENT, WEB], packets)
}

fn bytes([bytes_in, bytes_out]: [u64; 2]) -> Traffic {
    Traffic {
        bytes_in,
        bytes_out,
        packets_in: bytes_in / 100,
        packets_out: bytes_out / 100,
    }
}

/// Two laps over these entries, the second one with what came between.
fn second<T>(
    wish: &Wish,
    first: &[(FlowKey, Flow)],
    second: &[(FlowKey, Flow)],
    look: impl FnOnce(Walk<'_>) -> T,
) -> T {
    let mut memory = Memory::default();
    let before = Seconds(998);
    let mut walk = Walk::new(&mut memory, wish, None, before);
    for (key, flow) in first {
        walk.see(key, flow);
    }
    assert_eq!(walk.all.traffic, Traffic::default());
    memory.end_lap(before);
    let mut walk = Walk::new(&mut memory, wish, Some(before), NOW);
    for (key, flow) in second {
        walk.see(key, flow);
    }
    look(walk)
}

#[test]
fn what_came_since_is_its_rules_and_its_containers() {
    second(
        &wish(),
        &published(1, [10, 20]),
        &published(1, [13, 25]),
        |walk| {
            let sum = Sum {
                traffic: bytes([300, 500]),
                flows: 1,
                opened: 0,
            };
            assert_eq!(walk.all, sum);
            assert_eq!(walk.rules, HashMap::from([(RULE, sum)]));
            assert_eq!(walk.containers, HashMap::from([(IpAddr::from(WEB), sum)]));
            assert_eq!(walk.entries, [2, 0]);
        },
    );
}

#[test]
fn a_new_flow_counts_whole_and_is_counted() {
    let young = published(2, [4, 0]).map(|(key, flow)| {
        let created = Seconds(999);
        (key, Flow { created, ..flow })
    });
    second(&wish(), &published(1, [10, 20]), &young, |walk| {
        // The first has ended: that takes nothing away.
        assert_eq!(walk.all.traffic, bytes([400, 0]));
        assert_eq!((walk.all.flows, walk.all.opened), (1, 1));
    });
}

#[test]
fn what_a_container_asks_goes_out_and_answers_come_in() {
    let egress = |packets| flow(Kind::Egress, 5, [WEB, CLIENT], [HOST, CLIENT], packets);
    second(&wish(), &egress([1, 1]), &egress([2, 8]), |walk| {
        assert!(walk.rules.is_empty());
        let web = walk.containers.get(&IpAddr::from(WEB)).unwrap();
        assert_eq!(web.traffic, bytes([700, 100]));
    });
}

#[test]
fn between_containers_both_have_it_and_the_whole_once() {
    let hairpin = |packets| flow(Kind::Hairpin, 5, [OTHER, HOST], [OTHER, WEB], packets);
    second(&wish(), &hairpin([1, 1]), &hairpin([2, 8]), |walk| {
        let of = |address| walk.containers.get(&IpAddr::from(address)).unwrap().traffic;
        assert_eq!(of(WEB), bytes([100, 700]));
        assert_eq!(of(OTHER), bytes([700, 100]));
        assert_eq!(walk.all.traffic, bytes([100, 700]));
    });
}

#[test]
fn mappings_are_no_flows() {
    let mapping = flow(Kind::Mapping, 5, [WEB, HOST], [HOST, HOST], [0, 0]);
    second(&wish(), &[], &mapping, |walk| {
        assert_eq!((walk.all, walk.entries), (Sum::default(), [2, 0]));
    });
}

#[test]
fn the_busiest_flow_stands_first_with_both_its_directions() {
    let first = [published(1, [0, 0]), published(2, [0, 0])].concat();
    let entries = [published(1, [1, 2]), published(2, [0, 9])].concat();
    second(&wish(), &first, &entries, |mut walk| {
        let nonces: Vec<_> = walk.take_busiest();
        let [Entry::V4(key, found), Entry::V4(_, next)] = &nonces[..] else {
            panic!("{nonces:?}");
        };
        assert_eq!((found.nonce, next.nonce), (2, 1));
        let twin = |key: &FlowKey| published(2, [0, 9]).into_iter().find(|(at, _)| at == key);
        let line = walk
            .flow(key, found, |key| twin(key).map(|(_, flow)| flow))
            .unwrap();
        assert_eq!(line.original.src, IpAddr::from(CLIENT));
        assert_eq!(line.translated.dst, IpAddr::from(WEB));
        assert_eq!(
            (line.traffic, line.rule, line.age),
            (bytes([0, 900]), Some(RULE), 10)
        );
        // Without its twin it is no flow.
        assert_eq!(walk.flow(key, found, |_| None), None);
    });
}

#[test]
fn only_flows_that_are_wanted_are_kept() {
    let other = flow(Kind::Egress, 5, [OTHER, CLIENT], [HOST, CLIENT], [9, 9]);
    let entries = [published(1, [1, 2]), other].concat();
    let focus = Focus::default();
    for (focus, expected) in [
        (focus, &[5, 1][..]),
        (
            Focus {
                rule: Some(RULE),
                ..focus
            },
            &[1],
        ),
        (
            Focus {
                container: Some(OTHER.into()),
                ..focus
            },
            &[5],
        ),
        (
            Focus {
                address: Some(WEB.into()),
                ..focus
            },
            &[1],
        ),
        (
            Focus {
                port: Some(80),
                ..focus
            },
            &[5, 1],
        ),
        (
            Focus {
                port: Some(81),
                ..focus
            },
            &[],
        ),
    ] {
        let wish = Wish { focus, ..wish() };
        let none = entries.iter().map(|(key, flow)| {
            let (packets, bytes) = (0, 0);
            (
                *key,
                Flow {
                    packets,
                    bytes,
                    ..*flow
                },
            )
        });
        second(&wish, &none.collect::<Vec<_>>(), &entries, |mut walk| {
            let found = walk.take_busiest().into_iter().map(|entry| match entry {
                Entry::V4(_, flow) => flow.nonce,
                Entry::V6(_, flow) => flow.nonce,
            });
            assert_eq!(found.collect::<Vec<_>>(), expected, "{focus:?}");
            // Rates are of all, whatever is shown.
            assert_eq!(walk.all.flows, 2);
        });
    }
}
