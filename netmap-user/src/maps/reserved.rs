//! Ports that masquerading must not take.

use netmap_common::maps::{Port, PortSlots, Protocol, name};

use super::{Cells, MapsError, Pins};

/// One bit a port and protocol, at [`PortSlots::word`].
pub struct Reserved(Cells<u64>);

impl Reserved {
    pub(super) fn open(pins: &Pins) -> Result<Self, MapsError> {
        Cells::open(pins, name::RESERVED).map(Self)
    }

    /// Whether a port is reserved.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn contains(&self, protocol: Protocol, port: Port) -> Result<bool, MapsError> {
        let Some((index, bit)) = PortSlots::word(protocol, port) else {
            return Ok(false);
        };
        Ok(self.0.get(index)? & bit != 0)
    }

    /// Reserves one port.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn insert(&mut self, protocol: Protocol, port: Port) -> Result<(), MapsError> {
        let Some((index, bit)) = PortSlots::word(protocol, port) else {
            return Ok(());
        };
        let word = self.0.get(index)?;
        if word & bit == 0 {
            self.0.set(index, word | bit)?;
        }
        Ok(())
    }

    /// Makes the words from the first on `words`, and says how many had to change.
    ///
    /// # Errors
    ///
    /// More words than there are, or what bpf(2) fails with.
    pub fn replace(&mut self, words: &[u64]) -> Result<usize, MapsError> {
        let actual = self.0.all()?;
        let changed = words
            .iter()
            .zip(&actual)
            .filter(|(wanted, found)| wanted != found)
            .count();
        if changed > 0 || words.len() > actual.len() {
            self.0.write(0, words)?;
        }
        Ok(changed)
    }

    /// Every word.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn all(&self) -> Result<Vec<u64>, MapsError> {
        self.0.all()
    }
}
