//! Flows: two twin entries each, one a direction.

use bytemuck::{Pod, Zeroable};

use super::{Address, Generation, IfIndex, Ip, Port, Protocol, RuleId, Seconds, Way};

/// A packet's addresses and ports as they are when it reaches a hook, before translation.
///
/// An ICMP echo request has its identifier as source port and 0 as destination port, a reply the other way around:
/// so an echo flow reverses like any other.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey<A: Ip = Address> {
    /// Source address.
    pub src: A,
    /// Destination address.
    pub dst: A,
    /// Source port.
    pub src_port: Port,
    /// Destination port.
    pub dst_port: Port,
    /// [`Protocol`] number.
    pub protocol: u8,
    /// Zero.
    pub pad: u8,
    /// Zero. Not one array with the byte before: clearing that would be a call a packet.
    pub pad_word: u16,
}

impl<A: Ip> FlowKey<A> {
    /// The key of a packet.
    pub const fn new(protocol: Protocol, src: A, src_port: Port, dst: A, dst_port: Port) -> Self {
        Self {
            src,
            dst,
            src_port,
            dst_port,
            protocol: protocol.number(),
            pad: 0,
            pad_word: 0,
        }
    }

    /// The key of the mapping that `self.src` at this port has by `external`, if it has one: of its original entry.
    #[must_use]
    pub const fn mapping(&self, external: A) -> Self {
        Self {
            src: self.src,
            dst: external,
            src_port: self.src_port,
            dst_port: Port(0),
            protocol: self.protocol,
            pad: 0,
            pad_word: 0,
        }
    }

    /// The key of the mapping that `self.dst` at this port belongs to, if it does to one: of its other entry.
    #[must_use]
    pub const fn owner(&self) -> Self {
        Self {
            src: self.dst,
            dst: self.dst,
            src_port: Port(0),
            dst_port: self.dst_port,
            protocol: self.protocol,
            pad: 0,
            pad_word: 0,
        }
    }

    /// The key of an answer to it.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self {
            src: self.dst,
            dst: self.src,
            src_port: self.dst_port,
            dst_port: self.src_port,
            ..self
        }
    }
}

/// Why a flow is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// From outside to a published port.
    Published = 0,
    /// From a container to the outside.
    Egress = 1,
    /// From a container to another container's published port, the client's address kept.
    Hairpin = 2,
    /// From a container to a published port with the gateway as source: its own port, or an isolated neighbour's.
    OwnPort = 3,
    /// From outside straight to a container's address: nothing is translated.
    Direct = 4,
    /// No packets' own: a port of this host that belongs to one of a container's, whatever it talks to
    /// (endpoint-independent mapping, RFC 4787, 4.1). The remote end of both entries is this host's address, port 0.
    Mapping = 5,
    /// From outside to such a port.
    Mapped = 6,
}

impl Kind {
    /// The kind with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Published),
            1 => Some(Self::Egress),
            2 => Some(Self::Hairpin),
            3 => Some(Self::OwnPort),
            4 => Some(Self::Direct),
            5 => Some(Self::Mapping),
            6 => Some(Self::Mapped),
            _ => None,
        }
    }

    /// Its name in the CLI and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Egress => "egress",
            Self::Hairpin => "hairpin",
            Self::OwnPort => "own-port",
            Self::Direct => "direct",
            Self::Mapping => "mapping",
            Self::Mapped => "mapped",
        }
    }
}

/// Which twin an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Side {
    /// The direction of the packet that opened the flow.
    Original = 0,
    /// The answers.
    Reply = 1,
}

/// TCP flags that one direction of a flow has shown.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct TcpSeen(pub u8);

impl TcpSeen {
    /// Something was acknowledged.
    pub const ACKNOWLEDGED: u8 = 0x10;
}

/// What a packet adds to its entry.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// When it came.
    pub now: Seconds,
    /// 1, or 0 for what keeps an entry and is no packet of its own.
    pub packets: u32,
    /// Its length at layer 3, in bytes.
    pub bytes: u32,
    /// Its TCP flags as they are in the header, 0 for other protocols.
    pub tcp: u8,
}

/// One direction of a flow: what its packets become, where they go, and what was seen of them.
///
/// The opening packet's program writes it once; after that `last_seen`, `tcp`, `packets` and `bytes` are written by
/// packets of this direction alone, so no cache line moves between the CPUs of the two directions.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow<A: Ip = Address> {
    /// The packet after translation.
    pub to: FlowKey<A>,
    /// Where [`Flow::way`] leads.
    pub out: IfIndex,
    /// The same number in both twins: an entry counts only if its twin points back.
    pub nonce: u32,
    /// The rule that opened it, none for egress.
    pub rule: RuleId,
    /// That rule's generation then.
    pub generation: Generation,
    /// [`Way`] number.
    pub way: u8,
    /// [`Kind`] number.
    pub kind: u8,
    /// [`Side`] number.
    pub side: u8,
    /// TCP flags seen in this direction.
    pub tcp: TcpSeen,
    /// When this direction last had a packet.
    pub last_seen: Seconds,
    /// When the flow was opened.
    pub created: Seconds,
    /// The port that packets of this direction come by, where it is one container's own; 0 for any interface.
    pub from: IfIndex,
    /// Packets in this direction. Not atomic: a direction spread over several CPUs may miss some.
    pub packets: u64,
    /// Bytes at layer 3 in this direction.
    pub bytes: u64,
}

impl<A: Ip> Flow<A> {
    /// How its packets go on, `None` for an entry that no version of this code wrote.
    pub const fn way(&self) -> Option<Way> {
        Way::from_number(self.way)
    }

    /// Why it is translated.
    pub const fn kind(&self) -> Option<Kind> {
        Kind::from_number(self.kind)
    }

    /// Which twin it is.
    pub const fn side(&self) -> Side {
        if self.side == 0 {
            Side::Original
        } else {
            Side::Reply
        }
    }

    /// The key of its twin: answers to what this entry makes of a packet.
    pub const fn twin(&self) -> FlowKey<A> {
        self.to.reversed()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Address6, *};

    #[test]
    fn an_entry_of_ipv4_is_one_cache_line_and_its_key_a_quarter() {
        assert_eq!((size_of::<Flow>(), size_of::<FlowKey>()), (64, 16));
        assert_eq!(
            (size_of::<Flow<Address6>>(), size_of::<FlowKey<Address6>>()),
            (88, 40)
        );
    }
}
