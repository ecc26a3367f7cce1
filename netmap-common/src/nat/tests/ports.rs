//! Which source port a flow gets.

use super::*;

/// The outside port of a container's UDP packet from this port.
fn outside(host: &Host, port: u16) -> u16 {
    host.send(C1_PORT, &udp(c1(port), r(53))).1.src.port()
}

fn with_pool(first: u16, last: u16) -> Host {
    let mut host = Host::new();
    let none = PortRange {
        first: Port(1),
        last: Port(0),
    };
    let range = PortRange {
        first: Port(first),
        last: Port(last),
    };
    host.world.settings.pool = [range, none];
    host
}

#[test]
fn a_port_of_the_pool_is_kept() {
    let host = Host::new();
    for port in [1_024, 1_025, 20_000, 32_766, 32_767, 61_000, 65_534, 65_535] {
        assert_eq!(outside(&host, port), port);
    }
}

#[test]
fn a_port_outside_the_pool_becomes_one_of_the_pool() {
    let host = Host::new();
    for port in [32_768, 40_000, 60_999] {
        let outside = Port(outside(&host, port));
        assert!(
            host.world
                .settings
                .pool
                .iter()
                .any(|range| range.contains(outside)),
            "{outside:?}"
        );
    }
}

#[test]
fn well_known_ports_stay_well_known() {
    // RFC 4787, REQ-3 a.
    let mut host = Host::new();
    assert_eq!(outside(&host, 500), 500);
    assert_eq!(outside(&host, 1_023), 1_023);
    host.world.reserved.push((Protocol::Udp, 123));
    let moved = outside(&host, 123);
    assert!((1..1_024).contains(&moved) && moved != 123, "{moved}");
    host.world
        .reserved
        .extend((1..1_024).map(|port| (Protocol::Udp, port)));
    host.refuses(C1_PORT, &udp(c1(501), r(53)), Reason::PortsExhausted);
}

#[test]
fn port_0_which_says_that_no_answer_is_wanted_becomes_a_real_one() {
    assert_ne!(outside(&Host::new(), 0), 0);
}

#[test]
fn reserved_ports_are_never_taken() {
    let mut host = with_pool(2_000, 2_007);
    host.world
        .reserved
        .extend((2_000..2_007).map(|port| (Protocol::Udp, port)));
    assert_eq!(outside(&host, 2_000), 2_007);
    host.refuses(C1_PORT, &udp(c1(2_001), r(53)), Reason::PortsExhausted);
    // They are reserved for UDP only.
    let syn = tcp(SYN, c1(2_001), r(53));
    host.carries(
        C1_PORT,
        &syn,
        UPLINK_NEIGH,
        Reason::EgressOut,
        &syn.from(h(2_001)).hop(),
    );
}

#[test]
fn published_ports_are_never_taken() {
    let mut host = with_pool(2_000, 2_007);
    host.world.publish(Rule {
        length: 7,
        ..published(Protocol::Udp, h(2_000), c1(80))
    });
    assert_eq!(outside(&host, 2_003), 2_007);
    host.refuses(C1_PORT, &udp(c1(2_004), r(53)), Reason::PortsExhausted);
}

#[test]
fn ports_of_the_hosts_sockets_are_never_taken() {
    for socket in [HostSocket::Connected, HostSocket::Unconnected] {
        let mut host = with_pool(2_000, 2_007);
        for port in 2_000..2_007 {
            host.world
                .sockets
                .insert(key(Protocol::Udp, r(53), h(port)), socket);
        }
        assert_eq!(outside(&host, 2_000), 2_007);
        host.refuses(C1_PORT, &udp(c1(2_001), r(53)), Reason::PortsExhausted);
        // The host's sockets talk to one place; another is free.
        assert_eq!(host.send(C1_PORT, &udp(c1(2_000), r(54))).1.src, h(2_000));
    }
}

#[test]
fn a_clients_port_is_its_own_whatever_this_host_uses() {
    let mut host = Host::with_8080();
    host.world.reserved.push((Protocol::Udp, 40_000));
    let question = udp(r(40_000), h(8_080));
    host.world
        .sockets
        .insert(key(Protocol::Udp, c1(80), r(40_000)), HostSocket::Unconnected);
    host.carries(
        UPLINK_IN,
        &question,
        C1_PEER,
        Reason::PublishedIn,
        &question.to(c1(80)).hop(),
    );
}

#[test]
fn a_clients_port_keeps_its_class_when_it_has_to_change() {
    for port in [500, 40_000] {
        let mut host = Host::with_8080();
        host.world.publish(published(Protocol::Udp, h(8_081), c1(80)));
        assert_eq!(host.send(UPLINK_IN, &udp(r(port), h(8_080))).1.src.port(), port);
        let moved = host.send(UPLINK_IN, &udp(r(port), h(8_081))).1.src.port();
        assert_ne!(moved, port);
        assert_eq!(moved < 1_024, port < 1_024, "{moved}");
    }
}

#[test]
fn the_choice_is_the_same_for_one_flow_and_cannot_be_guessed_without_the_secret() {
    let chosen = |secret| {
        let mut host = Host::new();
        host.world.settings.secret = secret;
        [40_000, 40_001, 40_002].map(|port| outside(&host, port))
    };
    assert_eq!(chosen([1, 2]), chosen([1, 2]));
    assert_ne!(chosen([1, 2]), chosen([1, 3]));
    assert_ne!(chosen([1, 2]), chosen([2, 2]));
}

#[test]
fn before_the_daemon_has_written_its_settings_no_port_is_taken() {
    let mut host = Host::new();
    host.world.settings = Settings::default();
    host.refuses(C1_PORT, &udp(c1(40_000), r(53)), Reason::PortsExhausted);
    host.refuses(C1_PORT, &udp(c1(1_024), r(53)), Reason::PortsExhausted);
}

#[test]
fn every_port_of_both_ranges_can_be_had() {
    let mut host = Host::new();
    host.world.settings.pool = [(3_000, 3_001), (7_000, 7_001)].map(|(first, last)| PortRange {
        first: Port(first),
        last: Port(last),
    });
    let mut had: Vec<u16> = (40_000..40_004).map(|port| outside(&host, port)).collect();
    had.sort_unstable();
    assert_eq!(had, [3_000, 3_001, 7_000, 7_001]);
}
