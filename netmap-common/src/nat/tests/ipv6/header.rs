//! Headers of IPv6 by etherparse.

use std::{vec, vec::Vec};

use etherparse::{
    IcmpEchoHeader, Icmpv6Header, Icmpv6Type, IpNumber, Ipv6FlowLabel, Ipv6Header, NetSlice, TcpHeader,
    TransportSlice, UdpHeader,
};

use super::{Content, IpAddr, Sample};

/// The type field of the frame, and the IP header's first byte.
pub(super) const START: [u8; 3] = [0x86, 0xdd, 0x60];
/// Length of an IP header without extension headers.
pub(super) const HEADER: usize = 40;
/// Where the content of a frame without extension headers begins.
pub(super) const CONTENT: usize = 14 + HEADER;
/// Where the number of the next header stands.
pub(super) const PROTOCOL: usize = 14 + 6;
/// Where the source address stands.
pub(super) const SRC: core::ops::Range<usize> = 22..38;

/// Numbers of extension headers.
pub(super) mod extension {
    pub(in super::super) const HOP_BY_HOP: u8 = 0;
    pub(in super::super) const ROUTING: u8 = 43;
    pub(in super::super) const FRAGMENT: u8 = 44;
    pub(in super::super) const DESTINATION: u8 = 60;
}

/// ICMP's types and codes.
pub(super) mod kind {
    pub(in super::super) const UNREACHABLE: u8 = 1;
    pub(in super::super) const HOST: u8 = 3;
    pub(in super::super) const PORT: u8 = 4;
    pub(in super::super) const TOO_BIG: u8 = 2;
    pub(in super::super) const TIME_EXCEEDED: u8 = 3;
    pub(in super::super) const PROHIBITED: (u8, u8) = (UNREACHABLE, 1);
    /// Each kind of error, with a code.
    pub(in super::super) const ERRORS: [(u8, u8); 4] =
        [(TOO_BIG, 0), (UNREACHABLE, HOST), (TIME_EXCEEDED, 0), (4, 1)];
    /// What is none: a neighbour's advertisement, a redirect; errors that nobody knows.
    pub(in super::super) const OTHERS: [(u8, u8); 4] = [(136, 0), (137, 0), (0, 0), (5, 0)];
}

/// Extension headers: the number of each, and its bytes, whose first will be the next one's number.
pub(super) type Options = Vec<(u8, Vec<u8>)>;

/// An extension header with so many words of eight bytes, its options as padding (RFC 8200, 4.2).
pub(super) fn extension(number: u8, words: usize) -> (u8, Vec<u8>) {
    let mut bytes = vec![0; words * 8];
    bytes[1] = u8::try_from(words - 1).unwrap();
    if number != extension::ROUTING {
        bytes[2] = 1;
        bytes[3] = u8::try_from(words * 8 - 4).unwrap_or(u8::MAX);
    }
    (number, bytes)
}

/// None, or one extension header that is so long.
pub(super) fn options(words: usize) -> Options {
    let one = (words > 0).then(|| extension(extension::DESTINATION, words));
    one.into_iter().collect()
}

/// The headers of a packet whose content is so long.
pub(super) fn internet(packet: &Sample, protocol: IpNumber, length: usize) -> Vec<u8> {
    let behind: usize = packet.options.iter().map(|(_, bytes)| bytes.len()).sum();
    let numbers: Vec<u8> = packet.options.iter().map(|(number, _)| *number).collect();
    let mut next = numbers.iter().copied().chain([protocol.0]);
    let ip = Ipv6Header {
        traffic_class: 0,
        flow_label: Ipv6FlowLabel::try_new(0x2_3456).unwrap(),
        payload_length: u16::try_from(behind + length).unwrap_or(0),
        next_header: IpNumber(next.next().unwrap()),
        hop_limit: packet.ttl,
        source: packet.src.ip().octets(),
        destination: packet.dst.ip().octets(),
    };
    let mut bytes = ip.to_bytes().to_vec();
    for ((_, extension), next) in packet.options.iter().zip(next) {
        bytes.push(next);
        bytes.extend(&extension[1..]);
    }
    bytes
}

pub(super) fn tcp_sum(header: &TcpHeader, src: IpAddr, dst: IpAddr, payload: &[u8]) -> u16 {
    let sum = header.calc_checksum_ipv6_raw(src.octets(), dst.octets(), payload);
    sum.unwrap()
}

pub(super) fn udp_sum(header: &UdpHeader, src: IpAddr, dst: IpAddr, payload: &[u8]) -> u16 {
    let sum = header.calc_checksum_ipv6_raw(src.octets(), dst.octets(), payload);
    sum.unwrap()
}

/// The header of an ICMP message.
pub(super) fn icmp(packet: &Sample) -> (IpNumber, Vec<u8>) {
    let echo = |id| IcmpEchoHeader { id, seq: 7 };
    let kind = match packet.content {
        Content::Request => Icmpv6Type::EchoRequest(echo(packet.src.port())),
        Content::Error(type_u8, code_u8, word) => Icmpv6Type::Unknown {
            type_u8,
            code_u8,
            bytes5to8: word.to_be_bytes(),
        },
        _ => Icmpv6Type::EchoReply(echo(packet.dst.port())),
    };
    let (src, dst) = (packet.src.ip().octets(), packet.dst.ip().octets());
    let header = Icmpv6Header::with_checksum(kind, src, dst, &packet.payload).unwrap();
    (IpNumber::IPV6_ICMP, header.to_bytes().to_vec())
}

/// What the headers of IP say.
pub(super) struct Outer {
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    pub(super) ttl: u8,
    pub(super) options: Options,
}

#[track_caller]
pub(super) fn outer(net: &NetSlice<'_>) -> Outer {
    let slice = net.ipv6_ref().unwrap();
    let ip = slice.header().to_header();
    let mut rest = slice.extensions().slice();
    let mut number = ip.next_header.0;
    let mut options = Vec::new();
    while let [next, words, ..] = *rest {
        let length = if number == extension::FRAGMENT {
            8
        } else {
            8 + usize::from(words) * 8
        };
        let mut bytes = rest[..length].to_vec();
        bytes[0] = 0;
        options.push((number, bytes));
        (number, rest) = (next, &rest[length..]);
    }
    Outer {
        src: ip.source.into(),
        dst: ip.destination.into(),
        ttl: ip.hop_limit,
        options,
    }
}

/// What an ICMP message is, its identifier as source or destination port, and what follows its header.
#[track_caller]
pub(super) fn message<'a>(transport: &TransportSlice<'a>, outer: &Outer) -> (Content, u16, u16, &'a [u8]) {
    let TransportSlice::Icmpv6(icmp) = transport else {
        panic!("no packet of ours: {transport:?}");
    };
    assert!(
        icmp.is_checksum_valid(outer.src.octets(), outer.dst.octets()),
        "ICMP checksum"
    );
    let payload = &icmp.slice()[8..];
    match icmp.icmp_type() {
        Icmpv6Type::EchoRequest(echo) => (Content::Request, echo.id, 0, payload),
        Icmpv6Type::EchoReply(echo) => (Content::Reply, 0, echo.id, payload),
        _ => {
            let word = u32::from_be_bytes(icmp.bytes5to8());
            let error = Content::Error(icmp.type_u8(), icmp.code_u8(), word);
            (error, 0, 0, payload)
        }
    }
}
