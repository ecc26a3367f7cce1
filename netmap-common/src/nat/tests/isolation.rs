//! Networks that are internal, and networks whose containers keep their address.

use super::*;
use crate::maps::Network;

/// Bridge 1 with these flags, and port 8080 published as c2's.
fn host(flags: u32) -> Host {
    let any = socket(IpAddr::UNSPECIFIED, 8_080);
    let mut host = Host::publishing(Protocol::Tcp, any, c2(80));
    host.world.publish(published(Protocol::Udp, any, c1(80)));
    host.world.networks[0].2.flags = flags;
    host
}

#[test]
fn an_internal_networks_containers_reach_nobody_outside() {
    let host = host(Network::<Address>::INTERNAL);
    for packet in [
        udp(c1(30_000), r(53)),
        tcp(SYN, c1(30_000), r(443)),
        tcp(ACK, c1(30_000), r(443)),
        tcp(RST, c1(30_000), r(443)),
    ] {
        host.refuses(C1_PORT, &packet, Reason::InternalNetwork);
        // Nor by a way that no hook of a port sees.
        host.refuses(UPLINK_OUT, &packet, Reason::InternalNetwork);
    }
    host.refuses(C1_PORT, &tcp(SYN, c1(30_000), c2(80)), Reason::DirectAccess);
    host.refuses(C1_PORT, &tcp(SYN, c1(30_000), h(8_080)), Reason::InternalNetwork);
    host.refuses(
        C1_PORT,
        &tcp(SYN, c1(30_000), gw1(8_080)),
        Reason::InternalNetwork,
    );
    host.refuses(UPLINK_IN, &udp(r(53), c1(30_000)), Reason::DirectAccess);
    // Neighbours, and what the host itself offers.
    host.leaves(C1_PORT, &tcp(SYN, c1(30_000), c1b(80)), Reason::OnLink);
    host.leaves(C1_PORT, &tcp(SYN, c1(30_000), gw1(53)), Reason::ToHost);
    // The other bridge is open as ever.
    assert_eq!(host.send(C2_PORT, &udp(c2(30_000), r(53))).1.src, h(30_000));
    assert!(host.world.flows.borrow().len() == 2);
}

#[test]
fn a_plain_networks_containers_keep_their_address_and_get_their_answers() {
    let host = host(Network::<Address>::PLAIN);
    for (question, answer) in [
        (udp(c1(30_000), r(53)), udp(r(53), c1(30_000))),
        (tcp(SYN, c1(500), r(443)), tcp(SYN | ACK, r(443), c1(500))),
    ] {
        host.refuses(UPLINK_IN, &answer, Reason::DirectAccess);
        host.leaves(C1_PORT, &question, Reason::NotMasqueraded);
        let question = question.hop();
        host.carries(
            UPLINK_OUT,
            &question,
            Verdict::Stack,
            Reason::StackEgressOut,
            &question,
        );
        host.carries(
            UPLINK_IN,
            &answer,
            Verdict::Stack,
            Reason::StackEgressReply,
            &answer,
        );
        host.leaves(C1_PORT, &question, Reason::StackFlow);
    }
    // Nobody else comes in by that.
    host.refuses(UPLINK_IN, &udp(r(54), c1(30_000)), Reason::DirectAccess);
    host.leaves(UPLINK_OUT, &tcp(RST, c1(31_000), r(443)), Reason::NotMasqueraded);
    // What is published is as ever, and so is the other bridge.
    assert_eq!(host.send(UPLINK_IN, &udp(r(40_000), h(8_080))).1.dst, c1(80));
    assert_eq!(host.send(C2_PORT, &udp(c2(30_000), r(53))).1.src, h(30_000));
}
