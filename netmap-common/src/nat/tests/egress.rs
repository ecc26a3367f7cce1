//! Row 7: from a container to the outside.

use super::*;

#[test]
fn tcp_to_the_outside_has_the_uplinks_address_and_the_answer_comes_back() {
    let host = Host::new();
    let syn = tcp(SYN, c1(30_000), r(443));
    host.carries(
        C1_PORT,
        &syn,
        UPLINK_NEIGH,
        Reason::EgressOut,
        &syn.from(h(30_000)).hop(),
    );
    let answer = tcp(SYN | ACK, r(443), h(30_000));
    host.carries(
        UPLINK_IN,
        &answer,
        C1_PEER,
        Reason::EgressReply,
        &answer.to(c1(30_000)).hop(),
    );
    let data = syn.flags(ACK);
    host.carries(
        C1_PORT,
        &data,
        UPLINK_NEIGH,
        Reason::EgressOut,
        &data.from(h(30_000)).hop(),
    );
}

#[test]
fn udp_from_an_ephemeral_port_gets_one_of_the_pool_and_the_answer_comes_back() {
    let host = Host::new();
    let question = udp(c2(40_000), r(53));
    let (carried, outside) = host.send(C2_PORT, &question);
    assert_eq!(
        (carried.verdict, carried.reason),
        (UPLINK_NEIGH, Reason::EgressOut)
    );
    assert_eq!(outside, question.from(h(outside.src.port())).hop());
    let answer = udp(r(53), outside.src);
    host.carries(
        UPLINK_IN,
        &answer,
        C2_PEER,
        Reason::EgressReply,
        &answer.to(c2(40_000)).hop(),
    );
}

#[test]
fn two_containers_use_one_source_port_at_once() {
    let host = Host::new();
    let questions = [
        (C1_PORT, C1_PEER, c1(30_000)),
        (C1B_PORT, C1B_PEER, c1b(30_000)),
        (C2_PORT, C2_PEER, c2(30_000)),
    ];
    let outside = questions.map(|(place, _, client)| host.send(place, &udp(client, r(53))).1.src);
    assert_eq!(outside[0], h(30_000));
    assert!(outside[0] != outside[1] && outside[1] != outside[2] && outside[0] != outside[2]);
    for ((_, verdict, client), outside) in questions.into_iter().zip(outside) {
        let answer = udp(r(53), outside);
        host.carries(
            UPLINK_IN,
            &answer,
            verdict,
            Reason::EgressReply,
            &answer.to(client).hop(),
        );
    }
}

#[test]
fn one_source_port_serves_several_destinations() {
    let host = Host::new();
    for (place, client, to) in [(C1_PORT, c1(30_000), r(53)), (C1B_PORT, c1b(30_000), r(54))] {
        let question = udp(client, to);
        host.carries(
            place,
            &question,
            UPLINK_NEIGH,
            Reason::EgressOut,
            &question.from(h(30_000)).hop(),
        );
    }
}

#[test]
fn a_container_behind_a_tap_gets_its_answers_through_the_bridge() {
    let host = Host::new();
    let question = udp(tap(30_000), r(53));
    host.carries(
        TAP_PORT,
        &question,
        UPLINK_NEIGH,
        Reason::EgressOut,
        &question.from(h(30_000)).hop(),
    );
    let answer = udp(r(53), h(30_000));
    host.carries(
        UPLINK_IN,
        &answer,
        TAP_NEIGH,
        Reason::EgressReply,
        &answer.to(tap(30_000)).hop(),
    );
}

#[test]
fn a_connection_that_began_on_the_hosts_stack_stays_there() {
    let host = Host::new();
    for flags in [ACK, SYN | ACK, FIN | ACK, RST] {
        host.refuses(C1_PORT, &tcp(flags, c1(30_000), r(443)), Reason::MidFlow);
    }
}

#[test]
fn both_sides_may_open_at_once() {
    let host = Host::new();
    host.send(C1_PORT, &tcp(SYN, c1(30_000), r(443)));
    let theirs = tcp(SYN, r(443), h(30_000));
    host.carries(
        UPLINK_IN,
        &theirs,
        C1_PEER,
        Reason::EgressReply,
        &theirs.to(c1(30_000)).hop(),
    );
    let ours = tcp(SYN | ACK, c1(30_000), r(443));
    host.carries(
        C1_PORT,
        &ours,
        UPLINK_NEIGH,
        Reason::EgressOut,
        &ours.from(h(30_000)).hop(),
    );
}

#[test]
fn what_does_not_leave_by_an_uplink_is_the_stacks() {
    let mut host = Host::new();
    let question = udp(c1(30_000), r(53));
    for route in [Route::Nowhere, Route::Out(BRIDGE_1), Route::Out(IfIndex(99))] {
        host.world.route = Some(route);
        host.refuses(C1_PORT, &question, Reason::NotOurRoute);
    }
}

#[test]
fn where_forwarding_is_off_nothing_leaves() {
    let mut host = Host::new();
    host.world.route = Some(Route::ForwardingOff);
    host.refuses(C1_PORT, &udp(c1(30_000), r(53)), Reason::ForwardingOff);
}

#[test]
fn an_uplink_without_an_address_carries_nothing_out() {
    let mut host = Host::new();
    host.world.interfaces.get_mut(&UPLINK).unwrap().address = Address::default();
    host.refuses(C1_PORT, &udp(c1(30_000), r(53)), Reason::NoUplinkAddress);
    host.refuses(UPLINK_OUT, &udp(c1(30_000), r(53)), Reason::NoUplinkAddress);
}
