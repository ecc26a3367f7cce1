//! ICMP errors about a flow (RFC 5508, 4; RFC 4443, 3; RFC 5382, REQ-9; RFC 4787, REQ-12): what they quote is translated back, and they
//! go where the quoted packet came from.
//!
//! The quoted packet is one that the flow made, so an answer to it has a flow entry: the error goes the way of that
//! answer, and what the entry makes of the answer's addresses is what the sender of the quoted packet knows.

use network_types::{icmp::Icmpv4Hdr, tcp::TcpHdr};

use super::{
    Carried, Datagram, Delta, Env, Family, Internet, L4Change, Packet, Truncated, flow, forward,
    parse::{self, L3, bytes},
    rewrite,
};
use crate::maps::{FlowKey, Hook, Port, Protocol, Reason};

/// The packet that an error is about, as far as it is quoted.
#[derive(Clone, Copy, Debug)]
struct Quoted<A: Family> {
    /// Its addresses and ports.
    key: FlowKey<A>,
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
    let internet = parse::internet::<E::Ip, P>(packet)?;
    let quoted = quoted(packet, &internet)?;
    let answer = quoted.key.reversed();
    // Whoever sent the quoted packet is told, nobody else.
    if internet.dst != answer.dst {
        return Err(Reason::OtherIcmp);
    }
    let mut place = env.place()?;
    let translation = flow::peek(env, hook, &answer, &mut place)?.ok_or(Reason::OtherIcmp)?;
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

/// What an error quotes: an IP header and at least 8 bytes of what follows it (RFC 792). `OtherIcmp` for what no flow can
/// have sent.
#[inline(always)]
fn quoted<A: Family, P: Packet + ?Sized>(
    packet: &mut P,
    internet: &Internet<A>,
) -> Result<Quoted<A>, Reason> {
    const QUOTED: usize = 8;
    let header = packet
        .header::<Icmpv4Hdr>(internet.l4)
        .or(Err(Reason::Malformed))?;
    if !A::is_error(header.type_) {
        return Err(Reason::OtherIcmp);
    }
    let end = L3 + internet.length as usize;
    let quoted = A::internet(packet, internet.l4 + Icmpv4Hdr::LEN, bytes(end)).or(Err(Reason::Malformed))?;
    let l4 = quoted.l4;
    if l4 + QUOTED > end {
        return Err(Reason::Malformed);
    }
    packet.require(l4 + QUOTED).or(Err(Reason::Malformed))?;
    let protocol = A::protocol(quoted.protocol).ok_or(Reason::OtherIcmp)?;
    // A fragment other than the first has no ports.
    if quoted.fragment_offset() != 0 {
        return Err(Reason::OtherIcmp);
    }
    let (src_port, dst_port) = ports::<A, P>(packet, protocol, l4).or(Err(Reason::Malformed))??;
    Ok(Quoted {
        key: FlowKey::new(protocol, quoted.src, src_port, quoted.dst, dst_port),
        protocol,
        l3: quoted.l3,
        l4,
        has_tcp_checksum: protocol == Protocol::Tcp
            && l4 + TcpHdr::LEN <= end
            && packet.require(l4 + TcpHdr::LEN).is_ok(),
    })
}

#[inline(always)]
fn ports<A: Family, P: Packet + ?Sized>(
    packet: &P,
    protocol: Protocol,
    l4: usize,
) -> Result<Result<(Port, Port), Reason>, Truncated> {
    let word = |offset| {
        packet
            .header::<[u8; 2]>(l4 + offset)
            .map(|bytes| Port(u16::from_be_bytes(*bytes)))
    };
    if protocol != Protocol::Icmp {
        return Ok(Ok((word(0)?, word(2)?)));
    }
    // As in the flow's key: the identifier is the port of whoever asks.
    let id = word(4)?;
    let [kind, code] = *packet.header::<[u8; 2]>(l4)?;
    Ok(match code {
        0 if kind == A::ECHO_REQUEST => Ok((id, Port(0))),
        0 if kind == A::ECHO_REPLY => Ok((Port(0), id)),
        _ => Err(Reason::OtherIcmp),
    })
}

/// An ICMP error's own key: it has no ports.
#[inline(always)]
const fn addresses<A: Family>(src: A, dst: A) -> FlowKey<A> {
    FlowKey::new(Protocol::Icmp, src, Port(0), dst, Port(0))
}

#[inline(always)]
fn rewrite<A: Family, P: Packet + ?Sized>(
    packet: &mut P,
    outer: &Datagram<A>,
    to: &FlowKey<A>,
    quoted: &Quoted<A>,
    sent: &FlowKey<A>,
    is_routed: bool,
) -> Result<(), Truncated> {
    let addresses = A::rewrite(packet, quoted.l3, &quoted.key, sent, false)?;
    let ports = rewrite::transport(packet, quoted.l4, quoted.protocol, &quoted.key, sent)?;
    let covered = if rewrite::has_pseudo_header::<A>(quoted.protocol) {
        addresses.and(ports)
    } else {
        ports
    };
    let sum = if quoted.protocol == Protocol::Tcp && !quoted.has_tcp_checksum {
        Delta::NONE
    } else {
        let field = quoted.l4 + rewrite::checksum(quoted.protocol);
        checksum(packet, field, covered, quoted.protocol == Protocol::Udp)?
    };
    // The sum over a quoted header does not change if its checksum makes up for its addresses; over the rest it does.
    let quote = if A::HAS_HEADER_CHECKSUM {
        ports.and(sum)
    } else {
        addresses.and(ports).and(sum)
    };
    let outer_addresses = A::rewrite(packet, L3, &outer.key, to, is_routed)?;
    packet.update_l4_checksum(
        outer.l4 + rewrite::checksum(Protocol::Icmp),
        L4Change {
            addresses: A::ICMP_HAS_PSEUDO_HEADER.then_some(outer_addresses),
            ports: Some(quote),
            zero_means_none: false,
            is_whole_sum: !A::HAS_HEADER_CHECKSUM,
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
