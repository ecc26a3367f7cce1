//! What the programs tell whoever watches.

use bytemuck::{Pod, Zeroable};

use super::{IfIndex, Rate, Reason, Seconds};

/// How many bytes of a packet are told, from its first on: all headers, and the beginning of what they carry.
pub const EVENT_BYTES: usize = 256;

/// Something that happened, as the programs hand it to the daemon.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Event {
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time: u64,
    /// The interface whose hook saw it.
    pub arrival: IfIndex,
    /// Where packets of an opened flow's original direction go on, 0 by the host's stack. 0 for a packet.
    pub out: IfIndex,
    /// A packet's length with its header of layer 2, in bytes; 0 for a flow.
    pub length: u32,
    /// How many bytes of [`Event::data`] count, the rest being whatever was there before.
    pub captured: u32,
    /// [`Event::PACKET`], [`Event::OPENED`] or [`Event::OPENED6`].
    pub what: u8,
    /// [`Hook`](super::Hook) number of a packet.
    pub hook: u8,
    /// [`Reason`] number of a packet.
    pub reason: u8,
    /// [`Kind`](super::Kind) number of a flow.
    pub kind: u8,
    /// Zero.
    pub pad: u32,
    /// A packet's first bytes as it came; of a flow the [`FlowKey`](super::FlowKey) of the packet that opened it, and what
    /// became of that.
    pub data: [u8; EVENT_BYTES],
}

impl Event {
    /// A packet was dropped, or left to the host.
    pub const PACKET: u8 = 0;
    /// A flow of IPv4 was opened.
    pub const OPENED: u8 = 1;
    /// A flow of IPv6 was opened.
    pub const OPENED6: u8 = 2;
}

/// What is watched for, written by the daemon. All zero while nobody watches: then nothing else of it is looked at.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Watch {
    /// A bit a reason whose packets are told.
    pub reasons: [u64; 2],
    /// Nothing is told from this second on: the daemon puts it off while somebody watches, and one that was killed does not.
    pub until: Seconds,
    /// How many events a second and CPU are told at most.
    pub most: u32,
    /// 1 if opened flows are told.
    pub openings: u32,
    /// Zero.
    pub pad: u32,
}

impl Watch {
    /// Whether packets with the reason of this number are told.
    #[inline(always)]
    pub const fn wants(&self, reason: u8) -> bool {
        let [low, high] = self.reasons;
        let word = if reason < 64 { low } else { high };
        word >> (reason & 63) & 1 != 0
    }

    /// Has packets with this reason told.
    pub const fn want(&mut self, reason: Reason) {
        let [low, high] = &mut self.reasons;
        let number = reason as u8;
        let word = if number < 64 { low } else { high };
        *word |= 1 << (number & 63);
    }
}

/// What one CPU has told.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Told {
    /// How much of it in this second.
    pub rate: Rate,
    /// Events that were watched for and could not be told, ever.
    pub missed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_wanted_alone() {
        for reason in Reason::ALL {
            let mut watch = Watch::default();
            watch.want(*reason);
            for other in Reason::ALL {
                assert_eq!(watch.wants(*other as u8), other == reason);
            }
        }
    }
}
