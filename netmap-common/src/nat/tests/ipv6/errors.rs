//! `ICMPv6` errors (RFC 4443, 3): what differs from IPv4's.

use super::{
    header::extension,
    kind::*,
    message::{full, told},
    *,
};

const WHOLE: usize = 1_500;

#[test]
fn a_quote_with_extension_headers_is_translated_however_short_it_is() {
    let host = Host::new();
    let chains = [
        header::options(1),
        vec![
            extension(extension::HOP_BY_HOP, 1),
            extension(extension::ROUTING, 2),
            (extension::FRAGMENT, vec![0, 0, 0, 0, 1, 2, 3, 4]),
            extension(extension::DESTINATION, 3),
        ],
    ];
    for options in chains {
        let behind: usize = options.iter().map(|(_, bytes)| bytes.len()).sum();
        for asked in [
            udp(c1(30_000), r(53)),
            tcp(SYN, c1(30_000), r(443)),
            ping(c1(77), r(0)),
        ] {
            let asked = asked.options(options.clone());
            let (_, sent) = host.send(C1_PORT, &asked);
            for quoted in [HEADER + behind + 8, HEADER + behind + 20, WHOLE] {
                let about = |packet: &Sample| error(TOO_BIG, 0, address_of_router(), packet, quoted);
                host.carries(
                    UPLINK_IN,
                    &about(&sent),
                    C1_PEER,
                    Reason::IcmpError,
                    &about(&asked.hop()).hop(),
                );
            }
            for quoted in [HEADER, HEADER + behind - 1, HEADER + behind, HEADER + behind + 7] {
                let short = error(TOO_BIG, 0, address_of_router(), &sent, quoted);
                host.refuses(UPLINK_IN, &short, Reason::Malformed);
            }
        }
    }
}

const fn address_of_router() -> Socket {
    socket(address::ROUTER, 0)
}

#[test]
fn the_mtu_of_a_router_arrives_as_it_said() {
    let host = Host::with_8080();
    host.send(UPLINK_IN, &tcp(SYN, r(40_000), h(8_080)));
    let large = tcp(ACK, c1(80), r(40_000)).payload(&[1; 1_400]);
    let (_, sent) = host.send(C1_PORT, &large);
    for mtu in [0, 1_279, 1_280, 1_400, u32::MAX] {
        let about = |packet: &Sample| Sample {
            content: Content::Error(TOO_BIG, 0, mtu),
            ..error(TOO_BIG, 0, address_of_router(), packet, 1_232)
        };
        host.carries(
            UPLINK_IN,
            &about(&sent),
            C1_PEER,
            Reason::IcmpError,
            &about(&large.hop()).hop(),
        );
    }
}

#[test]
fn an_error_from_a_link_local_router_arrives_at_the_container() {
    // The next router may have no other address (RFC 4443, 2.2 lets it).
    let host = Host::new();
    let asked = udp(c1(30_000), r(53));
    let (_, sent) = host.send(C1_PORT, &asked);
    let router = socket(IpAddr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1), 0);
    host.carries(
        UPLINK_IN,
        &error(TIME_EXCEEDED, 0, router, &sent, WHOLE),
        C1_PEER,
        Reason::IcmpError,
        &error(TIME_EXCEEDED, 0, router, &asked.hop(), WHOLE).hop(),
    );
}

#[test]
fn an_error_about_an_error_or_about_discovery_is_the_hosts() {
    let host = Host::new();
    let (_, sent) = host.send(C1_PORT, &udp(c1(30_000), r(53)));
    for about in [
        error(UNREACHABLE, PORT, h(0), &udp(r(53), sent.src), WHOLE),
        Sample::new(Content::Error(135, 0, 0), h(0), r(0)),
    ] {
        let packet = error(UNREACHABLE, HOST, r(0), &about, WHOLE);
        host.refuses(UPLINK_IN, &packet, Reason::OtherIcmp);
    }
}

#[test]
fn a_quote_with_a_routing_header_that_leads_on_is_the_hosts() {
    let host = Host::new();
    let (_, sent) = host.send(C1_PORT, &udp(c1(30_000), r(53)));
    let mut routing = extension(extension::ROUTING, 3);
    (routing.1[2], routing.1[3]) = (4, 1);
    let packet = error(UNREACHABLE, HOST, r(0), &sent.options(vec![routing]), WHOLE);
    host.refuses(UPLINK_IN, &packet, Reason::OtherIcmp);
}

#[test]
fn nobody_is_told_about_a_packet_with_extension_headers() {
    // They would have to be summed.
    let packet = udp(r(40_000), h(8_080)).options(header::options(1));
    assert_eq!(told(&full(), UPLINK_IN, &packet.bytes()), None);
}
