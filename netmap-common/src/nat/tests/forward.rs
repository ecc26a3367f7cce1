//! What does not fit, or has no hop left, goes to the stack as it came, so that the stack answers; but never to a
//! stack that would answer for somebody else's connection.

use super::*;

#[test]
fn the_last_hop_is_not_used_to_open_a_flow() {
    let host = Host::with_8080();
    let first = [
        (UPLINK_IN, udp(r(40_000), h(8_080))),
        (UPLINK_IN, tcp(SYN, r(40_000), h(8_080))),
        (C1_PORT, udp(c1(30_000), r(53))),
        (C1_PORT, ping(c1(77), r(0))),
        (C2_PORT, udp(c2(30_000), h(8_080))),
        (C1_PORT, udp(c1(30_000), h(8_080))),
    ];
    for (place, packet) in first {
        for ttl in [0, 1] {
            host.refuses(place, &packet.ttl(ttl), Reason::TtlExpired);
        }
        assert_eq!(host.send(place, &packet.ttl(2)).1.ttl, 1);
    }
}

#[test]
fn the_last_hop_in_a_flow_is_the_stacks_to_answer_where_the_stack_would_forward() {
    let host = Host::with_8080();
    host.send(UPLINK_IN, &udp(r(40_000), h(8_080)));
    host.leaves(C1_PORT, &udp(c1(80), r(40_000)).ttl(1), Reason::TtlExpired);
    host.send(C1_PORT, &udp(c1(30_000), r(53)));
    host.leaves(C1_PORT, &udp(c1(30_000), r(53)).ttl(1), Reason::TtlExpired);
    host.send(C2_PORT, &udp(c2(40_000), h(8_080)));
    host.leaves(C1_PORT, &udp(c1(80), c2(40_000)).ttl(1), Reason::TtlExpired);
}

/// From outside, the packet is translated and left to the stack, which answers.
#[track_caller]
fn is_answered(host: &Host, packet: &Sample, output: &Sample) {
    host.carries(UPLINK_IN, packet, Verdict::Stack, Reason::HostAnswers, output);
}

#[test]
fn the_last_hop_in_a_flow_from_outside_is_translated_for_the_stack_to_answer() {
    let host = Host::with_8080();
    host.send(UPLINK_IN, &tcp(SYN, r(40_000), h(8_080)));
    let last = tcp(ACK, r(40_000), h(8_080)).ttl(1);
    is_answered(&host, &last, &last.to(c1(80)));
    host.send(C1_PORT, &udp(c1(30_000), r(53)));
    let last = udp(r(53), h(30_000)).ttl(1);
    is_answered(&host, &last, &last.to(c1(30_000)));

    // What the stack says of it is about the container's packet, and leaves about the client's.
    let asked = tcp(ACK, r(40_000), h(8_080)).ttl(1);
    let complaint = |about: &Sample| error(kind::TIME_EXCEEDED, 0, h(0), about, HEADER + 8);
    host.carries(
        UPLINK_OUT,
        &complaint(&asked.to(c1(80))),
        Verdict::Stack,
        Reason::IcmpError,
        &complaint(&asked),
    );
}

#[test]
fn the_last_hop_in_a_flow_ends_where_nobody_can_answer() {
    let mut host = Host::with_8080();
    host.send(C2_PORT, &tcp(SYN, c2(40_000), h(8_080)));
    host.leaves(
        C2_PORT,
        &tcp(ACK, c2(40_000), h(8_080)).ttl(1),
        Reason::TtlExpiredInFlow,
    );
    host.send(C1_PORT, &tcp(SYN, c1(30_000), h(8_080)));
    host.leaves(
        C1_PORT,
        &tcp(ACK, c1(80), gw1(30_000)).ttl(1),
        Reason::TtlExpiredInFlow,
    );
    host.send(UPLINK_IN, &tcp(SYN, r(40_000), h(8_080)));
    host.world.route = Some(Route::ForwardingOff);
    host.leaves(
        UPLINK_IN,
        &tcp(ACK, r(40_000), h(8_080)).ttl(1),
        Reason::TtlExpiredInFlow,
    );
}

#[test]
fn what_does_not_fit_opens_no_flow() {
    let mut host = Host::publishing(Protocol::Udp, h(8_080), tap(80));
    host.world.narrow = vec![UPLINK, BRIDGE_1];
    host.refuses(C1_PORT, &udp(c1(30_000), r(53)), Reason::TooBig);
    host.refuses(UPLINK_IN, &udp(r(40_000), h(8_080)), Reason::TooBig);
    host.refuses(C2_PORT, &udp(c2(40_000), h(8_080)), Reason::TooBig);
    host.refuses(TAP_PORT, &udp(tap(30_000), h(8_080)), Reason::TooBig);
}

#[test]
fn a_veths_peer_takes_packets_of_any_size() {
    let mut host = Host::with_8080();
    host.world.narrow = vec![C1_PORT.1, BRIDGE_1];
    let question = udp(r(40_000), h(8_080));
    host.carries(
        UPLINK_IN,
        &question,
        C1_PEER,
        Reason::PublishedIn,
        &question.to(c1(80)).hop(),
    );
}

#[test]
fn what_does_not_fit_in_a_flow_is_the_stacks_to_answer_where_the_stack_would_forward() {
    let mut host = Host::with_8080();
    host.send(UPLINK_IN, &tcp(SYN, r(40_000), h(8_080)));
    host.send(C1_PORT, &tcp(SYN, c1(30_000), r(443)));
    host.world.narrow = vec![UPLINK];
    host.leaves(C1_PORT, &tcp(ACK, c1(80), r(40_000)), Reason::TooBig);
    host.leaves(C1_PORT, &tcp(ACK, c1(30_000), r(443)), Reason::TooBig);
}

#[test]
fn what_does_not_fit_in_a_flow_from_outside_is_translated_for_the_stack_to_answer() {
    let mut host = Host::publishing(Protocol::Tcp, h(8_080), tap(80));
    host.send(UPLINK_IN, &tcp(SYN, r(40_000), h(8_080)));
    host.send(C2_PORT, &tcp(SYN, c2(40_000), h(8_080)));
    host.send(TAP_PORT, &tcp(SYN, tap(30_000), r(443)));
    host.world.narrow = vec![BRIDGE_1];
    let large = tcp(ACK, r(40_000), h(8_080));
    is_answered(&host, &large, &large.to(tap(80)));
    let large = tcp(ACK, r(443), h(30_000));
    is_answered(&host, &large, &large.to(tap(30_000)));
    host.leaves(C2_PORT, &tcp(ACK, c2(40_000), h(8_080)), Reason::TooBigInFlow);
    host.world.route = Some(Route::ForwardingOff);
    host.leaves(UPLINK_IN, &tcp(ACK, r(40_000), h(8_080)), Reason::TooBigInFlow);
}

#[test]
fn a_datagram_that_does_not_fit_goes_to_the_stack_or_the_proxy_which_send_it_in_fragments() {
    let mut host = Host::publishing(Protocol::Udp, h(8_080), tap(80));
    host.send(UPLINK_IN, &udp(r(40_000), h(8_080)));
    host.world.narrow = vec![BRIDGE_1];
    let large = udp(r(40_000), h(8_080));
    is_answered(&host, &large, &large.to(tap(80)));
    host.world.route = Some(Route::ForwardingOff);
    host.leaves(UPLINK_IN, &large, Reason::TooBig);
}
