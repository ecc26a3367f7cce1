//! One family's rules, in the daemon's memory and in the kernel, and the order in which the kernel learns of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use ipnet::IpNet;
use netmap_common::maps::{Port, Protocol, Rule, RuleId, SharedKey};

use super::{
    Owner, PublishError,
    ledger::{Entry, Ledger},
};
use crate::{
    binding::{Binding, PortSpan, Published, Transport, nobody},
    maps::{self, Family, FamilyMaps, Subnet as _},
};

/// What is published in one family.
#[derive(Debug)]
pub(super) struct Writer<A> {
    ledger: Ledger<A>,
}

impl<A> Default for Writer<A> {
    fn default() -> Self {
        Self {
            ledger: Ledger::default(),
        }
    }
}

impl<A: Family> Writer<A> {
    /// Takes over what the kernel has, and mends what a daemon that was killed left half done.
    pub(super) fn adopt(maps: &mut FamilyMaps<A>) -> Result<Self, PublishError> {
        let mut allow: BTreeMap<RuleId, Vec<A::Net>> = BTreeMap::new();
        for (id, sources) in maps.allow.all()? {
            allow.entry(id).or_default().push(sources);
        }
        let mut writer = Self::default();
        let mut wanted = BTreeSet::new();
        for (id, rule) in maps.rules.live()? {
            let sources = allow.remove(&id).unwrap_or_default();
            let Some(entry) =
                binding(&rule, &sources).and_then(|binding| Entry::new(binding, Owner::of(rule.flags)))
            else {
                continue;
            };
            wanted.extend(sources.into_iter().map(|sources| (id, sources)));
            writer
                .ledger
                .insert(id, entry)
                .map_err(PublishError::from_overlap)?;
        }
        maps.allow.replace(&wanted)?;
        maps.shared.replace(&writer.ledger.shared())?;
        let slots = maps.slots.all()?;
        for (first, count, slot) in writer.ledger.differences(&slots) {
            maps.slots.set_slots(first, count, slot)?;
        }
        Ok(writer)
    }

    pub(super) fn bindings(&self) -> impl Iterator<Item = &Binding> {
        self.ledger.bindings()
    }

    pub(super) fn target(&self, transport: Transport, host: IpAddr, port: u16) -> Option<SocketAddr> {
        self.ledger.target(transport, host, port)
    }

    /// Every binding, and whose it is.
    pub(super) fn owned(&self) -> impl Iterator<Item = (&Binding, Owner)> {
        self.ledger.every().map(owned)
    }

    /// The rule with exactly this published side.
    pub(super) fn get(&self, published: &Published) -> Option<(&Binding, Owner)> {
        self.ledger.get(self.ledger.find(published)?).map(owned)
    }

    /// A rule that a packet could take for `published`.
    pub(super) fn overlapping(&self, published: &Published) -> Option<(&Binding, Owner)> {
        self.ledger.overlapping(published).map(owned)
    }

    /// Every such rule.
    pub(super) fn overlaps(&self, published: &Published) -> Vec<(&Binding, Owner)> {
        self.ledger.overlaps(published).into_iter().map(owned).collect()
    }

    /// Gives a binding a number; the kernel learns of it by [`Writer::write`].
    pub(super) fn enter(&mut self, binding: &Binding, owner: Owner) -> Result<RuleId, PublishError> {
        let Some(entry) = Entry::new(binding.clone(), owner) else {
            return Err(PublishError::Unreachable(Box::new(binding.clone())));
        };
        let id = self.ledger.free_id().ok_or(PublishError::Full)?;
        self.ledger
            .insert(id, entry)
            .map_err(PublishError::from_overlap)?;
        Ok(id)
    }

    /// Forgets what was entered.
    pub(super) fn strike(&mut self, published: &Published) {
        self.ledger.remove(published);
    }

    /// Tells the kernel of a rule that was entered: the rule before any slot that names it.
    pub(super) fn write(&self, maps: &mut FamilyMaps<A>, id: RuleId) -> Result<(), PublishError> {
        let Some(Entry {
            binding,
            host,
            target,
            owner,
        }) = self.ledger.get(id)
        else {
            return Ok(());
        };
        for sources in sources::<A>(binding) {
            maps.allow.insert(id, sources)?;
        }
        let generation = maps.rules.get(id)?.generation;
        let Published { ports, transport, .. } = binding.published;
        maps.rules.set(
            id,
            Rule {
                host: *host,
                target: *target,
                host_port: Port(ports.first()),
                target_port: Port(binding.target_ports.first()),
                length: ports.len(),
                protocol: transport.protocol().number(),
                flags: owner.flags()
                    | if binding.allow.is_empty() {
                        Rule::LIVE
                    } else {
                        Rule::LIVE | Rule::ALLOW_LIST
                    },
                generation,
                since: maps::now(),
            },
        )?;
        self.write_slots(maps, &binding.published)
    }

    /// Says whether the socket hooks leave the ports of a rule to another program of this host.
    pub(super) fn set_yields(
        &self,
        maps: &mut FamilyMaps<A>,
        published: &Published,
        yields: bool,
    ) -> Result<(), PublishError> {
        let Some(id) = self.ledger.find(published) else {
            return Ok(());
        };
        let rule = maps.rules.get(id)?;
        let flags = if yields {
            rule.flags | Rule::YIELDS
        } else {
            rule.flags & !Rule::YIELDS
        };
        if flags != rule.flags {
            maps.rules.set(id, Rule { flags, ..rule })?;
        }
        Ok(())
    }

    /// Gives a rule to another owner.
    pub(super) fn set_owner(
        &mut self,
        maps: &mut FamilyMaps<A>,
        published: &Published,
        owner: Owner,
    ) -> Result<(), PublishError> {
        let Some(id) = self.ledger.find(published) else {
            return Ok(());
        };
        let rule = maps.rules.get(id)?;
        let flags = rule.flags & !(Rule::ENGINE | Rule::UNCLAIMED) | owner.flags();
        if flags != rule.flags {
            maps.rules.set(id, Rule { flags, ..rule })?;
        }
        if let Some(entry) = self.ledger.get_mut(id) {
            entry.owner = owner;
        }
        Ok(())
    }

    /// Takes a rule out of the kernel and forgets it; what the kernel keeps stays known.
    pub(super) fn take_back(
        &mut self,
        maps: &mut FamilyMaps<A>,
        published: &Published,
    ) -> Result<Option<Binding>, PublishError> {
        let shared = self.ledger.shared_of(published);
        let Some((id, entry)) = self.ledger.remove(published) else {
            return Ok(None);
        };
        if let Err(error) = self.erase(maps, id, &entry.binding, shared.into_keys()) {
            // What the kernel still has must be there to be taken back again.
            self.ledger
                .insert(id, entry)
                .map_err(PublishError::from_overlap)?;
            return Err(error);
        }
        Ok(Some(entry.binding))
    }

    /// Takes a rule that the ledger has struck out of the kernel; `shared` are the entries that its ports had.
    fn erase(
        &self,
        maps: &mut FamilyMaps<A>,
        id: RuleId,
        binding: &Binding,
        shared: impl Iterator<Item = SharedKey<A>>,
    ) -> Result<(), PublishError> {
        self.write_slots(maps, &binding.published)?;
        let still_shared = self.ledger.shared_of(&binding.published);
        for key in shared.filter(|key| !still_shared.contains_key(key)) {
            maps.shared.remove(&key)?;
        }
        let mut generation = maps.rules.get(id)?.generation;
        generation.0 = generation.0.wrapping_add(1);
        let free = Rule {
            generation,
            ..Rule::default()
        };
        maps.rules.set(id, free)?;
        for sources in sources::<A>(binding) {
            maps.allow.remove(id, sources)?;
        }
        Ok(())
    }

    /// Brings the slots of a range to what the ledger says; the entries that slots point to exist before them.
    fn write_slots(&self, maps: &mut FamilyMaps<A>, published: &Published) -> Result<(), PublishError> {
        for (key, id) in self.ledger.shared_of(published) {
            maps.shared.insert(key, id)?;
        }
        for (first, count, slot) in self.ledger.runs(published) {
            maps.slots.set_slots(first, count, slot)?;
        }
        Ok(())
    }
}

fn owned<A>(entry: &Entry<A>) -> (&Binding, Owner) {
    (&entry.binding, entry.owner)
}

/// The entries of a binding's allow-list: none for one that admits nobody, whose rule has the flag alone.
fn sources<A: Family>(binding: &Binding) -> impl Iterator<Item = A::Net> {
    let nobody = nobody(binding.published.host);
    let sources = binding.allow.iter().filter(move |source| **source != nobody);
    sources.filter_map(|source| A::Net::of(*source))
}

/// The sources of a rule with these entries, as [`Binding::allow`] has them.
pub(crate) fn allow_of<A: Family>(rule: &Rule<A>, sources: &[A::Net]) -> Vec<IpNet> {
    // An empty list would admit everybody.
    if rule.has_allow_list() && sources.is_empty() {
        return vec![nobody(rule.host.into())];
    }
    sources.iter().map(|sources| (*sources).into()).collect()
}

/// The binding that a rule was made from; `None` for bytes that no daemon wrote.
fn binding<A: Family>(rule: &Rule<A>, sources: &[A::Net]) -> Option<Binding> {
    let transport = match Protocol::from_number(rule.protocol)? {
        Protocol::Tcp => Transport::Tcp,
        Protocol::Udp => Transport::Udp,
        Protocol::Icmp => return None,
    };
    let span = |first: Port| {
        let last = first.0.checked_add(rule.length.checked_sub(1)?)?;
        PortSpan::new(first.0, last).ok()
    };
    let target: IpAddr = rule.target.into();
    Some(Binding {
        published: Published {
            host: rule.host.into(),
            ports: span(rule.host_port)?,
            transport,
        },
        target: target.to_canonical(),
        target_ports: span(rule.target_port)?,
        allow: allow_of(rule, sources),
    })
}
