//! What comes next: packets at random, most of them part of something.

use anyhow::Result;
use netmap_common::maps::{Address, Address6, Hook, IfIndex, Protocol};
use netmap_tests::programs::{
    ETHERNET, Family, Frame, MARK, flag,
    scenery::interface::{BR1, BR2, BR3, STRANGER, UP0, UP1, VC1, VC1B, VC1C, VC2},
    set_fragment, transport,
};
use proptest::{
    prelude::*,
    sample::{Index, select},
};

use crate::{damage::Damage, fresh::fresh, record::Record};

/// One packet to come.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Which packets it is one of.
    pub(crate) family: Family,
    origin: Origin,
    /// Where it comes instead of where it should.
    stray: Option<(Hook, IfIndex)>,
    ttl: u8,
    tcp: u8,
    /// Flags and fragment offset.
    fragment: u16,
    /// It is this long at least: then it does not fit through what is narrow.
    length: usize,
    mark: u32,
    damage: Option<Damage>,
    /// It comes to an uplink that runs XDP.
    early: bool,
}

/// What a packet is part of.
#[derive(Clone, Debug)]
enum Origin {
    /// Nothing yet.
    Fresh((Hook, IfIndex), Frame),
    /// The same of IPv6.
    Fresh6((Hook, IfIndex), Frame<Address6>),
    /// The flow of an earlier packet: comes again.
    Again(Index),
    /// The flow of an earlier packet: answers what it became.
    Answer(Index),
    /// The flow of an earlier packet: an ICMP error about what it became.
    Quote(Index, u8, u16),
}

/// A packet at a hook.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) place: (Hook, IfIndex),
    pub(crate) mark: u32,
    pub(crate) frame: Vec<u8>,
}

impl Step {
    /// Every packet there can be, half of them of IPv6.
    pub(crate) fn any() -> impl Strategy<Value = Self> {
        const KINDS: &[u8] = &[0, 3, 3, 3, 4, 8, 11, 12];
        const KINDS6: &[u8] = &[0, 1, 1, 2, 3, 4, 5, 128];
        let fresh4 = fresh::<Address>()
            .prop_map(|(place, frame)| Origin::Fresh(place, frame))
            .boxed();
        let fresh6 = fresh::<Address6>()
            .prop_map(|(place, frame)| Origin::Fresh6(place, frame))
            .boxed();
        prop_oneof![
            Self::of(Family::V4, fresh4, KINDS, &[28, 40]),
            Self::of(Family::V6, fresh6, KINDS6, &[48, 60, 100]),
        ]
    }

    fn of(
        family: Family,
        fresh: BoxedStrategy<Origin>,
        kinds: &'static [u8],
        quotes: &'static [u16],
    ) -> BoxedStrategy<Self> {
        let origin = prop_oneof![
            4 => fresh,
            2 => any::<Index>().prop_map(Origin::Again),
            4 => any::<Index>().prop_map(Origin::Answer),
            2 => (any::<Index>(), select(kinds), prop_oneof![select(quotes), 0..120_u16])
                .prop_map(|(of, kind, quoted)| Origin::Quote(of, kind, quoted)),
        ];
        let stray = prop::option::weighted(0.05, select(PLACES));
        let ttl = prop_oneof![8 => Just(64), 1 => select(&[0_u8, 1, 2, 255][..])];
        let tcp = prop_oneof![
            6 => Just(flag::SYN),
            4 => select(&[0x10_u8, 0x12, 0x18, 0x11, 0x04, 0x14][..]),
            1 => any::<u8>(),
        ];
        // The first piece, later ones, the last, one that lies over the first.
        let fragment = prop_oneof![
            20 => Just(0x4000_u16),
            3 => select(&[0x2000_u16, 0x20b9, 0x00b9, 0x2001][..]),
        ];
        let length = prop_oneof![6 => Just(0_usize), 1 => Just(1_400)];
        let mark = prop_oneof![12 => Just(0), 1 => Just(MARK), 1 => any::<u32>()];
        let damage = prop::option::weighted(0.15, Damage::any(family));
        let early = any::<bool>();
        (origin, stray, ttl, tcp, (fragment, length), mark, (damage, early))
            .prop_map(
                move |(origin, stray, ttl, tcp, (fragment, length), mark, (damage, early))| Self {
                    family,
                    origin,
                    stray,
                    ttl,
                    tcp,
                    fragment,
                    length,
                    mark,
                    damage,
                    early,
                },
            )
            .boxed()
    }

    /// The packet, if what it is part of was there.
    pub(crate) fn arrival(&self, records: &[Record]) -> Result<Option<Arrival>> {
        let (place, mut frame) = match &self.origin {
            Origin::Fresh(place, frame) => (*place, frame.bytes()?),
            Origin::Fresh6(place, frame) => (*place, frame.bytes()?),
            _ if records.is_empty() => return Ok(None),
            Origin::Again(index) => {
                let record = index.get(records);
                (record.place, record.before.clone())
            }
            Origin::Answer(index) => {
                let Some(answer) = index.get(records).answer() else {
                    return Ok(None);
                };
                answer
            }
            Origin::Quote(index, kind, quoted) => index.get(records).quote(*kind, *quoted)?,
        };
        frame[self.family.ttl()] = self.ttl;
        set_fragment(&mut frame, self.fragment);
        if let Some((protocol, at)) = transport(&frame)
            && protocol == Protocol::Tcp.number()
            && let Some(flags) = frame.get_mut(at + 13)
        {
            *flags = self.tcp;
        }
        frame.resize(frame.len().max(self.length), 0xee);
        if let Some(damage) = &self.damage {
            damage.apply(&mut frame);
        }
        // Each time a packet comes again it may have grown. What is not narrow, it is to fit through.
        frame.truncate(ETHERNET + 1_500);
        let place = match self.stray.unwrap_or(place) {
            (Hook::UplinkIn | Hook::UplinkXdp, uplink) if self.early => (Hook::UplinkXdp, uplink),
            (Hook::UplinkXdp, uplink) => (Hook::UplinkIn, uplink),
            place => place,
        };
        Ok(Some(Arrival {
            place,
            mark: self.mark,
            frame,
        }))
    }
}

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
    (Hook::BridgeIn, BR3),
    (Hook::UplinkIn, STRANGER),
];
