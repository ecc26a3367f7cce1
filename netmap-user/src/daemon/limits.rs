//! How much anybody may take of the host.

use netmap_common::maps::Limits;

use crate::maps::{Maps, MapsError};

/// Messages a second and CPU to the senders of refused packets. A flood of such packets must not become one of messages, and
/// who is refused needs but one.
const MESSAGES: u32 = 100;

/// Writes the limits.
pub(super) fn write(maps: &mut Maps) -> Result<(), MapsError> {
    maps.set_limits(Limits {
        messages: MESSAGES,
        ..Limits::default()
    })
}
