//! Headers of IPv4 by etherparse.

use std::{vec, vec::Vec};

use etherparse::{
    IcmpEchoHeader, Icmpv4Header, Icmpv4Type, IpNumber, Ipv4Header, NetSlice, TcpHeader, TransportSlice,
    UdpHeader,
};

use super::{Content, IpAddr, Sample};

/// The type field of the frame, and the IP header's first byte.
pub(super) const START: [u8; 3] = [0x08, 0x00, 0x45];
/// Length of an IP header without options.
pub(super) const HEADER: usize = 20;
/// Where the content of a frame without options begins.
pub(super) const CONTENT: usize = 14 + HEADER;
/// Where the transport's number stands.
pub(super) const PROTOCOL: usize = 14 + 9;
/// Where the source address stands.
pub(super) const SRC: core::ops::Range<usize> = 26..30;

/// ICMP's types and codes.
pub(super) mod kind {
    pub(in super::super) const UNREACHABLE: u8 = 3;
    pub(in super::super) const HOST: u8 = 1;
    pub(in super::super) const PORT: u8 = 3;
    pub(in super::super) const TIME_EXCEEDED: u8 = 11;
    pub(in super::super) const PROHIBITED: (u8, u8) = (UNREACHABLE, 13);
    /// Each kind of error, with a code.
    pub(in super::super) const ERRORS: [(u8, u8); 4] =
        [(UNREACHABLE, 4), (UNREACHABLE, HOST), (TIME_EXCEEDED, 0), (12, 0)];
    /// What is none: source quench, redirect.
    pub(in super::super) const OTHERS: [(u8, u8); 2] = [(4, 0), (5, 1)];
}

/// Options of the header, whole words.
pub(super) type Options = Vec<u8>;

/// So many words of no-operations.
pub(super) fn options(words: usize) -> Options {
    vec![1; words * 4]
}

/// The header of a packet whose content is so long.
pub(super) fn internet(packet: &Sample, protocol: IpNumber, length: usize) -> Vec<u8> {
    let mut ip = Ipv4Header {
        protocol,
        time_to_live: packet.ttl,
        identification: 0x1234,
        source: packet.src.ip().octets(),
        destination: packet.dst.ip().octets(),
        ..Ipv4Header::default()
    };
    ip.options = packet.options.as_slice().try_into().unwrap();
    ip.set_payload_len(length).unwrap();
    ip.header_checksum = ip.calc_header_checksum();
    let mut bytes = Vec::new();
    ip.write_raw(&mut bytes).unwrap();
    bytes
}

pub(super) fn tcp_sum(header: &TcpHeader, src: IpAddr, dst: IpAddr, payload: &[u8]) -> u16 {
    let sum = header.calc_checksum_ipv4_raw(src.octets(), dst.octets(), payload);
    sum.unwrap()
}

pub(super) fn udp_sum(header: &UdpHeader, src: IpAddr, dst: IpAddr, payload: &[u8]) -> u16 {
    let sum = header.calc_checksum_ipv4_raw(src.octets(), dst.octets(), payload);
    sum.unwrap()
}

/// The header of an ICMP message.
pub(super) fn icmp(packet: &Sample) -> (IpNumber, Vec<u8>) {
    let echo = |id| IcmpEchoHeader { id, seq: 7 };
    let kind = match packet.content {
        Content::Request => Icmpv4Type::EchoRequest(echo(packet.src.port())),
        Content::Error(type_u8, code_u8, word) => Icmpv4Type::Unknown {
            type_u8,
            code_u8,
            bytes5to8: word.to_be_bytes(),
        },
        _ => Icmpv4Type::EchoReply(echo(packet.dst.port())),
    };
    let header = Icmpv4Header::with_checksum(kind, &packet.payload);
    (IpNumber::ICMP, header.to_bytes().to_vec())
}

/// What the IP header says.
pub(super) struct Outer {
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    pub(super) ttl: u8,
    pub(super) options: Options,
}

#[track_caller]
pub(super) fn outer(net: &NetSlice<'_>) -> Outer {
    let ip = net.ipv4_ref().unwrap().header().to_header();
    assert_eq!(ip.header_checksum, ip.calc_header_checksum(), "IP checksum");
    Outer {
        src: ip.source.into(),
        dst: ip.destination.into(),
        ttl: ip.time_to_live,
        options: ip.options.as_slice().to_vec(),
    }
}

/// What an ICMP message is, its identifier as source or destination port, and what follows its header.
#[track_caller]
pub(super) fn message<'a>(transport: &TransportSlice<'a>, _outer: &Outer) -> (Content, u16, u16, &'a [u8]) {
    let TransportSlice::Icmpv4(icmp) = transport else {
        panic!("no packet of ours: {transport:?}");
    };
    let right = etherparse::checksum::Sum16BitWords::new()
        .add_slice(icmp.slice())
        .ones_complement();
    assert_eq!(right, 0, "ICMP checksum");
    match icmp.icmp_type() {
        Icmpv4Type::EchoRequest(echo) => (Content::Request, echo.id, 0, icmp.payload()),
        Icmpv4Type::EchoReply(echo) => (Content::Reply, 0, echo.id, icmp.payload()),
        _ => {
            let word = u32::from_be_bytes(icmp.bytes5to8());
            let error = Content::Error(icmp.type_u8(), icmp.code_u8(), word);
            (error, 0, 0, icmp.payload())
        }
    }
}
