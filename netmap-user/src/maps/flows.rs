//! What is being translated.

use netmap_common::maps::{Flow, FlowKey, name};

use super::{MapsError, Pins, Table};
use crate::sys::Cursor;

/// A place in the flow table.
pub type FlowCursor = Cursor<FlowKey, Flow>;

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

    /// Sets the entries at `keys` to `flows`, for the same.
    ///
    /// # Errors
    ///
    /// [`MapsError::Full`], or what bpf(2) fails with; what came before stays.
    pub fn insert_all(&mut self, keys: &[FlowKey], flows: &[Flow]) -> Result<(), MapsError> {
        self.0.insert_all(keys, flows)
    }

    /// Removes many entries, and says how many were there.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn remove_all(&mut self, keys: &[FlowKey]) -> Result<usize, MapsError> {
        self.0.remove_all(keys)
    }

    /// Reads on from where `cursor` is, while packets go on changing the table, and says whether it could: behind the
    /// end it does not, and the next call begins anew. An entry that is there from the start to the end is read once,
    /// none is read twice.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with; the cursor is at the start then.
    pub fn read(&self, cursor: &mut FlowCursor) -> Result<bool, MapsError> {
        self.0.read(cursor)
    }

    /// Shows every entry, in no order and with bounded memory, as [`Flows::read`] does. Returns how many there were.
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
