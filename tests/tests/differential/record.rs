//! Packets that were translated, and what answers them.

use anyhow::Result;
use netmap_common::{
    maps::{Address, FlowKey, Hook, IfIndex, Port, Protocol},
    nat::Verdict,
};
use netmap_tests::programs::{
    Frame,
    scenery::{
        address,
        interface::{BR1, BR2, VC1C, VC2},
    },
};

use crate::offset::{DST, ETHERNET, PROTOCOL, SRC, transport};

/// A packet as it came to a hook, and what it became.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) place: (Hook, IfIndex),
    pub(crate) before: Vec<u8>,
    pub(crate) after: Vec<u8>,
    pub(crate) verdict: Verdict,
}

impl Record {
    /// The answer to what it became, where it would come.
    pub(crate) fn answer(&self) -> ((Hook, IfIndex), Vec<u8>) {
        let mut frame = self.after.clone();
        swap(&mut frame, SRC, DST, 4);
        let l4 = transport(&frame);
        if frame[PROTOCOL] == Protocol::Icmp.number() {
            frame[l4] = if frame[l4] == 8 { 0 } else { 8 };
        } else {
            swap(&mut frame, l4, l4 + 2, 2);
        }
        (self.back(), frame)
    }

    /// An ICMP error about what it became, of which it quotes so many bytes (RFC 792).
    pub(crate) fn quote(&self, kind: u8, quoted: u16) -> Result<((Hook, IfIndex), Vec<u8>)> {
        let answer = Frame {
            payload: quoted,
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
        let mut frame = answer.bytes()?;
        frame[34] = kind;
        for (to, from) in frame[42..].iter_mut().zip(&self.after[ETHERNET..]) {
            *to = *from;
        }
        Ok((self.back(), frame))
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

fn swap(frame: &mut [u8], one: usize, other: usize, length: usize) {
    for offset in 0..length {
        frame.swap(one + offset, other + offset);
    }
}

fn address_at(frame: &[u8], at: usize) -> Address {
    address::of([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]])
}
