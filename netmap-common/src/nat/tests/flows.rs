//! Flows after their first packet: what was published changes, twins get lost, packets are counted.

use super::*;

#[test]
fn a_flow_is_two_entries_that_point_at_each_other() {
    let host = Host::with_8080();
    let question = udp(c1(40_000), r(53));
    let outside = host.send(C1_PORT, &question).1;
    let original = host.entry(Protocol::Udp, &question).unwrap();
    let reply = host.entry(Protocol::Udp, &udp(r(53), outside.src)).unwrap();
    assert_eq!(original.twin(), key(Protocol::Udp, r(53), outside.src));
    assert_eq!(reply.twin(), key(Protocol::Udp, c1(40_000), r(53)));
    assert_eq!(original.nonce, reply.nonce);
    assert_eq!((original.side(), reply.side()), (Side::Original, Side::Reply));
    assert_eq!(
        (original.kind(), reply.kind()),
        (Some(Kind::Egress), Some(Kind::Egress))
    );
    assert_eq!((original.way(), original.out), (Some(Way::Neigh), UPLINK));
    assert_eq!((reply.way(), reply.out), (Some(Way::Peer), C1_PORT.1));
    assert_eq!(original.created, Seconds(1_000));
    assert_eq!(host.world.flows.borrow().len(), 2);
}

#[test]
fn each_direction_counts_its_own_packets_bytes_and_time() {
    let host = Host::with_8080();
    let question = udp(r(40_000), h(8_080)).payload(&[0; 92 - HEADER]);
    let answer = udp(c1(80), r(40_000)).payload(&[0; 192 - HEADER]);
    host.send(UPLINK_IN, &question);
    host.send(UPLINK_IN, &question);
    host.tick();
    host.send(C1_PORT, &answer);
    let [original, reply] = [&question, &answer].map(|packet| host.entry(Protocol::Udp, packet).unwrap());
    assert_eq!(
        (original.packets, original.bytes, original.last_seen),
        (2, 200, Seconds(1_000))
    );
    assert_eq!(
        (reply.packets, reply.bytes, reply.last_seen),
        (1, 200, Seconds(1_001))
    );
}

#[test]
fn what_comes_in_at_the_wrong_hook_neither_keeps_a_flow_alive_nor_resets_it() {
    let host = Host::with_8080();
    let question = tcp(SYN, r(40_000), h(8_080));
    host.send(UPLINK_IN, &question);
    let before = host.entry(Protocol::Tcp, &question).unwrap();
    host.tick();
    let forged = tcp(RST, r(40_000), h(8_080));
    let (result, _) = host.run(C1B_PORT, &forged.bytes());
    assert!(result.is_err(), "{result:?}");
    assert_eq!(host.entry(Protocol::Tcp, &question), Some(before));
}

#[test]
fn a_client_of_a_port_that_is_published_anew_gets_the_new_container_at_once() {
    let mut host = Host::with_8080();
    let question = udp(r(40_000), h(8_080));
    assert_eq!(host.send(UPLINK_IN, &question).1.dst, c1(80));
    republish(&mut host, RuleId(2), c1b(80));
    host.carries(
        UPLINK_IN,
        &question,
        C1B_PEER,
        Reason::PublishedIn,
        &question.to(c1b(80)).hop(),
    );
    let answer = udp(c1b(80), r(40_000));
    host.carries(
        C1B_PORT,
        &answer,
        UPLINK_NEIGH,
        Reason::PublishedReply,
        &answer.from(h(8_080)).hop(),
    );
    assert_eq!(
        host.world.flows.borrow().len(),
        2,
        "nothing is left of the old flow"
    );
}

#[test]
fn a_connection_to_a_port_that_is_published_anew_has_to_begin_anew() {
    let mut host = Host::with_8080();
    host.send(UPLINK_IN, &tcp(SYN, r(40_000), h(8_080)));
    republish(&mut host, RuleId(1), c1b(80));
    host.leaves(UPLINK_IN, &tcp(ACK, r(40_000), h(8_080)), Reason::MidFlow);
    assert!(host.world.flows.borrow().is_empty());
    assert_eq!(
        host.send(UPLINK_IN, &tcp(SYN, r(40_000), h(8_080))).1.dst,
        c1b(80)
    );
}

#[test]
fn a_port_that_is_not_published_any_more_is_the_hosts_for_old_clients_too() {
    let host = Host::with_8080();
    let question = udp(r(40_000), h(8_080));
    host.send(UPLINK_IN, &question);
    host.world.retire(RuleId(2));
    host.leaves(UPLINK_IN, &question, Reason::ToHost);
    assert!(host.world.flows.borrow().is_empty());
}

#[test]
fn an_answer_from_a_port_that_is_not_published_any_more_is_dropped_and_ends_the_flow() {
    let host = Host::with_8080();
    host.send(UPLINK_IN, &udp(r(40_000), h(8_080)));
    host.world.retire(RuleId(2));
    host.leaves(C1_PORT, &udp(c1(80), r(40_000)), Reason::Unpublished);
    assert!(host.world.flows.borrow().is_empty());
}

#[test]
fn flows_to_the_outside_have_no_rule_that_could_change() {
    let host = Host::with_8080();
    let question = udp(c1(30_000), r(53));
    host.send(C1_PORT, &question);
    host.world.retire(RuleId(1));
    host.world.retire(RuleId(2));
    host.carries(
        C1_PORT,
        &question,
        UPLINK_NEIGH,
        Reason::EgressOut,
        &question.from(h(30_000)).hop(),
    );
}

#[test]
fn a_missing_twin_is_noticed_within_a_second_and_the_flow_opened_anew() {
    let host = Host::new();
    let question = udp(c1(30_000), r(53));
    host.send(C1_PORT, &question);
    let answers = key(Protocol::Udp, r(53), h(30_000));
    host.world.flows.borrow_mut().remove(&answers);
    host.send(C1_PORT, &question);
    assert!(
        !host.world.flows.borrow().contains_key(&answers),
        "nobody looks twice in one second"
    );
    host.tick();
    host.carries(
        C1_PORT,
        &question,
        UPLINK_NEIGH,
        Reason::EgressOut,
        &question.from(h(30_000)).hop(),
    );
    let flows = host.world.flows.borrow();
    assert_eq!(
        flows.get(&answers).unwrap().nonce,
        host.entry(Protocol::Udp, &question).unwrap().nonce
    );
}

#[test]
fn a_connection_that_lost_its_twin_ends() {
    let host = Host::with_8080();
    host.send(UPLINK_IN, &tcp(SYN, r(40_000), h(8_080)));
    host.world
        .flows
        .borrow_mut()
        .remove(&key(Protocol::Tcp, c1(80), r(40_000)));
    host.tick();
    host.leaves(UPLINK_IN, &tcp(ACK, r(40_000), h(8_080)), Reason::MidFlow);
    assert!(host.world.flows.borrow().is_empty());
}

#[test]
fn an_answer_whose_question_is_forgotten_is_the_hosts() {
    let host = Host::new();
    host.send(C1_PORT, &udp(c1(30_000), r(53)));
    host.world
        .flows
        .borrow_mut()
        .remove(&key(Protocol::Udp, c1(30_000), r(53)));
    host.tick();
    host.leaves(UPLINK_IN, &udp(r(53), h(30_000)), Reason::ToHost);
    assert!(host.world.flows.borrow().is_empty());
}

#[test]
fn an_entry_that_another_flow_has_taken_since_is_no_twin() {
    let host = Host::new();
    let (one, two) = (udp(c1(30_000), r(53)), udp(c1b(30_000), r(53)));
    host.send(C1_PORT, &one);
    host.world
        .flows
        .borrow_mut()
        .remove(&key(Protocol::Udp, r(53), h(30_000)));
    assert_eq!(host.send(C1B_PORT, &two).1.src, h(30_000), "free, so taken");
    host.tick();
    // The first flow must not use what belongs to the second.
    let moved = host.send(C1_PORT, &one).1.src;
    assert_ne!(moved, h(30_000));
    for (asked, verdict, client) in [(h(30_000), C1B_PEER, c1b(30_000)), (moved, C1_PEER, c1(30_000))] {
        let answer = udp(r(53), asked);
        host.carries(
            UPLINK_IN,
            &answer,
            verdict,
            Reason::EgressReply,
            &answer.to(client).hop(),
        );
    }
}

/// As the daemon does: the number gets a new generation, then a new meaning.
fn republish(host: &mut Host, id: RuleId, target: Socket) {
    host.world.retire(id);
    let rules = host.world.rules.get_mut();
    let rule = rules.get_mut(&id).unwrap();
    rule.target = at(target);
    rule.flags = Rule::LIVE;
    assert_eq!(rule.generation, Generation(1));
}

/// Found by fuzzing: the entry does not count at the uplink, so the packet was decided anew, and then went the old flow's way.
#[test]
fn a_flow_from_before_a_client_moved_outside_is_not_followed() {
    let mut host = Host::with_8080();
    host.send(C2_PORT, &tcp(SYN, c2(40_000), h(8_080)));
    host.world
        .networks
        .retain(|(_, _, network)| network.bridge == BRIDGE_1);
    let before = host.world.flows.borrow().clone();
    let request = tcp(SYN, c2(40_000), h(8_080)).bytes();
    let (result, after) = host.run(UPLINK_IN, &request);
    assert_eq!(result, Err(Reason::SpoofedSource));
    assert_eq!(after, request);
    assert_eq!(*host.world.flows.borrow(), before);
}

/// Found by fuzzing.
#[test]
fn a_flow_between_containers_does_not_leave_by_an_uplink() {
    let host = Host::with_8080();
    let request = tcp(SYN, c1b(40_000), h(8_080));
    let inside = host.send(C1B_PORT, &request).1;
    let answer = tcp(SYN | ACK, inside.dst, inside.src);
    let before = host.world.flows.borrow().clone();
    for packet in [request.bytes(), answer.bytes()] {
        let (result, after) = host.run(UPLINK_OUT, &packet);
        assert_eq!(result, Err(Reason::SpoofedSource));
        assert_eq!(after, packet);
    }
    assert_eq!(*host.world.flows.borrow(), before);
}
