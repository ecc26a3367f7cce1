//! A frame as the promises see it: read anew, by none of the NAT's own code.

use std::ops::Range;

use netmap_common::nat::Family;

const L3: usize = 14;

/// Where things are in a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    /// Whether the header is IPv6's.
    pub(super) is_ipv6: bool,
    pub(super) l3: usize,
    /// Behind the extension headers.
    pub(super) l4: usize,
    /// Where the datagram ends, or what the frame has of it.
    pub(super) end: usize,
    pub(super) protocol: u8,
    /// Where the identification stands, if it is a fragment.
    pub(super) id: Option<(usize, usize)>,
    /// Offset of a fragment in bytes.
    pub(super) offset: usize,
}

impl Frame {
    /// The datagram of this family in a frame that has all of it.
    pub(super) fn read<A: Family>(bytes: &[u8]) -> Option<Self> {
        if bytes.get(12..L3)? != A::ETHER_TYPE {
            return None;
        }
        let (frame, end) = Self::header::<A>(bytes, L3, bytes.len())?;
        (end <= bytes.len()).then_some(Self { end, ..frame })
    }

    /// What an ICMP error quotes, as far as it does.
    pub(super) fn quoted<A: Family>(&self, bytes: &[u8]) -> Option<Self> {
        let (frame, _) = Self::header::<A>(bytes.get(..self.end)?, self.l4 + 8, self.end)?;
        Some(Self {
            end: self.end,
            ..frame
        })
    }

    /// A header, and where its datagram says that it ends.
    fn header<A: Family>(bytes: &[u8], l3: usize, end: usize) -> Option<(Self, usize)> {
        match A::BITS {
            32 => Self::ipv4(bytes, l3, end),
            _ => Self::ipv6(bytes, l3, end),
        }
    }

    fn ipv4(bytes: &[u8], l3: usize, end: usize) -> Option<(Self, usize)> {
        let header = bytes.get(l3..l3 + 20)?;
        let length = usize::from(header[0] & 0xf) * 4;
        let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[0] >> 4 != 4 || length < 20 || total < length {
            return None;
        }
        let place = u16::from_be_bytes([header[6], header[7]]);
        let frame = Self {
            is_ipv6: false,
            l3,
            l4: l3 + length,
            end,
            protocol: header[9],
            id: (place & 0x3fff != 0).then_some((l3 + 4, 2)),
            offset: usize::from(place & 0x1fff) * 8,
        };
        Some((frame, l3 + total))
    }

    fn ipv6(bytes: &[u8], l3: usize, end: usize) -> Option<(Self, usize)> {
        let header = bytes.get(l3..l3 + 40)?;
        let payload = usize::from(u16::from_be_bytes([header[4], header[5]]));
        if header[0] >> 4 != 6 {
            return None;
        }
        let mut frame = Self {
            is_ipv6: true,
            l3,
            l4: l3 + 40,
            end,
            protocol: header[6],
            id: None,
            offset: 0,
        };
        for _ in 0..5 {
            let extension = bytes.get(frame.l4..frame.l4 + 8);
            match (frame.protocol, extension) {
                (0 | 43 | 44 | 60, None) => return None,
                // On its way still: what follows is not for here to read.
                (43, Some(extension)) if extension[3] != 0 => break,
                (0 | 43 | 60, Some(extension)) => {
                    frame.protocol = extension[0];
                    frame.l4 += 8 + usize::from(extension[1]) * 8;
                }
                (44, Some(extension)) => {
                    let place = u16::from_be_bytes([extension[2], extension[3]]);
                    frame.protocol = extension[0];
                    frame.id = Some((frame.l4 + 4, 4));
                    frame.l4 += 8;
                    frame.offset = usize::from(place & 0xfff8);
                    if frame.offset != 0 {
                        break;
                    }
                }
                _ => break,
            }
        }
        let ends = l3 + 40 + payload;
        (frame.l4 <= ends).then_some((frame, ends))
    }

    /// Source and destination, as they stand in a row.
    pub(super) fn addresses(&self) -> Range<usize> {
        if self.is_ipv6 {
            self.l3 + 8..self.l3 + 40
        } else {
            self.l3 + 12..self.l3 + 20
        }
    }

    /// The source.
    pub(super) fn source(&self) -> Range<usize> {
        let both = self.addresses();
        both.start..both.start + both.len() / 2
    }

    /// The destination.
    pub(super) fn destination(&self) -> Range<usize> {
        let both = self.addresses();
        both.start + both.len() / 2..both.end
    }

    /// Where the time to live stands.
    pub(super) const fn ttl(&self) -> usize {
        self.l3 + if self.is_ipv6 { 7 } else { 8 }
    }

    /// Whether it is ICMP of its family.
    pub(super) const fn is_icmp(&self) -> bool {
        self.protocol == if self.is_ipv6 { 58 } else { 1 }
    }

    /// Where the checksum of the transport stands.
    pub(super) const fn checksum(&self) -> Option<usize> {
        match self.protocol {
            6 => Some(self.l4 + 16),
            17 => Some(self.l4 + 6),
            _ if self.is_icmp() => Some(self.l4 + 2),
            _ => None,
        }
    }

    /// Where the ports stand, or an echo's identifier.
    pub(super) const fn ports(&self) -> Range<usize> {
        if self.is_icmp() {
            self.l4 + 4..self.l4 + 6
        } else {
            self.l4..self.l4 + 4
        }
    }

    /// Makes a frame the answer to itself: addresses and ports the other way around.
    pub(super) fn answer(&self, bytes: &mut [u8]) {
        swap(bytes, self.source(), self.destination());
        if self.offset != 0 || self.ports().end > bytes.len() {
            return;
        }
        if !self.is_icmp() {
            swap(bytes, self.l4..self.l4 + 2, self.l4 + 2..self.l4 + 4);
        } else if let Some(kind) = bytes.get_mut(self.l4) {
            *kind = match *kind {
                8 => 0,
                0 => 8,
                128 => 129,
                129 => 128,
                other => other,
            };
        }
        if self.protocol == 6
            && let Some(flags) = bytes.get_mut(self.l4 + 13)
        {
            // SYN is answered by SYN and ACK, all else by ACK.
            *flags |= 0x10;
        }
    }
}

fn swap(bytes: &mut [u8], one: Range<usize>, other: Range<usize>) {
    for (one, other) in one.zip(other) {
        bytes.swap(one, other);
    }
}

/// One's complement sum over these pieces, each of an even place, modulo 65,535: nought where a checksum in them is right, and
/// the same before and after a right correction, whatever it was.
pub(crate) fn residue(pieces: &[&[u8]]) -> u64 {
    let words = pieces.iter().flat_map(|piece| piece.chunks(2));
    let sum: u64 = words
        .map(|word| match *word {
            [high, low] => u64::from(u16::from_be_bytes([high, low])),
            [high] => u64::from(high) << 8,
            _ => 0,
        })
        .sum();
    sum % 0xffff
}
