//! What differs between IPv4 and IPv6 once a packet is to be read or written. All else is one code.

use super::{Delta, Internet, Packet, Truncated};
use crate::maps::{FlowKey, Ip, Protocol};

/// An address family, as the NAT reads and writes its packets.
pub trait Family: Ip {
    /// The type field of an Ethernet frame that carries it, network byte order.
    const ETHER_TYPE: [u8; 2];
    /// ICMP's number in the header.
    const ICMP: u8;
    /// Length of the header without options or extensions, in bytes.
    const HEADER: usize;
    /// Type and code of "communication administratively prohibited".
    const PROHIBITED: [u8; 2];
    /// The ICMP type of an echo request.
    const ECHO_REQUEST: u8;
    /// The ICMP type of an echo reply.
    const ECHO_REPLY: u8;
    /// Whether ICMP's checksum covers a pseudo-header (RFC 4443, 2.3).
    const ICMP_HAS_PSEUDO_HEADER: bool;
    /// Whether the header has a checksum of its own, which makes up for what changes in it.
    const HAS_HEADER_CHECKSUM: bool;
    /// Whether link-local addresses mean something together with an interface only (RFC 4007, 6), so that what has one is
    /// the host's own business.
    const HAS_ZONES: bool;
    /// The address that a socket means that asks for [`Ip::ANY`].
    const LOCALHOST: Self;

    /// Reads the header at `l3`, and the extension headers behind it. `end` is where the frame's bytes end that may
    /// belong to it.
    fn internet<P: Packet + ?Sized>(packet: &mut P, l3: usize, end: u32)
    -> Result<Internet<Self>, Truncated>;

    /// Source and destination of a packet whose header was read: where keeping them costs more than that, read anew.
    fn addresses<P: Packet + ?Sized>(
        packet: &P,
        internet: &Internet<Self>,
    ) -> Result<(Self, Self), Truncated>;

    /// Writes addresses into the header at `l3`, and takes one off the time to live if `decrement` says so; gives the
    /// change of the addresses.
    fn rewrite<P: Packet + ?Sized>(
        packet: &mut P,
        l3: usize,
        old: &FlowKey<Self>,
        new: &FlowKey<Self>,
        decrement: bool,
    ) -> Result<Delta, Truncated>;

    /// Writes a whole header at `l3`, for an ICMP message of so many bytes from `src` to `dst`.
    fn write<P: Packet + ?Sized>(
        packet: &mut P,
        l3: usize,
        src: Self,
        dst: Self,
        content: u16,
    ) -> Result<(), Truncated>;

    /// The sum over a header at `l3` without extensions, if it is right.
    fn header_sum<P: Packet + ?Sized>(packet: &P, l3: usize) -> Result<u32, Truncated>;

    /// Gives the fragment another identification.
    fn rename<P: Packet + ?Sized>(
        packet: &mut P,
        internet: &Internet<Self>,
        id: u32,
    ) -> Result<(), Truncated>;

    /// Whether an ICMP error of this type is about a packet that somebody sent, and worth to be told on.
    fn is_error(icmp_type: u8) -> bool;

    /// The transport with this number in the header.
    #[inline(always)]
    fn protocol(number: u8) -> Option<Protocol> {
        match number {
            6 => Some(Protocol::Tcp),
            17 => Some(Protocol::Udp),
            number if number == Self::ICMP => Some(Protocol::Icmp),
            _ => None,
        }
    }

    /// A transport's number in the header.
    #[inline(always)]
    fn number(protocol: Protocol) -> u8 {
        match protocol {
            Protocol::Icmp => Self::ICMP,
            other => other.number(),
        }
    }

    /// The part that addresses have in a pseudo-header's sum.
    fn sum(self) -> u32;
}
