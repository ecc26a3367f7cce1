//! What comes next: packets at random, most of them part of something.

use anyhow::Result;
use netmap_common::maps::{Hook, IfIndex, Protocol};
use netmap_tests::programs::{
    Frame, MARK, flag,
    scenery::interface::{BR1, BR2, BR3, STRANGER, UP0, UP1, VC1, VC1B, VC1C, VC2},
};
use proptest::{
    prelude::*,
    sample::{Index, select},
};

use crate::{
    damage::Damage,
    fresh::fresh,
    offset::{PROTOCOL, TTL, transport},
    record::Record,
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
    /// It comes to an uplink that runs XDP.
    early: bool,
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
        let early = any::<bool>();
        (origin, stray, ttl, tcp, mark, damage, early).prop_map(
            |(origin, stray, ttl, tcp, mark, damage, early)| Self {
                origin,
                stray,
                ttl,
                tcp,
                mark,
                damage,
                early,
            },
        )
    }

    /// The packet, if what it is part of was there.
    pub(crate) fn arrival(&self, records: &[Record]) -> Result<Option<Arrival>> {
        let (place, mut frame) = match &self.origin {
            Origin::Fresh(place, frame) => (*place, frame.bytes()?),
            _ if records.is_empty() => return Ok(None),
            Origin::Again(index) => {
                let record = index.get(records);
                (record.place, record.before.clone())
            }
            Origin::Answer(index) => index.get(records).answer(),
            Origin::Quote(index, kind) => index.get(records).quote(*kind)?,
        };
        frame[TTL] = self.ttl;
        let flags = transport(&frame) + 13;
        if frame[PROTOCOL] == Protocol::Tcp.number()
            && let Some(flags) = frame.get_mut(flags)
        {
            *flags = self.tcp;
        }
        if let Some(damage) = &self.damage {
            damage.apply(&mut frame);
        }
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
