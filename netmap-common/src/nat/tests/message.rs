//! What the sender of a packet hears that was refused for want of room.

use etherparse::checksum::Sum16BitWords;

use super::{kind::PROHIBITED, *};
use crate::{maps::Role, nat::tell};

/// A host whose table is full, and that tells so.
pub(super) fn full() -> Host {
    let mut host = Host::with_8080();
    host.world.flow_capacity = 1;
    host.world.limits.messages = 100;
    host
}

/// The message about a packet that the host refuses, if there is one.
pub(super) fn told(host: &Host, place: Place, frame: &[u8]) -> Option<Vec<u8>> {
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
        (UPLINK_IN, udp(r(40_000), h(8_080)), h(0), 8, 6),
        (UPLINK_IN, tcp(SYN, r(40_000), h(8_080)), h(0), 20, 16),
        (C1_PORT, udp(c1(40_000), r(53)), gw1(0), 8, 6),
        (C1_PORT, tcp(SYN, c1(40_000), r(443)), gw1(0), 20, 16),
        (C1_PORT, ping(c1(77), r(0)), gw1(0), 8, 2),
        (C1B_PORT, udp(c1b(40_000), h(8_080)), h(0), 8, 6),
    ] {
        let frame = packet.bytes();
        let bytes = told(&host, place, &frame).unwrap();
        let message = Sample::read(&bytes);
        assert_eq!(message.content, Content::Error(PROHIBITED.0, PROHIBITED.1, 0));
        assert_eq!((message.src, message.dst.ip()), (from, packet.src.ip()));
        assert_eq!(message.ttl, 64);
        // All as it was, but for the checksum that nobody can verify.
        let mut quote = message.payload.clone();
        quote[HEADER + field..][..2].copy_from_slice(&frame[CONTENT + field..][..2]);
        assert_eq!(quote, &frame[14..CONTENT + quoted]);
        // Back to the station that it came from.
        assert_eq!((&bytes[..6], &bytes[6..12]), (&frame[6..12], &frame[..6]));
        // Should the kernel take the quoted checksum for one to be completed, the message's own is still right.
        Sample::read(&completed(&bytes, CONTENT + 8 + HEADER, field));
    }
    assert!(host.world.flows.borrow().is_empty());
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
    for src in address::NO_HOST {
        let packet = udp(socket(src, 53), h(8_080));
        host.refuses(UPLINK_IN, &packet, Reason::SpoofedSource);
    }
    assert_eq!(told(&host, UPLINK_OUT, &udp(c1(40_000), r(53)).bytes()), None);
}

#[test]
fn a_port_without_an_address_tells_nobody() {
    let mut host = full();
    for interface in host.world.interfaces.values_mut() {
        if interface.role == Role::Port as u8 {
            interface.address = Address::default();
        }
    }
    assert_eq!(told(&host, C1_PORT, &udp(c1(40_000), r(53)).bytes()), None);
}
