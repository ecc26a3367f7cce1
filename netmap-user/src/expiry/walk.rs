//! A place in the tables of both families.

use netmap_common::maps::{Address, Address6};

use crate::maps::FlowCursor;

/// IPv4's table is gone over first, then IPv6's: a lap is one of both.
#[derive(Debug)]
pub(super) struct Walk {
    v4: FlowCursor<Address>,
    v6: FlowCursor<Address6>,
}

/// The table that has the next slice.
pub(super) enum Next<'walk> {
    V4(&'walk mut FlowCursor<Address>),
    V6(&'walk mut FlowCursor<Address6>),
}

impl Walk {
    /// At the start, with so many entries a slice.
    pub(super) fn new(slice: usize) -> Self {
        Self {
            v4: FlowCursor::new(slice),
            v6: FlowCursor::new(slice),
        }
    }

    pub(super) fn next(&mut self) -> Next<'_> {
        if self.v4.is_at_end() {
            Next::V6(&mut self.v6)
        } else {
            Next::V4(&mut self.v4)
        }
    }

    /// Whether nothing follows what was read last.
    pub(super) fn is_at_end(&self) -> bool {
        self.v4.is_at_end() && self.v6.is_at_end()
    }

    /// Back to the start.
    pub(super) fn rewind(&mut self) {
        self.v4.rewind();
        self.v6.rewind();
    }
}
