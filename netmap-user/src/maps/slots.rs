//! What each port is: nothing, one rule, or several host addresses'.

use netmap_common::maps::Slot;

use super::{Cells, MapsError, Pins};

/// One slot a port and protocol, at [`netmap_common::maps::PortSlots::index`].
pub struct Slots(Cells<Slot>);

impl Slots {
    pub(super) fn open(pins: &Pins, name: &'static str) -> Result<Self, MapsError> {
        Cells::open(pins, name).map(Self)
    }

    /// The slot at `index`.
    ///
    /// # Errors
    ///
    /// `index` beyond the end, or what bpf(2) fails with.
    pub fn slot(&self, index: u32) -> Result<Slot, MapsError> {
        self.0.get(index)
    }

    /// Sets `count` slots from `first` on to the same value, in one system call.
    ///
    /// # Errors
    ///
    /// Slots beyond the end (nothing is written then), or what bpf(2) fails with.
    pub fn set_slots(&mut self, first: u32, count: u32, slot: Slot) -> Result<(), MapsError> {
        self.0.write(first, &vec![slot; count as usize])
    }

    /// Every slot, in order of its index.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn all(&self) -> Result<Vec<Slot>, MapsError> {
        self.0.all()
    }
}
