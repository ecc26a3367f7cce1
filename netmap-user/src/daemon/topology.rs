//! Brings the maps and the attached programs to what the host looks like.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use netmap_common::maps::{Address, Endpoint, Flow, FlowKey, IfIndex, Interface, Kind, Role, Side};
use tracing::warn;

use crate::{
    dataplane::{Dataplane, DataplaneError},
    host::{NamedInterface, View},
    maps::{Maps, MapsError},
};

/// Something that flows lead to is gone, or has moved.
#[derive(Debug, Default)]
struct Lost {
    /// Containers that are elsewhere now.
    moved: BTreeSet<Address>,
}

/// What was applied last.
#[derive(Debug, Default)]
pub(super) struct Topology {
    interfaces: BTreeMap<IfIndex, NamedInterface>,
    locals: BTreeSet<Address>,
    endpoints: BTreeMap<Address, Endpoint>,
    notes: Vec<String>,
    /// Interfaces whose programs are attached. One that could not be is tried again.
    attached: BTreeMap<IfIndex, Role>,
    /// Nothing was applied yet, and what a former daemon left may lead anywhere.
    is_new: bool,
    /// What flows have lost, until all that have are ended.
    lost: Option<Lost>,
}

impl Topology {
    /// What a former daemon left in the maps, so that flows to places that are gone meanwhile are ended.
    pub(super) fn adopt(maps: &Maps) -> Result<Self, MapsError> {
        Ok(Self {
            endpoints: maps.v4.endpoints.all()?.into_iter().collect(),
            is_new: true,
            ..Self::default()
        })
    }

    /// Applies a view: first what programs look up, then the programs, so that an interface's first packet finds all.
    /// Says whether flows may have lost their way, which [`Topology::is_gone`] tells from then on.
    pub(super) fn follow(
        &mut self,
        view: &View,
        maps: &mut Maps,
        dataplane: &mut Dataplane,
    ) -> Result<bool, MapsError> {
        maps.v4.locals.replace(&view.locals)?;
        maps.v4.networks.replace(&view.networks)?;
        let interfaces: BTreeMap<IfIndex, Interface> = view
            .interfaces
            .iter()
            .map(|(index, interface)| (*index, interface.value))
            .collect();
        maps.v4.interfaces.replace(&interfaces)?;
        maps.redirects.replace(&view.redirects)?;
        maps.v4.endpoints.replace(&view.endpoints)?;
        for (index, interface) in &view.interfaces {
            if self.attached.get(index) != Some(&interface.role) && attach(dataplane, *index, interface) {
                self.attached.insert(*index, interface.role);
            }
        }
        self.detach_gone(view, dataplane);
        let has_lost = self.lose(view);
        for note in view.notes.iter().filter(|note| !self.notes.contains(note)) {
            warn!("{note}");
        }
        self.interfaces.clone_from(&view.interfaces);
        self.locals = view.locals.keys().copied().collect();
        self.endpoints.clone_from(&view.endpoints);
        self.notes.clone_from(&view.notes);
        self.is_new = false;
        Ok(has_lost)
    }

    fn detach_gone(&mut self, view: &View, dataplane: &mut Dataplane) {
        let attached = dataplane.interfaces().unwrap_or_else(|error| {
            warn!("attached programs cannot be listed: {error}");
            self.attached.keys().copied().collect()
        });
        for index in attached
            .into_iter()
            .filter(|index| !view.interfaces.contains_key(index))
        {
            if let Err(error) = dataplane.detach(index) {
                warn!("interface {} cannot be left alone: {error}", index.0);
            }
        }
        self.attached
            .retain(|index, _| view.interfaces.contains_key(index));
    }

    /// Notes what has gone or moved since the last view.
    fn lose(&mut self, view: &View) -> bool {
        let interface_lost = self
            .interfaces
            .keys()
            .any(|index| !view.interfaces.contains_key(index));
        let address_lost = self
            .locals
            .iter()
            .any(|address| !view.locals.contains_key(address));
        let moved: BTreeSet<Address> = view
            .endpoints
            .iter()
            .filter(|(address, now)| self.endpoints.get(address).is_some_and(|last| last != *now))
            .map(|(address, _)| *address)
            .collect();
        let has_lost = self.is_new || interface_lost || address_lost || !moved.is_empty();
        if has_lost {
            // What is not ended yet of an earlier loss still has to go.
            self.lost.get_or_insert_default().moved.extend(moved);
        }
        has_lost
    }

    /// Whether a flow leads where nothing is any more, or has an address that the host has no longer.
    pub(super) fn is_gone(&self, view: &View, key: &FlowKey, flow: &Flow) -> bool {
        let Some(Lost { moved }) = &self.lost else {
            return false;
        };
        let leads_nowhere = flow.out != IfIndex(0) && !view.interfaces.contains_key(&flow.out);
        // A container that does not answer for a while keeps its flows; one that has moved cannot.
        let has_moved = |address| {
            let now = view.endpoints.get(address).filter(|_| moved.contains(address));
            now.is_some_and(|now| now.out != flow.out)
        };
        let lost = |address| !view.locals.contains_key(address);
        leads_nowhere
            || match (flow.kind(), flow.side()) {
                (Some(Kind::Egress), Side::Original) => lost(&flow.to.src),
                (Some(_), Side::Original) => lost(&key.dst) || has_moved(&flow.to.dst),
                _ => false,
            }
    }

    /// Whether there may be flows of which [`Topology::is_gone`] says so.
    pub(super) const fn has_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// All flows were looked at since the last loss.
    pub(super) fn forget_lost(&mut self) {
        self.lost = None;
    }
}

/// Uplinks and bridges by name, ports by number.
impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let interfaces = &self.interfaces;
        let ports = interfaces
            .values()
            .filter(|interface| interface.role == Role::Port)
            .count();
        write!(
            f,
            "uplinks {}; bridges {}; containers' ports: {ports}",
            names(interfaces, Role::Uplink),
            names(interfaces, Role::Bridge)
        )
    }
}

fn names(interfaces: &BTreeMap<IfIndex, NamedInterface>, role: Role) -> String {
    let names: Vec<&str> = interfaces
        .values()
        .filter(|interface| interface.role == role)
        .map(|interface| interface.name.as_str())
        .collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

/// Says whether it is attached.
fn attach(dataplane: &mut Dataplane, index: IfIndex, interface: &NamedInterface) -> bool {
    match dataplane.attach(index, interface.role) {
        Ok(attachments) => {
            let others = attachments.into_iter().flat_map(|attachment| attachment.in_front);
            for program in others {
                warn!(
                    "{program} on {} sees packets before netmap and may keep them",
                    interface.name
                );
            }
            true
        }
        // Gone again already: its event is on the way.
        Err(DataplaneError::Missing { .. }) => false,
        Err(error) => {
            warn!(
                "{} is left to the host's own stack until it can be attached: {error}",
                interface.name
            );
            false
        }
    }
}
