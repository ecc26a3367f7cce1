//! Packets of the same moment on two CPUs, in every order of what they do to the table of flows.

use super::{
    cpu::{Outcome, every_order},
    *,
};

#[test]
fn the_same_first_packet_twice_opens_one_flow_for_both() {
    let first = [
        (UPLINK_IN, tcp(SYN, r(40_000), h(8_080))),
        (UPLINK_IN, udp(r(40_000), h(8_080))),
        (C1_PORT, udp(c1(40_000), r(53))),
        (C1_PORT, ping(c1(77), r(0))),
        (C2_PORT, udp(c2(40_000), h(8_080))),
        (C1_PORT, tcp(SYN, c1(40_000), h(8_080))),
    ];
    for packet in first {
        let orders = every_order(
            || Host::with_8080().world,
            &[packet.clone(), packet],
            |world, outcomes| {
                assert_pairs(world, 1);
                let [(Ok(one), one_bytes), (Ok(two), two_bytes)] = outcomes else {
                    panic!("not carried: {outcomes:?}");
                };
                assert_eq!((one, one_bytes), (two, two_bytes));
                assert_answered(world, one_bytes);
            },
        );
        assert!(orders > 20, "only {orders} orders");
    }
}

#[test]
fn clients_whose_answers_would_be_the_same_get_different_ports() {
    let world = || {
        let mut host = Host::with_8080();
        host.world.publish(published(Protocol::Tcp, h(8_081), c1(80)));
        host.world
    };
    let packets = [8_080, 8_081].map(|port| (UPLINK_IN, tcp(SYN, r(40_000), h(port))));
    every_order(world, &packets, both_carried_apart);
}

#[test]
fn containers_that_want_one_port_get_different_ports() {
    let packets = [
        (C1_PORT, udp(c1(30_000), r(53))),
        (C1B_PORT, udp(c1b(30_000), r(53))),
    ];
    every_order(|| Host::new().world, &packets, both_carried_apart);
}

#[test]
fn the_last_free_port_goes_to_one_of_two() {
    let world = || {
        let mut host = Host::new();
        for range in &mut host.world.settings.pool {
            (range.first, range.last) = (Port(2_000), Port(2_000));
        }
        host.world
    };
    let packets = [
        (C1_PORT, udp(c1(40_000), r(53))),
        (C1B_PORT, udp(c1b(40_000), r(53))),
    ];
    every_order(world, &packets, |world, outcomes| {
        assert_pairs(world, 1);
        let refused = outcomes
            .iter()
            .filter(|(result, _)| *result == Err(Reason::PortsExhausted));
        assert_eq!(refused.count(), 1);
    });
}

#[test]
fn room_for_one_flow_and_a_half_never_keeps_a_half() {
    let world = || {
        let mut host = Host::with_8080();
        host.world.flow_capacity = 3;
        host.world
    };
    let packets = [40_000, 40_001].map(|port| (UPLINK_IN, udp(r(port), h(8_080))));
    every_order(world, &packets, |world, outcomes| {
        assert!(world.flows.borrow().len() <= 2);
        assert_pairs(world, world.flows.borrow().len() / 2);
        assert!(
            outcomes
                .iter()
                .any(|(result, _)| *result == Err(Reason::TableFull))
        );
    });
}

#[test]
fn both_directions_of_a_flow_whose_port_is_published_anew_leave_no_half() {
    let world = || {
        let mut host = Host::with_8080();
        host.send(UPLINK_IN, &udp(r(40_000), h(8_080)));
        host.world
            .rules
            .get_mut()
            .get_mut(&RuleId(2))
            .unwrap()
            .generation
            .0 += 1;
        host.world
    };
    let packets = [
        (UPLINK_IN, udp(r(40_000), h(8_080))),
        (C1_PORT, udp(c1(80), r(40_000))),
    ];
    every_order(world, &packets, |world, outcomes| {
        let [(Ok(_), inside), (answer, outside)] = outcomes else {
            panic!("the question is not carried: {outcomes:?}");
        };
        assert_eq!(Sample::read(inside).dst, c1(80));
        assert_answered(world, inside);
        match answer {
            Ok(_) if Sample::read(outside).src == h(8_080) => assert_pairs(world, 1),
            // It found its flow gone, and opened one of its own to the outside.
            Ok(_) => assert_pairs(world, 2),
            Err(why) => {
                assert_eq!(*why, Reason::Unpublished);
                assert_pairs(world, 1);
            }
        }
    });
}

#[test]
fn a_lost_half_is_replaced_once() {
    for lost in [
        key(Protocol::Udp, c1(30_000), r(53)),
        key(Protocol::Udp, r(53), h(30_000)),
    ] {
        let world = || {
            let host = Host::new();
            host.send(C1_PORT, &udp(c1(30_000), r(53)));
            host.world.flows.borrow_mut().remove(&lost);
            host.tick();
            host.world
        };
        let packet = (C1_PORT, udp(c1(30_000), r(53)));
        every_order(world, &[packet.clone(), packet], |world, outcomes| {
            assert_pairs(world, 1);
            let [(Ok(_), one), (Ok(_), two)] = outcomes else {
                panic!("not carried: {outcomes:?}");
            };
            assert_eq!(one, two);
            assert_answered(world, one);
        });
    }
}

fn both_carried_apart(world: &World, outcomes: &[Outcome]) {
    assert_pairs(world, 2);
    let sources: Vec<_> = outcomes
        .iter()
        .map(|(result, bytes)| {
            assert!(result.is_ok(), "{result:?}");
            assert_answered(world, bytes);
            Sample::read(bytes).src
        })
        .collect();
    assert_ne!(sources[0], sources[1]);
}

/// So many flows, and each entry's twin points back at it.
#[track_caller]
fn assert_pairs(world: &World, pairs: usize) {
    let flows = world.flows.borrow();
    assert_eq!(flows.len(), pairs * 2, "{flows:?}");
    for (key, flow) in flows.iter() {
        let twin = flows
            .get(&flow.twin())
            .unwrap_or_else(|| panic!("{key:?} has no twin"));
        assert_eq!((twin.twin(), twin.nonce), (*key, flow.nonce));
    }
}

/// The table has an entry for the answer to what went out.
#[track_caller]
fn assert_answered(world: &World, bytes: &[u8]) {
    let out = Sample::read(bytes);
    let flows = world.flows.borrow();
    let answers = |protocol| flows.contains_key(&key(protocol, out.dst, out.src));
    assert!(
        [Protocol::Tcp, Protocol::Udp, Protocol::Icmp]
            .into_iter()
            .any(answers),
        "{out:?}"
    );
}
