//! Frames that the programs hand to the daemon to hold.

use std::{
    mem::offset_of,
    os::fd::{AsRawFd, RawFd},
    path::Path,
};

use aya::maps::{Map, MapData, RingBuf};
use netmap_common::maps::{Held, IfIndex, name};

use super::{MapsError, Pins};

/// A frame with a fragment that came before its first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldFrame {
    /// The interface that it came by.
    pub arrival: IfIndex,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Those that nobody has taken yet. Its descriptor is readable when there are any.
pub struct HeldFrames(RingBuf<MapData>);

impl HeldFrames {
    /// The ring that is pinned below `pin_dir`, for the daemon alone.
    ///
    /// # Errors
    ///
    /// As for [`Maps::open`](super::Maps::open).
    pub fn open(pin_dir: &Path) -> Result<Self, MapsError> {
        let pins = Pins::new(pin_dir);
        let map = super::open(&pins, name::HELD, Map::RingBuf)?;
        let ring = RingBuf::try_from(map)
            .map_err(|error| MapsError::opening(&pins.map(name::HELD), name::HELD, error))?;
        Ok(Self(ring))
    }

    /// Takes the next.
    pub fn take(&mut self) -> Option<HeldFrame> {
        loop {
            let held = self.0.next()?;
            // The programs write no others.
            if let Some(frame) = read(&held) {
                return Some(frame);
            }
        }
    }
}

impl AsRawFd for HeldFrames {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Reads [`Held`].
fn read(bytes: &[u8]) -> Option<HeldFrame> {
    let number = |at: usize| {
        let bytes = bytes.get(at..at + 4)?;
        Some(u32::from_ne_bytes(bytes.try_into().ok()?))
    };
    let arrival = IfIndex(number(offset_of!(Held, arrival))?);
    let length = usize::try_from(number(offset_of!(Held, length))?).ok()?;
    let frame = bytes.get(offset_of!(Held, frame)..)?.get(..length)?;
    Some(HeldFrame {
        arrival,
        bytes: frame.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_as_long_as_it_says_and_no_longer_than_its_place() {
        let mut bytes = vec![0; size_of::<Held>()];
        bytes[..4].copy_from_slice(&7_u32.to_ne_bytes());
        bytes[4..8].copy_from_slice(&3_u32.to_ne_bytes());
        bytes[8..11].copy_from_slice(b"abc");
        let frame = HeldFrame {
            arrival: IfIndex(7),
            bytes: b"abc".to_vec(),
        };
        assert_eq!(read(&bytes), Some(frame));
        bytes[4..8].copy_from_slice(&2_041_u32.to_ne_bytes());
        assert_eq!(read(&bytes), None);
    }
}
