//! [`Tables`] out of pinned maps: the one place where the commands meet [`crate::maps`] and [`crate::dataplane`].

use std::path::{Path, PathBuf};

use ipnet::{Ipv4Net, Ipv6Net};
use netmap_common::maps::{Address6, Count, Flow, FlowKey, Hook, Reason, Rule, RuleId, Seconds, capacity};

use super::{Entries, TableUse, Tables, Visit6};
use crate::{
    api::types::Attachment,
    dataplane,
    maps::{self, FlowCursor, Maps, MapsError},
};

/// How many flow entries are read at a time: 320 KiB.
const CHUNK: usize = 4096;

/// What is pinned in one folder.
pub(super) struct Pinned {
    maps: Maps,
    pin_dir: PathBuf,
}

impl Pinned {
    /// Opens the maps.
    pub(super) fn open(pin_dir: &Path) -> Result<Self, MapsError> {
        Ok(Self {
            maps: Maps::open(pin_dir)?,
            pin_dir: pin_dir.to_owned(),
        })
    }
}

impl Entries for Pinned {
    fn each_entry(&self, visit: &mut dyn FnMut(&FlowKey, &Flow) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let mut cursor = FlowCursor::new(CHUNK);
        while self.maps.v4.flows.read(&mut cursor)? {
            cursor.entries().try_for_each(|(key, flow)| visit(key, flow))?;
        }
        Ok(())
    }

    fn each_entry6(&self, visit: &mut Visit6<'_>) -> anyhow::Result<()> {
        let mut cursor = FlowCursor::new(CHUNK);
        while self.maps.v6.flows.read(&mut cursor)? {
            cursor.entries().try_for_each(|(key, flow)| visit(key, flow))?;
        }
        Ok(())
    }

    fn entry(&self, key: &FlowKey) -> anyhow::Result<Option<Flow>> {
        Ok(self.maps.v4.flows.get(key)?)
    }
}

impl Tables for Pinned {
    fn rules(&self) -> anyhow::Result<Vec<(RuleId, Rule)>> {
        Ok(self.maps.v4.rules.live()?)
    }

    fn rules6(&self) -> anyhow::Result<Vec<(RuleId, Rule<Address6>)>> {
        Ok(self.maps.v6.rules.live()?)
    }

    fn allow(&self) -> anyhow::Result<Vec<(RuleId, Ipv4Net)>> {
        Ok(self.maps.v4.allow.all()?.into_iter().collect())
    }

    fn allow6(&self) -> anyhow::Result<Vec<(RuleId, Ipv6Net)>> {
        Ok(self.maps.v6.allow.all()?.into_iter().collect())
    }

    fn counters(&self) -> anyhow::Result<Vec<(Hook, Reason, Count)>> {
        Ok(self.maps.counters.all()?)
    }

    fn usage(&self) -> anyhow::Result<Vec<TableUse>> {
        let maps = &self.maps;
        let table = |name, entries: usize, capacity: usize| TableUse {
            name,
            entries: entries as u64,
            capacity: capacity as u64,
        };
        Ok(vec![
            table(
                "flows",
                maps.v4.flows.count()?,
                maps.v4.flows.capacity()? as usize,
            ),
            // Number 0 is never used.
            table("rules", maps.v4.rules.live()?.len(), capacity::RULES - 1),
            table("allow", maps.v4.allow.all()?.len(), capacity::ALLOW),
            table("endpoints", maps.v4.endpoints.all()?.len(), capacity::ENDPOINTS),
            table(
                "interfaces",
                maps.v4.interfaces.all()?.len(),
                capacity::INTERFACES,
            ),
        ])
    }

    fn attachments(&self) -> anyhow::Result<Vec<Attachment>> {
        let attached = dataplane::attachments(&self.pin_dir)?;
        Ok(attached.iter().map(Attachment::from).collect())
    }

    fn now(&self) -> Seconds {
        maps::now()
    }
}
