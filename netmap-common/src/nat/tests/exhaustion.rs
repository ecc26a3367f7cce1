//! A full table of flows, and destinations that all ports are used for.

use super::*;

#[test]
fn a_full_table_refuses_new_flows_and_serves_the_old_ones() {
    let mut host = Host::with_8080();
    let old = udp(r(40_000), h(8_080));
    host.send(UPLINK_IN, &old);
    host.world.flow_capacity = 2;
    host.refuses(UPLINK_IN, &udp(r(40_001), h(8_080)), Reason::TableFull);
    host.refuses(C1_PORT, &udp(c1(30_000), r(53)), Reason::TableFull);
    host.carries(
        UPLINK_IN,
        &old,
        C1_PEER,
        Reason::PublishedIn,
        &old.to(c1(80)).hop(),
    );
    let answer = udp(c1(80), r(40_000));
    host.carries(
        C1_PORT,
        &answer,
        UPLINK_NEIGH,
        Reason::PublishedReply,
        &answer.from(h(8_080)).hop(),
    );
}

#[test]
fn room_for_one_half_of_a_flow_is_not_used() {
    let mut host = Host::with_8080();
    host.world.flow_capacity = 1;
    host.refuses(UPLINK_IN, &udp(r(40_000), h(8_080)), Reason::TableFull);
    host.refuses(C1_PORT, &udp(c1(40_000), r(53)), Reason::TableFull);
    host.world.flow_capacity = 2;
    host.send(UPLINK_IN, &udp(r(40_000), h(8_080)));
}

#[test]
fn a_destination_that_has_all_ports_gets_no_more_flows_but_another_does() {
    let mut host = Host::new();
    for range in &mut host.world.settings.pool {
        (range.first, range.last) = (Port(2_000), Port(2_000));
    }
    host.send(C1_PORT, &udp(c1(2_000), r(53)));
    host.refuses(C1B_PORT, &udp(c1b(2_000), r(53)), Reason::PortsExhausted);
    assert_eq!(host.send(C1B_PORT, &udp(c1b(2_000), r(54))).1.src, h(2_000));
    assert_eq!(host.send(C1B_PORT, &tcp(SYN, c1b(2_000), r(53))).1.src, h(2_000));
}
