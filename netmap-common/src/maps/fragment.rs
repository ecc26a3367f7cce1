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
    /// How many bytes of the datagram's content the first fragment holds; 0 where the host has to do with the pieces.
    pub end: u16,
    /// [`Protocol`](super::Protocol) number: in IPv6 the other pieces do not tell it.
    pub protocol: u8,
    /// 1 where the first fragment is known, and was not translated.
    pub is_left: u8,
    /// When the entry was made.
    pub since: Seconds,
}

/// How long pieces wait for each other, as in Linux (`ipfrag_time`); after that an identification may mean another
/// datagram.
const LIFETIME: Seconds = Seconds(30);

impl Fragment {
    /// Another than the first came first, and went to the host, which is to have all of them.
    pub const fn waiting(since: Seconds) -> Self {
        Self {
            src_port: Port(0),
            dst_port: Port(0),
            end: 0,
            protocol: 0,
            is_left: 0,
            since,
        }
    }

    /// The first was left to the host, or dropped.
    pub const fn left(since: Seconds) -> Self {
        Self {
            is_left: 1,
            ..Self::waiting(since)
        }
    }

    /// Whether it is about a datagram that may still be on its way.
    pub fn is_current(&self, now: Seconds) -> bool {
        now.since(self.since) < LIFETIME
    }

    /// Whether the first is not known.
    pub const fn is_waiting(&self) -> bool {
        self.end == 0 && self.is_left == 0
    }
}

/// How many bytes a frame may have that is held: what most links hold, and a header of layer 2.
pub const HELD_BYTES: usize = 2_040;

/// A frame with a fragment that came before its first, as the programs hand it to the daemon.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// The interface that it came by.
    pub arrival: IfIndex,
    /// Its length.
    pub length: u32,
    /// The frame, and whatever there was before.
    pub frame: [u8; HELD_BYTES],
}
