//! How the NAT reaches the world: tables, clock, chance, sockets and routes.

use core::ops::{Deref, DerefMut};

use super::{Family, Wish};
use crate::maps::{
    AllowKey, EgressPlace, Endpoint, Flow, FlowKey, Fragment, FragmentKey, IfIndex, Interface, Limits,
    Network, Opening, Payer, Reason, Rule, RuleId, Seconds, Seen, Settings, SharedKey, Slot, Way,
};

/// Something that is where it stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Here<T>(pub T);

impl<T> Deref for Here<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Here<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

/// Whether a fragment waits for its first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hold {
    /// It does.
    Held,
    /// It has waited, and is back.
    Back,
    /// There is no room for it.
    #[default]
    Full,
}

/// Why an entry could not be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertError {
    /// The key is taken.
    Exists,
    /// The table is full.
    Full,
}

/// A socket of this host that a packet would reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostSocket {
    /// None.
    Absent,
    /// One that takes packets from anybody.
    Unconnected,
    /// One that is connected to the packet's source.
    Connected,
}

/// Where the routing table sends a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Out of this interface.
    Out(IfIndex),
    /// Nowhere, because forwarding is off on the interface that the packet came from.
    ForwardingOff,
    /// Nowhere, or to this host.
    Nowhere,
}

/// The published rules: all that the socket hooks need of the world.
pub trait Rules {
    /// The family whose rules they are.
    type Ip: Family;

    /// What is published at a port, see [`crate::maps::PortSlots::index`].
    fn slot(&self, index: u32) -> Slot;

    /// The rule of one address at a port that several addresses publish.
    fn shared(&self, key: &SharedKey<Self::Ip>) -> Option<RuleId>;

    /// A rule by its number.
    fn rule(&self, id: RuleId) -> Option<Rule<Self::Ip>>;
}

/// The world as seen from one hook while one packet passes. Values come out as copies: an entry may change or go
/// under a reference.
pub trait Env: Rules {
    /// Holds what a packet becomes.
    type Place: DerefMut<Target = FlowKey<Self::Ip>>;

    /// Holds a flow that wants to be.
    type Room: DerefMut<Target = Wish<Self::Ip>>;

    /// The interface whose hook runs.
    fn arrival(&self) -> IfIndex;

    /// The monotonic clock.
    fn now(&self) -> Seconds;

    /// A random number.
    fn random(&self) -> u32;

    /// Calls `probe` with 0, 1, 2 and so on until it returns true, `tries` times at most.
    fn search(&self, tries: u32, probe: impl FnMut(u32) -> bool);

    /// A place for what a packet becomes: on the program's stack, if that has room for the family's addresses.
    fn place(&self) -> Result<Self::Place, Reason>;

    /// Room for a flow that wants to be, of which the stack has none. What is in it is of no meaning.
    fn room(&self) -> Result<Self::Room, Reason>;

    /// The settings; all zero before the daemon has written them.
    fn settings(&self) -> Settings;

    /// The limits; all zero before the daemon has written them.
    fn limits(&self) -> Limits;

    /// How many flows somebody has.
    fn load(&self, payer: &Payer<Self::Ip>) -> u64;

    /// Somebody has another flow.
    fn add_load(&self, payer: &Payer<Self::Ip>);

    /// Somebody has a flow less.
    fn drop_load(&self, payer: &Payer<Self::Ip>);

    /// Puts a flow behind those that somebody outside has opened. Where these are as many as may be, the first of them goes.
    fn push_opening(&self, opening: &Opening<Self::Ip>) -> Option<Opening<Self::Ip>>;

    /// A flow was opened.
    #[inline(always)]
    fn opened(&self, _flow: &Wish<Self::Ip>) {}

    /// Whether somebody may open another flow in this second, of which there are to be so many at most; if so, it counts.
    fn may_open(&self, payer: &Payer<Self::Ip>, most: u32) -> bool;

    /// Whether another message to the sender of a refused packet may be sent in this second; if so, it counts.
    fn may_tell(&self) -> bool;

    /// The flow entry of `key`, as it was before this packet; the packet is recorded in it if `counts` says so.
    fn touch(
        &self,
        key: &FlowKey<Self::Ip>,
        seen: Seen,
        counts: impl FnOnce(&Flow<Self::Ip>) -> bool,
    ) -> Option<Flow<Self::Ip>>;

    /// The flow entry of `key`, untouched.
    fn flow(&self, key: &FlowKey<Self::Ip>) -> Option<Flow<Self::Ip>>;

    /// Adds an entry where there is none (`BPF_NOEXIST`).
    fn insert(&self, key: &FlowKey<Self::Ip>, flow: &Flow<Self::Ip>) -> Result<(), InsertError>;

    /// Removes the entry of `key` if it still has this nonce.
    fn remove(&self, key: &FlowKey<Self::Ip>, nonce: u32);

    /// What the first fragment of a datagram told.
    fn fragment(&self, key: &FragmentKey<Self::Ip>) -> Option<Fragment>;

    /// Keeps that for the others, for as long as there is room.
    fn keep_fragment(&self, key: &FragmentKey<Self::Ip>, fragment: &Fragment);

    /// Has the packet in hand, a fragment, come back when its first is there.
    fn hold(&self) -> Hold;

    /// Whether a rule's allow-list has a prefix of this source.
    fn allows(&self, key: &AllowKey<Self::Ip>) -> bool;

    /// Whether it is an address of this host.
    fn is_local(&self, address: Self::Ip) -> bool;

    /// Whether what is published is not reached at this address of this host by a closed uplink ([`Interface::CLOSED`]).
    fn is_closed(&self, address: Self::Ip) -> bool;

    /// The managed network that an address belongs to.
    fn network(&self, address: Self::Ip) -> Option<Network<Self::Ip>>;

    /// The address at a place.
    fn egress(&self, place: &EgressPlace) -> Option<Self::Ip>;

    /// An interface with a hook.
    fn interface(&self, index: IfIndex) -> Option<Interface<Self::Ip>>;

    /// The port by which alone this address may be a source, if it is known to be a container's.
    fn owner(&self, address: Self::Ip) -> Option<IfIndex>;

    /// How to reach a published container.
    fn endpoint(&self, address: Self::Ip) -> Option<Endpoint<Self::Ip>>;

    /// A word of the reserved ports, see [`crate::maps::PortSlots::word`].
    fn reserved_word(&self, index: u32) -> u64;

    /// The socket of this host that a packet with this key would reach.
    fn host_socket(&self, key: &FlowKey<Self::Ip>) -> HostSocket;

    /// Where the host would route the packet, had it come in by interface `from`.
    fn route(&self, key: &FlowKey<Self::Ip>, from: IfIndex) -> Route;

    /// Whether this hook can send a packet on that becomes `to`. TC always can; XDP leaves what it cannot send to TC,
    /// untouched.
    #[inline(always)]
    fn sends(&self, _to: &FlowKey<Self::Ip>, _way: Way, _out: IfIndex) -> bool {
        true
    }

    /// Whether the packet, or each of its segments, fits through an interface.
    fn fits(&self, out: IfIndex) -> bool;
}
