//! How the NAT reaches a packet's bytes.

use bytemuck::{Pod, Zeroable};
use network_types::{
    icmp::Icmpv4Hdr,
    ip::{Ipv4Hdr, Ipv6Hdr},
    tcp::TcpHdr,
    udp::UdpHdr,
};

use super::checksum::Delta;

/// The packet ends before the bytes asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncated;

/// A header that may be laid over any bytes.
///
/// # Safety
///
/// The type has alignment 1, no padding, and every bit pattern is a value of it.
pub unsafe trait Header: Copy + 'static {}

// SAFETY: network-types declares it `repr(C)` with byte arrays only.
unsafe impl Header for Ipv4Hdr {}
// SAFETY: as above.
unsafe impl Header for Ipv6Hdr {}
// SAFETY: as above; its bit field is a byte array too.
unsafe impl Header for TcpHdr {}
// SAFETY: as above.
unsafe impl Header for UdpHdr {}
// SAFETY: as above.
unsafe impl Header for Icmpv4Hdr {}
// SAFETY: a byte array.
unsafe impl Header for [u8; 2] {}
// SAFETY: as above.
unsafe impl Header for [u8; 4] {}

/// What a rewrite changed for the L4 checksum.
#[derive(Clone, Copy, Debug)]
pub struct L4Change {
    /// Change of the pseudo-header (addresses); `None` for ICMP of IPv4, whose checksum has no pseudo-header.
    pub addresses: Option<Delta>,
    /// Change of what the checksum covers itself (ports, identifier); `None` if nothing changed.
    pub ports: Option<Delta>,
    /// UDP: a checksum of 0 means "none" and stays 0, and a computed 0 is sent as 0xffff (RFC 768).
    pub zero_means_none: bool,
    /// The IP header has no checksum that makes up for its addresses: then their change is a change of the whole packet's
    /// sum as well, which a card may have computed (`CHECKSUM_COMPLETE`).
    pub is_whole_sum: bool,
}

impl L4Change {
    /// Corrects a checksum that is complete, in place.
    #[inline(always)]
    pub fn apply_to(&self, field: &mut [u8; 2]) {
        // One after the other, and no loop over both: the verifier would walk it.
        self.apply_one(self.addresses, field);
        self.apply_one(self.ports, field);
    }

    #[inline(always)]
    fn apply_one(&self, delta: Option<Delta>, field: &mut [u8; 2]) {
        let Some(delta) = delta else { return };
        if self.zero_means_none && *field == [0, 0] {
            return;
        }
        *field = delta.applied_to(*field);
        if self.zero_means_none && *field == [0, 0] {
            *field = [0xff, 0xff];
        }
    }
}

/// A frame that starts with its Ethernet header.
pub trait Packet {
    /// Length of the whole frame in bytes, also of what is not directly readable.
    fn length(&self) -> u32;

    /// Whether the frame carries a VLAN tag beside its bytes.
    fn is_vlan_tagged(&self) -> bool;

    /// Whether the kernel has yet to make a packet of it (XDP): then a later hook sees what this one leaves, and nobody
    /// can tell here whether its checksum is complete (`CHECKSUM_PARTIAL`).
    #[inline(always)]
    fn is_early(&self) -> bool {
        false
    }

    /// The same number, but so that a verifier forgets how it came about: it would else follow every way to it to the end of
    /// the program.
    #[inline(always)]
    fn forgotten(&self, number: u32) -> u32 {
        number
    }

    /// Makes the first `length` bytes directly readable. References into the packet do not survive it.
    fn require(&mut self, length: usize) -> Result<(), Truncated>;

    /// The header at `offset`.
    fn header<T: Header>(&self, offset: usize) -> Result<&T, Truncated>;

    /// The header at `offset`, to change.
    fn header_mut<T: Header>(&mut self, offset: usize) -> Result<&mut T, Truncated>;

    /// The 32-bit numbers from `offset` on, in host byte order. For addresses of IPv6, which byte by byte would cost a
    /// program most of its stack.
    #[inline(always)]
    fn words<const N: usize>(&self, offset: usize) -> Result<[u32; N], Truncated> {
        let mut words = [0; N];
        for (index, word) in words.iter_mut().enumerate() {
            *word = u32::from_be_bytes(*self.header::<[u8; 4]>(offset + 4 * index)?);
        }
        Ok(words)
    }

    /// Writes such numbers.
    #[inline(always)]
    fn set_words<const N: usize>(&mut self, offset: usize, words: [u32; N]) -> Result<(), Truncated> {
        for (index, word) in words.iter().enumerate() {
            *self.header_mut::<[u8; 4]>(offset + 4 * index)? = word.to_be_bytes();
        }
        Ok(())
    }

    /// Corrects the L4 checksum at `offset` after a rewrite. A method because the hook decides: a packet that leaves
    /// a container carries only its pseudo-header's sum (`CHECKSUM_PARTIAL`), which only the kernel's helper knows.
    fn update_l4_checksum(&mut self, offset: usize, change: L4Change) -> Result<(), Truncated>;
}

/// Lays a header over bytes for bytemuck, which cannot be implemented for foreign types.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Wire<T>(T);

// SAFETY: every bit pattern is a value of a `Header`, zeros too.
unsafe impl<T: Header> Zeroable for Wire<T> {}
// SAFETY: a `Header` has no padding and takes every bit pattern.
unsafe impl<T: Header> Pod for Wire<T> {}

/// Frames in memory: tests, fuzzing, replay. Every checksum in them is complete.
impl Packet for [u8] {
    fn length(&self) -> u32 {
        u32::try_from(self.len()).unwrap_or(u32::MAX)
    }

    fn is_vlan_tagged(&self) -> bool {
        false
    }

    fn require(&mut self, length: usize) -> Result<(), Truncated> {
        if self.len() < length {
            Err(Truncated)
        } else {
            Ok(())
        }
    }

    fn header<T: Header>(&self, offset: usize) -> Result<&T, Truncated> {
        let bytes = self
            .get(offset..)
            .and_then(|tail| tail.get(..size_of::<T>()))
            .ok_or(Truncated)?;
        bytemuck::try_from_bytes::<Wire<T>>(bytes)
            .map(|wire| &wire.0)
            .or(Err(Truncated))
    }

    fn header_mut<T: Header>(&mut self, offset: usize) -> Result<&mut T, Truncated> {
        let bytes = self
            .get_mut(offset..)
            .and_then(|tail| tail.get_mut(..size_of::<T>()))
            .ok_or(Truncated)?;
        bytemuck::try_from_bytes_mut::<Wire<T>>(bytes)
            .map(|wire| &mut wire.0)
            .or(Err(Truncated))
    }

    fn update_l4_checksum(&mut self, offset: usize, change: L4Change) -> Result<(), Truncated> {
        change.apply_to(self.header_mut::<[u8; 2]>(offset)?);
        Ok(())
    }
}
