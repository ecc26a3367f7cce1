//! What a packet's first bytes say, for people: as much as can be read.

use std::net::IpAddr;

use etherparse::{Icmpv4Type, Icmpv6Type, LaxNetSlice, LaxSlicedPacket, TransportSlice};
use netmap_common::maps::Protocol;

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Headers {
    pub(super) protocol: Option<String>,
    pub(super) src: Option<IpAddr>,
    pub(super) dst: Option<IpAddr>,
    /// Source and destination port, or an echo's identifier in the one's or the other's place.
    pub(super) ports: Option<(u16, u16)>,
}

impl Headers {
    /// Of a frame that may be cut off.
    pub(super) fn read(frame: &[u8]) -> Self {
        let Ok(packet) = LaxSlicedPacket::from_ethernet(frame) else {
            return Self::default();
        };
        let (src, dst, number): (IpAddr, IpAddr, u8) = match &packet.net {
            Some(LaxNetSlice::Ipv4(ipv4)) => (
                ipv4.header().source_addr().into(),
                ipv4.header().destination_addr().into(),
                ipv4.payload().ip_number.0,
            ),
            Some(LaxNetSlice::Ipv6(ipv6)) => (
                ipv6.header().source_addr().into(),
                ipv6.header().destination_addr().into(),
                ipv6.payload().ip_number.0,
            ),
            _ => return Self::default(),
        };
        Self {
            protocol: Some(protocol(number)),
            src: Some(src),
            dst: Some(dst),
            ports: packet.transport.as_ref().and_then(ports),
        }
    }
}

/// The number that IANA gave a protocol, as a word where there is one.
fn protocol(number: u8) -> String {
    const ICMPV6: u8 = 58;
    match Protocol::from_number(number) {
        Some(protocol) => protocol.name().to_owned(),
        None if number == ICMPV6 => Protocol::Icmp.name().to_owned(),
        None => number.to_string(),
    }
}

fn ports(transport: &TransportSlice<'_>) -> Option<(u16, u16)> {
    match transport {
        TransportSlice::Udp(udp) => Some((udp.source_port(), udp.destination_port())),
        TransportSlice::Tcp(tcp) => Some((tcp.source_port(), tcp.destination_port())),
        TransportSlice::Icmpv4(icmp) => match icmp.icmp_type() {
            Icmpv4Type::EchoRequest(echo) => Some((echo.id, 0)),
            Icmpv4Type::EchoReply(echo) => Some((0, echo.id)),
            _ => None,
        },
        TransportSlice::Icmpv6(icmp) => match icmp.icmp_type() {
            Icmpv6Type::EchoRequest(echo) => Some((echo.id, 0)),
            Icmpv6Type::EchoReply(echo) => Some((0, echo.id)),
            _ => None,
        },
        TransportSlice::Igmp(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    fn frame() -> Vec<u8> {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4([10, 0, 0, 9], [192, 0, 2, 1], 64)
            .tcp(4_242, 8_080, 1, 512)
            .write(&mut frame, b"what it carries")
            .unwrap();
        frame
    }

    #[test]
    fn ends_and_protocol_are_read() {
        let read = Headers::read(&frame());
        assert_eq!(read.protocol.as_deref(), Some("tcp"));
        assert_eq!(read.src, "10.0.0.9".parse().ok());
        assert_eq!(read.dst, "192.0.2.1".parse().ok());
        assert_eq!(read.ports, Some((4_242, 8_080)));
    }

    #[test]
    fn an_echo_has_its_identifier_for_a_port() {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv6([1; 16], [2; 16], 64)
            .icmpv6_echo_reply(7, 1)
            .write(&mut frame, b"")
            .unwrap();
        let read = Headers::read(&frame);
        assert_eq!(
            (read.protocol.as_deref(), read.ports),
            (Some("icmp"), Some((0, 7)))
        );
    }

    #[test]
    fn what_is_cut_off_is_read_as_far_as_it_goes() {
        let whole = frame();
        for length in 0..whole.len() {
            let read = Headers::read(&whole[..length]);
            assert_eq!(read.src.is_some(), length >= 34, "{length}");
        }
        let other = Headers::read(&[7; 60]);
        assert_eq!(other, Headers::default());
    }
}
