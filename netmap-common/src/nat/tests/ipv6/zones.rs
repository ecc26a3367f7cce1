//! Addresses that mean something on one link, on this host or in the other family only.

use super::*;

fn link_local(port: u16) -> Socket {
    socket(IpAddr::new(0xfe80, 0, 0, 0, 0, 0, 0, 7), port)
}

#[test]
fn a_link_local_client_of_a_published_port_is_the_hosts_business() {
    let mut host = Host::with_8080();
    host.world.locals.push(at(link_local(0)));
    for place in [UPLINK_IN, C1B_PORT, (Hook::BridgeIn, BRIDGE_1)] {
        host.refuses(place, &tcp(SYN, link_local(40_000), h(8_080)), Reason::LinkLocal);
        host.refuses(place, &udp(link_local(40_000), h(8_080)), Reason::LinkLocal);
    }
    // And who asks the link-local address of the host.
    host.refuses(UPLINK_IN, &udp(r(40_000), link_local(8_080)), Reason::LinkLocal);
    host.refuses(C1B_PORT, &udp(c1b(40_000), link_local(8_080)), Reason::LinkLocal);
}

#[test]
fn the_proxy_does_not_serve_a_link_local_client_where_nothing_is_published() {
    let mut host = Host::with_8080();
    host.world.locals.push(at(link_local(0)));
    host.world.closed = vec![at(h(0)), at(link_local(0))];
    host.world.interfaces.get_mut(&UPLINK).unwrap().flags = Interface::<Address>::CLOSED;
    let client = |port| socket(IpAddr::new(0xfe80, 0, 0, 0, 0, 0, 0, 8), port);
    for (src, dst) in [(client(9), h(8_080)), (r(9), link_local(8_080))] {
        host.refuses(UPLINK_IN, &tcp(SYN, src, dst), Reason::NotPublishedHere);
        host.refuses(UPLINK_IN, &udp(src, dst), Reason::NotPublishedHere);
    }
    host.refuses(UPLINK_IN, &udp(client(9), h2(8_080)), Reason::LinkLocal);
    host.refuses(UPLINK_IN, &udp(client(9), h(22)), Reason::LinkLocal);
    host.refuses(C1B_PORT, &udp(client(9), h(8_080)), Reason::LinkLocal);
}

#[test]
fn link_local_packets_of_containers_to_the_outside_open_nothing() {
    let host = Host::new();
    host.refuses(C1_PORT, &udp(link_local(40_000), r(53)), Reason::ForeignSource);
    host.refuses(C1_PORT, &udp(c1(40_000), link_local(53)), Reason::NotRoutable);
    host.refuses(UPLINK_OUT, &udp(link_local(40_000), r(53)), Reason::FromHost);
}

#[test]
fn a_port_whose_container_has_no_ipv6_is_left_to_the_proxy() {
    let mapped = socket("::ffff:172.17.0.2".parse().unwrap(), 80);
    let host = Host::publishing(Protocol::Tcp, socket(IpAddr::UNSPECIFIED, 8_080), mapped);
    host.refuses(UPLINK_IN, &tcp(SYN, r(40_000), h(8_080)), Reason::OtherFamily);
    host.refuses(C1B_PORT, &tcp(SYN, c1b(40_000), h(8_080)), Reason::OtherFamily);
    // Who may not open a connection does not by the proxy either.
    host.refuses(UPLINK_IN, &tcp(ACK, r(40_000), h(8_080)), Reason::MidFlow);
}

#[test]
fn loopback_in_every_disguise_is_dropped_in_either_direction() {
    let host = Host::with_8080();
    for text in ["::1", "::ffff:127.0.0.1", "::ffff:127.255.255.255"] {
        let loopback = |port| socket(text.parse().unwrap(), port);
        for place in [UPLINK_IN, C1_PORT, (Hook::BridgeIn, BRIDGE_1)] {
            host.refuses(place, &udp(loopback(40_000), h(8_080)), Reason::LoopbackOnWire);
            host.refuses(place, &udp(c1(40_000), loopback(8_080)), Reason::LoopbackOnWire);
            host.refuses(place, &ping(loopback(7), h(0)), Reason::LoopbackOnWire);
            let question = udp(r(40_000), loopback(8_080)).options(header::options(2));
            host.refuses(place, &question, Reason::LoopbackOnWire);
        }
    }
}

#[test]
fn an_error_does_not_lead_to_loopback() {
    let host = Host::new();
    let (_, sent) = host.send(C1_PORT, &udp(c1(30_000), r(53)));
    let about = error(kind::UNREACHABLE, kind::PORT, r(0), &sent, 1_500);
    let loopback = Sample {
        dst: socket(IpAddr::LOCALHOST, 0),
        ..about
    };
    host.refuses(UPLINK_IN, &loopback, Reason::LoopbackOnWire);
}
