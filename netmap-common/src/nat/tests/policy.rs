//! The order of decisions: what a packet is refused for when several reasons hold.

use super::*;

#[test]
fn a_flow_comes_before_what_is_published_since() {
    let mut host = Host::new();
    host.send(C1_PORT, &udp(c1(30_000), r(53)));
    host.world
        .publish(published(Protocol::Udp, h(30_000), c2(30_000)));
    let answer = udp(r(53), h(30_000));
    host.carries(
        UPLINK_IN,
        &answer,
        C1_PEER,
        Reason::EgressReply,
        &answer.to(c1(30_000)).hop(),
    );
    // Anybody else gets what is published.
    assert_eq!(host.send(UPLINK_IN, &udp(r(54), h(30_000))).1.dst, c2(30_000));
}

#[test]
fn a_flow_comes_before_its_rules_allow_list() {
    // Who was let in stays until the rule changes, and with it its generation.
    let mut host = Host::new();
    let id = host.world.publish(Rule {
        flags: Rule::ALLOW_LIST,
        ..published(Protocol::Udp, h(8_080), c1(80))
    });
    host.world.allow.push((id, at(r(0)), Address::BITS));
    let question = udp(r(40_000), h(8_080));
    host.send(UPLINK_IN, &question);
    host.world.allow.clear();
    host.carries(
        UPLINK_IN,
        &question,
        C1_PEER,
        Reason::PublishedIn,
        &question.to(c1(80)).hop(),
    );
    host.world.retire(id);
    host.leaves(UPLINK_IN, &question, Reason::ToHost);
    assert!(host.world.flows.borrow().is_empty());
}

#[test]
fn loopback_comes_before_flows() {
    let host = Host::new();
    let loopback = socket(IpAddr::LOCALHOST, 53);
    let entry = Flow {
        way: Way::Peer as u8,
        ..Flow::default()
    };
    let spoofed = udp(loopback, h(30_000));
    host.world
        .flows
        .borrow_mut()
        .insert(key(Protocol::Udp, spoofed.src, spoofed.dst), entry);
    host.leaves(UPLINK_IN, &spoofed, Reason::LoopbackOnWire);
}

#[test]
fn who_is_not_allowed_learns_nothing_about_the_containers_place() {
    let mut host = Host::new();
    host.world.publish(Rule {
        flags: Rule::ALLOW_LIST,
        ..published(Protocol::Tcp, h(8_080), c1(80))
    });
    host.world.endpoints.clear();
    host.refuses(
        UPLINK_IN,
        &tcp(SYN, r(40_000), h(8_080)).ttl(1),
        Reason::NotAllowed,
    );
}
