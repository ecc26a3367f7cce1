//! The devices that XDP may send frames to.

use std::collections::BTreeSet;

use aya::maps::{
    Map, MapData,
    xdp::{DevMapHash, XdpMapError},
};
use netmap_common::maps::{IfIndex, name};

use super::{
    MapsError, Pins,
    error::{io_error, is_missing},
};

/// Ports of containers that take frames from XDP, each under its own number.
///
/// The kernel takes those away by itself whose device is gone, and looks for the others in the network namespace of the
/// thread that adds them.
pub struct Redirects(DevMapHash<MapData>);

impl Redirects {
    pub(super) fn open(pins: &Pins) -> Result<Self, MapsError> {
        let map = super::open(pins, name::REDIRECTS, Map::DevMapHash)?;
        let map = DevMapHash::try_from(map)
            .map_err(|error| MapsError::opening(&pins.map(name::REDIRECTS), name::REDIRECTS, error))?;
        Ok(Self(map))
    }

    /// The ports.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn all(&self) -> Result<BTreeSet<IfIndex>, MapsError> {
        let keys = self.0.keys().map(|key| key.map(IfIndex));
        keys.collect::<Result<_, _>>()
            .map_err(|error| MapsError::reading(name::REDIRECTS)(io_error(error)))
    }

    /// Makes these the ports, and no others: those that take none any more go first, for what is sent to them is lost.
    /// One whose device is gone again is left out.
    ///
    /// # Errors
    ///
    /// [`MapsError::Full`], or what bpf(2) fails with.
    pub fn replace(&mut self, desired: &BTreeSet<IfIndex>) -> Result<(), MapsError> {
        let failed = |error| MapsError::writing(name::REDIRECTS)(io_error(error));
        let actual = self.all()?;
        for gone in actual.difference(desired) {
            match self.0.remove(gone.0) {
                Err(error) if !is_missing(&error) => return Err(failed(error)),
                _ => {}
            }
        }
        for new in desired.difference(&actual) {
            match self.0.insert(new.0, new.0, None, 0) {
                Ok(()) => {}
                Err(XdpMapError::MapError(error)) => {
                    let error = io_error(error);
                    if error.raw_os_error() != Some(libc::EINVAL) {
                        return Err(MapsError::writing(name::REDIRECTS)(error));
                    }
                }
                Err(error) => {
                    return Err(MapsError::writing(name::REDIRECTS)(std::io::Error::other(error)));
                }
            }
        }
        Ok(())
    }
}
