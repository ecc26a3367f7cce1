//! What the sender of a packet hears that was refused for want of room.

use std::vec::Vec;

use etherparse::{
    IpNumber, Ipv6Header, NetSlice, PacketBuilder, SlicedPacket, TransportSlice, checksum::Sum16BitWords,
};

use super::{
    super::{Packet as _, tell, testing::World},
    sample::Content,
    *,
};
use crate::maps::{Address6, Role};

const UNREACHABLE: u8 = 3;
const PROHIBITED: u8 = 13;

/// A host whose table is full, and that tells so.
fn full() -> Host {
    let mut host = Host::with_8080();
    host.world.flow_capacity = 1;
    host.world.limits.messages = 100;
    host
}

/// The message about a packet that the host refuses, if there is one.
fn told(host: &Host, place: Place, frame: &[u8]) -> Option<Vec<u8>> {
    let mut frame = frame.to_vec();
    host.world.arrival.set(place.1);
    let refused = process(frame.as_mut_slice(), &host.world, place.0).unwrap_err();
    assert!(refused.is_told(), "{}", refused.name());
    tell(&mut frame, &host.world, place.0).is_ok().then_some(frame)
}

/// The quoted transport header's checksum as the kernel would complete it, over all that follows the quoted IP header.
fn completed(message: &[u8], l4: usize, field: usize) -> Vec<u8> {
    let mut message = message.to_vec();
    let sum = Sum16BitWords::new().add_slice(&message[l4..]).ones_complement();
    message[l4 + field..l4 + field + 2].copy_from_slice(&sum.to_be().to_be_bytes());
    message
}

#[test]
fn who_is_refused_is_told_by_whom_it_asked_or_by_its_gateway() {
    let host = full();
    for (place, packet, from, quoted, field) in [
        (UPLINK_IN, udp(r(40_000), h(8_080)), h(0), 28, 6),
        (UPLINK_IN, tcp(SYN, r(40_000), h(8_080)), h(0), 40, 16),
        (C1_PORT, udp(c1(40_000), r(53)), gw1(0), 28, 6),
        (C1_PORT, tcp(SYN, c1(40_000), r(443)), gw1(0), 40, 16),
        (C1_PORT, ping(c1(77), r(0)), gw1(0), 28, 2),
        (C1B_PORT, udp(c1b(40_000), h(8_080)), h(0), 28, 6),
    ] {
        let frame = packet.bytes();
        let bytes = told(&host, place, &frame).unwrap();
        let message = Sample::read(&bytes);
        assert_eq!(message.content, Content::Error(UNREACHABLE, PROHIBITED, 0));
        assert_eq!((message.src, message.dst.ip()), (from, packet.src.ip()));
        assert_eq!(message.ttl, 64);
        // All as it was, but for the checksum that nobody can verify.
        let mut quote = message.payload.clone();
        quote[20 + field..22 + field].copy_from_slice(&frame[34 + field..36 + field]);
        assert_eq!(quote, &frame[14..14 + quoted]);
        // Back to the station that it came from.
        assert_eq!((&bytes[..6], &bytes[6..12]), (&frame[6..12], &frame[..6]));
        // Should the kernel take the quoted checksum for one to be completed, the message's own is still right.
        Sample::read(&completed(&bytes, 14 + 28 + 20, field));
    }
    assert!(host.world.flows.borrow().is_empty());
}

#[test]
fn options_are_quoted_too() {
    let packet = udp(r(40_000), h(8_080)).options(&[7, 7, 4, 0, 0, 0, 0, 0]);
    let message = Sample::read(&told(&full(), UPLINK_IN, &packet.bytes()).unwrap());
    assert_eq!(message.payload.len(), 28 + 8);
    assert_eq!(message.payload[20..28], [7, 7, 4, 0, 0, 0, 0, 0]);
}

#[test]
fn so_many_are_told_in_a_second_and_no_more() {
    let mut host = full();
    host.world.limits.messages = 2;
    let told = |port| told(&host, UPLINK_IN, &udp(r(port), h(8_080)).bytes()).is_some();
    assert_eq!([told(1), told(2), told(3)], [true, true, false]);
    host.tick();
    assert_eq!([told(1), told(2), told(3)], [true, true, false]);
}

#[test]
fn no_group_is_told_and_nobody_where_the_packet_leaves_the_host() {
    let host = full();
    let packet = udp(r(40_000), h(8_080)).bytes();
    for byte in [0, 6] {
        let mut frame = packet.clone();
        frame[byte] |= 1;
        assert_eq!(told(&host, UPLINK_IN, &frame), None);
    }
    for src in ["0.0.0.0:53", "224.0.0.1:53", "255.255.255.255:53"] {
        let packet = udp(src.parse().unwrap(), h(8_080));
        assert_eq!(told(&host, UPLINK_IN, &packet.bytes()), None, "{src}");
    }
    assert_eq!(told(&host, UPLINK_OUT, &udp(c1(40_000), r(53)).bytes()), None);
}

#[test]
fn a_port_without_an_address_tells_nobody() {
    let mut host = full();
    for interface in host.world.interfaces.values_mut() {
        if interface.role == Role::Port as u8 {
            interface.address = Address::ANY;
        }
    }
    assert_eq!(told(&host, C1_PORT, &udp(c1(40_000), r(53)).bytes()), None);
}

/// The families share the code; what differs is the header and its sum.
#[test]
fn ipv6_has_its_own_message_with_a_sum_over_its_addresses() {
    let address = |text: &str| text.parse::<core::net::Ipv6Addr>().unwrap();
    let (r, h) = (address("2001:db8:1::7"), address("2001:db8::1"));
    let world = World::<Address6> {
        limits: crate::maps::Limits {
            messages: 100,
            ..Default::default()
        },
        locals: vec![h.into()],
        ..World::default()
    };
    for (tcp, quoted) in [(false, 48), (true, 60)] {
        let packet =
            PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]).ipv6(r.octets(), h.octets(), 64);
        let mut frame = Vec::new();
        if tcp {
            let packet = packet.tcp(40_000, 8_080, 7, 1_000).syn();
            packet.write(&mut frame, b"data").unwrap();
        } else {
            packet.udp(40_000, 8_080).write(&mut frame, b"data").unwrap();
        }
        tell(&mut frame, &world, Hook::UplinkIn).unwrap();
        let field = 14 + 40 + 8 + 40 + if tcp { 16 } else { 6 };
        for bytes in [frame.clone(), completed(&frame, 14 + 40 + 8 + 40, field - 102)] {
            let packet = SlicedPacket::from_ethernet(&bytes).unwrap();
            let Some(NetSlice::Ipv6(ip)) = packet.net else {
                panic!("{bytes:?}")
            };
            let header: Ipv6Header = ip.header().to_header();
            assert_eq!((header.source, header.destination), (h.octets(), r.octets()));
            assert_eq!(header.next_header, IpNumber::IPV6_ICMP);
            let Some(TransportSlice::Icmpv6(icmp)) = packet.transport else {
                panic!("{bytes:?}")
            };
            assert_eq!((icmp.type_u8(), icmp.code_u8()), (1, 1));
            assert!(icmp.is_checksum_valid(header.source, header.destination));
            assert_eq!(icmp.payload().len(), quoted);
            assert_eq!(bytes.length(), u32::try_from(14 + 40 + 8 + quoted).unwrap());
        }
    }
    // Extension headers would have to be summed.
    let mut frame = Vec::new();
    let ip = Ipv6Header {
        payload_length: 16,
        next_header: IpNumber::IPV6_DESTINATION_OPTIONS,
        source: r.octets(),
        destination: h.octets(),
        hop_limit: 64,
        ..Ipv6Header::default()
    };
    frame.extend(b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x86\xdd");
    ip.write(&mut frame).unwrap();
    frame.extend([17, 0, 1, 4, 0, 0, 0, 0, 0, 7, 0, 7, 0, 8, 0, 0]);
    assert!(tell(&mut frame, &world, Hook::UplinkIn).is_err());
}
