//! Rows 4 and 5: from a container to another container's published port.

use super::*;

#[test]
fn a_neighbour_on_the_same_bridge_is_seen_with_its_own_address() {
    let host = Host::with_8080();
    let syn = tcp(SYN, c1b(40_000), h(8_080));
    host.carries(C1B_PORT, &syn, C1_PEER, Reason::HairpinIn, &syn.to(c1(80)).hop());
    // The bridge would switch the answer; its port sees it first.
    let answer = tcp(SYN | ACK, c1(80), c1b(40_000));
    host.carries(
        C1_PORT,
        &answer,
        C1B_PEER,
        Reason::HairpinReply,
        &answer.from(h(8_080)).hop(),
    );
}

#[test]
fn a_container_of_another_bridge_is_seen_with_its_own_address() {
    for (client, asked) in [
        (c2(40_000), h(8_080)),
        (c2(40_001), gw2(8_080)),
        (c2(40_002), gw1(8_080)),
    ] {
        let host = Host::with_8080();
        let question = udp(client, asked);
        host.carries(
            C2_PORT,
            &question,
            C1_PEER,
            Reason::HairpinIn,
            &question.to(c1(80)).hop(),
        );
        let answer = udp(c1(80), client);
        host.carries(
            C1_PORT,
            &answer,
            C2_PEER,
            Reason::HairpinReply,
            &answer.from(asked).hop(),
        );
    }
}

#[test]
fn a_container_behind_a_tap_is_answered_through_its_bridge() {
    let host = Host::with_8080();
    let question = udp(tap(40_000), h(8_080));
    host.carries(
        TAP_PORT,
        &question,
        C1_PEER,
        Reason::HairpinIn,
        &question.to(c1(80)).hop(),
    );
    let answer = udp(c1(80), tap(40_000));
    host.carries(
        C1_PORT,
        &answer,
        TAP_NEIGH,
        Reason::HairpinReply,
        &answer.from(h(8_080)).hop(),
    );
}

#[test]
fn a_port_that_its_hook_missed_is_served_at_the_bridge() {
    let host = Host::with_8080();
    let question = udp(c1b(40_000), h(8_080));
    let bridge = (Hook::BridgeIn, BRIDGE_1);
    host.carries(
        bridge,
        &question,
        C1_PEER,
        Reason::HairpinIn,
        &question.to(c1(80)).hop(),
    );
    let answer = udp(c1(80), c1b(40_000));
    host.carries(
        C1_PORT,
        &answer,
        TAP_NEIGH,
        Reason::HairpinReply,
        &answer.from(h(8_080)).hop(),
    );
}

#[test]
fn only_a_syn_opens_it() {
    let host = Host::with_8080();
    host.refuses(C2_PORT, &tcp(ACK, c2(40_000), h(8_080)), Reason::MidFlow);
}

#[test]
fn what_the_stack_has_to_forward_is_left_to_the_proxy() {
    // A packet translated at a port is a martian to the stack.
    let mut host = Host::with_8080();
    for endpoint in host.world.endpoints.values_mut() {
        endpoint.way = Way::Stack as u8;
    }
    host.refuses(C2_PORT, &tcp(SYN, c2(40_000), h(8_080)), Reason::NoEndpoint);
}

#[test]
fn a_socket_of_the_host_that_talks_to_a_container_keeps_its_packets() {
    let mut host = Host::with_8080();
    let answer = udp(c2(53), gw2(8_080));
    let socket = key(Protocol::Udp, answer.src, answer.dst);
    host.world.sockets.insert(socket, HostSocket::Connected);
    host.refuses(C2_PORT, &answer, Reason::HostSocket);
}
