//! ICMP errors about a flow (RFC 5508, 4; RFC 5382, REQ-9; RFC 4787, REQ-12): what they quote is translated back, and they
//! go where the quoted packet came from.
//!
//! The quoted packet is one that the flow made, so an answer to it has a flow entry: the error goes the way of that
//! answer, and what the entry makes of the answer's addresses is what the sender of the quoted packet knows.

use network_types::{icmp::Icmpv4Hdr, ip::Ipv4Hdr, tcp::TcpHdr, udp::UdpHdr};

use super::{
    Carried, Datagram, Delta, Env, Internet, L4Change, Packet, Truncated, flow, forward,
    parse::{self, L3},
    rewrite,
};
use crate::maps::{Address, FlowKey, Hook, Port, Protocol, Reason};

/// The packet that an error is about, as far as it is quoted.
#[derive(Clone, Copy, Debug)]
struct Quoted {
    /// Its addresses and ports.
    key: FlowKey,
    protocol: Protocol,
    /// Where its IP header begins, from the start of the frame.
    l3: usize,
    /// Where its transport header begins.
    l4: usize,
    /// Whether so much of a TCP header is quoted that the checksum is.
    has_tcp_checksum: bool,
}

/// Translates an error about a flow. `OtherIcmp` if it is none: then it is for the host's stack to judge.
///
/// "The NAT device MUST NOT refresh or delete the NAT Session that pertains to the embedded payload" (RFC 5508, REQ-6):
/// the flow is looked at, not touched.
// Not inlined, for its stack: `process` ends with it.
#[inline(never)]
pub(super) fn translate<P: Packet + ?Sized, E: Env>(
    packet: &mut P,
    env: &E,
    hook: Hook,
    carried: &mut Carried,
) -> Result<(), Reason> {
    // Read again: handed over, it would lie on the stack, where the verifier loses sight of its bounds.
    let internet = parse::internet(packet)?;
    let quoted = quoted(packet, &internet)?;
    let answer = quoted.key.reversed();
    // Whoever sent the quoted packet is told, nobody else.
    if internet.dst != answer.dst {
        return Err(Reason::OtherIcmp);
    }
    let translation = flow::peek(env, hook, &answer)?.ok_or(Reason::OtherIcmp)?;
    let outer = Datagram {
        key: addresses(internet.src, internet.dst),
        protocol: Protocol::Icmp,
        l4: internet.l4,
        length: internet.length,
        ttl: internet.ttl,
        tcp: 0,
        is_fragment: false,
    };
    let verdict = forward::choose(env, hook, &outer, &translation, false)?.verdict;
    *carried = Carried {
        verdict,
        reason: Reason::IcmpError,
    };
    // The host or router that complains may be hidden like the flow's own end; where only the destination is translated,
    // its address stays as it is.
    let src = if translation.to.src == answer.src {
        internet.src
    } else {
        translation.to.src
    };
    let to = addresses(src, translation.to.dst);
    let is_routed = verdict.is_routed();
    rewrite(
        packet,
        &outer,
        &to,
        &quoted,
        &translation.to.reversed(),
        is_routed,
    )
    .or(Err(Reason::RewriteFailed))
}

/// What an error quotes: an IP header and at least 8 bytes of what follows it (RFC 792).
#[inline(always)]
fn quoted<P: Packet + ?Sized>(packet: &mut P, internet: &Internet) -> Result<Quoted, Reason> {
    const UNREACHABLE: u8 = 3;
    const TIME_EXCEEDED: u8 = 11;
    const PARAMETER_PROBLEM: u8 = 12;
    // Source quench is history (RFC 6633), and a redirect is for the next hop only.
    let header = packet
        .header::<Icmpv4Hdr>(internet.l4)
        .or(Err(Reason::Malformed))?;
    if !matches!(header.type_, UNREACHABLE | TIME_EXCEEDED | PARAMETER_PROBLEM) {
        return Err(Reason::OtherIcmp);
    }
    let l3 = internet.l4 + Icmpv4Hdr::LEN;
    let end = L3 + internet.length as usize;
    let quoted = ipv4(packet, l3, end).or(Err(Reason::Malformed))?;
    quoted.ok_or(Reason::OtherIcmp)
}

/// `None` for what no flow can have sent.
#[inline(always)]
fn ipv4<P: Packet + ?Sized>(packet: &mut P, l3: usize, end: usize) -> Result<Option<Quoted>, Truncated> {
    const QUOTED: usize = 8;
    const FRAGMENT_OFFSET: u16 = 0x1fff;
    packet.require(l3 + Ipv4Hdr::LEN)?;
    let &Ipv4Hdr {
        vihl,
        proto,
        frags,
        src_addr,
        dst_addr,
        ..
    } = packet.header::<Ipv4Hdr>(l3)?;
    let header_length = usize::from(vihl & 0xf) * 4;
    let l4 = l3 + header_length;
    if vihl >> 4 != 4 || header_length < Ipv4Hdr::LEN || l4 + QUOTED > end {
        return Err(Truncated);
    }
    let Some(protocol) = Protocol::from_number(proto) else {
        return Ok(None);
    };
    // A fragment other than the first has no ports.
    if u16::from_be_bytes(frags) & FRAGMENT_OFFSET != 0 {
        return Ok(None);
    }
    packet.require(l4 + QUOTED)?;
    let Some((src_port, dst_port)) = ports(packet, protocol, l4)? else {
        return Ok(None);
    };
    let (src, dst) = (
        Address(u32::from_be_bytes(src_addr)),
        Address(u32::from_be_bytes(dst_addr)),
    );
    Ok(Some(Quoted {
        key: FlowKey::new(protocol, src, src_port, dst, dst_port),
        protocol,
        l3,
        l4,
        has_tcp_checksum: protocol == Protocol::Tcp
            && l4 + TcpHdr::LEN <= end
            && packet.require(l4 + TcpHdr::LEN).is_ok(),
    }))
}

#[inline(always)]
fn ports<P: Packet + ?Sized>(
    packet: &P,
    protocol: Protocol,
    l4: usize,
) -> Result<Option<(Port, Port)>, Truncated> {
    let word = |offset| {
        packet
            .header::<[u8; 2]>(l4 + offset)
            .map(|bytes| Port(u16::from_be_bytes(*bytes)))
    };
    if protocol != Protocol::Icmp {
        return Ok(Some((word(0)?, word(2)?)));
    }
    // As in the flow's key: the identifier is the port of whoever asks.
    let id = word(4)?;
    let [kind, code] = *packet.header::<[u8; 2]>(l4)?;
    Ok(match (kind, code) {
        (parse::ECHO_REQUEST, 0) => Some((id, Port(0))),
        (parse::ECHO_REPLY, 0) => Some((Port(0), id)),
        _ => None,
    })
}

/// An ICMP error's own key: it has no ports.
#[inline(always)]
const fn addresses(src: Address, dst: Address) -> FlowKey {
    FlowKey::new(Protocol::Icmp, src, Port(0), dst, Port(0))
}

#[inline(always)]
fn rewrite<P: Packet + ?Sized>(
    packet: &mut P,
    outer: &Datagram,
    to: &FlowKey,
    quoted: &Quoted,
    sent: &FlowKey,
    is_routed: bool,
) -> Result<(), Truncated> {
    // The quoted IP header's sum does not change, for its checksum makes up for its addresses; the rest does.
    let addresses = rewrite::internet(packet, quoted.l3, &quoted.key, sent, false)?;
    let ports = rewrite::transport(packet, quoted.l4, quoted.protocol, &quoted.key, sent)?;
    let sum = match quoted.protocol {
        Protocol::Tcp if !quoted.has_tcp_checksum => Delta::NONE,
        Protocol::Tcp => checksum(
            packet,
            quoted.l4 + core::mem::offset_of!(TcpHdr, check),
            addresses.and(ports),
            false,
        )?,
        Protocol::Udp => checksum(
            packet,
            quoted.l4 + core::mem::offset_of!(UdpHdr, check),
            addresses.and(ports),
            true,
        )?,
        Protocol::Icmp => checksum(
            packet,
            quoted.l4 + core::mem::offset_of!(Icmpv4Hdr, check),
            ports,
            false,
        )?,
    };
    rewrite::internet(packet, L3, &outer.key, to, is_routed)?;
    packet.update_l4_checksum(
        outer.l4 + core::mem::offset_of!(Icmpv4Hdr, check),
        L4Change {
            addresses: None,
            ports: Some(ports.and(sum)),
            zero_means_none: false,
        },
    )
}

/// Corrects a quoted checksum; gives how much the sum over the quote changes by that.
#[inline(always)]
fn checksum<P: Packet + ?Sized>(
    packet: &mut P,
    offset: usize,
    change: Delta,
    zero_means_none: bool,
) -> Result<Delta, Truncated> {
    let field = packet.header_mut::<[u8; 2]>(offset)?;
    let before = *field;
    if zero_means_none && before == [0, 0] {
        return Ok(Delta::NONE);
    }
    let after = change.applied_to(before);
    *field = if zero_means_none && after == [0, 0] {
        [0xff, 0xff]
    } else {
        after
    };
    Ok(Delta::NONE.replace_u16(u16::from_be_bytes(before), u16::from_be_bytes(*field)))
}
