//! Two CPUs that share the table of flows, and every order in which they can use it.
//!
//! Each CPU is a thread. Before a call that other CPUs can notice (look up, insert, remove) it waits until it is
//! chosen; once both wait or have ended, the next one is chosen, by a prefix given and the first CPU after it. The
//! choices made tell which prefix to try next, until there is none.

use std::{
    sync::{Condvar, Mutex, MutexGuard},
    thread,
    vec::Vec,
};

use super::{Address, Place, Sample, World, check};
use crate::{
    maps::{
        AllowKey, EgressPlace, Endpoint, Flow, FlowKey, Fragment, FragmentKey, IfIndex, Interface, Limits,
        Network, Opening, Payer, Reason, Rule, RuleId, Seconds, Seen, Settings, SharedKey, Slot,
    },
    nat::{Carried, Env, Here, Hold, HostSocket, InsertError, Route, Rules, Wish},
};

/// Where a CPU stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stand {
    Runs,
    Waits,
    Ended,
}

struct Turns {
    world: World,
    stands: [Stand; 2],
    chosen: Option<usize>,
    prefix: Vec<usize>,
    /// Each choice, and whether the other CPU could have been chosen.
    made: Vec<(usize, bool)>,
}

impl Turns {
    /// Chooses who goes next, once nobody runs.
    fn choose(&mut self) {
        if self.chosen.is_some() || self.stands.contains(&Stand::Runs) {
            return;
        }
        let waits = self.stands.map(|stand| stand == Stand::Waits);
        let given = self.prefix.get(self.made.len()).copied();
        let next = match waits {
            [true, true] => given.unwrap_or(0),
            [true, false] => 0,
            [false, true] => 1,
            [false, false] => return,
        };
        self.made.push((next, waits == [true, true]));
        self.chosen = Some(next);
    }
}

struct Machine {
    turns: Mutex<Turns>,
    changed: Condvar,
}

impl Machine {
    fn lock(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap()
    }
}

struct Cpu<'a> {
    machine: &'a Machine,
    number: usize,
    arrival: IfIndex,
}

impl Cpu<'_> {
    /// A call that the other CPU can notice.
    fn step<T>(&self, call: impl FnOnce(&World) -> T) -> T {
        let mut turns = self.machine.lock();
        turns.stands[self.number] = Stand::Waits;
        turns.choose();
        self.machine.changed.notify_all();
        while turns.chosen != Some(self.number) {
            turns = self.machine.changed.wait(turns).unwrap();
        }
        turns.chosen = None;
        turns.stands[self.number] = Stand::Runs;
        call(&turns.world)
    }

    /// A call that no other CPU changes the answer to.
    fn read<T>(&self, call: impl FnOnce(&World) -> T) -> T {
        call(&self.machine.lock().world)
    }
}

/// What became of a packet: the decision and the bytes.
pub(super) type Outcome = (Result<Carried, Reason>, Vec<u8>);

/// Runs two packets on two CPUs in every order of their steps, and hands each end to `judge`; gives how many orders
/// there were.
pub(super) fn every_order(
    world: impl Fn() -> World,
    packets: &[(Place, Sample); 2],
    judge: impl Fn(&World, &[Outcome]),
) -> usize {
    let mut prefix = Vec::new();
    let mut orders = 0;
    loop {
        let made = one_order(world(), prefix, packets, &judge);
        orders += 1;
        let Some(last) = made.iter().rposition(|(choice, free)| *free && *choice == 0) else {
            return orders;
        };
        prefix = made.iter().take(last).map(|(choice, _)| *choice).collect();
        prefix.push(1);
    }
}

fn one_order(
    world: World,
    prefix: Vec<usize>,
    packets: &[(Place, Sample); 2],
    judge: impl Fn(&World, &[Outcome]),
) -> Vec<(usize, bool)> {
    let machine = Machine {
        turns: Mutex::new(Turns {
            world,
            stands: [Stand::Runs; 2],
            chosen: None,
            prefix,
            made: Vec::new(),
        }),
        changed: Condvar::new(),
    };
    let outcomes: Vec<Outcome> = thread::scope(|scope| {
        let machine = &machine;
        let threads: Vec<_> = packets
            .iter()
            .enumerate()
            .map(|(number, (place, packet))| {
                scope.spawn(move || {
                    let cpu = Cpu {
                        machine,
                        number,
                        arrival: place.1,
                    };
                    check::run(&cpu, *place, &packet.bytes())
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let turns = machine.turns.into_inner().unwrap();
    judge(&turns.world, &outcomes);
    turns.made
}

/// It has ended, in a panic too.
impl Drop for Cpu<'_> {
    fn drop(&mut self) {
        let mut turns = self.machine.lock();
        turns.stands[self.number] = Stand::Ended;
        turns.choose();
        self.machine.changed.notify_all();
    }
}

impl Rules for Cpu<'_> {
    type Ip = Address;

    fn slot(&self, index: u32) -> Slot {
        self.read(|world| world.slot(index))
    }
    fn shared(&self, key: &SharedKey<Address>) -> Option<RuleId> {
        self.read(|world| world.shared(key))
    }
    fn rule(&self, id: RuleId) -> Option<Rule<Address>> {
        self.read(|world| world.rule(id))
    }
}

impl Env for Cpu<'_> {
    type Place = Here<FlowKey<Address>>;
    type Room = Here<Wish<Address>>;

    fn place(&self) -> Result<Self::Place, Reason> {
        Ok(Here::default())
    }

    fn room(&self) -> Result<Self::Room, Reason> {
        Ok(Here::default())
    }

    fn arrival(&self) -> IfIndex {
        self.arrival
    }
    fn now(&self) -> Seconds {
        self.read(Env::now)
    }
    fn random(&self) -> u32 {
        self.read(Env::random)
    }
    fn search(&self, tries: u32, probe: impl FnMut(u32) -> bool) {
        (0..tries).any(probe);
    }
    fn settings(&self) -> Settings {
        self.read(Env::settings)
    }
    fn limits(&self) -> Limits {
        self.read(Env::limits)
    }
    fn load(&self, payer: &Payer<Address>) -> u64 {
        self.read(|world| world.load(payer))
    }
    fn add_load(&self, payer: &Payer<Address>) {
        self.read(|world| world.add_load(payer));
    }
    fn drop_load(&self, payer: &Payer<Address>) {
        self.read(|world| world.drop_load(payer));
    }
    fn push_opening(&self, opening: &Opening<Address>) -> Option<Opening<Address>> {
        self.read(|world| world.push_opening(opening))
    }
    fn may_open(&self, payer: &Payer<Address>, most: u32) -> bool {
        self.read(|world| world.may_open(payer, most))
    }
    fn may_tell(&self) -> bool {
        self.read(Env::may_tell)
    }
    fn touch(
        &self,
        key: &FlowKey<Address>,
        seen: Seen,
        counts: impl FnOnce(&Flow<Address>) -> bool,
    ) -> Option<Flow<Address>> {
        self.step(|world| world.touch(key, seen, counts))
    }
    fn flow(&self, key: &FlowKey<Address>) -> Option<Flow<Address>> {
        self.step(|world| world.flow(key))
    }
    fn insert(&self, key: &FlowKey<Address>, flow: &Flow<Address>) -> Result<(), InsertError> {
        self.step(|world| world.insert(key, flow))
    }
    fn remove(&self, key: &FlowKey<Address>, nonce: u32) {
        self.step(|world| world.remove(key, nonce));
    }
    fn fragment(&self, key: &FragmentKey<Address>) -> Option<Fragment> {
        self.step(|world| world.fragment(key))
    }
    fn keep_fragment(&self, key: &FragmentKey<Address>, fragment: &Fragment) {
        self.step(|world| world.keep_fragment(key, fragment));
    }
    fn hold(&self) -> Hold {
        self.read(Env::hold)
    }
    fn allows(&self, key: &AllowKey<Address>) -> bool {
        self.read(|world| world.allows(key))
    }
    fn is_local(&self, address: Address) -> bool {
        self.read(|world| world.is_local(address))
    }
    fn is_closed(&self, address: Address) -> bool {
        self.read(|world| world.is_closed(address))
    }

    fn network(&self, address: Address) -> Option<Network<Address>> {
        self.read(|world| world.network(address))
    }
    fn egress(&self, place: &EgressPlace) -> Option<Address> {
        self.read(|world| world.egress(place))
    }
    fn interface(&self, index: IfIndex) -> Option<Interface<Address>> {
        self.read(|world| world.interface(index))
    }
    fn owner(&self, address: Address) -> Option<IfIndex> {
        self.read(|world| world.owner(address))
    }
    fn endpoint(&self, address: Address) -> Option<Endpoint<Address>> {
        self.read(|world| world.endpoint(address))
    }
    fn reserved_word(&self, index: u32) -> u64 {
        self.read(|world| world.reserved_word(index))
    }
    fn host_socket(&self, key: &FlowKey<Address>) -> HostSocket {
        self.read(|world| world.host_socket(key))
    }
    fn route(&self, key: &FlowKey<Address>, from: IfIndex) -> Route {
        self.read(|world| world.route(key, from))
    }
    fn fits(&self, out: IfIndex) -> bool {
        self.read(|world| world.fits(out))
    }
}
