//! What is published reaches from outside only where it may.

use super::*;

/// Port 8080 published everywhere, but from outside only at `h2`.
fn host() -> Host {
    let mut host = Host::with_8080();
    host.world.interfaces.get_mut(&UPLINK).unwrap().flags = Interface::<Address>::CLOSED;
    host.world.closed = vec![at(h(0)), at(gw1(0)), at(gw2(0))];
    host
}

#[test]
fn a_closed_uplink_leads_to_open_addresses_only() {
    let host = host();
    for packet in [tcp(SYN, r(40_000), h(8_080)), udp(r(40_000), h(8_080))] {
        host.refuses(UPLINK_IN, &packet, Reason::NotPublishedHere);
    }
    let packet = tcp(SYN, r(40_000), h2(8_080));
    host.carries(
        UPLINK_IN,
        &packet,
        C1_PEER,
        Reason::PublishedIn,
        &packet.to(c1(80)).hop(),
    );
    // What is published has a port; the host's own have not.
    host.refuses(UPLINK_IN, &tcp(SYN, r(40_000), h(22)), Reason::ToHost);
    host.refuses(UPLINK_IN, &ping(r(77), h(0)), Reason::ToHost);
}

#[test]
fn an_open_uplink_leads_to_every_address() {
    let mut host = host();
    host.world.interfaces.get_mut(&UPLINK).unwrap().flags = 0;
    for to in [h(8_080), h2(8_080)] {
        assert_eq!(host.send(UPLINK_IN, &udp(r(40_000), to)).1.dst, c1(80));
    }
}

#[test]
fn containers_reach_what_is_published_everywhere() {
    let host = host();
    for (place, packet) in [
        (C1B_PORT, udp(c1b(40_000), h(8_080))),
        (C2_PORT, tcp(SYN, c2(40_000), gw2(8_080))),
        (C1_PORT, udp(c1(40_000), h(8_080))),
    ] {
        assert_eq!(host.send(place, &packet).1.dst, c1(80));
    }
}

#[test]
fn the_hosts_own_connections_from_a_published_port_are_answered() {
    let mut host = host();
    let answer = udp(r(53), h(8_080));
    let key = key(Protocol::Udp, answer.src, answer.dst);
    host.world.sockets.insert(key, HostSocket::Connected);
    host.refuses(UPLINK_IN, &answer, Reason::HostSocket);
    host.refuses(UPLINK_IN, &tcp(SYN | ACK, r(443), h(8_080)), Reason::MidFlow);
}

#[test]
fn a_flow_that_is_there_goes_on() {
    let mut host = Host::with_8080();
    let question = tcp(SYN, r(40_000), h(8_080));
    host.send(UPLINK_IN, &question);
    host.world.interfaces.get_mut(&UPLINK).unwrap().flags = Interface::<Address>::CLOSED;
    host.world.closed = vec![at(h(0))];
    assert_eq!(host.send(UPLINK_IN, &question.flags(ACK)).1.dst, c1(80));
}

#[test]
fn pieces_do_not_get_through_either() {
    let whole = udp(r(40_000), h(8_080)).bytes();
    let host = host();
    let first = piece(&whole, 7, 0, &whole[CONTENT..], true);
    host.leaves_bytes(UPLINK_IN, &first, Reason::NotPublishedHere);
    // The others neither wait for it nor go where it did not: the host is left with a datagram that has no beginning.
    let last = piece(&whole, 7, 8, &[7; 16], false);
    host.leaves_bytes(UPLINK_IN, &last, Reason::Fragment);
    assert!(host.world.flows.borrow().is_empty());
}
