//! What is being translated.

use netmap_common::maps::{Flow, FlowKey};

use super::{Family, MapsError, Pins, Table};
use crate::sys::Cursor;

/// A place in the flow table.
pub type FlowCursor<A> = Cursor<FlowKey<A>, Flow<A>>;

/// The flow table: two entries a flow, one a direction.
pub struct Flows<A: Family>(Table<FlowKey<A>, Flow<A>>);

impl<A: Family> Flows<A> {
    pub(super) fn open(pins: &Pins) -> Result<Self, MapsError> {
        Table::open(pins, A::NAMES.flows).map(Self)
    }

    /// The entry at `key`.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn get(&self, key: &FlowKey<A>) -> Result<Option<Flow<A>>, MapsError> {
        self.0.get(key)
    }

    /// Sets the entry at `key`: for tests, and for who moves flows between hosts.
    ///
    /// # Errors
    ///
    /// [`MapsError::Full`], or what bpf(2) fails with.
    pub fn insert(&mut self, key: FlowKey<A>, flow: Flow<A>) -> Result<(), MapsError> {
        self.0.insert(key, flow)
    }

    /// Removes one entry (not its twin), and says whether it was there.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn remove(&mut self, key: &FlowKey<A>) -> Result<bool, MapsError> {
        self.0.remove(key)
    }

    /// Sets the entries at `keys` to `flows`, for the same.
    ///
    /// # Errors
    ///
    /// [`MapsError::Full`], or what bpf(2) fails with; what came before stays.
    pub fn insert_all(&mut self, keys: &[FlowKey<A>], flows: &[Flow<A>]) -> Result<(), MapsError> {
        self.0.insert_all(keys, flows)
    }

    /// Removes many entries, and says how many were there.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn remove_all(&mut self, keys: &[FlowKey<A>]) -> Result<usize, MapsError> {
        self.0.remove_all(keys)
    }

    /// Reads on from where `cursor` is, while packets go on changing the table, and says whether it could: behind the
    /// end it does not, and the next call begins anew. An entry that is there from the start to the end is read once,
    /// none is read twice.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with; the cursor is at the start then.
    pub fn read(&self, cursor: &mut FlowCursor<A>) -> Result<bool, MapsError> {
        self.0.read(cursor)
    }

    /// Shows every entry, in no order and with bounded memory, as [`Flows::read`] does. Returns how many there were.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn for_each_flow(&self, visit: impl FnMut(&FlowKey<A>, &Flow<A>)) -> Result<usize, MapsError> {
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
