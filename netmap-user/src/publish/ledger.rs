//! Which rule of a family has which port: the daemon's own copy of the slots.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use netmap_common::maps::{Port, PortSlots, RuleId, SharedKey, Slot, capacity};

use crate::{
    binding::{Binding, Published, Transport},
    maps::Family,
    publish::Owner,
};

/// A slot and how many ports from `first` on have it.
pub(super) type Run = (u32, u32, Slot);

/// Every rule of a family, and the rules at every port.
#[derive(Debug)]
pub(super) struct Ledger<A> {
    rules: BTreeMap<RuleId, Entry<A>>,
    ids: BTreeMap<Published, RuleId>,
    /// One slot a port, as in the kernel.
    slots: Vec<Slot>,
    /// The rules of ports that have several.
    several: BTreeMap<u32, Vec<RuleId>>,
    /// The lowest number that may be free.
    next: u32,
}

/// A binding in the words of its family's tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry<A> {
    /// What is published.
    pub(super) binding: Binding,
    /// Its host address.
    pub(super) host: A,
    /// Its container's.
    pub(super) target: A,
    /// Whose it is.
    pub(super) owner: Owner,
}

/// What is in the way of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Overlap {
    /// What was to be published.
    pub(super) wanted: Published,
    /// What is.
    pub(super) existing: Binding,
    /// And whose that is.
    pub(super) owner: Owner,
}

impl<A: Family> Entry<A> {
    /// `None` for a binding of the other family, or to a container that this one does not reach.
    pub(super) fn new(binding: Binding, owner: Owner) -> Option<Self> {
        Some(Self {
            host: A::from_ip(binding.published.host)?,
            target: A::target(binding.target)?,
            binding,
            owner,
        })
    }
}

impl<A> Default for Ledger<A> {
    fn default() -> Self {
        Self {
            rules: BTreeMap::new(),
            ids: BTreeMap::new(),
            slots: vec![Slot::EMPTY; capacity::SLOTS],
            several: BTreeMap::new(),
            next: 1,
        }
    }
}

impl<A: Family> Ledger<A> {
    pub(super) fn bindings(&self) -> impl Iterator<Item = &Binding> {
        self.rules.values().map(|entry| &entry.binding)
    }

    pub(super) fn every(&self) -> impl Iterator<Item = &Entry<A>> {
        self.rules.values()
    }

    pub(super) fn get(&self, id: RuleId) -> Option<&Entry<A>> {
        self.rules.get(&id)
    }

    /// The same, to be changed in what no table of ports depends on.
    pub(super) fn get_mut(&mut self, id: RuleId) -> Option<&mut Entry<A>> {
        self.rules.get_mut(&id)
    }

    pub(super) fn find(&self, published: &Published) -> Option<RuleId> {
        self.ids.get(published).copied()
    }

    /// Where a published port leads.
    pub(super) fn target(&self, transport: Transport, host: IpAddr, port: u16) -> Option<SocketAddr> {
        let index = PortSlots::index(transport.protocol(), Port(port))?;
        let rules = self.at(index);
        rules
            .iter()
            .filter_map(|id| self.rules.get(id))
            .find_map(|entry| entry.binding.target_of(host, port))
    }

    /// The lowest number that no rule has.
    pub(super) fn free_id(&mut self) -> Option<RuleId> {
        while self.rules.contains_key(&RuleId(self.next)) {
            self.next += 1;
        }
        (usize::try_from(self.next).ok()? < capacity::RULES).then_some(RuleId(self.next))
    }

    /// A rule that a packet could take for `published`.
    pub(super) fn overlapping(&self, published: &Published) -> Option<&Entry<A>> {
        indexes(published).find_map(|index| {
            self.at(index)
                .into_iter()
                .filter_map(|id| self.rules.get(&id))
                .find(|entry| entry.binding.published.overlaps(published))
        })
    }

    /// Every such rule.
    pub(super) fn overlaps(&self, published: &Published) -> Vec<&Entry<A>> {
        let ids: BTreeSet<RuleId> = indexes(published).flat_map(|index| self.at(index)).collect();
        let entries = ids.iter().filter_map(|id| self.rules.get(id));
        entries
            .filter(|entry| entry.binding.published.overlaps(published))
            .collect()
    }

    /// Adds a rule, unless it overlaps with one: then says with which.
    pub(super) fn insert(&mut self, id: RuleId, entry: Entry<A>) -> Result<(), Overlap> {
        let published = entry.binding.published;
        if let Some(existing) = self.overlapping(&published) {
            return Err(Overlap {
                wanted: published,
                existing: existing.binding.clone(),
                owner: existing.owner,
            });
        }
        for index in indexes(&published) {
            let mut rules = self.at(index);
            rules.push(id);
            self.put(index, rules);
        }
        self.ids.insert(published, id);
        self.rules.insert(id, entry);
        Ok(())
    }

    pub(super) fn remove(&mut self, published: &Published) -> Option<(RuleId, Entry<A>)> {
        let id = self.ids.remove(published)?;
        for index in indexes(published) {
            let mut rules = self.at(index);
            rules.retain(|other| *other != id);
            self.put(index, rules);
        }
        self.next = self.next.min(id.0);
        self.rules.remove(&id).map(|entry| (id, entry))
    }

    /// The slots of a range, as few writes as possible.
    pub(super) fn runs(&self, published: &Published) -> Vec<Run> {
        runs(indexes(published).filter_map(|index| Some((index, self.slot(index)?))))
    }

    /// The slots in which the kernel's differ.
    pub(super) fn differences(&self, kernel: &[Slot]) -> Vec<Run> {
        let ours = (0u32..).zip(&self.slots);
        runs(
            ours.zip(kernel)
                .filter(|((_, ours), kernel)| *ours != *kernel)
                .map(|((index, slot), _)| (index, *slot)),
        )
    }

    /// The entries that the shared ports of a range need, those of other rules there included.
    pub(super) fn shared_of(&self, published: &Published) -> BTreeMap<SharedKey<A>, RuleId> {
        if self.several.is_empty() {
            return BTreeMap::new();
        }
        self.entries(indexes(published).filter(|index| self.several.contains_key(index)))
    }

    /// Every entry of shared ports.
    pub(super) fn shared(&self) -> BTreeMap<SharedKey<A>, RuleId> {
        self.entries(self.several.keys().copied())
    }

    fn entries(&self, indexes: impl Iterator<Item = u32>) -> BTreeMap<SharedKey<A>, RuleId> {
        let rules = indexes.flat_map(|index| self.at(index).into_iter().map(move |id| (index, id)));
        rules
            .filter_map(|(index, id)| {
                let Entry { binding, host, .. } = self.rules.get(&id)?;
                let port = Port(u16::try_from(index % 65_536).ok()?);
                let protocol = binding.published.transport.protocol().number();
                Some((
                    SharedKey {
                        host: *host,
                        port,
                        protocol,
                        pad: 0,
                    },
                    id,
                ))
            })
            .collect()
    }

    fn slot(&self, index: u32) -> Option<Slot> {
        self.slots.get(usize::try_from(index).ok()?).copied()
    }

    fn at(&self, index: u32) -> Vec<RuleId> {
        match self.slot(index) {
            None | Some(Slot::EMPTY) => Vec::new(),
            Some(Slot::SHARED) => self.several.get(&index).cloned().unwrap_or_default(),
            Some(Slot(id)) => vec![RuleId(id)],
        }
    }

    fn put(&mut self, index: u32, rules: Vec<RuleId>) {
        let slot = match rules.as_slice() {
            [] => Slot::EMPTY,
            [only] => Slot::from(*only),
            _ => Slot::SHARED,
        };
        if slot == Slot::SHARED {
            self.several.insert(index, rules);
        } else {
            self.several.remove(&index);
        }
        if let Some(place) = usize::try_from(index)
            .ok()
            .and_then(|index| self.slots.get_mut(index))
        {
            *place = slot;
        }
    }
}

fn indexes(published: &Published) -> impl Iterator<Item = u32> {
    let protocol = published.transport.protocol();
    published
        .ports
        .iter()
        .filter_map(move |port| PortSlots::index(protocol, Port(port)))
}

fn runs(slots: impl Iterator<Item = (u32, Slot)>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (index, slot) in slots {
        match runs.last_mut() {
            Some((first, count, last)) if *first + *count == index && *last == slot => *count += 1,
            _ => runs.push((index, 1, slot)),
        }
    }
    runs
}

#[cfg(test)]
mod tests;
