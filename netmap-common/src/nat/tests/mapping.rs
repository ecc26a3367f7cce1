//! Endpoint-independent mapping and filtering.

use super::*;
use crate::{
    maps::{FlowKey, Network, Payer, PayerRole},
    nat::{LifetimeClass, Lifetimes},
};

/// Somebody else outside.
fn other(port: u16) -> Socket {
    socket(address::STRANGER, port)
}

/// With mappings on bridge 10 (c1, c1b), and on bridge 20 (c2) only if `everywhere`.
fn host(everywhere: bool) -> Host {
    let mut host = Host::with_8080();
    host.world.settings.flags = Settings::MAPPINGS;
    for (_, _, network) in &mut host.world.networks {
        if everywhere || network.bridge == BRIDGE_1 {
            network.flags = Network::<Address>::MAPPINGS;
        }
    }
    host
}

/// Both entries of the mapping that this packet's source has, outside at port `port`.
fn mapping(host: &Host, packet: &Sample, port: u16) -> Option<[Flow<Address>; 2]> {
    let protocol = Protocol::Udp;
    let flows = host.world.flows.borrow();
    let own = FlowKey::new(
        protocol,
        at(packet.src),
        Port(packet.src.port()),
        at(h(0)),
        Port(0),
    );
    let outside = FlowKey::new(protocol, at(h(0)), Port(0), at(h(0)), Port(port));
    Some([*flows.get(&own)?, *flows.get(&outside)?])
}

#[test]
fn a_port_is_kept_towards_everybody() {
    for port in [30_000, 40_000] {
        let host = host(false);
        let outside =
            [r(53), r(54), other(53), other(9)].map(|to| host.send(C1_PORT, &udp(c1(port), to)).1.src);
        assert!(outside.iter().all(|src| *src == outside[0]), "{outside:?}");
        let [original, reply] = mapping(&host, &udp(c1(port), r(53)), outside[0].port()).unwrap();
        assert_eq!(
            (original.kind(), reply.kind()),
            (Some(Kind::Mapping), Some(Kind::Mapping))
        );
        assert_eq!(original.nonce, reply.nonce);
        // Four flows and it.
        assert_eq!(host.world.flows.borrow().len(), 10);
        let paid = host.world.loads.borrow()[&Payer::new(PayerRole::Container, at(c1(0)))].flows(0);
        assert_eq!(paid, 5);
        // Another port is another mapping's.
        assert_ne!(host.send(C1_PORT, &udp(c1(port + 1), r(53))).1.src, outside[0]);
    }
}

#[test]
fn a_network_without_mappings_has_none() {
    let host = host(false);
    let outside = host.send(C2_PORT, &udp(c2(30_000), r(53))).1.src;
    assert_eq!(host.world.flows.borrow().len(), 2);
    host.refuses(UPLINK_IN, &udp(other(7), outside), Reason::ToHost);
    host.refuses(C1_PORT, &udp(c1(30_000), outside), Reason::ToHost);
}

#[test]
fn a_stranger_reaches_the_container_and_is_answered() {
    let host = host(false);
    let outside = host.send(C1_PORT, &udp(c1(40_000), r(53))).1.src;
    let question = udp(other(7), outside);
    host.carries(
        UPLINK_IN,
        &question,
        C1_PEER,
        Reason::MappedIn,
        &question.to(c1(40_000)).hop(),
    );
    host.carries(
        UPLINK_IN,
        &question,
        C1_PEER,
        Reason::MappedIn,
        &question.to(c1(40_000)).hop(),
    );
    let answer = udp(c1(40_000), other(7));
    host.carries(
        C1_PORT,
        &answer,
        UPLINK_NEIGH,
        Reason::MappedReply,
        &answer.from(outside).hop(),
    );
    let flow = host.entry(Protocol::Udp, &question).unwrap();
    assert_eq!(
        (flow.kind(), flow.packets, flow.rule),
        (Some(Kind::Mapped), 2, RuleId(0))
    );
    let source = Payer::new(PayerRole::Source, at(other(0)));
    assert_eq!(host.world.loads.borrow()[&source].flows(0), 1);
}

#[test]
fn a_connection_from_outside_opens_with_a_syn_only() {
    let host = host(false);
    let outside = host.send(C1_PORT, &tcp(SYN, c1(40_000), r(443))).1.src;
    host.refuses(UPLINK_IN, &tcp(ACK, other(7), outside), Reason::MidFlow);
    host.refuses(UPLINK_IN, &tcp(SYN | ACK, other(7), outside), Reason::MidFlow);
    let syn = tcp(SYN, other(7), outside);
    host.carries(
        UPLINK_IN,
        &syn,
        C1_PEER,
        Reason::MappedIn,
        &syn.to(c1(40_000)).hop(),
    );
    // Ports are a protocol's.
    host.refuses(UPLINK_IN, &udp(other(7), outside), Reason::ToHost);
}

#[test]
fn nobody_gets_in_by_a_source_that_cannot_be_outside() {
    let host = host(false);
    let outside = host.send(C1_PORT, &udp(c1(40_000), r(53))).1.src;
    let nobody = address::NO_HOST.map(|address| socket(address, 7));
    for src in [h(7), c2(7)].into_iter().chain(nobody) {
        host.refuses(UPLINK_IN, &udp(src, outside), Reason::SpoofedSource);
    }
    // As the mapping's own entries have them.
    host.refuses(UPLINK_IN, &udp(h(0), outside), Reason::ToHost);
    host.refuses(UPLINK_IN, &udp(other(0), outside), Reason::ToHost);
    host.refuses(C1_PORT, &udp(c1(40_000), h(0)), Reason::ToHost);
    let [original, reply] = mapping(&host, &udp(c1(40_000), r(53)), outside.port()).unwrap();
    assert_eq!((original.packets, reply.packets), (0, 0));
}

#[test]
fn two_containers_never_share_a_port_even_towards_different_places() {
    let host = host(false);
    let one = host.send(C1_PORT, &udp(c1(30_000), r(53))).1.src;
    let two = host.send(C1B_PORT, &udp(c1b(30_000), other(53))).1.src;
    assert_eq!(one, h(30_000));
    assert_ne!(one, two);
    // Whoever has no mapping keeps away from it, too.
    let three = host.send(C2_PORT, &udp(c2(30_000), other(54))).1.src;
    assert!(three != one && three != two);
}

#[test]
fn a_port_that_another_flow_has_towards_one_place_is_left_to_it() {
    let host = host(false);
    let before = host.send(C2_PORT, &udp(c2(30_000), r(53))).1.src;
    let mapped = host.send(C1_PORT, &udp(c1(30_000), r(54))).1.src;
    assert_eq!((before, mapped), (h(30_000), h(30_000)));
    // The one place where it cannot be kept.
    assert_ne!(host.send(C1_PORT, &udp(c1(30_000), r(53))).1.src, mapped);
    let answer = udp(r(53), before);
    host.carries(
        UPLINK_IN,
        &answer,
        C2_PEER,
        Reason::EgressReply,
        &answer.to(c2(30_000)).hop(),
    );
}

#[test]
fn what_is_published_or_the_hosts_own_goes_before_a_mapping() {
    let mut host = host(false);
    let outside = host.send(C1_PORT, &udp(c1(40_000), r(53))).1.src;
    let question = udp(other(7), outside);
    let mut socket = |held| {
        let key = key(Protocol::Udp, question.src, question.dst);
        host.world.sockets.insert(key, held);
        host.refuses(UPLINK_IN, &question, Reason::ToHost);
    };
    socket(HostSocket::Unconnected);
    socket(HostSocket::Connected);
    let rule = published(Protocol::Udp, outside, c2(80));
    host.world.publish(rule);
    host.world.sockets.clear();
    host.carries(
        UPLINK_IN,
        &question,
        C2_PEER,
        Reason::PublishedIn,
        &question.to(c2(80)).hop(),
    );
}

#[test]
fn what_goes_out_keeps_a_mapping_and_what_comes_in_does_not() {
    let host = host(false);
    let question = udp(c1(40_000), r(53));
    let outside = host.send(C1_PORT, &question).1.src;
    let last_seen = || {
        mapping(&host, &question, outside.port())
            .map(|[original, reply]| (original.last_seen.0, reply.last_seen.0))
    };
    assert_eq!(last_seen(), Some((1_000, 1_000)));
    for _ in 0..3 {
        host.tick();
        host.send(UPLINK_IN, &udp(r(53), outside));
        host.send(UPLINK_IN, &udp(other(7), outside));
    }
    assert_eq!(last_seen(), Some((1_000, 1_000)));
    host.send(C1_PORT, &question);
    host.send(C1_PORT, &question);
    assert_eq!(last_seen(), Some((1_003, 1_000)));
    host.tick();
    // An answer to a stranger is a packet to the outside as well.
    host.send(C1_PORT, &udp(c1(40_000), other(7)));
    assert_eq!(last_seen(), Some((1_004, 1_000)));
}

#[test]
fn a_mapping_lives_as_long_as_its_kind_of_flow() {
    let host = host(false);
    let outside = host.send(C1_PORT, &udp(c1(40_000), r(53))).1.src;
    let [original, reply] = mapping(&host, &udp(c1(40_000), r(53)), outside.port()).unwrap();
    let lifetimes = Lifetimes::default();
    assert_eq!(
        lifetimes.of(&original, &reply),
        lifetimes.of_class(LifetimeClass::UdpAnswered)
    );
    let tcp = |flow: Flow<Address>| Flow {
        to: FlowKey {
            protocol: Protocol::Tcp.number(),
            ..flow.to
        },
        ..flow
    };
    let lifetime = lifetimes.of(&tcp(original), &tcp(reply));
    assert_eq!(lifetime, lifetimes.of_class(LifetimeClass::TcpTransitory));
}

#[test]
fn half_a_mapping_is_none() {
    let host = host(false);
    let question = udp(c1(40_000), r(53));
    let outside = host.send(C1_PORT, &question).1.src;
    let lost = FlowKey::new(Protocol::Udp, at(h(0)), Port(0), at(h(0)), Port(outside.port()));
    host.world.flows.borrow_mut().remove(&lost);
    host.refuses(UPLINK_IN, &udp(other(7), outside), Reason::ToHost);
    let again = host.send(C1_PORT, &udp(c1(40_000), other(53))).1.src;
    assert!(mapping(&host, &question, again.port()).is_some());
    host.send(UPLINK_IN, &udp(other(7), again));
}

#[test]
fn neighbours_meet_by_their_outside_ports() {
    for everywhere in [true, false] {
        let host = host(everywhere);
        let one = host.send(C1_PORT, &udp(c1(40_000), r(53))).1.src;
        let two = host.send(C2_PORT, &udp(c2(41_000), r(53))).1.src;
        let question = udp(c2(41_000), one);
        let (carried, inside) = host.send(C2_PORT, &question);
        assert_eq!((carried.verdict, carried.reason), (C1_PEER, Reason::HairpinIn));
        assert_eq!(inside, question.from(inside.src).to(c1(40_000)).hop());
        assert_eq!(*inside.src.ip(), *h(0).ip());
        assert!(!everywhere || inside.src == two);
        let answer = udp(c1(40_000), inside.src);
        host.carries(
            C1_PORT,
            &answer,
            C2_PEER,
            Reason::HairpinReply,
            &answer.from(one).to(c2(41_000)).hop(),
        );
    }
}

#[test]
fn a_container_reaches_itself_by_its_own_outside_port() {
    let host = host(false);
    let outside = host.send(C1_PORT, &udp(c1(40_000), r(53))).1.src;
    let question = udp(c1(41_000), outside);
    let (carried, inside) = host.send(C1_PORT, &question);
    assert_eq!((carried.verdict, carried.reason), (C1_PEER, Reason::HairpinIn));
    let answer = udp(c1(40_000), inside.src);
    host.carries(
        C1_PORT,
        &answer,
        C1_PEER,
        Reason::HairpinReply,
        &answer.from(outside).to(c1(41_000)).hop(),
    );
}

#[test]
fn pings_and_what_the_stack_forwards_get_no_mapping() {
    let host = host(false);
    host.send(C1_PORT, &ping(c1(7), r(0)));
    host.send(UPLINK_OUT, &udp(c1(40_000), r(53)));
    assert_eq!(host.world.flows.borrow().len(), 4);
    // One that is there is used.
    let mapped = host.send(C1_PORT, &udp(c1(42_000), r(54))).1.src;
    assert_eq!(host.send(UPLINK_OUT, &udp(c1(42_000), r(55))).1.src, mapped);
}

#[test]
fn half_a_flow_to_the_outside_is_no_half_of_one_from_there() {
    let host = host(false);
    let outside = host.send(C1_PORT, &udp(c1(40_000), r(53))).1.src;
    let answer = udp(r(53), outside);
    host.world
        .flows
        .borrow_mut()
        .remove(&key(Protocol::Udp, answer.src, answer.dst));
    let (carried, inside) = host.send(UPLINK_IN, &answer);
    assert_eq!((carried.reason, inside.dst), (Reason::MappedIn, c1(40_000)));
    let entry = host.entry(Protocol::Udp, &answer).unwrap();
    let twin = host.world.flows.borrow()[&entry.twin()];
    assert_eq!((entry.side(), twin.side()), (Side::Original, Side::Reply));
}
