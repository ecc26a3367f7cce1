//! What can be wrong with a packet.

use proptest::{
    prelude::*,
    sample::{Index, select},
};

use netmap_tests::programs::{ETHERNET, Family, transport};

/// What is wrong with a packet.
#[derive(Clone, Debug)]
pub(crate) enum Damage {
    /// Its end is missing.
    Truncated(Index),
    /// Something follows it.
    Padded(u8),
    /// One byte is another.
    Byte(Index, u8),
    /// Two bytes of the IP header, or behind one without options, are others.
    Field(usize, u16),
    /// Its L4 checksum is the sum of the pseudo-header: somebody else has yet to complete it.
    Partial,
    /// It is of another kind.
    EtherType(u16),
}

impl Damage {
    /// Everything that can be.
    pub(crate) fn any(family: Family) -> BoxedStrategy<Self> {
        match family {
            Family::V4 => Self::any4().boxed(),
            Family::V6 => Self::any6().boxed(),
        }
    }

    fn any6() -> impl Strategy<Value = Self> {
        let checksum = select(&[0_u16, 0xffff][..]);
        prop_oneof![
            2 => any::<Index>().prop_map(Self::Truncated),
            1 => any::<u8>().prop_map(Self::Padded),
            2 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Self::Byte(at, byte)),
            // Version, payload length, next header with hop limit.
            1 => any::<u16>().prop_map(|first| Self::Field(ETHERNET, first)),
            1 => (0..1_700_u16).prop_map(|length| Self::Field(ETHERNET + 4, length)),
            2 => select(&[0_u16, 43, 44, 60, 50, 51, 58, 59, 132][..]).prop_map(|number| Self::Field(ETHERNET + 6, number << 8 | 64)),
            // What stands first behind it: next header and length of an extension, routing type and segments left.
            2 => (select(&[0_u16, 6, 17, 43, 44, 58, 60][..]), 0..6_u16).prop_map(|(next, length)| Self::Field(54, next << 8 | length)),
            1 => any::<u16>().prop_map(|word| Self::Field(56, word)),
            // Checksums of UDP, TCP, ICMP; length of UDP; offset and flags of TCP.
            4 => (select(&[60_usize, 70, 56][..]), checksum).prop_map(|(at, sum)| Self::Field(at, sum)),
            1 => (0..80_u16).prop_map(|length| Self::Field(58, length)),
            1 => any::<u16>().prop_map(|offset| Self::Field(66, offset)),
            4 => Just(Self::Partial),
            // ARP, IPv4, VLAN.
            1 => select(&[0x0806_u16, 0x0800, 0x8100][..]).prop_map(Self::EtherType),
        ]
    }

    fn any4() -> impl Strategy<Value = Self> {
        let checksum = select(&[0_u16, 0xffff][..]);
        prop_oneof![
            2 => any::<Index>().prop_map(Self::Truncated),
            1 => any::<u8>().prop_map(Self::Padded),
            2 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Self::Byte(at, byte)),
            // Total length, fragment, IP checksum, protocol with time to live.
            1 => (0..700_u16).prop_map(|length| Self::Field(ETHERNET + 2, length)),
            1 => any::<u16>().prop_map(|fragment| Self::Field(ETHERNET + 6, fragment)),
            1 => checksum.clone().prop_map(|sum| Self::Field(ETHERNET + 10, sum)),
            1 => select(&[2_u16, 41, 47, 50, 132][..]).prop_map(|number| Self::Field(ETHERNET + 8, 64 << 8 | number)),
            // Version and header length with the type of service.
            1 => any::<u16>().prop_map(|first| Self::Field(ETHERNET, first)),
            // Checksums of UDP, TCP, ICMP; length of UDP; offset and flags of TCP.
            4 => (select(&[40_usize, 50, 36][..]), checksum).prop_map(|(at, sum)| Self::Field(at, sum)),
            1 => (0..80_u16).prop_map(|length| Self::Field(38, length)),
            1 => any::<u16>().prop_map(|offset| Self::Field(46, offset)),
            4 => Just(Self::Partial),
            // ARP, IPv6, VLAN.
            1 => select(&[0x0806_u16, 0x86dd, 0x8100][..]).prop_map(Self::EtherType),
        ]
    }

    /// Does it.
    pub(crate) fn apply(&self, frame: &mut Vec<u8>) {
        match self {
            // The kernel refuses to run a program on less than a whole IP header.
            Self::Truncated(at) => {
                let end = Family::of(frame).ip_end();
                frame.truncate(end + at.index(frame.len() - end + 1));
            }
            Self::Padded(more) => frame.resize(frame.len() + usize::from(*more), 0xee),
            Self::Byte(at, byte) => {
                let at = ETHERNET + at.index(frame.len() - ETHERNET);
                frame[at] = *byte;
            }
            Self::Field(at, value) => {
                if let Some(field) = frame.get_mut(*at..at + 2) {
                    field.copy_from_slice(&value.to_be_bytes());
                }
            }
            Self::Partial => partial(frame),
            Self::EtherType(number) => {
                frame[12..14].copy_from_slice(&number.to_be_bytes());
                // As above, for IPv6.
                frame.resize(frame.len().max(ETHERNET + 40), 0);
            }
        }
    }
}

/// Addresses, protocol and length (RFC 9293, 3.1; RFC 8200, 8.1).
fn partial(frame: &mut [u8]) {
    let family = Family::of(frame);
    let Some((protocol, l4)) = transport(frame) else {
        return;
    };
    let field = match protocol {
        6 => l4 + 16,
        17 => l4 + 6,
        58 if family == Family::V6 => l4 + 2,
        _ => return,
    };
    let length = match family {
        Family::V4 => u32::from(u16::from_be_bytes([frame[16], frame[17]])),
        Family::V6 => 40 + u32::from(u16::from_be_bytes([frame[18], frame[19]])),
    };
    let header = u32::try_from(l4 - ETHERNET).unwrap_or_default();
    let mut sum = u32::from(protocol) + length.saturating_sub(header);
    for word in frame[family.src().start..family.dst().end].chunks_exact(2) {
        sum += u32::from(u16::from_be_bytes([word[0], word[1]]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    if let Some(field) = frame.get_mut(field..field + 2) {
        field.copy_from_slice(&sum.to_be_bytes()[2..]);
    }
}
