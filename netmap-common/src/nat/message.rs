//! What the sender of a packet hears that was refused because there is no room for its flow: ICMP "communication
//! administratively prohibited" (RFC 5508, REQ-8; RFC 6888, REQ-11), so that it need not wait for what never comes.
//!
//! The message is made of the refused packet: it becomes the quote, and goes back where it came from.

use network_types::{icmp::Icmpv4Hdr, tcp::TcpHdr, udp::UdpHdr};

use super::{
    Env, Family, Internet, Packet, Truncated, checksum,
    parse::{self, L3, bytes},
    rewrite,
};
use crate::maps::{Hook, Ip as _, Protocol};

/// A packet that another one can be made of.
pub trait Reshape: Packet {
    /// Cuts the frame to `length` bytes, and makes `room` behind its Ethernet header, filled with zeros. On failure the
    /// packet is fit to be dropped only.
    ///
    /// # Errors
    ///
    /// There is no memory, or the packet is shorter.
    fn reshape(&mut self, length: u32, room: u32) -> Result<(), Truncated>;
}

/// Makes the message of a packet that was refused at this hook. It leaves by the interface that the packet came from.
///
/// Nobody is told where the packet leaves the host (the host's own stack brought it there), and nobody hears more messages
/// than the limit says. What is refused opens a flow, so it is no later fragment, no ICMP error and to no group
/// (RFC 1122, 3.2.2); what is left to see is that its source is one machine. A packet of IPv6 with extension headers is not
/// answered: they would have to be summed.
///
/// # Errors
///
/// Nobody is to be told, and the packet is to be dropped.
// Not inlined, for its stack.
#[inline(never)]
pub fn tell<P: Reshape, E: Env>(packet: &mut P, env: &E, hook: Hook) -> Result<(), Truncated> {
    let internet = parse::internet::<E::Ip, P>(packet).or(Err(Truncated))?;
    let protocol = E::Ip::protocol(internet.protocol).ok_or(Truncated)?;
    let is_plain = E::Ip::HAS_HEADER_CHECKSUM
        || internet.content == L3 + E::Ip::HEADER && internet.l4 == internet.content;
    if hook == Hook::UplinkOut || !is_plain || !is_from_one(packet, internet.src)? {
        return Err(Truncated);
    }
    let from = source(env, &internet).ok_or(Truncated)?;
    if !env.may_tell() {
        return Err(Truncated);
    }
    let quoted = bytes(internet.l4 - L3 + quoted(protocol));
    let room = E::Ip::HEADER + Icmpv4Hdr::LEN;
    packet.reshape(bytes(L3) + quoted, bytes(room))?;
    packet.require(L3 + room + E::Ip::HEADER)?;
    let l4 = internet.l4 + room;
    let sum = E::Ip::header_sum(packet, L3 + room)? + settle(packet, protocol, l4)?;
    write::<E::Ip, P>(packet, from, internet.src, quoted, sum)
}

/// How much of the transport header is quoted: what is there of all, and of TCP so much that the kernel finds a checksum
/// that it has yet to complete.
#[inline(always)]
const fn quoted(protocol: Protocol) -> usize {
    match protocol {
        Protocol::Tcp => TcpHdr::LEN,
        Protocol::Udp | Protocol::Icmp => UdpHdr::LEN,
    }
}

/// Whether one machine has sent it, by both of its addresses.
#[inline(always)]
fn is_from_one<A: Family, P: Packet + ?Sized>(packet: &P, src: A) -> Result<bool, Truncated> {
    /// The bit of an Ethernet address's first byte that stands for a group.
    const GROUP: u8 = 1;
    let [to, _] = *packet.header::<[u8; 2]>(0)?;
    let [from, _] = *packet.header::<[u8; 2]>(6)?;
    let is_one = src != A::ANY && !src.is_multicast_or_reserved() && !src.is_loopback();
    Ok((to | from) & GROUP == 0 && is_one)
}

/// Who says it: the host by the address that was asked, or the container's gateway.
#[inline(always)]
fn source<E: Env>(env: &E, internet: &Internet<E::Ip>) -> Option<E::Ip> {
    if env.is_local(internet.dst) {
        return Some(internet.dst);
    }
    let address = env.interface(env.arrival())?.address;
    (address != E::Ip::ANY).then_some(address)
}

/// Gives the quoted transport header a checksum that stays the same should the kernel compute it (a packet from a veth may
/// carry one to be completed, and there is no way to know), so that the message's own stays right. What is quoted is cut
/// off, and nobody could verify the true one. Gives the sum over the header.
#[inline(always)]
fn settle<P: Packet + ?Sized>(packet: &mut P, protocol: Protocol, l4: usize) -> Result<u32, Truncated> {
    packet.require(l4 + quoted(protocol))?;
    let field = l4 + rewrite::checksum(protocol);
    *packet.header_mut::<[u8; 2]>(field)? = [0; 2];
    let mut sum = 0;
    for word in 0..UdpHdr::LEN / 4 {
        sum += word_at(packet, l4 + word * 4)?;
    }
    if protocol == Protocol::Tcp {
        for word in UdpHdr::LEN / 4..TcpHdr::LEN / 4 {
            sum += word_at(packet, l4 + word * 4)?;
        }
    }
    let settled = checksum::fixed_point(sum);
    *packet.header_mut::<[u8; 2]>(field)? = settled.to_be_bytes();
    Ok(sum + u32::from(settled))
}

#[inline(always)]
fn word_at<P: Packet + ?Sized>(packet: &P, offset: usize) -> Result<u32, Truncated> {
    let word = packet.header::<[u8; 4]>(offset)?;
    Ok(checksum::halves(u32::from_be_bytes(*word)))
}

/// Writes all headers of the message; `sum` is that over the quote.
#[inline(always)]
fn write<A: Family, P: Packet + ?Sized>(
    packet: &mut P,
    src: A,
    dst: A,
    quoted: u32,
    sum: u32,
) -> Result<(), Truncated> {
    let content = quoted + bytes(Icmpv4Hdr::LEN);
    let pseudo_header = if A::ICMP_HAS_PSEUDO_HEADER {
        src.sum() + dst.sum() + content + u32::from(A::ICMP)
    } else {
        0
    };
    let [icmp_type, code] = A::PROHIBITED;
    let first = u32::from(u16::from_be_bytes(A::PROHIBITED));
    let [high, low] = checksum::complement(first + pseudo_header + sum);
    A::write(packet, L3, src, dst, u16::try_from(content).or(Err(Truncated))?)?;
    *packet.header_mut::<[u8; 4]>(L3 + A::HEADER)? = [icmp_type, code, high, low];
    turn(packet)
}

/// Back to the station that it came from.
#[inline(always)]
fn turn<P: Packet + ?Sized>(packet: &mut P) -> Result<(), Truncated> {
    let (to, to_end) = (*packet.header::<[u8; 4]>(0)?, *packet.header::<[u8; 2]>(4)?);
    let (from, from_end) = (*packet.header::<[u8; 4]>(6)?, *packet.header::<[u8; 2]>(10)?);
    *packet.header_mut::<[u8; 4]>(0)? = from;
    *packet.header_mut::<[u8; 2]>(4)? = from_end;
    *packet.header_mut::<[u8; 4]>(6)? = to;
    *packet.header_mut::<[u8; 2]>(10)? = to_end;
    Ok(())
}
