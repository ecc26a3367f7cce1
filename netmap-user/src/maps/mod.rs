//! Typed handles of the pinned maps.
//!
//! [`Maps::open`] finds them by their pins, so a command that only reads works with the daemon dead. Every map is
//! checked to have this version's layout before it is touched. Handles can be opened as often as needed; the daemon is
//! the one writer by agreement, the kernel makes each single write whole.

mod allow;
mod cells;
mod changes;
mod counters;
mod detours;
mod error;
mod events;
mod family;
mod flows;
mod held;
mod layout;
mod loads;
mod networks;
mod pins;
mod redirects;
mod reserved;
mod rules;
mod slots;
mod sockets;
mod table;

use std::path::Path;

use aya::maps::{Map, MapData};
use netmap_common::maps::{Address, Address6, Limits, Settings, name};

pub use allow::Allow;
pub use cells::Cells;
pub use changes::Changes;
pub use counters::Counters;
pub use detours::DetourStorage;
pub use error::MapsError;
pub use events::{Events, Gate};
pub use family::{Family, FamilyMaps, Subnet};
pub use flows::{FlowCursor, Flows};
pub use held::{HeldFrame, HeldFrames};
pub use layout::{Entries, Layout, LayoutMismatch};
pub use loads::Loads;
pub use networks::Networks;
pub use pins::Pins;
pub use redirects::Redirects;
pub use reserved::Reserved;
pub use rules::Rules;
pub use slots::Slots;
pub use sockets::Sockets;
pub use table::Table;

pub use crate::sys::monotonic_seconds as now;

/// Every map of a data plane.
pub struct Maps {
    /// IPv4's.
    pub v4: FamilyMaps<Address>,
    /// IPv6's.
    pub v6: FamilyMaps<Address6>,
    /// Ports that masquerading must not take.
    pub reserved: Reserved,
    /// What may change while programs run.
    settings: Cells<Settings>,
    /// How much anybody may take.
    limits: Cells<Limits>,
    /// What became of packets.
    pub counters: Counters,
    /// The proxy's sockets.
    pub sockets: Sockets,
    /// Ports that take frames from XDP.
    pub redirects: Redirects,
}

impl Maps {
    /// The maps that are pinned below `pin_dir` (`--pin-dir`).
    ///
    /// # Errors
    ///
    /// [`MapsError::NotLoaded`] when nothing is pinned there, [`MapsError::Denied`] without the right to read it,
    /// [`MapsError::Layout`] when another version pinned it.
    pub fn open(pin_dir: &Path) -> Result<Self, MapsError> {
        let pins = Pins::new(pin_dir);
        Ok(Self {
            v4: FamilyMaps::open(&pins)?,
            v6: FamilyMaps::open(&pins)?,
            reserved: Reserved::open(&pins)?,
            settings: Cells::open(&pins, name::SETTINGS)?,
            limits: Cells::open(&pins, name::LIMITS)?,
            counters: Counters::open(&pins)?,
            sockets: Sockets::open(&pins)?,
            redirects: Redirects::open(&pins)?,
        })
    }

    /// The settings.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn settings(&self) -> Result<Settings, MapsError> {
        self.settings.get(0)
    }

    /// Replaces the settings. A packet that is being decided may see some of them old and some new.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn set_settings(&mut self, settings: Settings) -> Result<(), MapsError> {
        self.settings.set(0, settings)
    }

    /// The limits.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn limits(&self) -> Result<Limits, MapsError> {
        self.limits.get(0)
    }

    /// Replaces the limits.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn set_limits(&mut self, limits: Limits) -> Result<(), MapsError> {
        self.limits.set(0, limits)
    }
}

/// Opens one pinned map after a check of its layout.
fn open(pins: &Pins, name: &'static str, variant: fn(MapData) -> Map) -> Result<Map, MapsError> {
    let path = pins.map(name);
    let data = MapData::from_pin(&path).map_err(|error| MapsError::opening(&path, name, error))?;
    Layout::of(name, Entries::Any).check(name, &data)?;
    Ok(variant(data))
}
