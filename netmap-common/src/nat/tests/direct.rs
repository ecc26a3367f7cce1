//! Packets from outside straight to a container's own address.

use super::*;
use crate::maps::Network;

/// Bridge 1 with these flags, and the uplink with those.
fn host(network: u32, uplink: u8) -> Host {
    let mut host = Host::with_8080();
    host.world.networks[0].2.flags = network;
    host.world.interfaces.get_mut(&UPLINK).unwrap().flags = uplink;
    host
}

#[test]
fn an_open_bridge_lets_packets_in_untranslated_and_their_answers_out() {
    let host = host(Network::<Address>::DIRECT, 0);
    for (packet, answer) in [
        (tcp(SYN, r(40_000), c1(22)), tcp(SYN | ACK, c1(22), r(40_000))),
        (udp(r(40_000), c1(53)), udp(c1(53), r(40_000))),
    ] {
        host.carries(UPLINK_IN, &packet, Verdict::Stack, Reason::DirectIn, &packet);
        host.leaves(C1_PORT, &answer, Reason::StackFlow);
        host.carries(UPLINK_OUT, &answer, Verdict::Stack, Reason::DirectReply, &answer);
    }
    // What the container opens leaves with the uplink's address as ever.
    assert_eq!(host.send(C1_PORT, &udp(c1(30_000), r(53))).1.src, h(30_000));
    // The other bridge is closed, and so is this one to it.
    host.refuses(UPLINK_IN, &udp(r(40_000), c2(53)), Reason::DirectAccess);
    host.refuses(C2_PORT, &udp(c2(40_000), c1(53)), Reason::DirectAccess);
}

#[test]
fn who_claims_to_be_a_container_or_the_host_is_not_let_in() {
    let host = host(Network::<Address>::DIRECT, 0);
    for src in [c2(40_000), c1b(40_000), h(40_000)] {
        host.refuses(UPLINK_IN, &udp(src, c1(53)), Reason::SpoofedSource);
    }
    host.refuses(UPLINK_IN, &tcp(ACK, r(40_000), c1(22)), Reason::MidFlow);
}

#[test]
fn a_bridge_that_trusts_some_uplinks_lets_in_by_those_only() {
    let packet = udp(r(40_000), c1(53));
    let trusting = Network::<Address>::DIRECT_TRUSTED;
    host(trusting, 0).refuses(UPLINK_IN, &packet, Reason::DirectAccess);
    let trusted = host(trusting, Interface::<Address>::TRUSTED);
    trusted.carries(UPLINK_IN, &packet, Verdict::Stack, Reason::DirectIn, &packet);
    host(0, Interface::<Address>::TRUSTED).refuses(UPLINK_IN, &packet, Reason::DirectAccess);
}
