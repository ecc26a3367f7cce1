//! Which sockets of this host go straight to a container.

use std::os::fd::{AsFd as _, BorrowedFd};

use aya::maps::{Map, MapData};

use super::{MapsError, Pins};

/// The storage with each socket: a [`netmap_common::maps::Detours`]. User space reaches it by the kernel's socket monitor
/// ([`crate::sys::diag`]), which wants the map's descriptor.
pub struct DetourStorage(MapData);

impl DetourStorage {
    pub(super) fn open(pins: &Pins, name: &'static str) -> Result<Self, MapsError> {
        // The variant only carries the data through.
        match super::open(pins, name, Map::SkStorage)? {
            Map::SkStorage(data) => Ok(Self(data)),
            _ => Err(MapsError::NotLoaded(pins.map(name))),
        }
    }

    /// The map.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.fd().as_fd()
    }
}
