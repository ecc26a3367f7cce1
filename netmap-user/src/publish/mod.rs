//! Turns bindings into map entries: what is published, what collides, and in which order the kernel learns of it.
//!
//! A range is one rule, whatever its length: its ports' slots all name it. The kernel sees a rule before any slot
//! that names it, and its slots cleared before its number means something else, so that a packet finds the whole rule
//! or none. The rules in the kernel are the only record: a new daemon reads them back.
//!
//! Each family has tables and numbers of its own (`writer` is one code for both), and a rule of one never collides
//! with one of the other; what is published together is published in both or in none.

mod ledger;
mod owner;
mod writer;

use std::net::{IpAddr, SocketAddr};

use netmap_common::maps::{Address, Address6, RuleId, capacity};

pub use self::owner::Owner;
pub(crate) use self::writer::allow_of;
use self::{ledger::Overlap, writer::Writer};
use crate::{
    binding::{Binding, HostPorts, Published, Transport},
    maps::{Maps, MapsError},
};

/// Why something is not published, or not taken back.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Another rule has one of the ports.
    #[error("{wanted} overlaps with {existing}, which is published already{}", by(*owner))]
    Overlap {
        /// What was to be published.
        wanted: Published,
        /// What is.
        existing: Box<Binding>,
        /// Whose that is.
        owner: Owner,
    },
    /// Nothing is published there.
    #[error("{0} is not published")]
    NotPublished(HostPorts),
    /// Only a part of it, or more than it.
    #[error("{wanted} is not published as such; it is a part of, or contains, {existing}: name that one")]
    Partly {
        /// What was to be taken back.
        wanted: HostPorts,
        /// What is published.
        existing: Box<Binding>,
    },
    /// Nothing carries IPv4 to an IPv6 address.
    #[error("{0} cannot be published: its container has no address of that family")]
    Unreachable(Box<Binding>),
    /// No number is free.
    #[error("too many rules: {} of one family are published, the most that there can be", capacity::RULES - 1)]
    Full,
    /// The kernel refused.
    #[error(transparent)]
    Maps(#[from] MapsError),
}

/// What is published.
#[derive(Debug, Default)]
pub struct Publisher {
    v4: Writer<Address>,
    v6: Writer<Address6>,
}

impl Publisher {
    /// Takes over what the kernel has, and mends what a daemon that was killed left half done.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with; [`PublishError::Overlap`] when the rules contradict each other, which no daemon wrote.
    pub fn adopt(maps: &mut Maps) -> Result<Self, PublishError> {
        Ok(Self {
            v4: Writer::adopt(&mut maps.v4)?,
            v6: Writer::adopt(&mut maps.v6)?,
        })
    }

    /// Every binding that is published.
    pub fn bindings(&self) -> impl Iterator<Item = &Binding> {
        self.v4.bindings().chain(self.v6.bindings())
    }

    /// The container's address and port behind a published one.
    pub fn target(&self, transport: Transport, host: IpAddr, port: u16) -> Option<SocketAddr> {
        match host {
            IpAddr::V4(_) => self.v4.target(transport, host, port),
            IpAddr::V6(_) => self.v6.target(transport, host, port),
        }
    }

    /// The rule with exactly this published side, and whose it is.
    pub fn get(&self, published: &Published) -> Option<(&Binding, Owner)> {
        match published.host {
            IpAddr::V4(_) => self.v4.get(published),
            IpAddr::V6(_) => self.v6.get(published),
        }
    }

    /// A rule that a packet could take for `published`, and whose it is.
    pub fn overlapping(&self, published: &Published) -> Option<(&Binding, Owner)> {
        match published.host {
            IpAddr::V4(_) => self.v4.overlapping(published),
            IpAddr::V6(_) => self.v6.overlapping(published),
        }
    }

    /// Every rule that a packet could take for `published`, and whose it is.
    pub fn overlaps(&self, published: &Published) -> Vec<(&Binding, Owner)> {
        match published.host {
            IpAddr::V4(_) => self.v4.overlaps(published),
            IpAddr::V6(_) => self.v6.overlaps(published),
        }
    }

    /// The bindings of the engine's, and whether somebody of it stands for each.
    pub fn of_docker(&self) -> impl Iterator<Item = (&Binding, bool)> {
        let owned = self.v4.owned().chain(self.v6.owned());
        owned.filter_map(|(binding, owner)| match owner {
            Owner::Docker { claimed } => Some((binding, claimed)),
            Owner::Operator => None,
        })
    }

    /// The bindings of the operator's.
    pub fn of_operator(&self) -> impl Iterator<Item = &Binding> {
        let owned = self.v4.owned().chain(self.v6.owned());
        owned.filter_map(|(binding, owner)| (owner == Owner::Operator).then_some(binding))
    }

    /// Whether all of them could be published now, one beside the other.
    ///
    /// # Errors
    ///
    /// [`PublishError::Overlap`] and [`PublishError::Full`], as [`Publisher::publish`].
    pub fn check(&mut self, bindings: &[Binding]) -> Result<(), PublishError> {
        self.enter(bindings, Owner::Operator)?;
        self.strike(bindings);
        Ok(())
    }

    /// Publishes all of them or none.
    ///
    /// # Errors
    ///
    /// [`PublishError::Overlap`], [`PublishError::Full`], or what bpf(2) fails with.
    pub fn publish(
        &mut self,
        maps: &mut Maps,
        bindings: &[Binding],
        owner: Owner,
    ) -> Result<(), PublishError> {
        let entered = self.enter(bindings, owner)?;
        for (done, (id, binding)) in entered.into_iter().zip(bindings).enumerate() {
            let Err(error) = self.write(maps, id, binding) else {
                continue;
            };
            // What is in the kernel already goes again, the one that failed included; the first error is the one to tell.
            for binding in bindings.iter().take(done + 1) {
                self.take_back(maps, &binding.published).unwrap_or_else(|error| {
                    tracing::warn!("{binding} is half published until netmap is restarted: {error}");
                    None
                });
            }
            self.strike(bindings);
            return Err(error);
        }
        Ok(())
    }

    /// The published sides that `names` stand for: each of them is published as such.
    ///
    /// # Errors
    ///
    /// [`PublishError::NotPublished`], [`PublishError::Partly`].
    pub fn resolve(&self, names: &[HostPorts]) -> Result<Vec<Published>, PublishError> {
        let mut resolved = Vec::with_capacity(names.len());
        for wanted in names {
            let known = resolved.len();
            resolved.extend(wanted.sides().filter(|side| self.is_published(side)));
            if resolved.len() > known {
                continue;
            }
            let existing = wanted.sides().find_map(|side| self.overlapping(&side));
            return Err(match existing {
                None => PublishError::NotPublished(*wanted),
                Some((existing, _)) => PublishError::Partly {
                    wanted: *wanted,
                    existing: Box::new(existing.clone()),
                },
            });
        }
        Ok(resolved)
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
        match published.host {
            IpAddr::V4(_) => self.v4.set_yields(&mut maps.v4, published, yields),
            IpAddr::V6(_) => self.v6.set_yields(&mut maps.v6, published, yields),
        }
    }

    /// Gives a rule to another owner; packets see no difference.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn set_owner(
        &mut self,
        maps: &mut Maps,
        published: &Published,
        owner: Owner,
    ) -> Result<(), PublishError> {
        match published.host {
            IpAddr::V4(_) => self.v4.set_owner(&mut maps.v4, published, owner),
            IpAddr::V6(_) => self.v6.set_owner(&mut maps.v6, published, owner),
        }
    }

    /// Takes what [`Publisher::resolve`] found back; returns what they were.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn unpublish(
        &mut self,
        maps: &mut Maps,
        published: &[Published],
    ) -> Result<Vec<Binding>, PublishError> {
        let mut removed = Vec::with_capacity(published.len());
        for wanted in published {
            removed.extend(self.take_back(maps, wanted)?);
        }
        Ok(removed)
    }

    fn is_published(&self, published: &Published) -> bool {
        self.get(published).is_some()
    }

    /// Gives all of them numbers, or none.
    fn enter(&mut self, bindings: &[Binding], owner: Owner) -> Result<Vec<RuleId>, PublishError> {
        let mut entered = Vec::with_capacity(bindings.len());
        for binding in bindings {
            let id = match binding.published.host {
                IpAddr::V4(_) => self.v4.enter(binding, owner),
                IpAddr::V6(_) => self.v6.enter(binding, owner),
            };
            match id {
                Ok(id) => entered.push(id),
                Err(refused) => {
                    self.strike(bindings.get(..entered.len()).unwrap_or_default());
                    return Err(refused);
                }
            }
        }
        Ok(entered)
    }

    fn strike(&mut self, bindings: &[Binding]) {
        for Binding { published, .. } in bindings {
            match published.host {
                IpAddr::V4(_) => self.v4.strike(published),
                IpAddr::V6(_) => self.v6.strike(published),
            }
        }
    }

    fn write(&self, maps: &mut Maps, id: RuleId, binding: &Binding) -> Result<(), PublishError> {
        match binding.published.host {
            IpAddr::V4(_) => self.v4.write(&mut maps.v4, id),
            IpAddr::V6(_) => self.v6.write(&mut maps.v6, id),
        }
    }

    fn take_back(&mut self, maps: &mut Maps, published: &Published) -> Result<Option<Binding>, PublishError> {
        match published.host {
            IpAddr::V4(_) => self.v4.take_back(&mut maps.v4, published),
            IpAddr::V6(_) => self.v6.take_back(&mut maps.v6, published),
        }
    }
}

impl PublishError {
    fn from_overlap(overlap: Overlap) -> Self {
        Self::Overlap {
            wanted: overlap.wanted,
            existing: Box::new(overlap.existing),
            owner: overlap.owner,
        }
    }
}

/// What a refusal adds: nothing for the operator's own rules.
fn by(owner: Owner) -> &'static str {
    if owner.is_docker() {
        " by docker (its container's stop takes it back)"
    } else {
        ""
    }
}
