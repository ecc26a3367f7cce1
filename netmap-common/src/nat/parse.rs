//! From bytes to what the NAT decides on.

use network_types::{icmp::Icmpv4Hdr, tcp::TcpHdr, udp::UdpHdr};

use super::{Family, Packet, Truncated};
use crate::maps::{Address, FlowKey, Port, Protocol, Reason};

/// Where the IP header begins.
pub(super) const L3: usize = 14;

/// What the IP header says.
#[derive(Clone, Copy, Debug)]
pub struct Internet<A = Address> {
    /// Source address.
    pub src: A,
    /// Destination address.
    pub dst: A,
    /// Where the header begins, from the start of the frame.
    pub l3: usize,
    /// Where the part begins that fragments divide among them.
    pub content: usize,
    /// Where the transport header begins, extension headers skipped.
    pub l4: usize,
    /// Length of the IP datagram in bytes, header included.
    pub length: u32,
    /// Time to live.
    pub ttl: u8,
    /// The transport's number, or that of the extension header where the reading ended.
    pub protocol: u8,
    /// Identification: tells the fragments of one datagram from another's.
    pub id: u32,
    /// Flags and fragment offset as they are in a header of IPv4, in host byte order.
    pub fragment: u16,
}

impl<A> Internet<A> {
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

    /// Length of what fragments divide among them, in bytes: here is but a part of it.
    #[inline(always)]
    pub const fn content_length(&self) -> u32 {
        self.length.saturating_sub(bytes(self.content - self.l3))
    }

    /// Length of transport header and data, in bytes.
    #[inline(always)]
    pub const fn payload_length(&self) -> u32 {
        self.length.saturating_sub(bytes(self.l4 - self.l3))
    }
}

/// A datagram that can be translated.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<A: Family = Address> {
    /// Its addresses and ports.
    pub key: FlowKey<A>,
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

/// Reads the IP header.
#[inline(always)]
pub(super) fn internet<A: Family, P: Packet + ?Sized>(packet: &mut P) -> Result<Internet<A>, Reason> {
    if packet.is_vlan_tagged() {
        return Err(Reason::Vlan);
    }
    packet.require(L3).or(Err(Reason::NotIp))?;
    let ether_type = packet.header::<[u8; 2]>(L3 - 2).or(Err(Reason::NotIp))?;
    if *ether_type != A::ETHER_TYPE {
        return Err(Reason::NotIp);
    }
    let end = packet.length();
    let internet = A::internet(packet, L3, end).or(Err(Reason::Malformed))?;
    if internet.length > end.saturating_sub(bytes(L3)) {
        return Err(Reason::Malformed);
    }
    Ok(internet)
}

/// Reads the transport header.
#[inline(always)]
pub(super) fn transport<A: Family, P: Packet + ?Sized>(
    packet: &mut P,
    internet: &Internet<A>,
) -> Result<Datagram<A>, Reason> {
    if internet.fragment_offset() != 0 {
        return Err(Reason::Fragment);
    }
    let protocol = A::protocol(internet.protocol).ok_or(Reason::OtherProtocol)?;
    let payload = internet.payload_length();
    let (src_port, dst_port, tcp) = match protocol {
        Protocol::Tcp => tcp(packet, internet.l4, payload).or(Err(Reason::Malformed))?,
        Protocol::Udp => udp(packet, internet, payload).or(Err(Reason::Malformed))?,
        Protocol::Icmp => echo::<A, P>(packet, internet.l4, payload)?,
    };
    let (src, dst) = A::addresses(packet, internet).or(Err(Reason::Malformed))?;
    Ok(Datagram {
        key: FlowKey::new(protocol, src, src_port, dst, dst_port),
        protocol,
        l4: internet.l4,
        length: internet.length,
        ttl: internet.ttl,
        tcp,
        is_fragment: internet.is_fragment(),
    })
}

/// Why a packet cannot be read that can be read as far as its IP header. Not inlined, to leave its caller the stack.
#[inline(never)]
pub(super) fn refusal<A: Family, P: Packet + ?Sized>(packet: &mut P) -> Reason {
    match internet::<A, P>(packet).and_then(|internet| transport(packet, &internet)) {
        Err(why) => why,
        Ok(_) => Reason::Malformed,
    }
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
fn udp<A, P: Packet + ?Sized>(
    packet: &mut P,
    internet: &Internet<A>,
    payload: u32,
) -> Result<Ports, Truncated> {
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
fn echo<A: Family, P: Packet + ?Sized>(packet: &mut P, l4: usize, payload: u32) -> Result<Ports, Reason> {
    if payload < bytes(Icmpv4Hdr::LEN) {
        return Err(Reason::Malformed);
    }
    packet.require(l4 + Icmpv4Hdr::LEN).or(Err(Reason::Malformed))?;
    let header = packet.header::<Icmpv4Hdr>(l4).or(Err(Reason::Malformed))?;
    let id = port([header.data[0], header.data[1]]);
    if header.code != 0 {
        return Err(Reason::OtherIcmp);
    }
    match header.type_ {
        request if request == A::ECHO_REQUEST => Ok((id, Port(0), 0)),
        reply if reply == A::ECHO_REPLY => Ok((Port(0), id, 0)),
        _ => Err(Reason::OtherIcmp),
    }
}

#[inline(always)]
const fn port(bytes: [u8; 2]) -> Port {
    Port(u16::from_be_bytes(bytes))
}

/// A header's length or place, to be compared with a packet's.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the headers have a few kilobytes at most"
)]
pub(super) const fn bytes(header: usize) -> u32 {
    header as u32
}
