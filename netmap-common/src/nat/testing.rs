//! A world in memory: the tables as ordinary maps, for tests here and in other crates.

use core::cell::{Cell, RefCell};
use std::{collections::BTreeMap, vec::Vec};

use super::{Env, Header, HostSocket, InsertError, L4Change, Packet, Route, Rules, Truncated};
use crate::maps::{
    Address, AllowKey, Endpoint, Flow, FlowKey, Fragment, FragmentKey, IfIndex, Interface, Network, Port,
    PortSlots, Protocol, Rule, RuleId, Seconds, Seen, Settings, SharedKey, Slot, Way,
};

/// Tables, clock and surroundings of a host.
#[derive(Debug, Default)]
pub struct World {
    /// The interface whose hook runs.
    pub arrival: Cell<IfIndex>,
    /// The clock.
    pub now: Cell<Seconds>,
    /// Settings.
    pub settings: Settings,
    /// Flow entries.
    pub flows: RefCell<BTreeMap<FlowKey, Flow>>,
    /// Datagrams that come in pieces.
    pub fragments: RefCell<BTreeMap<FragmentKey, Fragment>>,
    /// How many flow entries fit; 0 for any number.
    pub flow_capacity: usize,
    /// What stands at each port.
    pub slots: BTreeMap<u32, Slot>,
    /// Ports that several addresses publish.
    pub shared: BTreeMap<(Address, u16, u8), RuleId>,
    /// Rules.
    pub rules: RefCell<BTreeMap<RuleId, Rule>>,
    /// Allowed prefixes of rules, with their length.
    pub allow: Vec<(RuleId, Address, u32)>,
    /// Addresses of this host.
    pub locals: Vec<Address>,
    /// Managed networks: prefix, its length, the network.
    pub networks: Vec<(Address, u32, Network)>,
    /// Interfaces with hooks.
    pub interfaces: BTreeMap<IfIndex, Interface>,
    /// Published containers.
    pub endpoints: BTreeMap<Address, Endpoint>,
    /// Ports that are not for masquerading.
    pub reserved: Vec<(Protocol, u16)>,
    /// Sockets of this host: the packet that would reach each, and how it is bound.
    pub sockets: BTreeMap<FlowKey, HostSocket>,
    /// Where packets to other places are routed.
    pub route: Option<Route>,
    /// Interfaces that no packet fits through.
    pub narrow: Vec<IfIndex>,
    /// Where XDP can send to, a port and a container's address each; none at a hook that sends anywhere.
    pub redirects: Option<Vec<(IfIndex, Address)>>,
    /// How often the last [`Env::search`] called its probe.
    pub probes: Cell<u32>,
    /// The last random number; they count up.
    pub nonce: Cell<u32>,
}

impl World {
    /// Publishes a rule under the next free number, and keeps its ports from masquerading.
    pub fn publish(&mut self, rule: Rule) -> RuleId {
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

fn in_prefix(address: Address, prefix: Address, length: u32) -> bool {
    let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
    address.0 & mask == prefix.0 & mask
}

impl Rules for World {
    fn slot(&self, index: u32) -> Slot {
        self.slots.get(&index).copied().unwrap_or(Slot::EMPTY)
    }

    fn shared(&self, key: &SharedKey) -> Option<RuleId> {
        self.shared.get(&(key.host, key.port.0, key.protocol)).copied()
    }

    fn rule(&self, id: RuleId) -> Option<Rule> {
        self.rules.borrow().get(&id).copied()
    }
}

impl Env for World {
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

    fn settings(&self) -> Settings {
        self.settings
    }

    fn touch(&self, key: &FlowKey, seen: Seen, counts: impl FnOnce(&Flow) -> bool) -> Option<Flow> {
        let mut flows = self.flows.borrow_mut();
        let flow = flows.get_mut(key)?;
        let before = *flow;
        if counts(&before) {
            flow.record(seen);
        }
        Some(before)
    }

    fn flow(&self, key: &FlowKey) -> Option<Flow> {
        self.flows.borrow().get(key).copied()
    }

    fn insert(&self, key: &FlowKey, flow: &Flow) -> Result<(), InsertError> {
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

    fn remove(&self, key: &FlowKey, nonce: u32) {
        let mut flows = self.flows.borrow_mut();
        if flows.get(key).is_some_and(|flow| flow.nonce == nonce) {
            flows.remove(key);
        }
    }

    fn fragment(&self, key: &FragmentKey) -> Option<Fragment> {
        self.fragments.borrow().get(key).copied()
    }

    fn keep_fragment(&self, key: &FragmentKey, fragment: &Fragment) {
        self.fragments.borrow_mut().insert(*key, *fragment);
    }

    fn allows(&self, key: &AllowKey) -> bool {
        let (rule, source) = (
            RuleId(u32::from_be_bytes(key.rule)),
            Address(u32::from_be_bytes(key.source)),
        );
        self.allow
            .iter()
            .any(|(id, prefix, length)| *id == rule && in_prefix(source, *prefix, *length))
    }

    fn is_local(&self, address: Address) -> bool {
        self.locals.contains(&address)
    }

    fn network(&self, address: Address) -> Option<Network> {
        let longest = self
            .networks
            .iter()
            .filter(|(prefix, length, _)| in_prefix(address, *prefix, *length));
        longest
            .max_by_key(|(_, length, _)| *length)
            .map(|(_, _, network)| *network)
    }

    fn interface(&self, index: IfIndex) -> Option<Interface> {
        self.interfaces.get(&index).copied()
    }

    fn endpoint(&self, address: Address) -> Option<Endpoint> {
        self.endpoints.get(&address).copied()
    }

    fn reserved_word(&self, index: u32) -> u64 {
        let bits = self.reserved.iter().filter_map(|(protocol, port)| {
            let (word, bit) = PortSlots::word(*protocol, Port(*port))?;
            (word == index).then_some(bit)
        });
        bits.fold(0, |word, bit| word | bit)
    }

    fn host_socket(&self, key: &FlowKey) -> HostSocket {
        self.sockets.get(key).copied().unwrap_or(HostSocket::Absent)
    }

    fn route(&self, _key: &FlowKey, _from: IfIndex) -> Route {
        self.route.unwrap_or(Route::Nowhere)
    }

    fn sends(&self, to: &FlowKey, way: Way, out: IfIndex) -> bool {
        self.redirects
            .as_ref()
            .is_none_or(|reached| way == Way::Peer && reached.contains(&(out, to.dst)) && self.fits(out))
    }

    fn fits(&self, out: IfIndex) -> bool {
        !self.narrow.contains(&out)
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
