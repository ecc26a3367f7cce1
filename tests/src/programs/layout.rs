//! Where things stand in a frame of either family.

use std::ops::Range;

/// Length of the link-layer header; the IP header begins here.
pub const ETHERNET: usize = 14;

/// Numbers of IPv6's extension headers (RFC 8200, 4.1).
mod extension {
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const DESTINATION: u8 = 60;
}

/// Which programs get a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Those for IPv4, and for all that is neither.
    V4,
    /// Those for IPv6.
    V6,
}

impl Family {
    /// By the frame's type.
    pub fn of(frame: &[u8]) -> Self {
        if frame.get(12..ETHERNET) == Some(&[0x86, 0xdd]) {
            Self::V6
        } else {
            Self::V4
        }
    }

    /// End of an IP header without options or extension headers.
    pub const fn ip_end(self) -> usize {
        match self {
            Self::V4 => ETHERNET + 20,
            Self::V6 => ETHERNET + 40,
        }
    }

    /// Where the source address stands; the destination follows it.
    pub const fn src(self) -> Range<usize> {
        match self {
            Self::V4 => ETHERNET + 12..ETHERNET + 16,
            Self::V6 => ETHERNET + 8..ETHERNET + 24,
        }
    }

    /// Where the destination address stands.
    pub const fn dst(self) -> Range<usize> {
        let src = self.src();
        src.end..src.end * 2 - src.start
    }

    /// Where the time to live stands.
    pub const fn ttl(self) -> usize {
        match self {
            Self::V4 => ETHERNET + 8,
            Self::V6 => ETHERNET + 7,
        }
    }

    /// ICMP's number.
    pub const fn icmp(self) -> u8 {
        match self {
            Self::V4 => 1,
            Self::V6 => 58,
        }
    }

    /// ICMP's types of echo requests and replies.
    pub const fn echo(self) -> (u8, u8) {
        match self {
            Self::V4 => (8, 0),
            Self::V6 => (128, 129),
        }
    }
}

/// The number of the transport and where its header begins, extension headers skipped.
pub fn transport(frame: &[u8]) -> Option<(u8, usize)> {
    use extension::{DESTINATION, FRAGMENT, HOP_BY_HOP, ROUTING};
    if Family::of(frame) == Family::V4 {
        let header = usize::from(frame.get(ETHERNET)? & 0xf) * 4;
        return Some((*frame.get(ETHERNET + 9)?, ETHERNET + header));
    }
    let (mut number, mut at) = (*frame.get(ETHERNET + 6)?, Family::V6.ip_end());
    while matches!(number, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION) {
        let words = if number == FRAGMENT {
            0
        } else {
            *frame.get(at + 1)?
        };
        (number, at) = (*frame.get(at)?, at + 8 + usize::from(words) * 8);
    }
    Some((number, at))
}

/// Makes a packet a fragment, or a whole one, by flags and offset as they are in a header of IPv4.
pub fn set_fragment(frame: &mut Vec<u8>, fragment: u16) {
    let is_piece = fragment & 0x3fff != 0;
    let field = match Family::of(frame) {
        Family::V4 => (fragment, ETHERNET + 6),
        Family::V6 => {
            let end = Family::V6.ip_end();
            if frame[ETHERNET + 6] != extension::FRAGMENT {
                if !is_piece {
                    return;
                }
                let header = [frame[ETHERNET + 6], 0, 0, 0, 0, 0, 0, 7];
                frame.splice(end..end, header);
                frame[ETHERNET + 6] = extension::FRAGMENT;
                let length = u16::from_be_bytes([frame[ETHERNET + 4], frame[ETHERNET + 5]]).wrapping_add(8);
                frame[ETHERNET + 4..ETHERNET + 6].copy_from_slice(&length.to_be_bytes());
            }
            ((fragment << 3) | (fragment >> 13 & 1), end + 2)
        }
    };
    frame[field.1..field.1 + 2].copy_from_slice(&field.0.to_be_bytes());
}
