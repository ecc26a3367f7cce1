//! How much anybody may take of the host.

use netmap_common::maps::Limits;

use crate::{
    maps::{Maps, MapsError},
    options::Shares,
};

/// Messages a second and CPU to the senders of refused packets. A flood of such packets must not become one of messages, and
/// who is refused needs but one.
const MESSAGES: u32 = 100;

/// Fragments a second and interface that are held until their first comes. Few networks change the order of packets, and
/// what comes beyond this goes the way of those that cannot be held.
const HELD_FRAGMENTS: u32 = 500;

/// Writes the limits.
pub(super) fn write(maps: &mut Maps, shares: Shares) -> Result<(), MapsError> {
    let limits = limits(maps.v4.flows.capacity()?, shares);
    maps.set_limits(limits)
}

/// Nobody is there who would hold fragments.
pub(super) fn hold_none(maps: &mut Maps) -> Result<(), MapsError> {
    let limits = maps.limits()?;
    maps.set_limits(Limits {
        held_fragments: 0,
        ..limits
    })
}

/// The limits for a table of so many entries, two a flow. So many that one container, or one client outside, never fills
/// the table alone.
fn limits(entries: u32, shares: Shares) -> Limits {
    let flows = entries / 2;
    Limits {
        messages: MESSAGES,
        container_flows: shares.container_flows.unwrap_or(flows / 2),
        container_rate: shares.container_rate.unwrap_or(0),
        source_flows: shares.source_flows.unwrap_or(flows / 4),
        held_fragments: HELD_FRAGMENTS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_fills_the_table_alone_unless_told_so() {
        let limits = |shares| {
            let limits = limits(262_144, shares);
            [limits.container_flows, limits.container_rate, limits.source_flows]
        };
        assert_eq!(limits(Shares::default()), [65_536, 0, 32_768]);
        let any = Shares {
            container_flows: Some(0),
            container_rate: Some(9),
            source_flows: Some(0),
        };
        assert_eq!(limits(any), [0, 9, 0]);
    }
}
