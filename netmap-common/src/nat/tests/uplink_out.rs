//! What the host's stack forwards by itself is translated where it leaves, as MASQUERADE would.

use super::*;

#[test]
fn what_the_stack_forwards_leaves_with_the_uplinks_address_its_time_to_live_untouched() {
    let host = Host::new();
    let question = udp(c1(30_000), r(53)).hop();
    let outside = question.from(h(30_000));
    host.carries(
        UPLINK_OUT,
        &question,
        Verdict::Stack,
        Reason::StackEgressOut,
        &outside,
    );
    // The answer is rewritten before the stack routes it to the container.
    let answer = udp(r(53), h(30_000));
    let inside = answer.to(c1(30_000));
    host.carries(
        UPLINK_IN,
        &answer,
        Verdict::Stack,
        Reason::StackEgressReply,
        &inside,
    );
    // At its port the container's next packet stays on the stack, as its flow does.
    host.leaves(C1_PORT, &udp(c1(30_000), r(53)), Reason::StackFlow);
}

#[test]
fn a_connection_in_its_middle_is_taken_up() {
    for flags in [SYN, ACK, SYN | ACK, FIN | ACK] {
        let host = Host::new();
        let data = tcp(flags, c1(30_000), r(443));
        let outside = data.from(h(30_000));
        host.carries(
            UPLINK_OUT,
            &data,
            Verdict::Stack,
            Reason::StackEgressOut,
            &outside,
        );
    }
}

#[test]
fn a_reset_without_a_flow_does_not_leave_with_a_containers_address() {
    let host = Host::new();
    host.refuses(UPLINK_OUT, &tcp(RST, c1(30_000), r(443)), Reason::WouldLeak);
    host.refuses(UPLINK_OUT, &tcp(RST | ACK, c1(30_000), r(443)), Reason::WouldLeak);
    host.send(UPLINK_OUT, &tcp(ACK, c1(30_000), r(443)));
    let reset = tcp(RST, c1(30_000), r(443));
    let outside = reset.from(h(30_000));
    host.carries(
        UPLINK_OUT,
        &reset,
        Verdict::Stack,
        Reason::StackEgressOut,
        &outside,
    );
}

#[test]
fn what_the_host_says_itself_is_left_alone() {
    let host = Host::new();
    for src in [h(30_000), h2(30_000), gw1(30_000), r(30_000)] {
        host.refuses(
            UPLINK_OUT,
            &udp(src, socket(address::STRANGER, 53)),
            Reason::FromHost,
        );
        host.refuses(UPLINK_OUT, &tcp(RST, src, r(443)), Reason::FromHost);
    }
}

#[test]
fn a_flow_that_its_ports_hook_carries_is_translated_alike_where_the_stack_forwards_it() {
    let host = Host::with_8080();
    host.send(C1_PORT, &udp(c1(30_000), r(53)));
    let question = udp(c1(30_000), r(53)).hop();
    let outside = question.from(h(30_000));
    host.carries(
        UPLINK_OUT,
        &question,
        Verdict::Stack,
        Reason::StackEgressOut,
        &outside,
    );
    host.send(UPLINK_IN, &udp(r(40_000), h(8_080)));
    let answer = udp(c1(80), r(40_000)).hop();
    let outside = answer.from(h(8_080));
    host.carries(
        UPLINK_OUT,
        &answer,
        Verdict::Stack,
        Reason::StackPublishedReply,
        &outside,
    );
}

#[test]
fn what_cannot_be_translated_does_not_leave_with_a_containers_address_but_may_with_the_hosts() {
    let host = Host::new();
    let question = udp(c1(30_000), r(53));
    let whole = question.bytes();
    let fragment = piece(&whole, 7, 8, &whole[CONTENT..], false);
    let other_protocol = patched(&question, header::PROTOCOL, 132);
    let error = patched(&ping(c1(77), r(0)), CONTENT, kind::UNREACHABLE);
    for frame in [fragment, other_protocol, error] {
        host.leaves_bytes(UPLINK_OUT, &frame, Reason::WouldLeak);
        for src in [gw1(0), h(0), r(0)] {
            let mut from_host = frame.clone();
            from_host[header::SRC].copy_from_slice(&src.ip().octets());
            host.leaves_bytes(UPLINK_OUT, &from_host, Reason::FromHost);
        }
    }
}

fn patched(packet: &Sample, offset: usize, byte: u8) -> Vec<u8> {
    let mut bytes = packet.bytes();
    bytes[offset] = byte;
    bytes
}

#[test]
fn what_has_the_key_of_another_flows_answers_does_not_take_that_flows_mapping() {
    let host = Host::new();
    let question = udp(c1b(30_000), c1(80));
    assert_eq!(host.send(UPLINK_OUT, &question).1.src, h(30_000));
    // That flow's answers come in by an uplink.
    host.refuses(UPLINK_OUT, &udp(c1(80), h(30_000)), Reason::SpoofedSource);
}
