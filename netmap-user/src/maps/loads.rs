//! Everybody's share of the flow table: what packets have opened, and what has ended since.

use std::collections::HashMap;

use netmap_common::maps::{Load, Payer, PayerRole};

use super::{Family, MapsError, Pins, Table};

/// Who has how many flows.
pub struct Loads<A: Family> {
    containers: Table<A, Load>,
    sources: Table<A, Load>,
    ended: Table<Payer<A>, u64>,
}

impl<A: Family> Loads<A> {
    pub(super) fn open(pins: &Pins) -> Result<Self, MapsError> {
        Ok(Self {
            containers: Table::open_lru(pins, A::NAMES.containers)?,
            sources: Table::open_lru(pins, A::NAMES.sources)?,
            ended: Table::open(pins, A::NAMES.ended)?,
        })
    }

    /// What somebody has opened ever, if packets know of any.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn load(&self, payer: &Payer<A>) -> Result<Option<Load>, MapsError> {
        self.table(payer).get(&payer.address)
    }

    /// How many of these have ended.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn ended(&self, payer: &Payer<A>) -> Result<u64, MapsError> {
        Ok(self.ended.get(payer)?.unwrap_or_default())
    }

    /// Says how many have ended.
    ///
    /// # Errors
    ///
    /// [`MapsError::Full`], or what bpf(2) fails with.
    pub fn set_ended(&mut self, payer: Payer<A>, ended: u64) -> Result<(), MapsError> {
        self.ended.insert(payer, ended)
    }

    /// Everybody who has opened flows, with their number, and forgets what ended of anybody else's. As many as there is
    /// room for.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn opened(&mut self) -> Result<HashMap<Payer<A>, u64>, MapsError> {
        let mut opened = HashMap::new();
        for (role, table) in [
            (PayerRole::Container, &self.containers),
            (PayerRole::Source, &self.sources),
        ] {
            table.for_each(|address, load| {
                opened.insert(Payer::new(role, *address), load.opened);
            })?;
        }
        let mut gone = Vec::new();
        self.ended.for_each(|payer, _| {
            if !opened.contains_key(payer) {
                gone.push(*payer);
            }
        })?;
        self.ended.remove_all(&gone)?;
        Ok(opened)
    }

    /// Every container that has opened flows, with how many it has opened ever, and how many of these have ended.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn containers(&self) -> Result<Vec<(A, u64, u64)>, MapsError> {
        let mut ended = HashMap::new();
        self.ended.for_each(|payer, count| {
            if payer.role == PayerRole::Container as u8 {
                ended.insert(payer.address, *count);
            }
        })?;
        let mut containers = Vec::new();
        self.containers.for_each(|address, load| {
            let ended = ended.get(address).copied().unwrap_or_default();
            containers.push((*address, load.opened, ended));
        })?;
        Ok(containers)
    }

    /// How many entries the tables of containers, of clients outside, and of what has ended have, and may have.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn usage(&self) -> Result<[(usize, u32); 3], MapsError> {
        Ok([
            (self.containers.count()?, self.containers.capacity()?),
            (self.sources.count()?, self.sources.capacity()?),
            (self.ended.count()?, self.ended.capacity()?),
        ])
    }

    fn table(&self, payer: &Payer<A>) -> &Table<A, Load> {
        if payer.role == PayerRole::Container as u8 {
            &self.containers
        } else {
            &self.sources
        }
    }
}
