//! Takes everything away.

use std::path::Path;

use super::{DataplaneError, bpffs, clsact, layout, links, lock::Lock, namespace, restored, seal, types};
use crate::maps::Pins;

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Programs at hooks.
    pub attachments: usize,
    /// Programs.
    pub programs: usize,
    /// Maps.
    pub maps: usize,
}

impl Removed {
    /// Whether there was nothing.
    pub const fn is_empty(self) -> bool {
        self.attachments + self.programs + self.maps == 0
    }
}

/// Detaches and unpins everything below `pin_dir`, with all flows and everything published. Nothing there is no error.
/// `before` runs once it is certain that nobody uses the pins and that they are of this network namespace.
///
/// # Errors
///
/// [`DataplaneError::Running`] while a daemon holds the pins; nothing is touched then. Otherwise everything that could not
/// be removed: one failure does not keep the rest.
pub fn down(pin_dir: &Path, before: impl FnOnce()) -> Result<Removed, Vec<DataplaneError>> {
    let pin_dir = std::path::absolute(pin_dir).unwrap_or_else(|_| pin_dir.to_owned());
    let Some(_lock) = Lock::take(&pin_dir).map_err(|error| vec![error])? else {
        return Ok(Removed::default());
    };
    let mut down = Down {
        pins: Pins::new(&pin_dir),
        removed: Removed::default(),
        errors: Vec::new(),
    };
    // Elsewhere it would meddle with another namespace's settings.
    if namespace::is_ours(&down.pins).unwrap_or(false) {
        before();
    }
    down.everything();
    // What another version left, which this one can remove and not use.
    for pins in down.note(layout::others(&down.pins)).unwrap_or_default() {
        down.pins = pins;
        down.everything();
    }
    if down.errors.is_empty() {
        Ok(down.removed)
    } else {
        Err(down.errors)
    }
}

/// Removes what a load that failed has made.
pub(super) fn discard(pins: &Pins) {
    let mut down = Down {
        pins: pins.clone(),
        removed: Removed::default(),
        errors: Vec::new(),
    };
    down.everything();
    for error in down.errors {
        tracing::debug!("cleaning up: {error}");
    }
}

struct Down {
    pins: Pins,
    removed: Removed,
    errors: Vec<DataplaneError>,
}

impl Down {
    fn everything(&mut self) {
        self.detach_filters();
        self.removed.attachments += self.each(&self.pins.links(), links::remove);
        self.removed.programs += self.each(&self.pins.programs(), bpffs::remove_file);
        self.removed.maps += self.each(&self.pins.maps(), bpffs::remove_file);
        let result = namespace::forget(&self.pins);
        self.note(result);
        let result = seal::break_all(&self.pins);
        self.note(result);
        self.each(&types::folder(&self.pins), bpffs::remove_dir);
        let result = restored::forget(&self.pins);
        self.note(result);
        if self.errors.is_empty() {
            let result = bpffs::remove_dir(self.pins.root());
            self.note(result);
        }
        // It may hold something else, or be the mount point itself: then it stays.
        let _unused = bpffs::remove_dir(self.pins.base());
    }

    /// Removes filters that have no pin.
    fn detach_filters(&mut self) {
        let Some(marked) = self.note(clsact::marked(&self.pins)) else {
            return;
        };
        let is_ours = self.note(namespace::is_ours(&self.pins)).unwrap_or(true);
        if !is_ours && !marked.is_empty() {
            let interfaces: std::collections::BTreeSet<_> = marked.iter().map(|(index, _)| index).collect();
            self.errors.push(DataplaneError::OutOfReach {
                interfaces: interfaces.len(),
            });
            return;
        }
        for (interface, hook) in marked {
            let result = clsact::detach(&self.pins, interface, hook);
            if self.note(result).is_some() {
                self.removed.attachments += 1;
            }
        }
        let result = bpffs::remove_dir(&self.pins.clsact());
        self.note(result);
    }

    /// Removes everything in a folder and then the folder, and counts.
    fn each(&mut self, folder: &Path, remove: impl Fn(&Path) -> Result<bool, DataplaneError>) -> usize {
        let names = self.note(bpffs::names(folder)).unwrap_or_default();
        let mut count = 0;
        for name in names {
            if self.note(remove(&folder.join(name))) == Some(true) {
                count += 1;
            }
        }
        let result = bpffs::remove_dir(folder);
        self.note(result);
        count
    }

    fn note<T>(&mut self, result: Result<T, DataplaneError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.errors.push(error);
                None
            }
        }
    }
}
