//! Datagrams that come in pieces.

use bytemuck::{Pod, Zeroable};

use super::{Address, IfIndex, Port, Seconds};

/// What the fragments of one datagram have in common: "source, destination, protocol, and identification" (RFC 791, 2.3),
/// and where they come from, so that nobody else's fragments are taken for them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Pod, Zeroable)]
pub struct FragmentKey {
    /// Source address.
    pub src: Address,
    /// Destination address.
    pub dst: Address,
    /// The interface that they came by.
    pub arrival: IfIndex,
    /// Identification.
    pub id: u16,
    /// Protocol number.
    pub protocol: u8,
    /// Zero.
    pub pad: u8,
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
    /// Zero.
    pub pad: u16,
    /// When the entry was made.
    pub since: Seconds,
}
