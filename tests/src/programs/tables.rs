//! The programs' maps. aya's marker for keys and values cannot be given to other crates' types, so they go there as
//! the bytes that they are.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{Array, HashMap, LpmTrie, MapData, PerCpuArray, lpm_trie::Key},
};
use bytemuck::{Pod, cast};
use netmap_common::{
    maps::{
        AllowKey, Count, Endpoint, Flow, FlowKey, Hook, Interface, Limits, Network, NetworkKey, Port, Reason,
        Rule, RuleId, Settings, SharedKey, capacity, name,
    },
    nat::{Env as _, testing::World},
};

type Hash<const K: usize, const V: usize> = HashMap<MapData, [u8; K], [u8; V]>;
type Cells<const V: usize> = Array<MapData, [u8; V]>;

const FLOW_KEY: usize = size_of::<FlowKey>();
const FLOW: usize = size_of::<Flow>();
const RULE: usize = size_of::<Rule>();
const SETTINGS: usize = size_of::<Settings>();
const COUNT: usize = size_of::<Count>();

/// The maps that change while programs run.
pub struct Tables {
    flows: Hash<FLOW_KEY, FLOW>,
    rules: Cells<RULE>,
    settings: Cells<SETTINGS>,
    counters: PerCpuArray<MapData, [u8; COUNT]>,
}

impl Tables {
    /// Takes the maps out of a loaded object and makes them hold what `world` does.
    pub(super) fn fill(ebpf: &mut Ebpf, world: &World) -> Result<Self> {
        surroundings(ebpf, world)?;
        published(ebpf, world)?;
        let mut limits: Cells<{ size_of::<Limits>() }> = take(ebpf, name::LIMITS)?;
        limits.set(0, cast::<_, [u8; size_of::<Limits>()]>(world.limits), 0)?;
        let mut tables = Self {
            flows: take(ebpf, name::FLOWS)?,
            rules: take(ebpf, name::RULES)?,
            settings: take(ebpf, name::SETTINGS)?,
            counters: take(ebpf, name::COUNTERS)?,
        };
        tables.set_settings(world.settings)?;
        for (id, rule) in &*world.rules.borrow() {
            tables.set_rule(*id, *rule)?;
        }
        for (key, flow) in &*world.flows.borrow() {
            tables.set_flow(*key, *flow)?;
        }
        Ok(tables)
    }

    /// Every flow entry.
    pub fn flows(&self) -> Result<BTreeMap<FlowKey, Flow>> {
        let entries = self.flows.iter();
        entries
            .map(|entry| entry.map(|(key, flow)| (cast(key), cast(flow))))
            .collect::<Result<_, _>>()
            .context("cannot read the flow table")
    }

    /// Sets a flow entry.
    pub fn set_flow(&mut self, key: FlowKey, flow: Flow) -> Result<()> {
        Ok(self
            .flows
            .insert(cast::<_, [u8; FLOW_KEY]>(key), cast::<_, [u8; FLOW]>(flow), 0)?)
    }

    /// Removes one flow entry.
    pub fn remove_flow(&mut self, key: &FlowKey) -> Result<()> {
        Ok(self.flows.remove(&cast(*key))?)
    }

    /// Removes every flow entry.
    pub fn clear_flows(&mut self) -> Result<()> {
        for key in self.flows()?.keys() {
            self.remove_flow(key)?;
        }
        Ok(())
    }

    /// Sets a rule.
    pub fn set_rule(&mut self, id: RuleId, rule: Rule) -> Result<()> {
        Ok(self.rules.set(id.0, cast::<_, [u8; RULE]>(rule), 0)?)
    }

    /// Sets the settings.
    pub fn set_settings(&mut self, settings: Settings) -> Result<()> {
        Ok(self.settings.set(0, cast::<_, [u8; SETTINGS]>(settings), 0)?)
    }

    /// What a hook has counted for a reason, on all CPUs.
    pub fn count(&self, hook: Hook, reason: Reason) -> Result<Count> {
        let values = self.counters.get(&hook.counter(reason), 0)?;
        let counts = values.iter().map(|bytes| cast::<_, Count>(*bytes));
        Ok(counts.fold(Count::default(), |sum, count| Count {
            packets: sum.packets + count.packets,
            bytes: sum.bytes + count.bytes,
        }))
    }
}

/// Interfaces, networks and addresses.
fn surroundings(ebpf: &mut Ebpf, world: &World) -> Result<()> {
    let mut locals: Hash<4, 4> = take(ebpf, name::LOCALS)?;
    for address in &world.locals {
        put(&mut locals, *address, 1_u32)?;
    }
    let mut interfaces: Hash<4, { size_of::<Interface>() }> = take(ebpf, name::INTERFACES)?;
    for (index, interface) in &world.interfaces {
        put(&mut interfaces, *index, *interface)?;
    }
    let mut endpoints: Hash<4, { size_of::<Endpoint>() }> = take(ebpf, name::ENDPOINTS)?;
    for (address, endpoint) in &world.endpoints {
        put(&mut endpoints, *address, *endpoint)?;
    }
    let mut networks: LpmTrie<_, [u8; 4], [u8; size_of::<Network>()]> = take(ebpf, name::NETWORKS)?;
    for (address, length, network) in &world.networks {
        let key = Key::new(*length, cast(NetworkKey::from(*address)));
        networks.insert(&key, cast::<_, [u8; size_of::<Network>()]>(*network), 0)?;
    }
    let mut reserved: Array<_, u64> = take(ebpf, name::RESERVED)?;
    for index in 0..u32::try_from(capacity::RESERVED)? {
        let word = world.reserved_word(index);
        if word != 0 {
            reserved.set(index, word, 0)?;
        }
    }
    Ok(())
}

/// What leads from a port to its rule.
fn published(ebpf: &mut Ebpf, world: &World) -> Result<()> {
    let mut slots: Array<_, u32> = take(ebpf, name::SLOTS)?;
    for (index, slot) in &world.slots {
        slots.set(*index, slot.0, 0)?;
    }
    let mut shared: Hash<{ size_of::<SharedKey>() }, 4> = take(ebpf, name::SHARED)?;
    for ((host, port, protocol), id) in &world.shared {
        let key = SharedKey {
            host: *host,
            port: Port(*port),
            protocol: *protocol,
            pad: 0,
        };
        put(&mut shared, key, *id)?;
    }
    let mut allow: LpmTrie<_, [u8; 8], u8> = take(ebpf, name::ALLOW)?;
    for (id, address, length) in &world.allow {
        let key = Key::new(32 + *length, cast(AllowKey::new(*id, *address)));
        allow.insert(&key, 1, 0)?;
    }
    Ok(())
}

fn put<const K: usize, const V: usize>(map: &mut Hash<K, V>, key: impl Pod, value: impl Pod) -> Result<()> {
    Ok(map.insert(cast::<_, [u8; K]>(key), cast::<_, [u8; V]>(value), 0)?)
}

fn take<M>(ebpf: &mut Ebpf, name: &str) -> Result<M>
where
    M: TryFrom<aya::maps::Map, Error = aya::maps::MapError>,
{
    let map = ebpf.take_map(name);
    let map = map.with_context(|| format!("the object has no map {name}; it is of another version"))?;
    M::try_from(map).with_context(|| format!("the object's map {name} is of another kind"))
}
