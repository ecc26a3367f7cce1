//! How much of the host anybody may take: flows at once, new flows a second, messages about refusals.

use bytemuck::{Pod, Zeroable};

use super::Seconds;

/// Limits, written by the daemon.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Limits {
    /// ICMP messages a second and CPU to senders of refused packets; 0 for none.
    pub messages: u32,
    /// Flows at once of one container's address; 0 for any number.
    pub container_flows: u32,
    /// New flows a second of one container's address; 0 for any number.
    pub container_rate: u32,
    /// Flows at once that one outside address opens to published ports; 0 for any number.
    pub source_flows: u32,
}

/// How often something has happened in this second.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Rate {
    /// The second.
    pub second: Seconds,
    /// How often.
    pub count: u32,
}

impl Rate {
    /// Counts one more, if that is no more than `most` a second.
    #[inline(always)]
    pub fn admits(&mut self, now: Seconds, most: u32) -> bool {
        if self.second != now {
            *self = Self {
                second: now,
                count: 0,
            };
        }
        let has_room = self.count < most;
        if has_room {
            self.count += 1;
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_a_second_and_none_saved_up() {
        let mut rate = Rate::default();
        let mut admitted = |now| (0..5).filter(|_| rate.admits(Seconds(now), 3)).count();
        assert_eq!(
            [admitted(7), admitted(7), admitted(8), admitted(100)],
            [3, 0, 3, 3]
        );
        assert!(!Rate::default().admits(Seconds(0), 0));
    }
}
