//! A world in memory: the tables as ordinary maps, for tests here and in other crates.

use core::cell::{Cell, RefCell};
use std::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};

use super::{
    Env, Family, Header, Here, Hold, HostSocket, InsertError, L4Change, Packet, Reshape, Route, Rules,
    Truncated, Wish,
};
use crate::maps::{
    Address, AllowKey, EgressPlace, Endpoint, Flow, FlowKey, Fragment, FragmentKey, IfIndex, Interface, Ip,
    Limits, Load, Network, Opening, Payer, Port, PortSlots, Protocol, Rate, Reason, Rule, RuleId, Seconds,
    Seen, Settings, SharedKey, Slot, Way,
};

/// Tables, clock and surroundings of a host.
#[derive(Clone, Debug, Default)]
pub struct World<A: Ip = Address> {
    /// The interface whose hook runs.
    pub arrival: Cell<IfIndex>,
    /// The clock.
    pub now: Cell<Seconds>,
    /// Settings.
    pub settings: Settings,
    /// Limits.
    pub limits: Limits,
    /// What everybody has opened; nothing ends here.
    pub loads: RefCell<BTreeMap<Payer<A>, Load>>,
    /// How many flows that somebody outside has opened are known as such; 0 for any number.
    pub opening_capacity: usize,
    /// These flows, the latest last.
    pub openings: RefCell<VecDeque<Opening<A>>>,
    /// Messages of this second.
    pub messages: Cell<Rate>,
    /// Flow entries.
    pub flows: RefCell<BTreeMap<FlowKey<A>, Flow<A>>>,
    /// Datagrams that come in pieces.
    pub fragments: RefCell<BTreeMap<FragmentKey<A>, Fragment>>,
    /// What becomes of fragments that come before their first.
    pub hold: Cell<Hold>,
    /// How many flow entries fit; 0 for any number.
    pub flow_capacity: usize,
    /// What stands at each port.
    pub slots: BTreeMap<u32, Slot>,
    /// Ports that several addresses publish.
    pub shared: BTreeMap<(A, u16, u8), RuleId>,
    /// Rules.
    pub rules: RefCell<BTreeMap<RuleId, Rule<A>>>,
    /// Allowed prefixes of rules, with their length.
    pub allow: Vec<(RuleId, A, u32)>,
    /// Addresses of this host.
    pub locals: Vec<A>,
    /// Those of them at which nobody reaches by a closed uplink what is published.
    pub closed: Vec<A>,
    /// Managed networks: prefix, its length, the network.
    pub networks: Vec<(A, u32, Network<A>)>,
    /// Addresses that containers leave by.
    pub egress: BTreeMap<EgressPlace, A>,
    /// Interfaces with hooks.
    pub interfaces: BTreeMap<IfIndex, Interface<A>>,
    /// Containers' addresses, and the ports that they are behind.
    pub owners: BTreeMap<A, IfIndex>,
    /// Published containers.
    pub endpoints: BTreeMap<A, Endpoint<A>>,
    /// Ports that are not for masquerading.
    pub reserved: Vec<(Protocol, u16)>,
    /// Sockets of this host: the packet that would reach each, and how it is bound.
    pub sockets: BTreeMap<FlowKey<A>, HostSocket>,
    /// Those that packets from anywhere reach.
    pub listeners: Vec<(Protocol, A, Port, HostSocket)>,
    /// Where packets to other places are routed.
    pub route: Option<Route>,
    /// Interfaces that no packet fits through.
    pub narrow: Vec<IfIndex>,
    /// Where XDP can send to, a port and a container's address each; none at a hook that sends anywhere.
    pub redirects: Option<Vec<(IfIndex, A)>>,
    /// How often the last [`Env::search`] called its probe.
    pub probes: Cell<u32>,
    /// The last random number; they count up.
    pub nonce: Cell<u32>,
}

impl<A: Ip> World<A> {
    /// Publishes a rule under the next free number, and keeps its ports from masquerading.
    pub fn publish(&mut self, rule: Rule<A>) -> RuleId {
        let last = self.rules.borrow().keys().next_back().map_or(0, |id| id.0);
        let id = RuleId(last + 1);
        let live = Rule {
            flags: rule.flags | Rule::LIVE,
            ..rule
        };
        self.rules.borrow_mut().insert(id, live);
        let Some(protocol) = Protocol::from_number(rule.protocol) else {
            return id;
        };
        for port in (rule.host_port.0..=rule.last_port().0).map(Port) {
            self.fill_slot(protocol, port, id);
            self.reserved.push((protocol, port.0));
        }
        id
    }

    /// The second rule of a port makes it a shared one.
    fn fill_slot(&mut self, protocol: Protocol, port: Port, id: RuleId) {
        let Some(index) = PortSlots::index(protocol, port) else {
            return;
        };
        let before = self.slots.get(&index).copied();
        let Some(before) = before else {
            self.slots.insert(index, Slot::from(id));
            return;
        };
        self.slots.insert(index, Slot::SHARED);
        for id in [RuleId(before.0), id] {
            if let Some(rule) = self.rules.get_mut().get(&id) {
                self.shared.insert((rule.host, port.0, rule.protocol), id);
            }
        }
    }

    /// Gives a rule's number a new generation, as unpublishing does.
    pub fn retire(&self, id: RuleId) {
        if let Some(rule) = self.rules.borrow_mut().get_mut(&id) {
            rule.generation.0 += 1;
            rule.flags = 0;
        }
    }
}

fn in_prefix<A: Ip>(address: A, prefix: A, length: u32) -> bool {
    let number = |address: A| {
        let words = address.words().into_iter();
        words.fold(0u128, |number, word| number << 32 | u128::from(word))
    };
    (number(address) ^ number(prefix))
        .checked_shr(A::BITS - length)
        .is_none_or(|rest| rest == 0)
}

impl<A: Family> Rules for World<A> {
    type Ip = A;

    fn slot(&self, index: u32) -> Slot {
        self.slots.get(&index).copied().unwrap_or(Slot::EMPTY)
    }

    fn shared(&self, key: &SharedKey<A>) -> Option<RuleId> {
        self.shared.get(&(key.host, key.port.0, key.protocol)).copied()
    }

    fn rule(&self, id: RuleId) -> Option<Rule<A>> {
        self.rules.borrow().get(&id).copied()
    }
}

impl<A: Family> Env for World<A> {
    type Place = Here<FlowKey<A>>;
    type Room = Here<Wish<A>>;

    fn arrival(&self) -> IfIndex {
        self.arrival.get()
    }

    fn now(&self) -> Seconds {
        self.now.get()
    }

    fn random(&self) -> u32 {
        self.nonce.set(self.nonce.get().wrapping_add(1));
        self.nonce.get()
    }

    fn search(&self, tries: u32, probe: impl FnMut(u32) -> bool) {
        let mut probe = probe;
        self.probes.set(0);
        (0..tries).any(|attempt| {
            self.probes.set(self.probes.get() + 1);
            probe(attempt)
        });
    }

    fn place(&self) -> Result<Self::Place, Reason> {
        Ok(Here::default())
    }

    fn room(&self) -> Result<Self::Room, Reason> {
        Ok(Here::default())
    }

    fn settings(&self) -> Settings {
        self.settings
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn load(&self, payer: &Payer<A>) -> u64 {
        self.loads.borrow().get(payer).map_or(0, |load| load.flows(0))
    }

    fn add_load(&self, payer: &Payer<A>) {
        self.loads.borrow_mut().entry(*payer).or_default().opened += 1;
    }

    fn drop_load(&self, payer: &Payer<A>) {
        if let Some(load) = self.loads.borrow_mut().get_mut(payer) {
            load.opened = load.opened.saturating_sub(1);
        }
    }

    fn push_opening(&self, opening: &Opening<A>) -> Option<Opening<A>> {
        let mut openings = self.openings.borrow_mut();
        openings.push_back(*opening);
        let is_over = self.opening_capacity != 0 && openings.len() > self.opening_capacity;
        is_over.then(|| openings.pop_front()).flatten()
    }

    fn may_open(&self, payer: &Payer<A>, most: u32) -> bool {
        let mut loads = self.loads.borrow_mut();
        loads.entry(*payer).or_default().rate.admits(self.now.get(), most)
    }

    fn may_tell(&self) -> bool {
        let mut rate = self.messages.get();
        let may = rate.admits(self.now.get(), self.limits.messages);
        self.messages.set(rate);
        may
    }

    fn touch(&self, key: &FlowKey<A>, seen: Seen, counts: impl FnOnce(&Flow<A>) -> bool) -> Option<Flow<A>> {
        let mut flows = self.flows.borrow_mut();
        let flow = flows.get_mut(key)?;
        let before = *flow;
        if counts(&before) {
            flow.record(seen);
        }
        Some(before)
    }

    fn flow(&self, key: &FlowKey<A>) -> Option<Flow<A>> {
        self.flows.borrow().get(key).copied()
    }

    fn insert(&self, key: &FlowKey<A>, flow: &Flow<A>) -> Result<(), InsertError> {
        let mut flows = self.flows.borrow_mut();
        if flows.contains_key(key) {
            return Err(InsertError::Exists);
        }
        if self.flow_capacity != 0 && flows.len() >= self.flow_capacity {
            return Err(InsertError::Full);
        }
        flows.insert(*key, *flow);
        Ok(())
    }

    fn remove(&self, key: &FlowKey<A>, nonce: u32) {
        let mut flows = self.flows.borrow_mut();
        if flows.get(key).is_some_and(|flow| flow.nonce == nonce) {
            flows.remove(key);
        }
    }

    fn fragment(&self, key: &FragmentKey<A>) -> Option<Fragment> {
        self.fragments.borrow().get(key).copied()
    }

    fn keep_fragment(&self, key: &FragmentKey<A>, fragment: &Fragment) {
        self.fragments.borrow_mut().insert(*key, *fragment);
    }

    fn hold(&self) -> Hold {
        self.hold.get()
    }

    fn allows(&self, key: &AllowKey<A>) -> bool {
        let rule = RuleId(u32::from_be_bytes(key.rule));
        self.allow.iter().any(|(id, prefix, length)| {
            let is_in = |bit: u32| {
                let octet =
                    |octets: &A::Octets| octets.as_ref().get((bit / 8) as usize).copied().unwrap_or(0);
                (octet(&key.source) ^ octet(&prefix.octets())) & (0x80 >> (bit % 8)) == 0
            };
            *id == rule && (0..*length).all(is_in)
        })
    }

    fn is_local(&self, address: A) -> bool {
        self.locals.contains(&address)
    }

    fn is_closed(&self, address: A) -> bool {
        self.closed.contains(&address)
    }

    fn network(&self, address: A) -> Option<Network<A>> {
        let longest = self
            .networks
            .iter()
            .filter(|(prefix, length, _)| in_prefix(address, *prefix, *length));
        longest
            .max_by_key(|(_, length, _)| *length)
            .map(|(_, _, network)| *network)
    }

    fn egress(&self, place: &EgressPlace) -> Option<A> {
        self.egress.get(place).copied()
    }

    fn interface(&self, index: IfIndex) -> Option<Interface<A>> {
        self.interfaces.get(&index).copied()
    }

    fn owner(&self, address: A) -> Option<IfIndex> {
        self.owners.get(&address).copied()
    }

    fn endpoint(&self, address: A) -> Option<Endpoint<A>> {
        self.endpoints.get(&address).copied()
    }

    fn reserved_word(&self, index: u32) -> u64 {
        let bits = self.reserved.iter().filter_map(|(protocol, port)| {
            let (word, bit) = PortSlots::word(*protocol, Port(*port))?;
            (word == index).then_some(bit)
        });
        bits.fold(0, |word, bit| word | bit)
    }

    fn host_socket(&self, key: &FlowKey<A>) -> HostSocket {
        if let Some(socket) = self.sockets.get(key) {
            return *socket;
        }
        let is_reached = |(protocol, address, port, _): &&(Protocol, A, Port, HostSocket)| {
            (protocol.number(), *address, *port) == (key.protocol, key.dst, key.dst_port)
        };
        let listener = self.listeners.iter().find(is_reached);
        listener.map_or(HostSocket::Absent, |(.., socket)| *socket)
    }

    fn route(&self, _key: &FlowKey<A>, _from: IfIndex) -> Route {
        self.route.unwrap_or(Route::Nowhere)
    }

    fn sends(&self, to: &FlowKey<A>, way: Way, out: IfIndex) -> bool {
        self.redirects
            .as_ref()
            .is_none_or(|reached| way == Way::Peer && reached.contains(&(out, to.dst)) && self.fits(out))
    }

    fn fits(&self, out: IfIndex) -> bool {
        !self.narrow.contains(&out)
    }
}

impl Packet for Vec<u8> {
    fn length(&self) -> u32 {
        self.as_slice().length()
    }

    fn is_vlan_tagged(&self) -> bool {
        self.as_slice().is_vlan_tagged()
    }

    fn require(&mut self, length: usize) -> Result<(), Truncated> {
        self.as_mut_slice().require(length)
    }

    fn header<T: Header>(&self, offset: usize) -> Result<&T, Truncated> {
        self.as_slice().header(offset)
    }

    fn header_mut<T: Header>(&mut self, offset: usize) -> Result<&mut T, Truncated> {
        self.as_mut_slice().header_mut(offset)
    }

    fn update_l4_checksum(&mut self, offset: usize, change: L4Change) -> Result<(), Truncated> {
        self.as_mut_slice().update_l4_checksum(offset, change)
    }
}

impl Reshape for Vec<u8> {
    fn reshape(&mut self, length: u32, room: u32) -> Result<(), Truncated> {
        const ETHERNET: usize = 14;
        let length = usize::try_from(length).or(Err(Truncated))?;
        self.require(length.max(ETHERNET))?;
        self.truncate(length);
        self.splice(ETHERNET..ETHERNET, (0..room).map(|_| 0));
        Ok(())
    }
}

/// A frame as XDP has it: nobody says whether its checksum is complete.
#[derive(Debug)]
pub struct OffTheWire<'frame>(pub &'frame mut [u8]);

impl Packet for OffTheWire<'_> {
    fn length(&self) -> u32 {
        self.0.length()
    }

    fn is_vlan_tagged(&self) -> bool {
        self.0.is_vlan_tagged()
    }

    fn is_early(&self) -> bool {
        true
    }

    fn require(&mut self, length: usize) -> Result<(), Truncated> {
        self.0.require(length)
    }

    fn header<T: Header>(&self, offset: usize) -> Result<&T, Truncated> {
        self.0.header(offset)
    }

    fn header_mut<T: Header>(&mut self, offset: usize) -> Result<&mut T, Truncated> {
        self.0.header_mut(offset)
    }

    fn update_l4_checksum(&mut self, offset: usize, change: L4Change) -> Result<(), Truncated> {
        self.0.update_l4_checksum(offset, change)
    }
}
