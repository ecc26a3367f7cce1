//! Containers that only the host's stack can reach: the destination is rewritten where the packet comes in, the
//! source where the answer leaves.

use super::*;

fn host() -> Host {
    let mut host = Host::with_8080();
    let endpoint = host.world.endpoints.get_mut(&at(c1(0))).unwrap();
    (endpoint.way, endpoint.out) = (Way::Stack as u8, IfIndex(0));
    host
}

#[test]
fn both_directions_take_the_stack_and_netmap_leaves_the_time_to_live_to_it() {
    let host = host();
    let syn = tcp(SYN, r(40_000), h(8_080));
    host.carries(
        UPLINK_IN,
        &syn,
        Verdict::Stack,
        Reason::StackPublishedIn,
        &syn.to(c1(80)),
    );
    let answer = tcp(SYN | ACK, c1(80), r(40_000));
    host.leaves(C1_PORT, &answer, Reason::StackFlow);
    host.leaves((Hook::BridgeIn, BRIDGE_1), &answer, Reason::StackFlow);
    let routed = answer.hop();
    let outside = routed.from(h(8_080));
    host.carries(
        UPLINK_OUT,
        &routed,
        Verdict::Stack,
        Reason::StackPublishedReply,
        &outside,
    );
}

#[test]
fn a_packet_of_such_a_flow_counts_once_however_many_hooks_see_it() {
    let host = host();
    host.send(UPLINK_IN, &udp(r(40_000), h(8_080)));
    let answer = udp(c1(80), r(40_000));
    host.leaves(C1_PORT, &answer, Reason::StackFlow);
    host.leaves((Hook::BridgeIn, BRIDGE_1), &answer, Reason::StackFlow);
    host.send(UPLINK_OUT, &answer.hop());
    let entry = host.entry(Protocol::Udp, &answer).unwrap();
    assert_eq!(
        (entry.packets, entry.bytes),
        (1, u64::try_from(HEADER).unwrap() + 30)
    );
}

#[test]
fn time_to_live_and_size_are_the_stacks_business() {
    let mut host = host();
    host.world.narrow = vec![UPLINK, BRIDGE_1, IfIndex(0)];
    let last = udp(r(40_000), h(8_080)).ttl(1);
    for _new_and_in_flow in 0..2 {
        host.carries(
            UPLINK_IN,
            &last,
            Verdict::Stack,
            Reason::StackPublishedIn,
            &last.to(c1(80)),
        );
    }
}
