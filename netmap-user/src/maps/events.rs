//! Events that the programs tell, and the gate that keeps them from it while nobody watches.

use std::{
    os::fd::{AsRawFd, RawFd},
    path::Path,
};

use aya::maps::{Map, MapData, PerCpuArray, RingBuf};
use netmap_common::maps::{Event, Told, Watch, name};

use super::{Cells, MapsError, Pins, error::io_error};
use crate::sys::Raw;

/// Events that nobody has taken yet. Its descriptor is readable when there are any.
pub struct Events(RingBuf<MapData>);

/// What the programs tell at all.
pub struct Gate {
    watch: Cells<Watch>,
    told: PerCpuArray<MapData, Raw<Told>>,
}

impl Events {
    /// The ring that is pinned below `pin_dir`, for the daemon alone.
    ///
    /// # Errors
    ///
    /// As for [`Maps::open`](super::Maps::open).
    pub fn open(pin_dir: &Path) -> Result<Self, MapsError> {
        let pins = Pins::new(pin_dir);
        let map = super::open(&pins, name::EVENTS, Map::RingBuf)?;
        let ring = RingBuf::try_from(map)
            .map_err(|error| MapsError::opening(&pins.map(name::EVENTS), name::EVENTS, error))?;
        Ok(Self(ring))
    }

    /// Takes the next.
    pub fn take(&mut self) -> Option<Event> {
        loop {
            let bytes = self.0.next()?;
            // The programs write no others.
            if let Some(event) = bytes.get(..size_of::<Event>()).map(bytemuck::pod_read_unaligned) {
                return Some(event);
            }
        }
    }
}

impl AsRawFd for Events {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Gate {
    /// The gate that is pinned below `pin_dir`.
    ///
    /// # Errors
    ///
    /// As for [`Maps::open`](super::Maps::open).
    pub fn open(pin_dir: &Path) -> Result<Self, MapsError> {
        let pins = Pins::new(pin_dir);
        let map = super::open(&pins, name::TOLD, Map::PerCpuArray)?;
        let told = PerCpuArray::try_from(map)
            .map_err(|error| MapsError::opening(&pins.map(name::TOLD), name::TOLD, error))?;
        Ok(Self {
            watch: Cells::open(&pins, name::WATCH)?,
            told,
        })
    }

    /// What is watched for.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn watch(&self) -> Result<Watch, MapsError> {
        self.watch.get(0)
    }

    /// Has this watched for from now on.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn set_watch(&mut self, watch: Watch) -> Result<(), MapsError> {
        self.watch.set(0, watch)
    }

    /// How many events could not be told ever.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn missed(&self) -> Result<u64, MapsError> {
        let told = self
            .told
            .get(&0, 0)
            .map_err(|error| MapsError::reading(name::TOLD)(io_error(error)))?;
        Ok(told.iter().map(|Raw(told)| told.missed).sum())
    }

    /// How many CPUs tell.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn cpus(&self) -> Result<usize, MapsError> {
        let told = self
            .told
            .get(&0, 0)
            .map_err(|error| MapsError::reading(name::TOLD)(io_error(error)))?;
        Ok(told.iter().count())
    }
}
