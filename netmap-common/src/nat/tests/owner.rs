//! Containers send from their own addresses only.

use super::*;

/// c1 and c1b are known, the tap is not, and nobody has `NOBODY_1`.
fn host() -> Host {
    let mut host = Host::with_8080();
    let (_, c1_port) = C1_PORT;
    let (_, c1b_port) = C1B_PORT;
    host.world.owners = [(at(c1(0)), c1_port), (at(c1b(0)), c1b_port)].into();
    for port in [c1_port, c1b_port] {
        host.world.interfaces.get_mut(&port).unwrap().flags = Interface::<Address>::KNOWN;
    }
    host
}

/// From this address to the outside, to published ports, to the host itself, to a neighbour and to another bridge.
fn questions(src: Socket) -> [Sample; 8] {
    [
        tcp(SYN, src, r(443)),
        tcp(ACK, src, r(443)),
        udp(src, r(53)),
        ping(src, r(0)),
        udp(src, h(8_080)),
        tcp(SYN, src, gw1(22)),
        udp(src, tap(53)),
        tcp(SYN, src, c2(80)),
    ]
}

#[test]
fn nobody_opens_a_flow_in_a_neighbours_name() {
    let host = host();
    for port in [C1B_PORT, TAP_PORT] {
        for forged in questions(c1(30_000)) {
            host.refuses(port, &forged, Reason::SpoofedSource);
        }
    }
    // What is its own goes where it went before.
    assert_eq!(host.send(C1_PORT, &udp(c1(30_000), r(53))).1.dst, r(53));
    assert_eq!(host.send(C1B_PORT, &udp(c1b(30_000), h(8_080))).1.dst, c1(80));
    host.refuses(C1B_PORT, &udp(c1b(30_000), tap(53)), Reason::OnLink);
    host.refuses(C1B_PORT, &tcp(SYN, c1b(30_000), gw1(22)), Reason::ToHost);
}

#[test]
fn who_is_known_has_no_other_address() {
    let host = host();
    let nobody = socket(address::NOBODY_1[1], 30_000);
    for forged in questions(nobody) {
        host.refuses(C1_PORT, &forged, Reason::SpoofedSource);
    }
    // Of the tap nothing is known: it may have it.
    assert_eq!(host.send(TAP_PORT, &udp(nobody, r(53))).1.dst, r(53));
}

#[test]
fn what_is_in_no_network_of_the_bridge_is_judged_as_ever() {
    let host = host();
    host.refuses(C1_PORT, &udp(r(30_000), r(53)), Reason::ForeignSource);
    host.refuses(
        C1_PORT,
        &udp(socket(IpAddr::UNSPECIFIED, 68), r(67)),
        Reason::ForeignSource,
    );
    host.refuses(C1_PORT, &udp(gw1(30_000), r(53)), Reason::SpoofedSource);
}

#[test]
fn a_flow_that_is_there_asks_nobody() {
    let mut host = host();
    let question = tcp(SYN, c1(30_000), r(443));
    host.send(C1_PORT, &question);
    host.world.owners.clear();
    assert_eq!(host.send(C1_PORT, &question.flags(ACK)).1.dst, r(443));
}
