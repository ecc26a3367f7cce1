//! How much of the host anybody may take: flows at once, new flows a second, messages about refusals.

use bytemuck::{Pod, Zeroable};

use super::{Address, Flow, FlowKey, Ip, Kind, Protocol, Seconds, TcpSeen};

/// Limits, written by the daemon.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Limits {
    /// ICMP messages a second and CPU to senders of refused packets; 0 for none.
    pub messages: u32,
    /// Flows at once of one container's address; 0 for any number.
    pub container_flows: u32,
    /// New flows a second of one container's address; 0 for any number.
    pub container_rate: u32,
    /// Flows at once that one outside address opens to published ports; 0 for any number.
    pub source_flows: u32,
    /// Fragments a second and interface that are held until their first comes.
    pub held_fragments: u32,
}

/// A flow that somebody outside has opened a while ago. When as many were opened since as there may be, it ends if it still
/// [gives way](Opening::gives_way). So those that a flood opens by forged addresses end each other.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opening<A: Ip = Address> {
    /// Of its original entry.
    pub key: FlowKey<A>,
    /// Of both entries.
    pub nonce: u32,
}

impl<A: Ip> Opening<A> {
    /// Whether nothing shows yet that the client has had an answer, which one with a forged address never has: TCP is not
    /// acknowledged in both directions, anything else was not answered, or the client sent nothing after its first packet.
    ///
    /// To end such a flow breaks nothing: what somebody outside opens is translated by its rule alone, so its next packet
    /// opens it just so.
    #[inline(always)]
    pub fn gives_way(original: &Flow<A>, reply: &Flow<A>) -> bool {
        if original.to.protocol == Protocol::Tcp.number() {
            original.tcp.0 & reply.tcp.0 & TcpSeen::ACKNOWLEDGED == 0
        } else {
            original.packets <= 1 || reply.packets == 0
        }
    }
}

/// Whose share of the table a flow takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Role {
    /// A container: as client, or as what is published to the outside.
    Container = 0,
    /// Somebody outside who asks published ports.
    Source = 1,
}

/// Who takes a flow's share of the table.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Payer<A: Ip = Address> {
    /// Its address.
    pub address: A,
    /// [`Role`] number.
    pub role: u8,
    /// Zero.
    pub pad: [u8; 3],
}

impl<A: Ip> Payer<A> {
    /// A container, or somebody outside.
    pub const fn new(role: Role, address: A) -> Self {
        Self {
            address,
            role: role as u8,
            pad: [0; 3],
        }
    }

    /// The container that pays for a flow whose opening packet `from` becomes `to`. A flow between containers is the
    /// client's.
    pub const fn container(kind: Kind, from: &FlowKey<A>, to: &FlowKey<A>) -> Self {
        let address = match kind {
            Kind::Published | Kind::Mapped | Kind::Direct => to.dst,
            Kind::Egress | Kind::Hairpin | Kind::OwnPort | Kind::Mapping => from.src,
        };
        Self::new(Role::Container, address)
    }

    /// Who outside pays for it too.
    pub const fn source(kind: Kind, from: &FlowKey<A>) -> Option<Self> {
        match kind {
            Kind::Published | Kind::Mapped | Kind::Direct => Some(Self::new(Role::Source, from.src)),
            Kind::Egress | Kind::Hairpin | Kind::OwnPort | Kind::Mapping => None,
        }
    }
}

/// What somebody has opened, written by packets. What has ended since is the daemon's to write, in another map: neither can
/// lose what the other counts.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Load {
    /// Flows opened ever.
    pub opened: u64,
    /// New flows of this second.
    pub rate: Rate,
}

impl Load {
    /// How many flows there are, `ended` of those opened being over. The daemon may be ahead of packets where an entry had
    /// to make room and came back.
    #[inline(always)]
    pub const fn flows(self, ended: u64) -> u64 {
        self.opened.saturating_sub(ended)
    }
}

/// How often something has happened in this second.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Rate {
    /// The second.
    pub second: Seconds,
    /// How often.
    pub count: u32,
}

impl Rate {
    /// Counts one more, if that is no more than `most` a second.
    #[inline(always)]
    pub fn admits(&mut self, now: Seconds, most: u32) -> bool {
        if self.second != now {
            *self = Self {
                second: now,
                count: 0,
            };
        }
        let has_room = self.count < most;
        if has_room {
            self.count += 1;
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_counts_no_more_and_never_below_nothing() {
        let load = |opened| Load {
            opened,
            ..Load::default()
        };
        assert_eq!([load(7).flows(5), load(7).flows(7), load(0).flows(5)], [2, 0, 0]);
    }

    #[test]
    fn so_many_a_second_and_none_saved_up() {
        let mut rate = Rate::default();
        let mut admitted = |now| (0..5).filter(|_| rate.admits(Seconds(now), 3)).count();
        assert_eq!(
            [admitted(7), admitted(7), admitted(8), admitted(100)],
            [3, 0, 3, 3]
        );
        assert!(!Rate::default().admits(Seconds(0), 0));
    }
}
