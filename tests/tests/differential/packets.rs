//! Packets at random, most of them part of something.

use netmap_common::{
    maps::{Address, FlowKey, Hook, IfIndex, Port, Protocol},
    nat::Verdict,
};
use netmap_tests::programs::{
    Frame, MARK, flag,
    scenery::{address::*, interface::*},
};
use proptest::{
    prelude::*,
    sample::{Index, select},
};

/// One packet to come.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    origin: Origin,
    /// Where it comes instead of where it should.
    stray: Option<(Hook, IfIndex)>,
    ttl: u8,
    tcp: u8,
    mark: u32,
    damage: Option<Damage>,
}

/// What a packet is part of.
#[derive(Clone, Debug)]
enum Origin {
    /// Nothing yet.
    Fresh((Hook, IfIndex), Frame),
    /// The flow of an earlier packet: comes again.
    Again(Index),
    /// The flow of an earlier packet: answers what it became.
    Answer(Index),
    /// The flow of an earlier packet: an ICMP error about what it became.
    Quote(Index, u8),
}

/// What is wrong with a packet.
#[derive(Clone, Debug)]
enum Damage {
    /// Its end is missing.
    Truncated(Index),
    /// Something follows it.
    Padded(u8),
    /// One byte is another.
    Byte(Index, u8),
    /// Two bytes of the IP header, or behind one without options, are others.
    Field(usize, u16),
    /// It is not IPv4.
    EtherType(u16),
}

/// A packet as it came to a hook, and what it became.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) place: (Hook, IfIndex),
    pub(crate) before: Vec<u8>,
    pub(crate) after: Vec<u8>,
    pub(crate) verdict: Verdict,
}

/// A packet at a hook.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) place: (Hook, IfIndex),
    pub(crate) mark: u32,
    pub(crate) frame: Vec<u8>,
}

impl Step {
    /// Every packet there can be.
    pub(crate) fn any() -> impl Strategy<Value = Self> {
        let origin = prop_oneof![
            4 => fresh().prop_map(|(place, frame)| Origin::Fresh(place, frame)),
            2 => any::<Index>().prop_map(Origin::Again),
            4 => any::<Index>().prop_map(Origin::Answer),
            1 => (any::<Index>(), select(&[0_u8, 3, 8, 11, 12][..])).prop_map(|(of, kind)| Origin::Quote(of, kind)),
        ];
        let stray = prop::option::weighted(0.05, select(PLACES));
        let ttl = prop_oneof![8 => Just(64), 1 => select(&[0_u8, 1, 2, 255][..])];
        let tcp = prop_oneof![
            6 => Just(flag::SYN),
            4 => select(&[0x10_u8, 0x12, 0x18, 0x11, 0x04, 0x14][..]),
            1 => any::<u8>(),
        ];
        let mark = prop_oneof![12 => Just(0), 1 => Just(MARK), 1 => any::<u32>()];
        let damage = prop::option::weighted(0.15, Damage::any());
        (origin, stray, ttl, tcp, mark, damage).prop_map(|(origin, stray, ttl, tcp, mark, damage)| Self {
            origin,
            stray,
            ttl,
            tcp,
            mark,
            damage,
        })
    }

    /// The packet, if what it is part of was there.
    pub(crate) fn arrival(&self, records: &[Record]) -> Option<Arrival> {
        let record = |index: &Index| (!records.is_empty()).then(|| index.get(records));
        let (place, mut frame) = match &self.origin {
            Origin::Fresh(place, frame) => (*place, frame.bytes().unwrap()),
            Origin::Again(index) => {
                let record = record(index)?;
                (record.place, record.before.clone())
            }
            Origin::Answer(index) => record(index)?.answer(),
            Origin::Quote(index, kind) => record(index)?.quote(*kind),
        };
        frame[TTL] = self.ttl;
        let l4 = ETHERNET + usize::from(frame[ETHERNET] & 0xf) * 4;
        if frame[PROTOCOL] == Protocol::Tcp.number()
            && let Some(flags) = frame.get_mut(l4 + 13)
        {
            *flags = self.tcp;
        }
        if let Some(damage) = &self.damage {
            damage.apply(&mut frame);
        }
        Some(Arrival {
            place: self.stray.unwrap_or(place),
            mark: self.mark,
            frame,
        })
    }
}

impl Record {
    /// The answer to what it became, where it would come.
    fn answer(&self) -> ((Hook, IfIndex), Vec<u8>) {
        let mut frame = self.after.clone();
        swap(&mut frame, SRC, DST, 4);
        let l4 = ETHERNET + usize::from(frame[ETHERNET] & 0xf) * 4;
        if frame[PROTOCOL] == Protocol::Icmp.number() {
            frame[l4] = if frame[l4] == 8 { 0 } else { 8 };
        } else {
            swap(&mut frame, l4, l4 + 2, 2);
        }
        (self.back(), frame)
    }

    /// An ICMP error about what it became (RFC 792).
    fn quote(&self, kind: u8) -> ((Hook, IfIndex), Vec<u8>) {
        let answer = Frame {
            payload: 28,
            ..Frame::new(
                FlowKey::new(
                    Protocol::Icmp,
                    address_at(&self.after, DST),
                    Port(0),
                    address_at(&self.after, SRC),
                    Port(0),
                ),
                0,
            )
        };
        let mut frame = answer.bytes().unwrap();
        frame[34] = kind;
        for (to, from) in frame[42..].iter_mut().zip(&self.after[ETHERNET..]) {
            *to = *from;
        }
        (self.back(), frame)
    }

    /// Where answers come.
    fn back(&self) -> (Hook, IfIndex) {
        match self.verdict {
            Verdict::Peer(port) => (Hook::PortIn, port),
            Verdict::Neigh(BR1) => (Hook::PortIn, VC1C),
            Verdict::Neigh(BR2) => (Hook::PortIn, VC2),
            Verdict::Neigh(uplink) => (Hook::UplinkIn, uplink),
            Verdict::Stack if self.place.0 == Hook::UplinkIn => (Hook::UplinkOut, self.place.1),
            Verdict::Stack => (Hook::UplinkIn, self.place.1),
        }
    }
}

impl Damage {
    fn any() -> impl Strategy<Value = Self> {
        let checksum = select(&[0_u16, 0xffff][..]);
        prop_oneof![
            2 => any::<Index>().prop_map(Self::Truncated),
            1 => any::<u8>().prop_map(Self::Padded),
            2 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Self::Byte(at, byte)),
            // Total length, fragment, IP checksum, protocol with time to live.
            1 => (0..700_u16).prop_map(|length| Self::Field(ETHERNET + 2, length)),
            1 => any::<u16>().prop_map(|fragment| Self::Field(ETHERNET + 6, fragment)),
            1 => checksum.clone().prop_map(|sum| Self::Field(ETHERNET + 10, sum)),
            1 => select(&[2_u16, 41, 47, 50, 132][..]).prop_map(|number| Self::Field(TTL, 64 << 8 | number)),
            // Version and header length with the type of service.
            1 => any::<u16>().prop_map(|first| Self::Field(ETHERNET, first)),
            // Checksums of UDP, TCP, ICMP; length of UDP; offset and flags of TCP.
            4 => (select(&[40_usize, 50, 36][..]), checksum).prop_map(|(at, sum)| Self::Field(at, sum)),
            1 => (0..80_u16).prop_map(|length| Self::Field(38, length)),
            1 => any::<u16>().prop_map(|offset| Self::Field(46, offset)),
            // ARP, IPv6, VLAN.
            1 => select(&[0x0806_u16, 0x86dd, 0x8100][..]).prop_map(Self::EtherType),
        ]
    }

    fn apply(&self, frame: &mut Vec<u8>) {
        match self {
            // The kernel refuses to run a program on less than a whole IP header.
            Self::Truncated(at) => frame.truncate(SHORTEST + at.index(frame.len() - SHORTEST + 1)),
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
            Self::EtherType(number) => {
                frame[12..14].copy_from_slice(&number.to_be_bytes());
                // As above, for IPv6.
                frame.resize(frame.len().max(ETHERNET + 40), 0);
            }
        }
    }
}

const ETHERNET: usize = 14;
const TTL: usize = ETHERNET + 8;
const PROTOCOL: usize = ETHERNET + 9;
const SRC: usize = ETHERNET + 12;
const DST: usize = ETHERNET + 16;
const SHORTEST: usize = ETHERNET + 20;

const UPLINKS: &[IfIndex] = &[UP0, UP1, UP2];
const PORTS: &[(IfIndex, Address)] = &[(VC1, C1), (VC1B, C1B), (VC1C, C1C), (VC2, C2), (STRANGER, C1)];
const PLACES: &[(Hook, IfIndex)] = &[
    (Hook::UplinkIn, UP0),
    (Hook::UplinkIn, UP1),
    (Hook::UplinkOut, UP0),
    (Hook::UplinkOut, UP1),
    (Hook::PortIn, VC1),
    (Hook::PortIn, VC1B),
    (Hook::PortIn, VC1C),
    (Hook::PortIn, VC2),
    (Hook::BridgeIn, BR1),
    (Hook::BridgeIn, BR2),
    (Hook::UplinkIn, STRANGER),
];

/// The first packet of something, where it would come.
fn fresh() -> impl Strategy<Value = ((Hook, IfIndex), Frame)> {
    let opening = prop_oneof![
        8 => (select(UPLINKS), outside(), inside(), port(), published(), protocol())
            .prop_map(|(uplink, src, dst, from, to, protocol)| ((Hook::UplinkIn, uplink), (protocol, src, from, dst, to))),
        4 => (select(PORTS), inside(), port(), published(), protocol())
            .prop_map(|((index, src), dst, from, to, protocol)| ((Hook::PortIn, index), (protocol, src, from, dst, to))),
        6 => (select(PORTS), outside(), port(), remote_port(), protocol())
            .prop_map(|((index, src), dst, from, to, protocol)| ((Hook::PortIn, index), (protocol, src, from, dst, to))),
        2 => (select(UPLINKS), inside(), outside(), port(), remote_port(), protocol())
            .prop_map(|(uplink, src, dst, from, to, protocol)| ((Hook::UplinkOut, uplink), (protocol, src, from, dst, to))),
        // An answer to the host's own socket.
        1 => Just(((Hook::UplinkIn, UP0), (Protocol::Udp, NEAR, Port(5_353), HOST, Port(53)))),
        1 => (select(&[BR1, BR2][..]), inside(), prop_oneof![inside(), outside()], port(), published(), protocol())
            .prop_map(|(bridge, src, dst, from, to, protocol)| ((Hook::BridgeIn, bridge), (protocol, src, from, dst, to))),
    ];
    (opening, options(), payload()).prop_map(|((place, (protocol, src, from, dst, to)), options, payload)| {
        let to = if protocol == Protocol::Icmp { Port(0) } else { to };
        let key = FlowKey::new(protocol, src, from, dst, to);
        (
            place,
            Frame {
                options,
                payload,
                ..Frame::new(key, 0)
            },
        )
    })
}

fn outside() -> impl Strategy<Value = Address> {
    const ODD: &[[u8; 4]] = &[
        [224, 0, 0, 5],
        [255, 255, 255, 255],
        [169, 254, 1, 1],
        [127, 0, 0, 1],
        [0, 0, 0, 0],
        [192, 168, 50, 255],
        [172, 30, 9, 9],
    ];
    prop_oneof![
        12 => select(&[NEAR, FAR, BEYOND_UP1][..]),
        2 => select(&[BEYOND_UP2, BEYOND_LAN, UNREACHABLE][..]),
        1 => select(ODD).prop_map(of),
    ]
}

fn inside() -> impl Strategy<Value = Address> {
    prop_oneof![
        4 => select(&[HOST, HOST2][..]),
        2 => select(&[HOST3, GATEWAY1, GATEWAY2][..]),
        2 => select(&[C1, C1B, C1C, C2, C3, LOST][..]),
    ]
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![4 => Just(Protocol::Tcp), 4 => Just(Protocol::Udp), 1 => Just(Protocol::Icmp)]
}

fn published() -> impl Strategy<Value = Port> {
    prop_oneof![
        6 => select(&[8_080_u16, 8_443, 20_003][..]),
        6 => select(&[53_u16, 443, 444, 22, 9_000, 9_001, 9_002, 7_000, 7_001, 20_015, 20_016][..]),
        1 => any::<u16>(),
    ]
    .prop_map(Port)
}

fn remote_port() -> impl Strategy<Value = Port> {
    prop_oneof![12 => select(&[80_u16, 53, 443][..]), 1 => any::<u16>()].prop_map(Port)
}

/// A client's port: below 1,024, in the pool, taken by the host, above.
fn port() -> impl Strategy<Value = Port> {
    prop_oneof![
        12 => select(&[500_u16, 1_024, 1_026, 1_027, 1_029, 1_030, 5_353, 40_000, 40_001, 40_002, 61_003][..]),
        1 => any::<u16>(),
    ]
    .prop_map(Port)
}

fn options() -> impl Strategy<Value = u8> {
    prop_oneof![8 => Just(0), 1 => 1..=10_u8]
}

fn payload() -> impl Strategy<Value = u16> {
    prop_oneof![8 => 0..40_u16, 1 => 200..600_u16]
}

fn swap(frame: &mut [u8], one: usize, other: usize, length: usize) {
    for offset in 0..length {
        frame.swap(one + offset, other + offset);
    }
}

fn address_at(frame: &[u8], at: usize) -> Address {
    of([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]])
}
