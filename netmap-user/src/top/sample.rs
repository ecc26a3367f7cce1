//! What one lap over the tables has found. Rates are by the second, rounded up: what moves at all is not 0.

use std::{net::IpAddr, time::Duration};

use netmap_common::maps::{Hook, Reason};
use serde::Serialize;

use crate::api::flows::Ends;

/// All that is shown.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Since the lap before began: what the rates are of. None in the first lap, which has no rates.
    pub since: Option<Duration>,
    /// How long the lap took.
    pub took: Duration,
    /// Rates are of one flow in so many, times that: more than 1 where there are too many to know them all.
    pub share: u64,
    /// To and from containers, all together.
    pub traffic: Traffic,
    /// Flows there are.
    pub flows: u64,
    /// Flows opened, a second.
    pub opened: u64,
    /// Packets dropped, a second.
    pub dropped: u64,
    /// Every rule, in no order.
    pub ports: Vec<PortLine>,
    /// Every container that has flows or a published port, in no order.
    pub containers: Vec<ContainerLine>,
    /// The busiest flows, by the order that was wished, of those that were wished.
    pub busiest: Vec<FlowLine>,
    /// Every reason that has counted.
    pub reasons: Vec<ReasonLine>,
    /// Every table.
    pub tables: Vec<TableLine>,
}

/// What goes to containers and comes from them, a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Bytes at layer 3 to the container.
    #[serde(rename = "bytes_in_rate")]
    pub bytes_in: u64,
    /// Bytes from it.
    #[serde(rename = "bytes_out_rate")]
    pub bytes_out: u64,
    /// Packets to it.
    #[serde(rename = "packets_in_rate")]
    pub packets_in: u64,
    /// Packets from it.
    #[serde(rename = "packets_out_rate")]
    pub packets_out: u64,
}

impl Traffic {
    /// Both directions.
    pub const fn bytes(self) -> u64 {
        self.bytes_in.saturating_add(self.bytes_out)
    }

    /// Both directions.
    pub const fn packets(self) -> u64 {
        self.packets_in.saturating_add(self.packets_out)
    }
}

/// A rule's number, in its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleKey {
    /// Of IPv6's table.
    pub is_v6: bool,
    /// Its number there.
    pub rule: u32,
    /// Its generation: the same number may be another rule's tomorrow.
    pub generation: u32,
}

/// A published port or range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortLine {
    /// The rule.
    pub key: RuleKey,
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// The published address.
    pub host: IpAddr,
    /// First and last port.
    pub ports: (u16, u16),
    /// The container's address.
    pub container: IpAddr,
    /// First and last port there.
    pub container_ports: (u16, u16),
    /// The proxy carries all of it: there are no flows.
    pub proxied: bool,
    /// Whose it is.
    pub owner: &'static str,
    /// Only listed sources may connect.
    pub limited: bool,
    /// Seconds since it was published.
    pub age: u32,
    /// What its flows carry.
    pub traffic: Traffic,
    /// Its flows.
    pub flows: u64,
    /// Those opened a second.
    pub opened: u64,
}

/// A container's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerLine {
    /// The address.
    pub address: IpAddr,
    /// What its flows carry.
    pub traffic: Traffic,
    /// Its flows.
    pub flows: u64,
    /// Those opened a second.
    pub opened: u64,
    /// Published ports or ranges that lead to it.
    pub ports: usize,
}

/// A flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowLine {
    /// `tcp`, `udp` or `icmp`.
    pub protocol: &'static str,
    /// Why it is translated.
    pub kind: &'static str,
    /// What it has come to.
    pub state: &'static str,
    /// The packet that opened it, as it came.
    pub original: Ends,
    /// The same, as it went on.
    pub translated: Ends,
    /// The rule that opened it.
    pub rule: Option<RuleKey>,
    /// A second, to the container and from it.
    pub traffic: Traffic,
    /// Bytes ever, both directions.
    pub bytes: u64,
    /// Seconds since it was opened.
    pub age: u32,
    /// Seconds since its last packet.
    pub idle: u32,
}

/// What a reason has counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReasonLine {
    /// The reason.
    pub reason: Reason,
    /// At each hook where it counted.
    pub hooks: Vec<HookCount>,
}

/// A counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HookCount {
    /// The hook.
    pub hook: Hook,
    /// Packets a second.
    pub packets: u64,
    /// Bytes a second.
    pub bytes: u64,
    /// Packets ever.
    pub total: u64,
}

impl ReasonLine {
    /// Packets a second, at all hooks.
    pub fn packets(&self) -> u64 {
        self.hooks.iter().map(|hook| hook.packets).sum()
    }

    /// Bytes a second.
    pub fn bytes(&self) -> u64 {
        self.hooks.iter().map(|hook| hook.bytes).sum()
    }

    /// Packets ever.
    pub fn total(&self) -> u64 {
        self.hooks.iter().map(|hook| hook.total).sum()
    }
}

/// How full a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableLine {
    /// As `netmap status` calls it.
    pub name: &'static str,
    /// Entries.
    pub entries: u64,
    /// Room.
    pub capacity: u64,
}

impl TableLine {
    /// In thousandths.
    pub const fn fill(&self) -> u64 {
        match self.entries.saturating_mul(1_000).checked_div(self.capacity) {
            Some(fill) => fill,
            None => 0,
        }
    }
}

/// So many a second, rounded up; 0 without a time.
pub(super) fn per_second(count: u64, time: Option<Duration>) -> u64 {
    let micros = time.map_or(0, |time| time.as_micros());
    if micros == 0 {
        return 0;
    }
    let rate = (u128::from(count) * 1_000_000).div_ceil(micros);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_at_all_is_not_zero() {
        let time = Some(Duration::from_secs(2));
        assert_eq!(per_second(0, time), 0);
        assert_eq!(per_second(1, time), 1);
        assert_eq!(per_second(300, time), 150);
        assert_eq!(per_second(300, None), 0);
        assert_eq!(per_second(u64::MAX, Some(Duration::from_millis(1))), u64::MAX);
    }
}
