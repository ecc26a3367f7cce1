//! Which network namespace the pins belong to: interfaces go by numbers that mean something in one only.

use super::{DataplaneError, bpffs};
use crate::{maps::Pins, sys::netns_cookie};

const PREFIX: &str = "netns-";

/// Writes down that the pins belong to this namespace.
pub(super) fn claim(pins: &Pins) -> Result<(), DataplaneError> {
    if !is_ours(pins)? {
        return Err(DataplaneError::OtherNamespace(pins.base().to_owned()));
    }
    match netns_cookie() {
        Ok(cookie) => bpffs::make_dir(&pins.root().join(format!("{PREFIX}{cookie}"))),
        // An older kernel: better without the check than not at all.
        Err(_) => Ok(()),
    }
}

/// Whether the pins belong to this namespace, or to none yet.
pub(super) fn is_ours(pins: &Pins) -> Result<bool, DataplaneError> {
    let Ok(cookie) = netns_cookie() else {
        return Ok(true);
    };
    let owner = bpffs::names(pins.root())?
        .iter()
        .find_map(|name| name.strip_prefix(PREFIX)?.parse::<u64>().ok());
    Ok(owner.is_none_or(|owner| owner == cookie))
}

/// Takes that note away.
pub(super) fn forget(pins: &Pins) -> Result<(), DataplaneError> {
    for name in bpffs::names(pins.root())? {
        if name.starts_with(PREFIX) {
            bpffs::remove_dir(&pins.root().join(name))?;
        }
    }
    Ok(())
}
