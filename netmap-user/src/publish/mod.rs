//! Turns bindings into map entries: what is published, what collides, and in which order the kernel learns of it.
//!
//! A range is one rule, whatever its length: its ports' slots all name it. The kernel sees a rule before any slot
//! that names it, and its slots cleared before its number means something else, so that a packet finds the whole rule
//! or none. The rules in the kernel are the only record: a new daemon reads them back.

mod ledger;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use ipnet::{IpNet, Ipv4Net};
use netmap_common::maps::{Port, Protocol, Rule, RuleId, SharedKey, Slot, capacity};

use self::ledger::Ledger;
use crate::{
    binding::{Binding, PortSpan, Published, Transport},
    maps::{self, Maps, MapsError},
};

/// Why something is not published, or not taken back.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Another rule has one of the ports.
    #[error("{wanted} overlaps with {existing}, which is published already")]
    Overlap {
        /// What was to be published.
        wanted: Published,
        /// What is.
        existing: Box<Binding>,
    },
    /// Nothing is published there.
    #[error("{0} is not published")]
    NotPublished(Published),
    /// Only a part of it, or more than it.
    #[error("{wanted} is not published as such; it is a part of, or contains, {existing}: name that one")]
    Partly {
        /// What was to be taken back.
        wanted: Published,
        /// What is published.
        existing: Box<Binding>,
    },
    /// No number is free.
    #[error("too many rules: {} are published, the most that there can be", capacity::RULES - 1)]
    Full,
    /// The kernel refused.
    #[error(transparent)]
    Maps(#[from] MapsError),
}

/// What is published.
#[derive(Debug, Default)]
pub struct Publisher {
    ledger: Ledger,
}

impl Publisher {
    /// Takes over what the kernel has, and mends what a daemon that was killed left half done.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with; [`PublishError::Overlap`] when the rules contradict each other, which no daemon wrote.
    pub fn adopt(maps: &mut Maps) -> Result<Self, PublishError> {
        let mut allow: BTreeMap<RuleId, Vec<IpNet>> = BTreeMap::new();
        for (id, sources) in maps.v4.allow.all()? {
            allow.entry(id).or_default().push(sources.into());
        }
        let mut publisher = Self::default();
        let mut wanted = BTreeSet::new();
        for (id, rule) in maps.v4.rules.live()? {
            let Some(binding) = binding(&rule, allow.remove(&id).unwrap_or_default()) else {
                continue;
            };
            wanted.extend(sources(&binding).map(|sources| (id, sources)));
            publisher
                .ledger
                .insert(id, binding)
                .map_err(PublishError::from_overlap)?;
        }
        maps.v4.allow.replace(&wanted)?;
        maps.v4.shared.replace(&publisher.ledger.shared())?;
        let slots = maps.v4.slots.all()?;
        for (first, count, slot) in publisher.ledger.differences(&slots) {
            maps.v4.slots.set_slots(first, count, slot)?;
        }
        Ok(publisher)
    }

    /// Every binding that is published.
    pub fn bindings(&self) -> impl Iterator<Item = &Binding> {
        self.ledger.bindings()
    }

    /// The container's address and port behind a published one.
    pub fn target(&self, transport: Transport, host: IpAddr, port: u16) -> Option<SocketAddr> {
        self.ledger.target(transport, host, port)
    }

    /// Whether all of them could be published now, one beside the other.
    ///
    /// # Errors
    ///
    /// [`PublishError::Overlap`] and [`PublishError::Full`], as [`Publisher::publish`].
    pub fn check(&mut self, bindings: &[Binding]) -> Result<(), PublishError> {
        let entered = self.enter(bindings)?;
        self.strike(&entered);
        Ok(())
    }

    /// Publishes all of them or none.
    ///
    /// # Errors
    ///
    /// [`PublishError::Overlap`], [`PublishError::Full`], or what bpf(2) fails with.
    pub fn publish(&mut self, maps: &mut Maps, bindings: &[Binding]) -> Result<(), PublishError> {
        let entered = self.enter(bindings)?;
        for (done, (id, binding)) in entered.iter().zip(bindings).enumerate() {
            let Err(error) = self.write(maps, *id, binding) else {
                continue;
            };
            // What is in the kernel already goes again, the one that failed included; the first error is the one to tell.
            for binding in bindings.iter().take(done + 1) {
                self.take_back(maps, &binding.published).unwrap_or_else(|error| {
                    tracing::warn!("{binding} is half published until netmap is restarted: {error}");
                    None
                });
            }
            self.strike(&entered);
            return Err(error);
        }
        Ok(())
    }

    /// Whether each of them is published as such.
    ///
    /// # Errors
    ///
    /// [`PublishError::NotPublished`], [`PublishError::Partly`].
    pub fn check_published(&self, published: &[Published]) -> Result<(), PublishError> {
        for wanted in published {
            if self.ledger.find(wanted).is_none() {
                return Err(match self.ledger.overlapping(wanted) {
                    None => PublishError::NotPublished(*wanted),
                    Some(existing) => PublishError::Partly {
                        wanted: *wanted,
                        existing: Box::new(existing.clone()),
                    },
                });
            }
        }
        Ok(())
    }

    /// Says whether the socket hooks leave the ports of a rule to another program of this host.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn set_yields(
        &self,
        maps: &mut Maps,
        published: &Published,
        yields: bool,
    ) -> Result<(), PublishError> {
        let Some(id) = self.ledger.find(published) else {
            return Ok(());
        };
        let rule = maps.v4.rules.get(id)?;
        let flags = if yields {
            rule.flags | Rule::YIELDS
        } else {
            rule.flags & !Rule::YIELDS
        };
        if flags != rule.flags {
            maps.v4.rules.set(id, Rule { flags, ..rule })?;
        }
        Ok(())
    }

    /// Takes all of them back or none; returns what they were.
    ///
    /// # Errors
    ///
    /// [`PublishError::NotPublished`], [`PublishError::Partly`], or what bpf(2) fails with.
    pub fn unpublish(
        &mut self,
        maps: &mut Maps,
        published: &[Published],
    ) -> Result<Vec<Binding>, PublishError> {
        self.check_published(published)?;
        let mut removed = Vec::new();
        for wanted in published {
            removed.extend(self.take_back(maps, wanted)?);
        }
        Ok(removed)
    }

    fn enter(&mut self, bindings: &[Binding]) -> Result<Vec<RuleId>, PublishError> {
        let mut entered = Vec::with_capacity(bindings.len());
        for binding in bindings {
            let refused = match self.ledger.free_id() {
                None => PublishError::Full,
                Some(id) => match self.ledger.insert(id, binding.clone()) {
                    Ok(()) => {
                        entered.push(id);
                        continue;
                    }
                    Err(overlap) => PublishError::from_overlap(overlap),
                },
            };
            self.strike(&entered);
            return Err(refused);
        }
        Ok(entered)
    }

    fn strike(&mut self, entered: &[RuleId]) {
        for id in entered {
            if let Some(published) = self.ledger.get(*id).map(|binding| binding.published) {
                self.ledger.remove(&published);
            }
        }
    }

    fn write(&self, maps: &mut Maps, id: RuleId, binding: &Binding) -> Result<(), PublishError> {
        for sources in sources(binding) {
            maps.v4.allow.insert(id, sources)?;
        }
        let generation = maps.v4.rules.get(id)?.generation;
        let Published {
            host,
            ports,
            transport,
        } = binding.published;
        let (IpAddr::V4(host), IpAddr::V4(target)) = (host, binding.target) else {
            return Err(PublishError::NotPublished(binding.published));
        };
        maps.v4.rules.set(
            id,
            Rule {
                host: host.into(),
                target: target.into(),
                host_port: Port(ports.first()),
                target_port: Port(binding.target_ports.first()),
                length: ports.len(),
                protocol: transport.protocol().number(),
                flags: if binding.allow.is_empty() {
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

    fn take_back(&mut self, maps: &mut Maps, published: &Published) -> Result<Option<Binding>, PublishError> {
        let shared = self.ledger.shared_of(published);
        let Some((id, binding)) = self.ledger.remove(published) else {
            return Ok(None);
        };
        if let Err(error) = self.erase(maps, id, &binding, shared.into_keys()) {
            // What the kernel still has must be there to be taken back again.
            self.ledger
                .insert(id, binding)
                .map_err(PublishError::from_overlap)?;
            return Err(error);
        }
        Ok(Some(binding))
    }

    /// Takes a rule that the ledger has struck out of the kernel; `shared` are the entries that its ports had.
    fn erase(
        &self,
        maps: &mut Maps,
        id: RuleId,
        binding: &Binding,
        shared: impl Iterator<Item = SharedKey>,
    ) -> Result<(), PublishError> {
        self.write_slots(maps, &binding.published)?;
        let still_shared = self.ledger.shared_of(&binding.published);
        for key in shared.filter(|key| !still_shared.contains_key(key)) {
            maps.v4.shared.remove(&key)?;
        }
        let mut generation = maps.v4.rules.get(id)?.generation;
        generation.0 = generation.0.wrapping_add(1);
        let free = Rule {
            generation,
            ..Rule::default()
        };
        maps.v4.rules.set(id, free)?;
        for sources in sources(binding) {
            maps.v4.allow.remove(id, sources)?;
        }
        Ok(())
    }

    /// Brings the slots of a range to what the ledger says; the entries that slots point to exist before them.
    fn write_slots(&self, maps: &mut Maps, published: &Published) -> Result<(), PublishError> {
        for (key, id) in self.ledger.shared_of(published) {
            maps.v4.shared.insert(key, id)?;
        }
        for (first, count, slot) in self.ledger.runs(published) {
            maps.v4.slots.set_slots(first, count, slot)?;
        }
        Ok(())
    }
}

impl PublishError {
    fn from_overlap((wanted, existing): (Published, Binding)) -> Self {
        Self::Overlap {
            wanted,
            existing: Box::new(existing),
        }
    }
}

/// The IPv4 sources of an allow-list.
fn sources(binding: &Binding) -> impl Iterator<Item = Ipv4Net> {
    binding.allow.iter().filter_map(|sources| match sources {
        IpNet::V4(sources) => Some(*sources),
        IpNet::V6(_) => None,
    })
}

/// The binding that a rule was made from; `None` for bytes that no daemon wrote.
fn binding(rule: &Rule, allow: Vec<IpNet>) -> Option<Binding> {
    let transport = match Protocol::from_number(rule.protocol)? {
        Protocol::Tcp => Transport::Tcp,
        Protocol::Udp => Transport::Udp,
        Protocol::Icmp => return None,
    };
    let span = |first: Port| {
        let last = first.0.checked_add(rule.length.checked_sub(1)?)?;
        PortSpan::new(first.0, last).ok()
    };
    Some(Binding {
        published: Published {
            host: rule.host.into(),
            ports: span(rule.host_port)?,
            transport,
        },
        target: rule.target.into(),
        target_ports: span(rule.target_port)?,
        allow,
    })
}

/// A slot and how many ports from `first` on have it.
type Run = (u32, u32, Slot);
