//! The world as the NAT sees it, out of pinned tables: they are read, and never written. What the NAT writes stays in memory
//! here, before what the tables say.

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::BTreeMap,
    net::SocketAddr,
};

use netmap_common::{
    maps::{
        AllowKey, EgressPlace, Endpoint, Flow, FlowKey, Fragment, FragmentKey, IfIndex, Interface, Limits,
        Load, Network, Opening, Payer, Port, Protocol, Reason, Rule, RuleId, Seconds, Seen, Settings,
        SharedKey, Slot,
    },
    nat::{Env, Here, Hold, HostSocket, InsertError, Route, Rules, Wish, local},
};

use super::{Ends, family::Family, listeners, routes::Routes, sight::Sight};
use crate::maps::{self, FamilyMaps, Maps, Subnet as _};

/// The number of both entries of a flow that is claimed here. Nobody else ever sees it.
const NONCE: u32 = 0x6578_706c;

/// Pinned tables, and what a packet would write into them.
pub(super) struct World<'maps, A: Family> {
    maps: &'maps Maps,
    routes: &'maps Routes,
    settings: Settings,
    limits: Limits,
    now: Seconds,
    arrival: Cell<IfIndex>,
    /// Entries that were added, or removed, here.
    written: RefCell<BTreeMap<FlowKey<A>, Option<Flow<A>>>>,
    networks: BTreeMap<A::Net, Network<A>>,
    reserved: OnceCell<Vec<u64>>,
    sockets: RefCell<BTreeMap<u8, Vec<listeners::Listed>>>,
    entries: OnceCell<(u64, u64)>,
    failed: RefCell<Option<anyhow::Error>>,
    /// What was seen meanwhile.
    pub(super) seen: RefCell<Sight<A>>,
}

impl<'maps, A: Family> World<'maps, A> {
    pub(super) fn new(maps: &'maps Maps, routes: &'maps Routes) -> anyhow::Result<Self> {
        Ok(Self {
            maps,
            routes,
            settings: maps.settings()?,
            limits: maps.limits()?,
            now: maps::now(),
            arrival: Cell::default(),
            written: RefCell::default(),
            networks: A::maps(maps).networks.all()?,
            reserved: OnceCell::new(),
            sockets: RefCell::default(),
            entries: OnceCell::new(),
            failed: RefCell::default(),
            seen: RefCell::default(),
        })
    }

    /// What follows happens at this interface, and nothing was seen of it yet.
    pub(super) fn arrive(&self, interface: IfIndex) {
        self.arrival.set(interface);
        self.seen.take();
    }

    /// What went wrong with reading, if something did: then no decision since counts.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }

    /// The tables of the family.
    pub(super) fn tables(&self) -> &'maps FamilyMaps<A> {
        A::maps(self.maps)
    }

    /// The kernel's routing.
    pub(super) const fn routes(&self) -> &'maps Routes {
        self.routes
    }

    /// Entries in the flow table, and how many there may be.
    pub(super) fn fill(&self) -> (u64, u64) {
        *self.entries.get_or_init(|| {
            let flows = &self.tables().flows;
            let capacity = self.read(flows.capacity()).map_or(u64::MAX, u64::from);
            let entries = self.read(flows.count()).unwrap_or_default();
            (entries as u64, capacity)
        })
    }

    /// The value, or what is said of it where it cannot be read: then the packet is not explained.
    fn read<T, E: Into<anyhow::Error>>(&self, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.failed.borrow_mut().get_or_insert(error.into());
                None
            }
        }
    }

    fn find<T, E: Into<anyhow::Error>>(&self, result: Result<Option<T>, E>) -> Option<T> {
        self.read(result).flatten()
    }

    fn entry(&self, key: &FlowKey<A>) -> Option<Flow<A>> {
        if let Some(written) = self.written.borrow().get(key) {
            return *written;
        }
        self.find(self.tables().flows.get(key))
    }

    /// The socket of this host that a packet reaches.
    pub(super) fn socket(&self, protocol: Protocol, ends: Ends) -> HostSocket {
        let mut sockets = self.sockets.borrow_mut();
        let listed = sockets
            .entry(protocol.number())
            .or_insert_with(|| self.read(listeners::all(protocol)).unwrap_or_default());
        listeners::reached(listed, protocol, ends.source(), ends.target())
    }

    fn load_of(&self, payer: &Payer<A>) -> Load {
        self.find(self.tables().loads.load(payer)).unwrap_or_default()
    }
}

impl<A: Family> Rules for World<'_, A> {
    type Ip = A;

    fn slot(&self, index: u32) -> Slot {
        self.read(self.tables().slots.slot(index)).unwrap_or(Slot::EMPTY)
    }

    fn shared(&self, key: &SharedKey<A>) -> Option<RuleId> {
        self.find(self.tables().shared.get(key))
    }

    fn rule(&self, id: RuleId) -> Option<Rule<A>> {
        let rule = self.read(self.tables().rules.get(id))?;
        if rule.is_live() {
            self.seen.borrow_mut().rule = Some((id, rule));
        }
        Some(rule)
    }
}

impl<A: Family> local::Host for World<'_, A> {
    fn has_address(&self, address: A) -> bool {
        self.is_local(address)
    }

    fn knows_container(&self, address: A) -> bool {
        self.endpoint(address).is_some()
    }

    fn settings(&self) -> Settings {
        self.settings
    }
}

impl<A: Family> Env for World<'_, A> {
    type Place = Here<FlowKey<A>>;
    type Room = Here<Wish<A>>;

    fn arrival(&self) -> IfIndex {
        self.arrival.get()
    }

    fn now(&self) -> Seconds {
        self.now
    }

    fn random(&self) -> u32 {
        NONCE
    }

    fn search(&self, tries: u32, mut probe: impl FnMut(u32) -> bool) {
        for attempt in 0..tries {
            self.seen.borrow_mut().tries = attempt + 1;
            if probe(attempt) {
                return;
            }
        }
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
        let ended = self.read(self.tables().loads.ended(payer)).unwrap_or_default();
        self.load_of(payer).flows(ended)
    }

    // Nothing is decided by these for the packet in hand.
    fn add_load(&self, _payer: &Payer<A>) {}

    fn drop_load(&self, _payer: &Payer<A>) {}

    fn push_opening(&self, _opening: &Opening<A>) -> Option<Opening<A>> {
        None
    }

    fn opened(&self, flow: &Wish<A>) {
        self.seen.borrow_mut().opened = Some((*flow.from(), *flow.to()));
    }

    fn may_open(&self, payer: &Payer<A>, most: u32) -> bool {
        self.load_of(payer).rate.admits(self.now, most)
    }

    fn may_tell(&self) -> bool {
        false
    }

    fn touch(
        &self,
        key: &FlowKey<A>,
        _seen: Seen,
        _counts: impl FnOnce(&Flow<A>) -> bool,
    ) -> Option<Flow<A>> {
        let flow = self.entry(key)?;
        self.seen.borrow_mut().flow = Some((*key, flow));
        // As if it were the first packet of its second: the twin is looked at too.
        Some(Flow {
            last_seen: Seconds(self.now.0.wrapping_sub(1)),
            ..flow
        })
    }

    fn flow(&self, key: &FlowKey<A>) -> Option<Flow<A>> {
        self.entry(key)
    }

    fn insert(&self, key: &FlowKey<A>, flow: &Flow<A>) -> Result<(), InsertError> {
        if self.entry(key).is_some() {
            self.seen.borrow_mut().taken += 1;
            return Err(InsertError::Exists);
        }
        let (entries, capacity) = self.fill();
        let mut written = self.written.borrow_mut();
        let added = written.values().flatten().count() as u64;
        if entries + added >= capacity {
            return Err(InsertError::Full);
        }
        written.insert(*key, Some(*flow));
        Ok(())
    }

    fn remove(&self, key: &FlowKey<A>, nonce: u32) {
        if self.entry(key).is_some_and(|flow| flow.nonce == nonce) {
            self.written.borrow_mut().insert(*key, None);
        }
    }

    fn fragment(&self, key: &FragmentKey<A>) -> Option<Fragment> {
        self.find(self.tables().fragments.get(key))
    }

    fn keep_fragment(&self, _key: &FragmentKey<A>, _fragment: &Fragment) {}

    fn hold(&self) -> Hold {
        Hold::Full
    }

    fn allows(&self, key: &AllowKey<A>) -> bool {
        let rule = RuleId(u32::from_be_bytes(key.rule));
        let source = A::from_octets(key.source);
        let lists = self.read(self.tables().allow.of(rule)).unwrap_or_default();
        let allowed = lists.iter().any(|net| net.contains(source));
        self.seen.borrow_mut().allowed = Some(allowed);
        allowed
    }

    fn is_local(&self, address: A) -> bool {
        self.find(self.tables().locals.get(&address)).is_some()
    }

    fn is_closed(&self, address: A) -> bool {
        self.find(self.tables().locals.get(&address))
            .is_some_and(netmap_common::maps::Local::is_closed)
    }

    fn network(&self, address: A) -> Option<Network<A>> {
        let around = self.networks.iter().filter(|(net, _)| net.contains(address));
        around
            .max_by_key(|(net, _)| net.bits())
            .map(|(_, network)| *network)
    }

    fn egress(&self, place: &EgressPlace) -> Option<A> {
        self.find(self.tables().egress.get(place))
    }

    fn interface(&self, index: IfIndex) -> Option<Interface<A>> {
        self.find(self.tables().interfaces.get(&index))
    }

    fn owner(&self, address: A) -> Option<IfIndex> {
        self.find(self.tables().owners.get(&address))
    }

    fn endpoint(&self, address: A) -> Option<Endpoint<A>> {
        let endpoint = self.find(self.tables().endpoints.get(&address));
        self.seen.borrow_mut().endpoint = Some((address, endpoint));
        endpoint
    }

    fn reserved_word(&self, index: u32) -> u64 {
        let words = self
            .reserved
            .get_or_init(|| self.read(self.maps.reserved.all()).unwrap_or_default());
        let word = words.get(index as usize).copied().unwrap_or(u64::MAX);
        if word != 0 {
            self.seen.borrow_mut().used += 1;
        }
        word
    }

    fn host_socket(&self, key: &FlowKey<A>) -> HostSocket {
        let Some(protocol) = Protocol::from_number(key.protocol) else {
            return HostSocket::Absent;
        };
        let end = |address: A, Port(port)| SocketAddr::new(address.into(), port);
        let (from, to) = (end(key.src, key.src_port), end(key.dst, key.dst_port));
        let ends = Ends {
            src: from.ip(),
            sport: from.port(),
            dst: to.ip(),
            dport: to.port(),
        };
        self.socket(protocol, ends)
    }

    fn route(&self, key: &FlowKey<A>, from: IfIndex) -> Route {
        let route = self
            .read(self.routes.forward(key, from))
            .unwrap_or(Route::Nowhere);
        self.seen.borrow_mut().route = Some(route);
        route
    }

    /// The packet is as small as any.
    fn fits(&self, _out: IfIndex) -> bool {
        true
    }
}
