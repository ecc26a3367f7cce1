//! Bridges whose containers leave by addresses of their own.

use std::collections::BTreeMap;

use super::{
    kind::{PORT, TIME_EXCEEDED, UNREACHABLE},
    *,
};
use crate::maps::{EgressPlace, Network};

/// With these places of bridge 10 (c1, c1b, tap), some of which may have no address; bridge 20 (c2) has none.
fn host(places: &[Option<Socket>]) -> Host {
    let mut host = Host::with_8080();
    let count = u16::try_from(places.len()).unwrap();
    for (_, _, network) in &mut host.world.networks {
        if network.bridge == BRIDGE_1 {
            network.flags = Network::<Address>::egress(count);
        }
    }
    let there = (0..).zip(places).filter_map(|(number, place)| {
        let bridge = BRIDGE_1;
        Some((EgressPlace { bridge, number }, at((*place)?)))
    });
    host.world.egress = there.collect();
    host
}

/// Where what `client` sends to `to` comes from outside.
fn source(host: &Host, client: Socket, to: Socket) -> Socket {
    host.send(C1_PORT, &udp(client, to)).1.src
}

/// The address of c1, if it is another machine's on the bridge.
fn neighbour(number: u32) -> Socket {
    let mut octets = address::C1.octets();
    let end = octets.len();
    octets[end - 2..].copy_from_slice(&u16::try_from(number + 16).unwrap().to_be_bytes());
    socket(octets.into(), 30_000)
}

#[test]
fn what_leaves_a_bridge_with_an_address_has_that_and_the_answers_come_back() {
    let host = host(&[Some(h2(0))]);
    for asked in [tcp(SYN, c1(30_000), r(443)), udp(c1(30_000), r(53))] {
        host.carries(
            C1_PORT,
            &asked,
            UPLINK_NEIGH,
            Reason::EgressOut,
            &asked.from(h2(30_000)).hop(),
        );
        let answer = Sample::new(asked.content, asked.dst, h2(30_000));
        let answer = if asked.content == Content::Udp {
            answer
        } else {
            answer.flags(SYN | ACK)
        };
        host.carries(
            UPLINK_IN,
            &answer,
            C1_PEER,
            Reason::EgressReply,
            &answer.to(c1(30_000)).hop(),
        );
    }
    let (carried, request) = host.send(C1_PORT, &ping(c1(77), r(0)));
    assert_eq!(carried.reason, Reason::EgressOut);
    assert_eq!(request.src.ip(), h2(0).ip());
    let reply = pong(r(0), request.src);
    host.carries(
        UPLINK_IN,
        &reply,
        C1_PEER,
        Reason::EgressReply,
        &reply.to(c1(77)).hop(),
    );
    // What the host's stack forwards leaves by it too, and other bridges by the uplink's own.
    let (carried, outside) = host.send(UPLINK_OUT, &udp(c1b(31_000), r(53)));
    assert_eq!(
        (carried.reason, outside.src),
        (Reason::StackEgressOut, h2(31_000))
    );
    assert_eq!(
        host.send(C2_PORT, &udp(c2(30_000), r(53))).1.src,
        socket(*h(0).ip(), 30_000)
    );
}

#[test]
fn routers_on_the_way_are_heard_at_that_address() {
    let host = host(&[Some(h2(0))]);
    let asked = udp(c1(30_000), r(33_434));
    let (_, sent) = host.send(C1_PORT, &asked);
    let router = socket(address::ROUTER, 0);
    for (kind, code, from) in [(TIME_EXCEEDED, 0, router), (UNREACHABLE, PORT, r(0))] {
        host.carries(
            UPLINK_IN,
            &error(kind, code, from, &sent, 1_500),
            C1_PEER,
            Reason::IcmpError,
            &error(kind, code, from, &asked.hop(), 1_500).hop(),
        );
    }
}

#[test]
fn a_container_has_one_address_of_several_for_all_that_it_sends() {
    let host = host(&[Some(h(0)), Some(h2(0))]);
    let mut containers = BTreeMap::<_, u32>::new();
    for number in 0..200 {
        let client = neighbour(number);
        let first = *source(&host, client, r(53)).ip();
        *containers.entry(first).or_default() += 1;
        for port in 54..60 {
            let client = socket(*client.ip(), 30_000 + port);
            assert_eq!(*source(&host, client, r(port)).ip(), first);
            let elsewhere = socket(address::STRANGER, port);
            assert_eq!(*source(&host, client, elsewhere).ip(), first);
        }
        let syn = tcp(SYN, client, r(443));
        assert_eq!(*host.send(C1_PORT, &syn).1.src.ip(), first);
        let request = ping(client, r(0));
        assert_eq!(*host.send(C1_PORT, &request).1.src.ip(), first);
    }
    let share = |place: Socket| containers.get(place.ip()).copied().unwrap_or(0);
    assert_eq!(share(h(0)) + share(h2(0)), 200);
    assert!((70..130).contains(&share(h(0))), "{containers:?}");
}

#[test]
fn what_has_no_address_yet_does_not_leave_by_another() {
    let host = host(&[None]);
    for packet in [
        udp(c1(30_000), r(53)),
        tcp(SYN, c1(30_000), r(443)),
        ping(c1(7), r(0)),
    ] {
        host.refuses(C1_PORT, &packet, Reason::NoEgressAddress);
        host.refuses(UPLINK_OUT, &packet, Reason::NoEgressAddress);
    }
    host.carries(
        C2_PORT,
        &udp(c2(30_000), r(53)),
        UPLINK_NEIGH,
        Reason::EgressOut,
        &udp(h(30_000), r(53)).hop(),
    );
}

#[test]
fn an_uplink_without_an_address_serves_bridges_that_have_one() {
    let mut host = host(&[Some(h2(0))]);
    host.world.interfaces.get_mut(&UPLINK).unwrap().address = Address::default();
    assert_eq!(source(&host, c1(30_000), r(53)), h2(30_000));
    host.refuses(C2_PORT, &udp(c2(30_000), r(53)), Reason::NoUplinkAddress);
}

#[test]
fn a_flow_keeps_the_address_that_it_began_with() {
    let mut host = host(&[Some(h2(0))]);
    assert_eq!(source(&host, c1(30_000), r(53)), h2(30_000));
    let place = EgressPlace {
        bridge: BRIDGE_1,
        number: 0,
    };
    host.world.egress.insert(place, at(h(0)));
    host.tick();
    assert_eq!(source(&host, c1(30_000), r(53)), h2(30_000));
    assert_eq!(source(&host, c1(30_000), r(54)), h(30_000));
}

#[test]
fn mappings_are_at_the_containers_address_and_seen_by_it() {
    let mut host = host(&[Some(h(0)), Some(h2(0))]);
    host.world.settings.flags = Settings::MAPPINGS;
    for (_, _, network) in &mut host.world.networks {
        network.flags |= Network::<Address>::MAPPINGS;
    }
    let clients = (0..).map(neighbour);
    let by = |address: Socket| {
        let mut clients = clients.clone();
        let is_by = |client: &Socket| source(&host, *client, r(53)).ip() == address.ip();
        clients.find(is_by).unwrap()
    };
    let (one, other) = (by(h(0)), by(h2(0)));
    let outside = source(&host, one, r(53));
    for port in 54..64 {
        assert_eq!(source(&host, one, r(port)), outside);
    }
    // Another asks it there, and is seen with its own address outside (RFC 4787, REQ-9 a), not with the one that it asks.
    let asked = udp(other, outside);
    let (carried, seen) = host.send(C1_PORT, &asked);
    assert_eq!((carried.reason, seen.dst), (Reason::HairpinIn, one));
    assert_eq!(seen.src, source(&host, other, r(53)));
    assert_eq!(seen.src.ip(), h2(0).ip());
    let answer = udp(one, seen.src);
    let (carried, heard) = host.send(C1_PORT, &answer);
    assert_eq!(
        (carried.reason, heard.src, heard.dst),
        (Reason::HairpinReply, outside, other)
    );
}
