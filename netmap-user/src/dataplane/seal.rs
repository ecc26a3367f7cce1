//! Whether what is pinned is what this binary would load: then a new daemon takes the running programs over, and the verifier,
//! which takes seconds for them all, is not asked again.
//!
//! A seal is an empty folder beside the pins. Its name is a digest of everything that the loaded programs depend on: the
//! object's bytes, the globals that are written into it when it is loaded, and the numbers that the kernel has given to the
//! programs, the parts that they jump to and the maps that they know. The kernel gives no number twice as long as it runs, so
//! a pin, an entry of a table of jumps or a map that was exchanged, by whomever, breaks the seal. It is taken away before the
//! first program is exchanged and put back after the last: whoever is killed between leaves none. Without a seal that fits,
//! everything is loaded anew.

use std::path::Path;

use aya::{
    maps::{Array, Map, MapData, MapError},
    programs::ProgramInfo,
};
use netmap_common::maps::name;

use super::{DataplaneError, LoadOptions, bpffs, digest::Digest, programs, tails};
use crate::maps::Pins;

const PREFIX: &str = "loaded-";

/// What this binary loads: the first half of every digest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seal(Digest);

impl Seal {
    /// Of `object`, loaded with these options.
    pub(super) fn new(object: &[u8], options: &LoadOptions) -> Self {
        let mut digest = Digest::new();
        digest.add(object);
        digest.add(&options.mark.to_ne_bytes());
        Self(digest)
    }

    /// Whether everything is there, and just so. What cannot be read does not fit.
    pub(super) fn fits(self, pins: &Pins) -> bool {
        let found = bpffs::names(pins.root()).unwrap_or_default();
        let mut seals = found.iter().filter(|name| name.starts_with(PREFIX));
        match (self.name(pins), seals.next(), seals.next()) {
            (Some(expected), Some(seal), None) => *seal == expected,
            _ => false,
        }
    }

    /// Says of what is pinned that it was loaded so. Where something is missing it says nothing: the next data plane may have
    /// more luck with it.
    pub(super) fn set(self, pins: &Pins) -> Result<(), DataplaneError> {
        match self.name(pins) {
            Some(name) => bpffs::make_dir(&pins.root().join(name)),
            None => Ok(()),
        }
    }

    fn name(self, pins: &Pins) -> Option<String> {
        let Self(mut digest) = self;
        for name in name::ALL {
            let map = MapData::from_pin(pins.map(name)).ok()?;
            digest.add(&map.info().ok()?.id().to_ne_bytes());
        }
        for name in programs::names() {
            let program = ProgramInfo::from_pin(pins.program(name)).ok()?;
            digest.add(&program.id().to_ne_bytes());
            digest.add(&program.tag().to_ne_bytes());
        }
        for (name, index) in tails::slots() {
            let map = MapData::from_pin(pins.map(name)).ok()?;
            digest.add(&program_in(map, index).ok()?.to_ne_bytes());
        }
        Some(format!("{PREFIX}{:032x}", digest.0))
    }
}

/// What programs are pinned.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct LoadedPrograms {
    /// A digest of the kernel's tags of all programs, 32 hexadecimal digits: the same wherever the same code is loaded.
    pub digest: String,
    /// How many there are.
    pub programs: usize,
    /// Whether a daemon has said that everything is there, just as it was loaded.
    pub is_sealed: bool,
}

/// What programs are pinned below `pin_dir`; none where one is missing or cannot be read.
pub fn loaded_programs(pin_dir: &Path) -> Option<LoadedPrograms> {
    let pins = Pins::new(pin_dir);
    let (mut digest, mut programs) = (Digest::new(), 0);
    for name in programs::names() {
        let program = ProgramInfo::from_pin(pins.program(name)).ok()?;
        digest.add(&program.tag().to_ne_bytes());
        programs += 1;
    }
    let found = bpffs::names(pins.root()).unwrap_or_default();
    Some(LoadedPrograms {
        digest: format!("{:032x}", digest.0),
        programs,
        is_sealed: found.iter().any(|name| name.starts_with(PREFIX)),
    })
}

/// Takes every seal away: what is pinned is about to change.
pub(super) fn break_all(pins: &Pins) -> Result<(), DataplaneError> {
    for name in bpffs::names(pins.root())? {
        if name.starts_with(PREFIX) {
            bpffs::remove_dir(&pins.root().join(name))?;
        }
    }
    Ok(())
}

/// The number of the program in a table of jumps. The kernel shows those as it shows the numbers in an array.
fn program_in(table: MapData, index: u32) -> Result<u32, MapError> {
    Array::<MapData, u32>::try_from(Map::Array(table))?.get(&index, 0)
}
