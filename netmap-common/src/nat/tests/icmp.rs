//! ICMP errors: whoever sent what they quote hears of it, and can tell what it is about.

use super::{
    kind::{PORT, TIME_EXCEEDED, UNREACHABLE},
    *,
};

/// All of a quoted packet.
const WHOLE: usize = 1_500;
/// An IP header and the least that RFC 792 wants quoted of the rest.
const LEAST: usize = HEADER + 8;

/// A router between the host and R.
const fn router() -> Socket {
    socket(address::ROUTER, 0)
}

fn carries_error(host: &Host, place: Place, packet: &Sample, verdict: Verdict, output: &Sample) {
    host.carries(place, packet, verdict, Reason::IcmpError, &output.hop());
}

#[test]
fn a_router_on_the_way_out_is_heard_by_the_container() {
    let host = Host::new();
    for (kind, code) in kind::ERRORS {
        for asked in [
            udp(c1(40_000), r(53)),
            tcp(SYN, c1(40_000), r(443)),
            ping(c1(77), r(0)),
        ] {
            let (_, sent) = host.send(C1_PORT, &asked);
            for quoted in [LEAST, LEAST + 8, LEAST + 12, WHOLE] {
                carries_error(
                    &host,
                    UPLINK_IN,
                    &error(kind, code, router(), &sent, quoted),
                    C1_PEER,
                    &error(kind, code, router(), &asked.hop(), quoted),
                );
            }
        }
    }
}

#[test]
fn a_container_without_a_listener_tells_the_client_with_the_hosts_address() {
    let host = Host::with_8080();
    let asked = udp(r(40_000), h(8_080));
    let (_, sent) = host.send(UPLINK_IN, &asked);
    carries_error(
        &host,
        C1_PORT,
        &error(UNREACHABLE, PORT, c1(0), &sent, WHOLE),
        UPLINK_NEIGH,
        &error(UNREACHABLE, PORT, h(0), &asked.hop(), WHOLE),
    );
}

#[test]
fn a_client_that_has_gone_tells_the_container() {
    let host = Host::with_8080();
    host.send(UPLINK_IN, &udp(r(40_000), h(8_080)));
    let answer = udp(c1(80), r(40_000));
    let (_, sent) = host.send(C1_PORT, &answer);
    carries_error(
        &host,
        UPLINK_IN,
        &error(UNREACHABLE, PORT, r(0), &sent, WHOLE),
        C1_PEER,
        &error(UNREACHABLE, PORT, r(0), &answer.hop(), WHOLE),
    );
}

#[test]
fn containers_tell_each_other_through_the_published_address() {
    let host = Host::with_8080();
    let asked = udp(c1b(40_000), h(8_080));
    let (_, sent) = host.send(C1B_PORT, &asked);
    carries_error(
        &host,
        C1_PORT,
        &error(UNREACHABLE, PORT, c1(0), &sent, WHOLE),
        C1B_PEER,
        &error(UNREACHABLE, PORT, h(0), &asked.hop(), WHOLE),
    );
    let answer = udp(c1(80), c1b(40_000));
    let (_, sent) = host.send(C1_PORT, &answer);
    carries_error(
        &host,
        C1B_PORT,
        &error(UNREACHABLE, PORT, c1b(0), &sent, WHOLE),
        C1_PEER,
        &error(UNREACHABLE, PORT, c1b(0), &answer.hop(), WHOLE),
    );
}

#[test]
fn a_container_hears_of_its_own_port() {
    let host = Host::with_8080();
    let asked = udp(c1(40_000), h(8_080));
    let (_, sent) = host.send(C1_PORT, &asked);
    carries_error(
        &host,
        C1_PORT,
        &error(UNREACHABLE, PORT, c1(0), &sent, WHOLE),
        C1_PEER,
        &error(UNREACHABLE, PORT, h(0), &asked.hop(), WHOLE),
    );
}

#[test]
fn a_router_behind_the_container_stays_hidden() {
    let host = Host::with_8080();
    let asked = udp(r(40_000), h(8_080));
    let (_, sent) = host.send(UPLINK_IN, &asked);
    let inner_router = socket(address::NOBODY_1[0], 0);
    carries_error(
        &host,
        C1_PORT,
        &error(TIME_EXCEEDED, 0, inner_router, &sent, WHOLE),
        UPLINK_NEIGH,
        &error(TIME_EXCEEDED, 0, h(0), &asked.hop(), WHOLE),
    );
}

#[test]
fn a_quote_with_ip_options_and_one_without_a_udp_checksum_are_translated() {
    let host = Host::new();
    for asked in [
        udp(c1(40_000), r(53)).options(header::options(1)),
        udp(c1(40_000), r(53)).unchecked(),
    ] {
        let (_, sent) = host.send(C1_PORT, &asked);
        carries_error(
            &host,
            UPLINK_IN,
            &error(UNREACHABLE, PORT, r(0), &sent, WHOLE).options(header::options(1)),
            C1_PEER,
            &error(UNREACHABLE, PORT, r(0), &asked.hop(), WHOLE).options(header::options(1)),
        );
    }
}

#[test]
fn an_error_neither_refreshes_nor_ends_the_flow() {
    let host = Host::new();
    let asked = tcp(SYN, c1(30_000), r(443));
    let (_, sent) = host.send(C1_PORT, &asked);
    host.send(UPLINK_IN, &tcp(SYN | ACK, r(443), sent.src));
    let before = host.world.flows.borrow().clone();
    host.tick();
    host.send(UPLINK_IN, &error(UNREACHABLE, PORT, r(0), &sent, WHOLE));
    assert_eq!(*host.world.flows.borrow(), before);
    host.send(C1_PORT, &asked.flags(ACK));
}

#[test]
fn what_is_about_no_flow_is_left_to_the_host() {
    let host = Host::with_8080();
    let (_, sent) = host.send(C1_PORT, &udp(c1(30_000), r(53)));
    let about = |packet: &Sample| error(UNREACHABLE, PORT, r(0), packet, WHOLE);
    for packet in [
        // The host's own, another port of either side, another protocol.
        about(&udp(h(999), r(53))),
        about(&sent.from(h(30_001))),
        about(&sent.to(r(54))),
        about(&tcp(SYN, h(30_000), r(53))),
        // To another address of the host than the one that sent it.
        Sample {
            dst: h2(0),
            ..about(&sent)
        },
    ] {
        host.refuses(UPLINK_IN, &packet, Reason::OtherIcmp);
    }
    for (kind, code) in kind::OTHERS {
        host.refuses(
            UPLINK_IN,
            &error(kind, code, router(), &sent, WHOLE),
            Reason::OtherIcmp,
        );
    }
}

#[test]
fn nobody_reaches_a_container_by_an_error_that_he_made_up() {
    let host = Host::with_8080();
    host.send(UPLINK_IN, &udp(r(40_000), h(8_080)));
    // Straight to the container, quoting what it sent indeed.
    let quoted = udp(c1(80), r(40_000));
    host.refuses(
        UPLINK_IN,
        &error(UNREACHABLE, PORT, r(0), &quoted, WHOLE),
        Reason::DirectAccess,
    );
    // From a container that the flow does not belong to: it is not its flow's answer there.
    host.refuses(
        C2_PORT,
        &error(UNREACHABLE, PORT, c2(0), &udp(c2(1), c1(80)), WHOLE).to(c1(0)),
        Reason::DirectAccess,
    );
    // What only comes from outside does not come from a container.
    let (_, sent) = host.send(C1_PORT, &udp(c1(30_000), r(53)));
    host.refuses(
        C2_PORT,
        &error(UNREACHABLE, PORT, c2(0), &sent, WHOLE),
        Reason::OtherIcmp,
    );
}

#[test]
fn a_quote_that_is_cut_short_or_no_first_fragment_is_left_alone() {
    let host = Host::new();
    let (_, sent) = host.send(C1_PORT, &udp(c1(30_000), r(53)));
    for quoted in [0, 8, HEADER - 1, HEADER + 7] {
        host.refuses(
            UPLINK_IN,
            &error(UNREACHABLE, PORT, r(0), &sent, quoted),
            Reason::Malformed,
        );
    }
    let whole = error(UNREACHABLE, PORT, r(0), &sent, WHOLE);
    let with = |offset: usize, byte: u8| {
        let mut quote = whole.clone();
        quote.payload[offset] = byte;
        quote
    };
    for version in [0x35, 0x75] {
        host.refuses(UPLINK_IN, &with(0, version), Reason::Malformed);
    }
    host.refuses(UPLINK_IN, &with(header::PROTOCOL - 14, 132), Reason::OtherIcmp);
    // Another piece than the first has no ports.
    let bytes = sent.bytes();
    let quoting = |start| whole.payload(&piece(&bytes, 7, start, &bytes[CONTENT..], true)[14..]);
    host.refuses(UPLINK_IN, &quoting(8), Reason::OtherIcmp);
    host.send(UPLINK_IN, &quoting(0));
}

#[test]
fn after_unpublishing_nothing_is_said_of_the_old_flow() {
    let host = Host::with_8080();
    let asked = udp(r(40_000), h(8_080));
    let (_, sent) = host.send(UPLINK_IN, &asked);
    let rules: Vec<_> = host.world.rules.borrow().keys().copied().collect();
    for id in rules {
        host.world.retire(id);
    }
    host.leaves(
        C1_PORT,
        &error(UNREACHABLE, PORT, c1(0), &sent, WHOLE),
        Reason::Unpublished,
    );
}

#[test]
fn through_the_hosts_stack_an_error_keeps_its_time_to_live() {
    let mut host = Host::with_8080();
    host.world.endpoints.clear();
    host.world.endpoints.insert(
        at(c1(0)),
        crate::maps::Endpoint {
            way: Way::Stack as u8,
            ..crate::maps::Endpoint::default()
        },
    );
    let asked = udp(r(40_000), h(8_080));
    let (carried, sent) = host.send(UPLINK_IN, &asked);
    assert_eq!(carried.verdict, Verdict::Stack);
    let complaint = error(UNREACHABLE, PORT, c1(0), &sent, WHOLE);
    host.leaves(C1_PORT, &complaint, Reason::StackFlow);
    host.carries(
        UPLINK_OUT,
        &complaint,
        Verdict::Stack,
        Reason::IcmpError,
        &error(UNREACHABLE, PORT, h(0), &asked, WHOLE),
    );
}
