//! Row 8: what must not pass, and what is none of netmap's business.

use super::*;

#[test]
fn a_containers_own_address_is_not_reached_from_outside() {
    let host = Host::with_8080();
    for packet in [
        tcp(SYN, r(40_000), c1(80)),
        tcp(ACK, r(40_000), c1(80)),
        udp(r(40_000), c1(80)),
        ping(r(77), c1(0)),
    ] {
        host.refuses(UPLINK_IN, &packet, Reason::DirectAccess);
    }
    // The network's broadcast address, and an address that no container has.
    host.refuses(
        UPLINK_IN,
        &udp(r(40_000), socket(address::NOBODY_1[1], 80)),
        Reason::DirectAccess,
    );
    host.refuses(
        UPLINK_IN,
        &udp(r(40_000), socket(address::NOBODY_2, 80)),
        Reason::DirectAccess,
    );
}

#[test]
fn nor_by_what_cannot_be_translated() {
    let whole = udp(r(40_000), c1(80)).bytes();
    let mut other_protocol = whole.clone();
    other_protocol[header::PROTOCOL] = 132;
    let pieces =
        [(0, true), (8, false)].map(|(start, more)| piece(&whole, 7, start, &whole[CONTENT..], more));
    for frame in pieces.iter().chain([&other_protocol]) {
        Host::new().leaves_bytes(UPLINK_IN, frame, Reason::DirectAccess);
    }
}

#[test]
fn bridges_do_not_reach_each_others_containers() {
    let host = Host::with_8080();
    host.refuses(C2_PORT, &tcp(SYN, c2(40_000), c1(80)), Reason::DirectAccess);
    host.refuses(C2_PORT, &ping(c2(77), c1(0)), Reason::DirectAccess);
    host.refuses(
        (Hook::BridgeIn, BRIDGE_1),
        &udp(c1(40_000), c2(80)),
        Reason::DirectAccess,
    );
}

#[test]
fn neighbours_on_one_bridge_are_left_alone() {
    let host = Host::with_8080();
    for to in [address::C1].into_iter().chain(address::NOBODY_1) {
        host.refuses(C1B_PORT, &udp(c1b(40_000), socket(to, 80)), Reason::OnLink);
    }
    host.refuses(C1B_PORT, &tcp(ACK, c1b(40_000), c1(80)), Reason::OnLink);
}

#[test]
fn multicast_broadcast_and_link_local_are_not_translated() {
    let host = Host::new();
    for to in address::NOT_ROUTABLE {
        host.refuses(C1_PORT, &udp(c1(30_000), socket(to, 9)), Reason::NotRoutable);
    }
}

#[test]
fn a_broadcast_of_the_uplinks_subnet_goes_where_the_routing_table_says_which_is_nowhere() {
    // The kernel's look-up answers for unicast routes only.
    let mut host = Host::new();
    host.world.route = Some(Route::Nowhere);
    host.refuses(
        C1_PORT,
        &udp(c1(30_000), socket(address::LAST, 138)),
        Reason::NotOurRoute,
    );
}

#[test]
fn loopback_addresses_on_a_wire_are_dropped() {
    let host = Host::with_8080();
    let [loopback, other] = address::LOOPBACK.map(|address| socket(address, 8_080));
    for place in [UPLINK_IN, C1_PORT, (Hook::BridgeIn, BRIDGE_1)] {
        host.refuses(place, &tcp(SYN, c1(30_000), loopback), Reason::LoopbackOnWire);
        host.refuses(place, &udp(loopback, h(8_080)), Reason::LoopbackOnWire);
        host.refuses(place, &udp(r(40_000), other), Reason::LoopbackOnWire);
    }
}

#[test]
fn a_source_outside_the_bridges_networks_is_not_masqueraded() {
    let host = Host::new();
    host.refuses(
        C1_PORT,
        &udp(r(30_000), socket(address::STRANGER, 53)),
        Reason::ForeignSource,
    );
    host.refuses(C1_PORT, &udp(c2(30_000), r(53)), Reason::ForeignSource);
    host.refuses(
        C1_PORT,
        &udp(socket(IpAddr::UNSPECIFIED, 68), r(67)),
        Reason::ForeignSource,
    );
}

#[test]
fn a_packet_from_an_address_that_nobody_can_have_opens_no_flow() {
    let host = Host::with_8080();
    for src in address::NO_HOST {
        let src = socket(src, 40_000);
        host.refuses(UPLINK_IN, &udp(src, h(8_080)), Reason::SpoofedSource);
        host.refuses(UPLINK_IN, &tcp(SYN, src, h(8_080)), Reason::SpoofedSource);
    }
}

#[test]
fn a_packet_that_claims_to_come_from_this_host_is_dropped() {
    let host = Host::with_8080();
    for src in [h(40_000), h2(40_000), gw1(40_000), gw2(40_000)] {
        for place in [UPLINK_IN, C1_PORT, C2_PORT, (Hook::BridgeIn, BRIDGE_1)] {
            host.refuses(place, &udp(src, h(8_080)), Reason::SpoofedSource);
        }
    }
    host.refuses(C1_PORT, &udp(gw1(40_000), r(53)), Reason::SpoofedSource);
    // A host that accepts its own addresses from a wire does not let them through to containers.
    host.refuses(UPLINK_IN, &udp(h(40_000), c1(80)), Reason::DirectAccess);
}

#[test]
fn a_container_cannot_speak_in_its_neighbours_flow() {
    let host = Host::with_8080();
    let question = tcp(SYN, c1(30_000), r(443));
    host.send(C1_PORT, &question);
    host.send(UPLINK_IN, &tcp(SYN, r(40_000), h(8_080)));
    host.send(C2_PORT, &udp(c2(40_000), h(8_080)));
    let before = host.world.flows.borrow().clone();
    host.tick();
    for forged in [
        // A reset of c1's own connection, an answer of c1's to R, one to c2.
        question.flags(RST),
        tcp(SYN | ACK, c1(80), r(40_000)),
        udp(c1(80), c2(40_000)),
    ] {
        host.leaves(C1B_PORT, &forged, Reason::SpoofedSource);
    }
    assert_eq!(*host.world.flows.borrow(), before, "not even counted");
    host.send(C1_PORT, &question.flags(ACK));
}
