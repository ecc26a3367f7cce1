//! The data plane's counters, and what moved in them.

use std::{collections::BTreeMap, fmt};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

/// What `netmap stats --json` said at one moment.
#[derive(Clone, Debug, Default)]
pub struct Counters(BTreeMap<Name, Count>);

/// A counter's name as tests write it: `"uplink-in published-in"`.
type Name = String;

#[derive(Clone, Debug)]
struct Count {
    class: String,
    packets: u64,
}

#[derive(Deserialize)]
struct Stats {
    counters: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    hook: String,
    reason: String,
    class: String,
    packets: u64,
}

impl Counters {
    /// From `netmap stats --json`.
    pub fn from_json(stats: Value) -> Result<Self> {
        let stats: Stats =
            serde_json::from_value(stats).context("`netmap stats --json` changed its shape")?;
        Ok(Self(
            stats
                .counters
                .into_iter()
                .map(|row| {
                    (
                        format!("{} {}", row.hook, row.reason),
                        Count {
                            class: row.class,
                            packets: row.packets,
                        },
                    )
                })
                .collect(),
        ))
    }

    /// Packets under this reason at this hook; counters that never moved may be missing from the listing.
    pub fn packets(&self, hook: &str, reason: &str) -> u64 {
        self.0
            .get(&format!("{hook} {reason}"))
            .map_or(0, |count| count.packets)
    }

    /// What moved from `self` to `later`.
    pub fn until(&self, later: &Self) -> Moved {
        Moved(
            later
                .0
                .iter()
                .filter_map(|(name, count)| {
                    let before = self.0.get(name).map_or(0, |count| count.packets);
                    let packets = count.packets.checked_sub(before).filter(|packets| *packets > 0)?;
                    Some((
                        name.clone(),
                        Count {
                            packets,
                            class: count.class.clone(),
                        },
                    ))
                })
                .collect(),
        )
    }
}

/// The counters that moved during some piece of work.
#[derive(Clone, Debug)]
pub struct Moved(BTreeMap<Name, Count>);

impl Moved {
    /// How far this one moved.
    pub fn packets(&self, name: &str) -> u64 {
        self.0.get(name).map_or(0, |count| count.packets)
    }

    /// How many packets a hook has counted, with those that it dropped or without.
    pub fn of_hook(&self, hook: &str, with_dropped: bool) -> u64 {
        let counts = self.0.iter().filter(|(name, count)| {
            let is_of_hook = name.split_once(' ').is_some_and(|(of, _)| of == hook);
            is_of_hook && (with_dropped || count.class != "dropped")
        });
        counts.map(|(_, count)| count.packets).sum()
    }

    /// What `uplink-xdp` counted under `uplink-in`.
    #[must_use]
    pub fn with_uplink_hooks_merged(self) -> Self {
        let mut merged = BTreeMap::<Name, Count>::new();
        for (name, count) in self.0 {
            let name = name.replace("uplink-xdp ", "uplink-in ");
            merged
                .entry(name)
                .and_modify(|sum| sum.packets += count.packets)
                .or_insert(count);
        }
        Self(merged)
    }

    /// Names of the counters of packets that were carried.
    pub fn carried(&self) -> Vec<&str> {
        self.of_class("carried")
    }

    /// Names of the counters of packets that were dropped.
    pub fn dropped(&self) -> Vec<&str> {
        self.of_class("dropped")
    }

    /// Exactly these counters carried packets, and none dropped any.
    pub fn ensure_carried_by(&self, names: &[&str]) -> Result<()> {
        let mut expected = names.to_vec();
        expected.sort_unstable();
        ensure!(
            self.carried() == expected && self.dropped().is_empty(),
            "expected packets to be carried by {expected:?} and none to be dropped, but what moved is: {self}"
        );
        Ok(())
    }

    /// Exactly these counters dropped packets, and none carried any.
    pub fn ensure_dropped_by(&self, names: &[&str]) -> Result<()> {
        let mut expected = names.to_vec();
        expected.sort_unstable();
        ensure!(
            self.dropped() == expected && self.carried().is_empty(),
            "expected packets to be dropped by {expected:?} and none to be carried, but what moved is: {self}"
        );
        Ok(())
    }

    /// These counters moved, whatever else did.
    pub fn ensure_includes(&self, names: &[&str]) -> Result<()> {
        for name in names {
            ensure!(
                self.packets(name) > 0,
                "expected {name:?} to move, but what moved is: {self}"
            );
        }
        Ok(())
    }

    fn of_class(&self, class: &str) -> Vec<&str> {
        let of_class = self.0.iter().filter(|(_, count)| count.class == class);
        of_class.map(|(name, _)| name.as_str()).collect()
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        for (index, (name, count)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{name} +{}", count.packets)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn counters(published: u64, dropped: u64) -> Counters {
        Counters::from_json(json!({"counters": [
            {"hook": "uplink-in", "reason": "published-in", "class": "carried", "packets": published, "bytes": 1},
            {"hook": "uplink-in", "reason": "direct-access", "class": "dropped", "packets": dropped, "bytes": 1},
        ]}))
        .unwrap()
    }

    #[test]
    fn what_moved_is_told_by_class_and_name() {
        let moved = counters(1, 0).until(&counters(4, 0));
        assert_eq!(moved.packets("uplink-in published-in"), 3);
        moved.ensure_carried_by(&["uplink-in published-in"]).unwrap();
        moved.ensure_carried_by(&[]).unwrap_err();
        moved
            .ensure_carried_by(&["uplink-in published-in", "port-in published-reply"])
            .unwrap_err();
        moved.ensure_dropped_by(&[]).unwrap_err();
    }

    #[test]
    fn a_drop_beside_what_is_carried_is_noticed() {
        let moved = counters(1, 0).until(&counters(2, 1));
        let error = moved
            .ensure_carried_by(&["uplink-in published-in"])
            .unwrap_err()
            .to_string();
        assert!(error.contains("direct-access +1"), "{error}");
    }
}
