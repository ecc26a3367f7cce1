//! What is being translated.

use netmap_common::maps::{Flow, FlowKey, name};

use super::{MapsError, Pins, Table};

/// The flow table: two entries a flow, one a direction.
pub struct Flows(Table<FlowKey, Flow>);

impl Flows {
    pub(super) fn open(pins: &Pins) -> Result<Self, MapsError> {
        Table::open(pins, name::FLOWS).map(Self)
    }

    /// The entry at `key`.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn get(&self, key: &FlowKey) -> Result<Option<Flow>, MapsError> {
        self.0.get(key)
    }

    /// Sets the entry at `key`: for tests, and for who moves flows between hosts.
    ///
    /// # Errors
    ///
    /// [`MapsError::Full`], or what bpf(2) fails with.
    pub fn insert(&mut self, key: FlowKey, flow: Flow) -> Result<(), MapsError> {
        self.0.insert(key, flow)
    }

    /// Removes one entry (not its twin), and says whether it was there.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn remove(&mut self, key: &FlowKey) -> Result<bool, MapsError> {
        self.0.remove(key)
    }

    /// Removes many entries, and says how many were there.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn remove_all(&mut self, keys: &[FlowKey]) -> Result<usize, MapsError> {
        self.0.remove_all(keys)
    }

    /// Shows every entry, in no order and with bounded memory, while packets go on changing the table. Returns how
    /// many there were.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn for_each_flow(&self, visit: impl FnMut(&FlowKey, &Flow)) -> Result<usize, MapsError> {
        self.0.for_each(visit)
    }

    /// How many entries there are, by reading them all.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn count(&self) -> Result<usize, MapsError> {
        self.0.for_each(|_, _| {})
    }

    /// How many entries there is room for.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn capacity(&self) -> Result<u32, MapsError> {
        self.0.capacity()
    }
}
