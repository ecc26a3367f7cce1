//! Pins of other versions, whose tables mean something else. Two data planes at the same interfaces would both translate.

use super::{DataplaneError, bpffs};
use crate::maps::Pins;

/// Refuses pins of another layout beside ours.
pub(super) fn check(pins: &Pins) -> Result<(), DataplaneError> {
    match others(pins)?.first() {
        None => Ok(()),
        Some(other) => Err(DataplaneError::OtherLayout {
            pin_dir: pins.base().to_owned(),
            found: other.layout(),
        }),
    }
}

/// The pins of other layouts, below the same folder.
pub(super) fn others(pins: &Pins) -> Result<Vec<Pins>, DataplaneError> {
    let names = bpffs::names(pins.base())?;
    let others = names
        .iter()
        .filter(|name| *name != Pins::LAYOUT && is_layout(name));
    Ok(others.map(|name| Pins::of_layout(pins.base(), name)).collect())
}

/// As in `v4`.
fn is_layout(name: &str) -> bool {
    name.strip_prefix('v')
        .is_some_and(|number| number.parse::<u32>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_is_known_by_its_name() {
        assert!(is_layout(Pins::LAYOUT) && is_layout("v12"));
        assert!(!is_layout("v") && !is_layout("veth0") && !is_layout("4") && !is_layout("maps"));
    }
}
