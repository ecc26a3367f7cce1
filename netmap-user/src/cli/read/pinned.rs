//! [`Tables`] out of pinned maps: the one place where the commands meet [`crate::maps`] and [`crate::dataplane`].

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use ipnet::{Ipv4Net, Ipv6Net};
use netmap_common::maps::{
    Address, Address6, Count, Flow, FlowKey, Hook, IfIndex, Reason, Role, Rule, RuleId, Seconds, capacity,
};

use super::{Bridge, Entries, TableUse, Tables, Uplink, Visit, bridge};
use crate::{
    api::types::Attachment,
    dataplane,
    maps::{self, Family, FamilyMaps, FlowCursor, Flows, Maps, MapsError},
};

/// How many flow entries are read at a time: 320 KiB, of IPv6 512.
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

impl Entries<Address> for Pinned {
    fn each_entry(&self, visit: &mut Visit<'_, Address>) -> anyhow::Result<()> {
        each_entry(&self.maps.v4.flows, visit)
    }

    fn entry(&self, key: &FlowKey) -> anyhow::Result<Option<Flow>> {
        Ok(self.maps.v4.flows.get(key)?)
    }
}

impl Entries<Address6> for Pinned {
    fn each_entry(&self, visit: &mut Visit<'_, Address6>) -> anyhow::Result<()> {
        each_entry(&self.maps.v6.flows, visit)
    }

    fn entry(&self, key: &FlowKey<Address6>) -> anyhow::Result<Option<Flow<Address6>>> {
        Ok(self.maps.v6.flows.get(key)?)
    }
}

fn each_entry<A: Family>(flows: &Flows<A>, visit: &mut Visit<'_, A>) -> anyhow::Result<()> {
    let mut cursor = FlowCursor::new(CHUNK);
    while flows.read(&mut cursor)? {
        cursor.entries().try_for_each(|(key, flow)| visit(key, flow))?;
    }
    Ok(())
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
        let mut usage = family_usage(
            &self.maps.v4,
            ["flows", "rules", "allow", "endpoints", "interfaces", "addresses"],
        )?;
        usage.extend(family_usage(
            &self.maps.v6,
            [
                "flows6",
                "rules6",
                "allow6",
                "endpoints6",
                "interfaces6",
                "addresses6",
            ],
        )?);
        Ok(usage)
    }

    fn uplinks(&self) -> anyhow::Result<Vec<Uplink>> {
        let mut uplinks = Vec::new();
        for (index, interface) in self.maps.v4.interfaces.all()? {
            if interface.role != Role::Uplink as u8 {
                continue;
            }
            uplinks.push(Uplink {
                interface: name_of(index),
                ipv4: address_of(&self.maps.v4, index)?,
                ipv6: address_of(&self.maps.v6, index)?,
            });
        }
        uplinks.sort_unstable_by(|one, other| one.interface.cmp(&other.interface));
        Ok(uplinks)
    }

    fn bridges(&self) -> anyhow::Result<Vec<Bridge>> {
        bridge::all(&self.maps, name_of)
    }

    fn attachments(&self) -> anyhow::Result<Vec<Attachment>> {
        let attached = dataplane::attachments(&self.pin_dir)?;
        Ok(attached.iter().map(Attachment::from).collect())
    }

    fn now(&self) -> Seconds {
        maps::now()
    }
}

fn name_of(index: IfIndex) -> String {
    dataplane::interface_name(index).unwrap_or_else(|_| format!("index {}", index.0))
}

/// The tables of one family, named in the order of the fields.
fn family_usage<A: Family>(maps: &FamilyMaps<A>, names: [&'static str; 6]) -> anyhow::Result<Vec<TableUse>> {
    let sizes = [
        (maps.flows.count()?, maps.flows.capacity()? as usize),
        // Number 0 is never used.
        (maps.rules.live()?.len(), capacity::RULES - 1),
        (maps.allow.all()?.len(), capacity::ALLOW),
        (maps.endpoints.all()?.len(), capacity::ENDPOINTS),
        (maps.interfaces.all()?.len(), capacity::INTERFACES),
        (maps.locals.all()?.len(), capacity::LOCALS),
    ];
    let tables = names.into_iter().zip(sizes);
    Ok(tables
        .map(|(name, (entries, capacity))| TableUse {
            name,
            entries: entries as u64,
            capacity: capacity as u64,
        })
        .collect())
}

/// What masquerading takes on an uplink.
fn address_of<A: Family>(maps: &FamilyMaps<A>, uplink: IfIndex) -> anyhow::Result<Option<IpAddr>> {
    let address = maps.interfaces.get(&uplink)?.map(|interface| interface.address);
    Ok(address.filter(|address| *address != A::ANY).map(Into::into))
}
