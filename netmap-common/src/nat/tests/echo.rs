//! Row 7 for ping: the identifier is what a port is elsewhere (RFC 5508, 3.1).

use super::*;

#[test]
fn a_ping_has_the_uplinks_address_and_the_answer_comes_back() {
    let host = Host::new();
    let request = ping(c1(77), r(0));
    host.carries(
        C1_PORT,
        &request,
        UPLINK_NEIGH,
        Reason::EgressOut,
        &request.from(h(77)).hop(),
    );
    let answer = pong(r(0), h(77));
    host.carries(
        UPLINK_IN,
        &answer,
        C1_PEER,
        Reason::EgressReply,
        &answer.to(c1(77)).hop(),
    );
}

#[test]
fn two_containers_ping_one_host_with_one_identifier() {
    let host = Host::new();
    let one = ping(c1(77), r(0));
    host.carries(
        C1_PORT,
        &one,
        UPLINK_NEIGH,
        Reason::EgressOut,
        &one.from(h(77)).hop(),
    );
    let two = ping(c1b(77), r(0));
    let (_, outside) = host.send(C1B_PORT, &two);
    let id = outside.src.port();
    assert_ne!(id, 77);
    assert_eq!(outside, two.from(h(id)).hop());
    for (id, container, verdict) in [(77, c1(77), C1_PEER), (id, c1b(77), C1B_PEER)] {
        let answer = pong(r(0), h(id));
        host.carries(
            UPLINK_IN,
            &answer,
            verdict,
            Reason::EgressReply,
            &answer.to(container).hop(),
        );
    }
}

#[test]
fn identifiers_have_no_classes() {
    let host = Host::new();
    for id in [1, 1_023, 40_000, 65_535] {
        let request = ping(c1(id), r(0));
        host.carries(
            C1_PORT,
            &request,
            UPLINK_NEIGH,
            Reason::EgressOut,
            &request.from(h(id)).hop(),
        );
    }
}

#[test]
fn identifier_0_becomes_another_because_it_would_not_tell_a_request_from_an_answer() {
    let host = Host::new();
    let request = ping(c1(0), r(0));
    let (_, outside) = host.send(C1_PORT, &request);
    let id = outside.src.port();
    assert_ne!(id, 0);
    let answer = pong(r(0), h(id));
    host.carries(
        UPLINK_IN,
        &answer,
        C1_PEER,
        Reason::EgressReply,
        &answer.to(c1(0)).hop(),
    );
    // The other side pings us with it meanwhile.
    host.refuses(UPLINK_IN, &ping(r(0), h(0)), Reason::ToHost);
}

#[test]
fn pings_of_this_host_are_the_hosts() {
    let host = Host::with_8080();
    host.refuses(UPLINK_IN, &ping(r(77), h(0)), Reason::ToHost);
    host.refuses(C1_PORT, &ping(c1(77), gw1(0)), Reason::ToHost);
    host.refuses(UPLINK_IN, &pong(r(0), h(77)), Reason::ToHost);
    host.refuses(UPLINK_OUT, &ping(h(77), r(0)), Reason::FromHost);
}

#[test]
fn an_echo_reply_opens_nothing() {
    let host = Host::new();
    host.refuses(C1_PORT, &pong(c1(0), r(77)), Reason::MidFlow);
    host.refuses(UPLINK_OUT, &pong(c1(0), r(77)), Reason::WouldLeak);
}
