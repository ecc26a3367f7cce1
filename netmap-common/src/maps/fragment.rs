//! Datagrams that come in pieces.

use bytemuck::{Pod, Zeroable};

use super::{Address, IfIndex, Ip, Port, Seconds};

/// What the fragments of one datagram have in common: "source, destination, protocol, and identification" (RFC 791, 2.3),
/// and where they come from, so that nobody else's fragments are taken for them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FragmentKey<A: Ip = Address> {
    /// Source address.
    pub src: A,
    /// Destination address.
    pub dst: A,
    /// The interface that they came by.
    pub arrival: IfIndex,
    /// Identification, of 16 bits in IPv4.
    pub id: u32,
    /// The protocol's number in IPv4; 0 in IPv6, where identifications are one another's for all (RFC 8200, 4.5).
    pub protocol: u8,
    /// Zero.
    pub pad: u8,
    /// Zero.
    pub pad_word: u16,
}

/// What only the first fragment tells.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Fragment {
    /// Source port, or what stands for it in the flow's key.
    pub src_port: Port,
    /// Destination port.
    pub dst_port: Port,
    /// How many bytes of the datagram's content the first fragment holds; 0 where the host puts the pieces together,
    /// because another one than the first came first.
    pub end: u16,
    /// [`Protocol`](super::Protocol) number: in IPv6 the other pieces do not tell it.
    pub protocol: u8,
    /// Zero.
    pub pad: u8,
    /// When the entry was made.
    pub since: Seconds,
}
