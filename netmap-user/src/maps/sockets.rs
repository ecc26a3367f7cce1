//! The proxy's sockets, as the lookup hook hands them out.

use std::os::fd::BorrowedFd;

use aya::maps::{Map, MapData, SockMap};
use netmap_common::maps::name;

use super::{
    MapsError, Pins,
    error::{io_error, is_missing},
};

/// The sockets at [`netmap_common::maps::socket`]'s indexes.
pub struct Sockets(SockMap<MapData>);

impl Sockets {
    pub(super) fn open(pins: &Pins) -> Result<Self, MapsError> {
        let map = super::open(pins, name::SOCKETS, Map::SockMap)?;
        let map = SockMap::try_from(map)
            .map_err(|error| MapsError::opening(&pins.map(name::SOCKETS), name::SOCKETS, error))?;
        Ok(Self(map))
    }

    /// Puts a listening or bound socket at `index`, in place of what was there. It leaves the map when it is closed.
    ///
    /// # Errors
    ///
    /// `index` beyond the end, a socket that is of no use there, or what else bpf(2) fails with.
    pub fn set(&mut self, index: u32, socket: BorrowedFd<'_>) -> Result<(), MapsError> {
        self.0
            .set(index, &socket, 0)
            .map_err(|error| MapsError::writing(name::SOCKETS)(io_error(error)))
    }

    /// Takes the socket at `index` out, and says whether there was one.
    ///
    /// # Errors
    ///
    /// `index` beyond the end, or what bpf(2) fails with.
    pub fn clear(&mut self, index: u32) -> Result<bool, MapsError> {
        match self.0.clear_index(&index) {
            Ok(()) => Ok(true),
            // A socket map says EINVAL for an index that is empty.
            Err(error) if is_missing(&error) || is_invalid(&error) => Ok(false),
            Err(error) => Err(MapsError::writing(name::SOCKETS)(io_error(error))),
        }
    }
}

fn is_invalid(error: &aya::maps::MapError) -> bool {
    matches!(error, aya::maps::MapError::SyscallError(error) if error.io_error.raw_os_error() == Some(libc::EINVAL))
}
