//! How long flows live idle, by what their packets were.

use super::*;
use crate::nat::{LifetimeClass as Class, Lifetimes, state_name};

/// A step of a flow: packets of the one who opened it, and of the other.
enum Step {
    Out(u8),
    Back(u8),
}
use Step::{Back, Out};

/// Lifetime and state of a published connection after these packets.
#[track_caller]
fn connection(steps: &[Step], seconds: u32, state: &str) {
    let host = Host::with_8080();
    let (request, answer) = (tcp(SYN, r(40_000), h(8_080)), tcp(ACK, c1(80), r(40_000)));
    for step in steps {
        match step {
            Out(flags) => host.send(UPLINK_IN, &request.flags(*flags)),
            Back(flags) => host.send(C1_PORT, &answer.flags(*flags)),
        };
    }
    assert_eq!(judged(&host, Protocol::Tcp, &request, &answer), (seconds, state));
}

fn judged(host: &Host, protocol: Protocol, request: &Sample, answer: &Sample) -> (u32, &'static str) {
    let original = host.entry(protocol, request).unwrap();
    let reply = host.entry(protocol, answer).unwrap();
    (
        Lifetimes::default().of(&original, &reply).0,
        state_name(&original, &reply),
    )
}

const OPEN: [Step; 3] = [Out(SYN), Back(SYN | ACK), Out(ACK)];

fn open_then<const N: usize>(then: [Step; N]) -> Vec<Step> {
    OPEN.into_iter().chain(then).collect()
}

#[test]
fn a_connection_lives_for_days_once_both_sides_have_acknowledged() {
    connection(&[Out(SYN)], 60, "opening");
    connection(&[Out(SYN), Out(SYN)], 60, "opening");
    connection(&[Out(SYN), Back(SYN | ACK)], 60, "opening");
    connection(&OPEN, 432_000, "established");
    connection(
        &[Out(SYN), Back(SYN), Out(SYN | ACK), Back(SYN | ACK)],
        432_000,
        "established",
    );
}

#[test]
fn a_connection_that_a_container_opens_has_longer_for_it() {
    let host = Host::new();
    let request = tcp(SYN, c1(30_000), r(80));
    host.send(C1_PORT, &request);
    let answer = tcp(SYN | ACK, r(80), h(30_000));
    assert_eq!(judged(&host, Protocol::Tcp, &request, &answer), (240, "opening"));
}

#[test]
fn a_half_closed_connection_lives_on_and_a_closed_one_rests() {
    connection(&open_then([Out(FIN | ACK), Back(ACK)]), 432_000, "established");
    connection(
        &open_then([Back(FIN | ACK), Out(ACK), Out(ACK)]),
        432_000,
        "established",
    );
    connection(
        &open_then([Out(FIN | ACK), Back(FIN | ACK), Out(ACK)]),
        240,
        "closed",
    );
}

#[test]
fn a_port_pair_used_again_is_a_new_connection() {
    let closed = [Out(FIN | ACK), Back(FIN | ACK), Out(ACK), Out(SYN)];
    connection(&open_then(closed), 60, "opening");
    let reopened = [
        Out(FIN | ACK),
        Back(FIN | ACK),
        Out(ACK),
        Out(SYN),
        Back(SYN | ACK),
        Out(ACK),
    ];
    connection(&open_then(reopened), 432_000, "established");
    connection(
        &open_then([Back(RST), Out(SYN), Back(SYN | ACK), Out(ACK)]),
        432_000,
        "established",
    );
}

#[test]
fn a_reset_shortens_a_connections_life_until_its_sender_goes_on() {
    connection(&[Out(SYN), Back(RST | ACK)], 240, "reset");
    connection(&open_then([Out(RST)]), 240, "reset");
    connection(&open_then([Back(RST | ACK), Out(ACK)]), 240, "reset");
    // A forged one: whom it names knows nothing of it (RFC 7857, 2.2, by RFC 6146, 3.5.2.2).
    connection(&open_then([Out(RST), Out(ACK)]), 432_000, "established");
}

#[test]
fn a_syn_in_a_live_connection_changes_nothing() {
    connection(&open_then([Out(SYN)]), 432_000, "established");
    connection(&open_then([Back(SYN | ACK)]), 432_000, "established");
}

#[test]
fn udp_lives_longer_once_it_is_answered_and_shortest_where_anybody_may_open_it() {
    let host = Host::with_8080();
    let flows = [
        (
            UPLINK_IN,
            udp(r(40_000), h(8_080)),
            C1_PORT,
            udp(c1(80), r(40_000)),
            30,
        ),
        (
            C2_PORT,
            udp(c2(40_000), h(8_080)),
            C1_PORT,
            udp(c1(80), c2(40_000)),
            30,
        ),
        (
            C1_PORT,
            udp(c1(30_000), h(8_080)),
            C1_PORT,
            udp(c1(80), gw1(30_000)),
            30,
        ),
        (
            C1_PORT,
            udp(c1(30_000), r(53)),
            UPLINK_IN,
            udp(r(53), h(30_000)),
            120,
        ),
    ];
    for (there, request, back, answer, unanswered) in flows {
        host.send(there, &request);
        assert_eq!(
            judged(&host, Protocol::Udp, &request, &answer),
            (unanswered, "unanswered")
        );
        host.send(there, &request);
        assert_eq!(
            judged(&host, Protocol::Udp, &request, &answer),
            (unanswered, "unanswered")
        );
        host.send(back, &answer);
        assert_eq!(judged(&host, Protocol::Udp, &request, &answer), (300, "answered"));
    }
}

#[test]
fn a_ping_lives_a_minute() {
    let host = Host::new();
    let request = ping(c1(77), r(0));
    let answer = pong(r(0), host.send(C1_PORT, &request).1.src);
    assert_eq!(
        judged(&host, Protocol::Icmp, &request, &answer),
        (60, "unanswered")
    );
    host.send(UPLINK_IN, &answer);
    assert_eq!(judged(&host, Protocol::Icmp, &request, &answer), (60, "answered"));
}

#[test]
fn where_the_table_is_nearly_full_all_but_established_connections_live_shorter() {
    let usual = Lifetimes::default();
    assert_eq!(
        [0, 50, 80, 90, 100, 250].map(Lifetimes::left_at),
        [100, 100, 100, 63, 25, 25]
    );
    let at = |percent| usual.shrunk_to(percent).all().map(|lifetime| lifetime.0);
    assert_eq!(usual.shrunk_to(100), usual);
    assert_eq!(at(50), [432_000, 120, 30, 150, 60, 15, 30]);
    assert_eq!(at(25), [432_000, 60, 15, 75, 30, 7, 15]);
}

#[test]
fn no_lifetime_is_shorter_by_default_than_the_rfcs_want() {
    for class in Class::ALL {
        assert!(
            Lifetimes::default().of_class(class) >= class.floor().0,
            "{}",
            class.name()
        );
    }
}
