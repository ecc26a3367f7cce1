//! Which interfaces are uplinks, and which are managed bridges.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use netmap_common::maps::IfIndex;

use super::snapshot::{LinkKind, Snapshot};
use crate::{
    egress::Egress,
    mappings::{Mapping, Mappings},
    ownership::Ownership,
};

/// What the user wants netmap to work on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Names of the interfaces that lead outside. Empty: those with a default route of either family in the main table.
    pub uplinks: Vec<String>,
    /// Names of the containers' bridges, which may appear later. Empty: every bridge that is no uplink.
    pub bridges: Vec<String>,
    /// Names of bridges that a container engine has. They may not be there yet, and are not missed. None without an engine;
    /// with one, no names in `bridges` mean none.
    pub engine: Option<BTreeSet<String>>,
    /// How the containers' ports of each become this host's.
    pub mappings: Mappings,
    /// By which of this host's addresses they leave.
    pub egress: Egress,
    /// Behind which of them containers may send from their own addresses only.
    pub ownership: Ownership,
}

/// The interfaces that a selection names at the moment. No interface is both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Roles {
    /// Uplinks, the preferred one first.
    pub(super) uplinks: Vec<IfIndex>,
    /// Managed bridges.
    pub(super) bridges: BTreeSet<IfIndex>,
    /// Those of them whose containers keep their ports towards everybody.
    pub(super) with_mappings: BTreeSet<IfIndex>,
    /// By which addresses their containers leave, where not by the uplink's.
    pub(super) egress: BTreeMap<IfIndex, Vec<IpAddr>>,
    /// Those that hold their containers to their own addresses.
    pub(super) holding: BTreeSet<IfIndex>,
    /// Names that were asked for and are not there.
    pub(super) missing: Vec<String>,
    /// What the user should know, a sentence each.
    pub(super) notes: Vec<String>,
}

impl Roles {
    /// `known` are the uplinks so far. Without names one stays an uplink until it is gone: a default route that comes and
    /// goes (a lease renewed, an interface down and up) is no reason to end its flows.
    pub(super) fn of(snapshot: &Snapshot, selection: &Selection, known: &[IfIndex]) -> Self {
        let mut roles = Self::default();
        roles.choose_uplinks(snapshot, &selection.uplinks);
        if selection.uplinks.is_empty() {
            let still_there = known.iter().filter(|index| snapshot.links.contains_key(index));
            for index in still_there {
                if !roles.uplinks.contains(index) {
                    roles.uplinks.push(*index);
                }
            }
        }
        match &selection.engine {
            None => roles.choose_bridges(snapshot, &selection.bridges),
            Some(engine) => {
                for name in &selection.bridges {
                    roles.name_bridge(snapshot, name);
                }
                for name in engine.iter().filter(|name| snapshot.link_named(name).is_some()) {
                    roles.name_bridge(snapshot, name);
                }
            }
        }
        let has_mappings =
            |bridge: &&IfIndex| selection.mappings.of(name(snapshot, **bridge)) == Mapping::ForAll;
        roles.with_mappings = roles.bridges.iter().filter(has_mappings).copied().collect();
        let egress = |bridge: &IfIndex| (*bridge, selection.egress.of(name(snapshot, *bridge)));
        let egress = roles.bridges.iter().map(egress);
        roles.egress = egress.filter(|(_, addresses)| !addresses.is_empty()).collect();
        let is_holding = |bridge: &&IfIndex| selection.ownership.is_kept_behind(name(snapshot, **bridge));
        roles.holding = roles.bridges.iter().filter(is_holding).copied().collect();
        for uplink in &roles.uplinks {
            let Some(link) = snapshot.links.get(uplink) else {
                continue;
            };
            if let Some(bridge) = link.master.filter(|master| roles.bridges.contains(master)) {
                roles.notes.push(format!(
                    "{} is an uplink and a port of the managed bridge {}: it is treated as an uplink",
                    link.name,
                    name(snapshot, bridge)
                ));
            }
        }
        roles
    }

    fn choose_uplinks(&mut self, snapshot: &Snapshot, names: &[String]) {
        for name in names {
            match snapshot.link_named(name) {
                Some((index, _)) if self.uplinks.contains(&index) => {}
                Some((index, _)) => self.uplinks.push(index),
                None => self.missing.push(name.clone()),
            }
        }
        if !names.is_empty() {
            return;
        }
        for out in snapshot.default_hops() {
            let usable = snapshot
                .links
                .get(&out)
                .is_some_and(|link| link.kind != LinkKind::Loopback);
            if usable && !self.uplinks.contains(&out) {
                self.uplinks.push(out);
            }
        }
    }

    fn name_bridge(&mut self, snapshot: &Snapshot, name: &str) {
        match snapshot.link_named(name) {
            Some((index, _)) if self.uplinks.contains(&index) => self.notes.push(format!(
                "{name} is an uplink and cannot be a managed bridge as well: it is treated as an uplink"
            )),
            Some((index, link)) if link.kind == LinkKind::Bridge => {
                self.bridges.insert(index);
            }
            Some(_) => self
                .notes
                .push(format!("{name} is not a bridge: its containers are not managed")),
            None if self.missing.iter().any(|missing| missing == name) => {}
            None => self.missing.push(name.to_owned()),
        }
    }

    fn choose_bridges(&mut self, snapshot: &Snapshot, names: &[String]) {
        for name in names {
            self.name_bridge(snapshot, name);
        }
        if !names.is_empty() {
            return;
        }
        for (index, link) in &snapshot.links {
            if link.kind == LinkKind::Bridge && !self.uplinks.contains(index) {
                self.bridges.insert(*index);
            }
        }
    }
}

pub(super) fn name(snapshot: &Snapshot, index: IfIndex) -> &str {
    snapshot.links.get(&index).map_or("?", |link| &link.name)
}
