//! Row 7 for ping: the identifier is what a port is elsewhere (RFC 5508, 3.1).

use super::*;

#[test]
fn a_ping_has_the_uplinks_address_and_the_answer_comes_back() {
    let host = Host::new();
    let request = ping(c1(77), r(0));
    let (carried, outside) = host.send(C1_PORT, &request);
    assert_eq!(
        (carried.verdict, carried.reason),
        (UPLINK_NEIGH, Reason::EgressOut)
    );
    assert_eq!(outside, request.from(h(outside.src.port())).hop());
    let answer = pong(r(0), outside.src);
    host.carries(
        UPLINK_IN,
        &answer,
        C1_PEER,
        Reason::EgressReply,
        &answer.to(c1(77)).hop(),
    );
    assert_eq!(
        host.send(C1_PORT, &request).1,
        outside,
        "the next request has the same identifier"
    );
}

#[test]
fn two_containers_ping_one_host_with_one_identifier() {
    let host = Host::new();
    let outside = |place, container| host.send(place, &ping(container, r(0))).1.src;
    let (one, two) = (outside(C1_PORT, c1(77)), outside(C1B_PORT, c1b(77)));
    assert_ne!(one, two);
    for (outside, container, verdict) in [(one, c1(77), C1_PEER), (two, c1b(77), C1B_PEER)] {
        let answer = pong(r(0), outside);
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
fn an_identifier_is_never_kept_because_the_hosts_own_pings_may_have_it() {
    let host = Host::new();
    let ids = [1, 1_023, 40_000, 65_535];
    let kept = ids
        .iter()
        .filter(|id| host.send(C1_PORT, &ping(c1(**id), r(0))).1.src.port() == **id);
    assert_eq!(kept.count(), 0);
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
