//! Row 1: from outside to a published port.

use super::*;

#[test]
fn tcp_from_outside_reaches_the_container_with_the_clients_address_and_the_answer_goes_back() {
    let host = Host::with_8080();
    let syn = tcp(SYN, r(40_000), h(8_080));
    host.carries(
        UPLINK_IN,
        &syn,
        C1_PEER,
        Reason::PublishedIn,
        &syn.to(c1(80)).hop(),
    );
    let answer = tcp(SYN | ACK, c1(80), r(40_000));
    let outside = answer.from(h(8_080)).hop();
    host.carries(C1_PORT, &answer, UPLINK_NEIGH, Reason::PublishedReply, &outside);
    let data = syn.flags(ACK).payload(b"GET / HTTP/1.0\r\n\r\n");
    host.carries(
        UPLINK_IN,
        &data,
        C1_PEER,
        Reason::PublishedIn,
        &data.to(c1(80)).hop(),
    );
}

#[test]
fn a_udp_answer_has_the_address_that_was_asked() {
    let host = Host::with_8080();
    for (client, asked) in [
        (r(40_000), h(8_080)),
        (r(40_001), h2(8_080)),
        (r(40_002), gw1(8_080)),
    ] {
        let question = udp(client, asked);
        let inside = question.to(c1(80)).hop();
        host.carries(UPLINK_IN, &question, C1_PEER, Reason::PublishedIn, &inside);
        let answer = udp(c1(80), client);
        let outside = answer.from(asked).hop();
        host.carries(C1_PORT, &answer, UPLINK_NEIGH, Reason::PublishedReply, &outside);
    }
}

#[test]
fn a_container_without_a_veth_is_reached_and_answers_through_its_bridge() {
    let host = Host::publishing(Protocol::Udp, h(53), tap(53));
    let question = udp(r(40_000), h(53));
    host.carries(
        UPLINK_IN,
        &question,
        TAP_NEIGH,
        Reason::PublishedIn,
        &question.to(tap(53)).hop(),
    );
    let answer = udp(tap(53), r(40_000));
    host.carries(
        TAP_PORT,
        &answer,
        UPLINK_NEIGH,
        Reason::PublishedReply,
        &answer.from(h(53)).hop(),
    );
}

#[test]
fn an_answer_that_its_port_did_not_see_is_translated_at_the_bridge() {
    let host = Host::with_8080();
    host.send(UPLINK_IN, &udp(r(40_000), h(8_080)));
    let answer = udp(c1(80), r(40_000));
    let outside = answer.from(h(8_080)).hop();
    host.carries(
        (Hook::BridgeIn, BRIDGE_1),
        &answer,
        UPLINK_NEIGH,
        Reason::PublishedReply,
        &outside,
    );
}

#[test]
fn only_a_syn_opens_published_tcp() {
    let host = Host::with_8080();
    for flags in [
        0,
        ACK,
        SYN | ACK,
        FIN,
        FIN | ACK,
        RST,
        RST | ACK,
        SYN | RST,
        SYN | FIN,
    ] {
        host.refuses(UPLINK_IN, &tcp(flags, r(40_000), h(8_080)), Reason::MidFlow);
    }
    host.send(UPLINK_IN, &tcp(SYN, r(40_000), h(8_080)));
}

#[test]
fn an_answer_to_a_socket_of_the_host_that_uses_a_published_port_stays_on_the_host() {
    let mut host = Host::with_8080();
    let answer = udp(r(53), h(8_080));
    let socket = key(Protocol::Udp, answer.src, answer.dst);
    host.world.sockets.insert(socket, HostSocket::Connected);
    host.refuses(UPLINK_IN, &answer, Reason::HostSocket);
}

#[test]
fn a_socket_that_only_listens_at_a_published_port_does_not_take_its_packets() {
    // The daemon itself holds published ports so.
    let mut host = Host::with_8080();
    let question = udp(r(40_000), h(8_080));
    let socket = key(Protocol::Udp, question.src, question.dst);
    host.world.sockets.insert(socket, HostSocket::Unconnected);
    host.carries(
        UPLINK_IN,
        &question,
        C1_PEER,
        Reason::PublishedIn,
        &question.to(c1(80)).hop(),
    );
}

#[test]
fn two_published_ports_of_one_container_port_serve_the_same_client_port_at_once() {
    let mut host = Host::with_8080();
    host.world.publish(published(Protocol::Tcp, h(8_081), c1(80)));
    let (one, two) = (tcp(SYN, r(40_000), h(8_080)), tcp(SYN, r(40_000), h(8_081)));
    host.carries(
        UPLINK_IN,
        &one,
        C1_PEER,
        Reason::PublishedIn,
        &one.to(c1(80)).hop(),
    );
    // The container cannot tell them apart by the client's address: so by another port of it.
    let (carried, inside) = host.send(UPLINK_IN, &two);
    assert_eq!(carried.verdict, C1_PEER);
    assert_eq!((inside.src.ip(), inside.dst), (r(0).ip(), c1(80)));
    assert_ne!(inside.src.port(), 40_000);
    assert!(inside.src.port() >= 1_024);
    for (request, port) in [(&one, 40_000), (&two, inside.src.port())] {
        let answer = tcp(SYN | ACK, c1(80), r(port));
        let outside = request.flags(SYN | ACK).from(request.dst).to(request.src).hop();
        host.carries(C1_PORT, &answer, UPLINK_NEIGH, Reason::PublishedReply, &outside);
    }
}

#[test]
fn a_container_whose_place_is_not_known_is_left_to_the_proxy() {
    let mut host = Host::with_8080();
    host.world.endpoints.clear();
    host.refuses(UPLINK_IN, &tcp(SYN, r(40_000), h(8_080)), Reason::NoEndpoint);
}

#[test]
fn a_hook_on_an_interface_that_is_not_in_the_table_leaves_packets_alone() {
    let mut host = Host::with_8080();
    host.world.interfaces.clear();
    host.refuses(UPLINK_IN, &tcp(SYN, r(40_000), h(8_080)), Reason::NoInterface);
    host.refuses(C1_PORT, &udp(c1(30_000), r(53)), Reason::NoInterface);
}

#[test]
fn a_port_that_nobody_published_is_the_hosts() {
    let host = Host::with_8080();
    host.refuses(UPLINK_IN, &tcp(SYN, r(40_000), h(8_079)), Reason::ToHost);
    host.refuses(UPLINK_IN, &udp(r(40_000), h(8_081)), Reason::ToHost);
    host.refuses(UPLINK_IN, &ping(r(8_080), h(0)), Reason::ToHost);
    host.refuses(C1_PORT, &udp(c1(40_000), gw1(53)), Reason::ToHost);
}
