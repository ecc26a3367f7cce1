//! What became of packets, by hook and reason.

use aya::maps::{Map, MapData, PerCpuArray};
use netmap_common::maps::{Count, Hook, Reason, name};

use super::{MapsError, Pins, error::io_error};
use crate::sys::Raw;

/// One counter a hook, reason and CPU.
pub struct Counters(PerCpuArray<MapData, Raw<Count>>);

impl Counters {
    pub(super) fn open(pins: &Pins) -> Result<Self, MapsError> {
        let map = super::open(pins, name::COUNTERS, Map::PerCpuArray)?;
        let map = PerCpuArray::try_from(map)
            .map_err(|error| MapsError::opening(&pins.map(name::COUNTERS), name::COUNTERS, error))?;
        Ok(Self(map))
    }

    /// One counter, summed over all CPUs.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn get(&self, hook: Hook, reason: Reason) -> Result<Count, MapsError> {
        let values = self
            .0
            .get(&hook.counter(reason), 0)
            .map_err(|error| MapsError::reading(name::COUNTERS)(io_error(error)))?;
        let mut sum = Count::default();
        for Raw(count) in values.iter() {
            sum.packets = sum.packets.wrapping_add(count.packets);
            sum.bytes = sum.bytes.wrapping_add(count.bytes);
        }
        Ok(sum)
    }

    /// Every counter, zero or not, in order of hook and reason, summed over all CPUs.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn all(&self) -> Result<Vec<(Hook, Reason, Count)>, MapsError> {
        let mut counts = Vec::with_capacity(Hook::ALL.len() * Reason::ALL.len());
        for hook in Hook::ALL {
            for reason in Reason::ALL {
                counts.push((hook, *reason, self.get(hook, *reason)?));
            }
        }
        Ok(counts)
    }
}
