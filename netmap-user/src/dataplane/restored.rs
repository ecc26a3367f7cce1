//! Whether the pinned rules are all that is to be published. They are not while the kernel is new and its first daemon has not
//! put back yet what was recorded before; should it be killed meanwhile, the next one goes on with it.

use super::{DataplaneError, bpffs};
use crate::maps::Pins;

const NOTE: &str = "restored";

pub(super) fn is_noted(pins: &Pins) -> bool {
    pins.root().join(NOTE).exists()
}

pub(super) fn note(pins: &Pins) -> Result<(), DataplaneError> {
    bpffs::make_dir(&pins.root().join(NOTE))
}

pub(super) fn forget(pins: &Pins) -> Result<(), DataplaneError> {
    bpffs::remove_dir(&pins.root().join(NOTE)).map(drop)
}
