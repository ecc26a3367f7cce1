//! From bytes to what the NAT decides on.

use network_types::{eth::EtherType, icmp::Icmpv4Hdr, ip::Ipv4Hdr, tcp::TcpHdr, udp::UdpHdr};

use super::{Packet, Truncated};
use crate::maps::{Address, FlowKey, Port, Protocol, Reason};

/// Where the IP header begins.
pub(super) const L3: usize = 14;

/// The ICMP type of an echo reply.
pub(super) const ECHO_REPLY: u8 = 0;
/// The ICMP type of an echo request.
pub(super) const ECHO_REQUEST: u8 = 8;

/// What the IP header says.
#[derive(Clone, Copy, Debug)]
pub struct Internet {
    /// Source address.
    pub src: Address,
    /// Destination address.
    pub dst: Address,
    /// Where the transport header begins, from the start of the frame.
    pub l4: usize,
    /// Length of the IP datagram in bytes, header included.
    pub length: u32,
    /// Time to live.
    pub ttl: u8,
    /// Protocol number.
    pub protocol: u8,
    /// Identification: tells the fragments of one datagram from another's.
    pub id: u16,
    /// Flags and fragment offset as they are in the header, in host byte order.
    pub fragment: u16,
}

impl Internet {
    /// Whether it is one fragment of several: more follow, or it is not the first. The reserved bit and "don't fragment"
    /// do not matter.
    #[inline(always)]
    pub const fn is_fragment(&self) -> bool {
        self.fragment & 0x3fff != 0
    }

    /// Where the fragment's content belongs in the datagram's, in bytes.
    #[inline(always)]
    pub const fn fragment_offset(&self) -> u32 {
        (self.fragment as u32 & 0x1fff) * 8
    }

    /// Length of what follows the header, in bytes.
    #[inline(always)]
    pub const fn content(&self) -> u32 {
        self.length.saturating_sub(bytes(self.l4 - L3))
    }
}

/// A datagram that can be translated.
#[derive(Clone, Copy, Debug)]
pub struct Datagram {
    /// Its addresses and ports.
    pub key: FlowKey,
    /// Its protocol.
    pub protocol: Protocol,
    /// Where the transport header begins.
    pub l4: usize,
    /// Length of the IP datagram in bytes.
    pub length: u32,
    /// Time to live.
    pub ttl: u8,
    /// TCP flags, 0 for other protocols.
    pub tcp: u8,
    /// More fragments of it follow.
    pub is_fragment: bool,
}

/// Reads the IPv4 header.
#[inline(always)]
pub(super) fn internet<P: Packet + ?Sized>(packet: &mut P) -> Result<Internet, Reason> {
    if packet.is_vlan_tagged() {
        return Err(Reason::Vlan);
    }
    packet.require(L3).or(Err(Reason::NotIpv4))?;
    let ether_type = packet.header::<[u8; 2]>(L3 - 2).or(Err(Reason::NotIpv4))?;
    if u16::from_ne_bytes(*ether_type) != EtherType::Ipv4 as u16 {
        return Err(Reason::NotIpv4);
    }
    ipv4(packet).or(Err(Reason::Malformed))
}

/// Reads the transport header.
#[inline(always)]
pub(super) fn transport<P: Packet + ?Sized>(packet: &mut P, internet: &Internet) -> Result<Datagram, Reason> {
    if internet.fragment_offset() != 0 {
        return Err(Reason::Fragment);
    }
    let protocol = Protocol::from_number(internet.protocol).ok_or(Reason::OtherProtocol)?;
    let payload = internet.content();
    let (src_port, dst_port, tcp) = match protocol {
        Protocol::Tcp => tcp(packet, internet.l4, payload).or(Err(Reason::Malformed))?,
        Protocol::Udp => udp(packet, internet, payload).or(Err(Reason::Malformed))?,
        Protocol::Icmp => echo(packet, internet.l4, payload)?,
    };
    Ok(Datagram {
        key: FlowKey::new(protocol, internet.src, src_port, internet.dst, dst_port),
        protocol,
        l4: internet.l4,
        length: internet.length,
        ttl: internet.ttl,
        tcp,
        is_fragment: internet.is_fragment(),
    })
}

#[inline(always)]
fn ipv4<P: Packet + ?Sized>(packet: &mut P) -> Result<Internet, Truncated> {
    packet.require(L3 + Ipv4Hdr::LEN)?;
    let frame = packet.length().saturating_sub(bytes(L3));
    let header = packet.header::<Ipv4Hdr>(L3)?;
    // 60 at most: the mask tells the verifier.
    let header_length = usize::from(header.vihl & 0xf) * 4;
    if header.vihl >> 4 != 4 || header_length < Ipv4Hdr::LEN {
        return Err(Truncated);
    }
    let total = u32::from(u16::from_be_bytes(header.tot_len));
    // A segmented super-frame of 64 KiB and more has no length to write there (IPv4 BIG TCP, Linux 6.3).
    let length = if total == 0 && frame > 65_535 {
        frame
    } else {
        total
    };
    if length > frame || length < bytes(header_length) {
        return Err(Truncated);
    }
    Ok(Internet {
        src: Address(u32::from_be_bytes(header.src_addr)),
        dst: Address(u32::from_be_bytes(header.dst_addr)),
        l4: L3 + header_length,
        length,
        ttl: header.ttl,
        protocol: header.proto,
        id: u16::from_be_bytes(header.id),
        fragment: u16::from_be_bytes(header.frags),
    })
}

type Ports = (Port, Port, u8);

#[inline(always)]
fn tcp<P: Packet + ?Sized>(packet: &mut P, l4: usize, payload: u32) -> Result<Ports, Truncated> {
    packet.require(l4 + TcpHdr::LEN)?;
    let [offset, flags] = *packet.header::<[u8; 2]>(l4 + 12)?;
    let header_length = u32::from(offset >> 4) * 4;
    if header_length < bytes(TcpHdr::LEN) || header_length > payload {
        return Err(Truncated);
    }
    let header = packet.header::<TcpHdr>(l4)?;
    Ok((port(header.source), port(header.dest), flags))
}

#[inline(always)]
fn udp<P: Packet + ?Sized>(packet: &mut P, internet: &Internet, payload: u32) -> Result<Ports, Truncated> {
    packet.require(internet.l4 + UdpHdr::LEN)?;
    let header = packet.header::<UdpHdr>(internet.l4)?;
    let length = u32::from(u16::from_be_bytes(header.len));
    // A first fragment has but a part of it.
    let is_cut = length > payload && !internet.is_fragment();
    if length < bytes(UdpHdr::LEN) || payload < bytes(UdpHdr::LEN) || is_cut {
        return Err(Truncated);
    }
    Ok((port(header.src), port(header.dst), 0))
}

/// Echo requests and replies: the identifier takes a port's place (RFC 5508, 3.1).
#[inline(always)]
fn echo<P: Packet + ?Sized>(packet: &mut P, l4: usize, payload: u32) -> Result<Ports, Reason> {
    if payload < bytes(Icmpv4Hdr::LEN) {
        return Err(Reason::Malformed);
    }
    packet.require(l4 + Icmpv4Hdr::LEN).or(Err(Reason::Malformed))?;
    let header = packet.header::<Icmpv4Hdr>(l4).or(Err(Reason::Malformed))?;
    let id = port([header.data[0], header.data[1]]);
    match (header.type_, header.code) {
        (ECHO_REQUEST, 0) => Ok((id, Port(0), 0)),
        (ECHO_REPLY, 0) => Ok((Port(0), id, 0)),
        _ => Err(Reason::OtherIcmp),
    }
}

#[inline(always)]
const fn port(bytes: [u8; 2]) -> Port {
    Port(u16::from_be_bytes(bytes))
}

/// A header's length, to be compared with a packet's.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "headers have 60 bytes at most")]
const fn bytes(header: usize) -> u32 {
    header as u32
}
