//! The programs' maps.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{Array, HashMap, LpmTrie, MapData, PerCpuArray, lpm_trie::Key},
};
use netmap_common::{
    maps::{
        Address, AllowKey, Count, Flow, FlowKey, Fragment, FragmentKey, Hook, IfIndex, Local, NetworkKey,
        Port, Reason, Rule, RuleId, Settings, SharedKey, capacity, name,
    },
    nat::{Env as _, Family, testing::World},
};

/// A key or value as aya wants it, whose own marker a foreign type cannot get.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Raw<T>(T);

// SAFETY: aya's marker says that the bytes may be copied to the kernel and back; `bytemuck::Pod` says that every byte is
// initialised (no padding) and that every bit pattern is a value.
unsafe impl<T: bytemuck::Pod> aya::Pod for Raw<T> {}

type Hash<K, V> = HashMap<MapData, Raw<K>, Raw<V>>;
type Cells<V> = Array<MapData, Raw<V>>;

/// The maps of one family that change while programs run.
pub struct Tables<A: Family = Address> {
    flows: Hash<FlowKey<A>, Flow<A>>,
    rules: Cells<Rule<A>>,
    fragments: Hash<FragmentKey<A>, Fragment>,
}

/// The maps that both families have.
pub struct Common {
    settings: Cells<Settings>,
    counters: PerCpuArray<MapData, Raw<Count>>,
}

impl<A: Family> Tables<A> {
    /// Takes the family's maps out of a loaded object and makes them hold what `world` does.
    pub(super) fn fill(ebpf: &mut Ebpf, world: &World<A>) -> Result<Self> {
        surroundings(ebpf, world)?;
        published(ebpf, world)?;
        let mut tables = Self {
            flows: take(ebpf, A::NAMES.flows)?,
            rules: take(ebpf, A::NAMES.rules)?,
            fragments: take(ebpf, A::NAMES.fragments)?,
        };
        for (id, rule) in &*world.rules.borrow() {
            tables.set_rule(*id, *rule)?;
        }
        for (key, flow) in &*world.flows.borrow() {
            tables.set_flow(*key, *flow)?;
        }
        Ok(tables)
    }

    /// Every flow entry.
    pub fn flows(&self) -> Result<BTreeMap<FlowKey<A>, Flow<A>>> {
        let entries = self.flows.iter();
        entries
            .map(|entry| entry.map(|(key, flow)| (key.0, flow.0)))
            .collect::<Result<_, _>>()
            .context("cannot read the flow table")
    }

    /// Sets a flow entry.
    pub fn set_flow(&mut self, key: FlowKey<A>, flow: Flow<A>) -> Result<()> {
        Ok(self.flows.insert(Raw(key), Raw(flow), 0)?)
    }

    /// Removes one flow entry.
    pub fn remove_flow(&mut self, key: &FlowKey<A>) -> Result<()> {
        Ok(self.flows.remove(&Raw(*key))?)
    }

    /// Removes every flow entry.
    pub fn clear_flows(&mut self) -> Result<()> {
        for key in self.flows()?.keys() {
            self.remove_flow(key)?;
        }
        Ok(())
    }

    /// Forgets the ports that the first pieces of datagrams had.
    pub fn forget_fragments(&mut self) -> Result<()> {
        let keys: Vec<_> = self.fragments.keys().collect::<Result<_, _>>()?;
        for key in keys {
            self.fragments.remove(&key)?;
        }
        Ok(())
    }

    /// Sets a rule.
    pub fn set_rule(&mut self, id: RuleId, rule: Rule<A>) -> Result<()> {
        Ok(self.rules.set(id.0, Raw(rule), 0)?)
    }
}

impl Common {
    /// Takes what both families have; it is as `world` has it.
    pub(super) fn fill<A: Family>(ebpf: &mut Ebpf, world: &World<A>) -> Result<Self> {
        let mut limits: Cells<_> = take(ebpf, name::LIMITS)?;
        limits.set(0, Raw(world.limits), 0)?;
        let mut reserved: Array<_, u64> = take(ebpf, name::RESERVED)?;
        for index in 0..u32::try_from(capacity::RESERVED)? {
            let word = world.reserved_word(index);
            if word != 0 {
                reserved.set(index, word, 0)?;
            }
        }
        let mut common = Self {
            settings: take(ebpf, name::SETTINGS)?,
            counters: take(ebpf, name::COUNTERS)?,
        };
        common.set_settings(world.settings)?;
        Ok(common)
    }

    /// Sets the settings.
    pub fn set_settings(&mut self, settings: Settings) -> Result<()> {
        Ok(self.settings.set(0, Raw(settings), 0)?)
    }

    /// What a hook has counted for a reason, on all CPUs.
    pub fn count(&self, hook: Hook, reason: Reason) -> Result<Count> {
        let values = self.counters.get(&hook.counter(reason), 0)?;
        let counts = values.iter().map(|count| count.0);
        Ok(counts.fold(Count::default(), |sum, count| Count {
            packets: sum.packets + count.packets,
            bytes: sum.bytes + count.bytes,
        }))
    }
}

/// Interfaces, networks and addresses.
fn surroundings<A: Family>(ebpf: &mut Ebpf, world: &World<A>) -> Result<()> {
    let mut locals: Hash<A, Local> = take(ebpf, A::NAMES.locals)?;
    for address in &world.locals {
        let local = Local {
            interface: IfIndex(1),
            flags: if world.closed.contains(address) {
                Local::CLOSED
            } else {
                0
            },
        };
        locals.insert(Raw(*address), Raw(local), 0)?;
    }
    let mut interfaces: Hash<_, _> = take(ebpf, A::NAMES.interfaces)?;
    for (index, interface) in &world.interfaces {
        interfaces.insert(Raw(*index), Raw(*interface), 0)?;
    }
    let mut egress: Hash<_, _> = take(ebpf, A::NAMES.egress)?;
    for (place, address) in &world.egress {
        egress.insert(Raw(*place), Raw(*address), 0)?;
    }
    let mut owners: Hash<_, _> = take(ebpf, A::NAMES.owners)?;
    for (address, port) in &world.owners {
        owners.insert(Raw(*address), Raw(*port), 0)?;
    }
    let mut endpoints: Hash<_, _> = take(ebpf, A::NAMES.endpoints)?;
    for (address, endpoint) in &world.endpoints {
        endpoints.insert(Raw(*address), Raw(*endpoint), 0)?;
    }
    let mut networks: LpmTrie<_, _, _> = take(ebpf, A::NAMES.networks)?;
    for (address, length, network) in &world.networks {
        let key = Key::new(*length, Raw(NetworkKey::from(*address)));
        networks.insert(&key, Raw(*network), 0)?;
    }
    Ok(())
}

/// What leads from a port to its rule.
fn published<A: Family>(ebpf: &mut Ebpf, world: &World<A>) -> Result<()> {
    let mut slots: Array<_, u32> = take(ebpf, A::NAMES.slots)?;
    for (index, slot) in &world.slots {
        slots.set(*index, slot.0, 0)?;
    }
    let mut shared: Hash<_, _> = take(ebpf, A::NAMES.shared)?;
    for ((host, port, protocol), id) in &world.shared {
        let key = SharedKey {
            host: *host,
            port: Port(*port),
            protocol: *protocol,
            pad: 0,
        };
        shared.insert(Raw(key), Raw(*id), 0)?;
    }
    let mut allow: LpmTrie<_, _, u8> = take(ebpf, A::NAMES.allow)?;
    for (id, address, length) in &world.allow {
        let key = Key::new(32 + *length, Raw(AllowKey::new(*id, *address)));
        allow.insert(&key, 1, 0)?;
    }
    Ok(())
}

fn take<M>(ebpf: &mut Ebpf, name: &str) -> Result<M>
where
    M: TryFrom<aya::maps::Map, Error = aya::maps::MapError>,
{
    let map = ebpf.take_map(name);
    let map = map.with_context(|| format!("the object has no map {name}; it is of another version"))?;
    M::try_from(map).with_context(|| format!("the object's map {name} is of another kind"))
}
