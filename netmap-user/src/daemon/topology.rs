//! Brings the maps and the attached programs to what the host looks like.

use std::{collections::BTreeMap, fmt};

use netmap_common::maps::{Address, Address6, Flow, FlowKey, IfIndex, Role};
use tracing::warn;

use super::{closures::Closures, direct::Openings, surroundings::Surroundings};
use crate::{
    dataplane::{Dataplane, DataplaneError},
    docker::Bridge,
    host::{NamedInterface, View},
    maps::{Maps, MapsError},
    options::Direct,
    outlets::Outlets,
};

/// What was applied last.
#[derive(Debug, Default)]
pub(super) struct Topology {
    direct: Direct,
    engine: Vec<Bridge>,
    openings: Openings,
    outlets: Outlets,
    closures: Closures,
    interfaces: BTreeMap<IfIndex, NamedInterface>,
    v4: Surroundings<Address>,
    v6: Surroundings<Address6>,
    notes: Vec<String>,
    /// Interfaces whose programs are attached. One that could not be is tried again.
    attached: BTreeMap<IfIndex, Role>,
    /// Nothing was applied yet, and what a former daemon left may lead anywhere.
    is_new: bool,
    /// Something that flows lead to is gone or has moved, and they are not ended yet.
    has_lost: bool,
}

impl Topology {
    /// What a former daemon left in the maps, so that flows to places that are gone meanwhile are ended.
    pub(super) fn adopt(maps: &Maps, direct: Direct, outlets: Outlets) -> Result<Self, MapsError> {
        Ok(Self {
            direct,
            outlets,
            v4: Surroundings::adopt(&maps.v4)?,
            v6: Surroundings::adopt(&maps.v6)?,
            is_new: true,
            ..Self::default()
        })
    }

    /// What the user wants, from the next view on. Flows are looked at that this may have left without a way.
    pub(super) fn set_wishes(&mut self, direct: Direct, outlets: Outlets) {
        self.is_new |= self.direct != direct || self.outlets != outlets;
        self.direct = direct;
        self.outlets = outlets;
    }

    /// What a container engine says of its bridges, from the next view on.
    pub(super) fn set_engine(&mut self, bridges: Vec<Bridge>) {
        self.engine = bridges;
    }

    /// What it said last.
    pub(super) fn engine(&self) -> &[Bridge] {
        &self.engine
    }

    /// Whether that is what it said.
    pub(super) fn has_engine(&self, bridges: &[Bridge]) -> bool {
        self.engine == bridges
    }

    /// Applies a view: first what programs look up, then the programs, so that an interface's first packet finds all.
    /// Says whether flows may have lost their way, which [`Topology::is_gone4`] and [`Topology::is_gone6`] tell from then on.
    ///
    /// # Errors
    ///
    /// When a map cannot be written, and when the kernel has nothing that the programs could be attached by.
    pub(super) fn follow(
        &mut self,
        view: &View,
        maps: &mut Maps,
        dataplane: &mut Dataplane,
    ) -> Result<bool, DataplaneError> {
        self.openings = Openings::of(&self.direct, &self.engine, &view.interfaces);
        let closures = Closures::of(&self.outlets, &view.interfaces);
        let is_closed_elsewhere = !self.closures.are_as(&closures);
        self.closures = closures;
        self.write_ground(view, maps)?;
        maps.redirects.replace(&view.redirects)?;
        maps.v4.endpoints.replace(&view.v4.endpoints)?;
        maps.v6.endpoints.replace(&view.v6.endpoints)?;
        for (index, interface) in &view.interfaces {
            if self.attached.get(index) != Some(&interface.role) && attach(dataplane, *index, interface)? {
                self.attached.insert(*index, interface.role);
            }
        }
        self.detach_gone(view, dataplane);
        let has_lost = self.lose(view, is_closed_elsewhere);
        for note in view.notes.iter().filter(|note| !self.notes.contains(note)) {
            warn!("{note}");
        }
        self.interfaces.clone_from(&view.interfaces);
        self.notes.clone_from(&view.notes);
        self.is_new = false;
        Ok(has_lost)
    }

    fn write_ground(&self, view: &View, maps: &mut Maps) -> Result<(), MapsError> {
        Surroundings::write_ground(&view.v4, &self.openings, &self.closures, &mut maps.v4)?;
        Surroundings::write_ground(&view.v6, &self.openings, &self.closures, &mut maps.v6)
    }

    /// Where what is published is not reached from outside.
    pub(super) const fn closures(&self) -> &Closures {
        &self.closures
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
    fn lose(&mut self, view: &View, is_closed_elsewhere: bool) -> bool {
        let interface_lost = self
            .interfaces
            .keys()
            .any(|index| !view.interfaces.contains_key(index));
        // Both, whatever the first one says.
        let addresses_lost = self.v4.follow(&view.v4) | self.v6.follow(&view.v6);
        let has_lost = self.is_new || interface_lost || addresses_lost || is_closed_elsewhere;
        self.has_lost |= has_lost;
        has_lost
    }

    /// Whether a flow leads where nothing is any more, or has an address that the host has no longer.
    pub(super) fn is_gone4(&self, view: &View, key: &FlowKey, flow: &Flow) -> bool {
        self.has_lost
            && self
                .v4
                .is_gone(&view.v4, (&self.openings, &self.closures), key, flow)
    }

    /// The same of IPv6.
    pub(super) fn is_gone6(&self, view: &View, key: &FlowKey<Address6>, flow: &Flow<Address6>) -> bool {
        self.has_lost
            && self
                .v6
                .is_gone(&view.v6, (&self.openings, &self.closures), key, flow)
    }

    /// Whether there may be flows of which they say so.
    pub(super) const fn has_lost(&self) -> bool {
        self.has_lost
    }

    /// All flows were looked at since the last loss.
    pub(super) fn forget_lost(&mut self) {
        self.has_lost = false;
        self.v4.forget_lost();
        self.v6.forget_lost();
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
fn attach(
    dataplane: &mut Dataplane,
    index: IfIndex,
    interface: &NamedInterface,
) -> Result<bool, DataplaneError> {
    match dataplane.attach(index, interface.role) {
        Ok(attachments) => {
            let others = attachments.into_iter().flat_map(|attachment| attachment.in_front);
            for program in others {
                warn!(
                    "{program} on {} sees packets before netmap and may keep them",
                    interface.name
                );
            }
            Ok(true)
        }
        // Gone again already: its event is on the way.
        Err(DataplaneError::Missing { .. }) => Ok(false),
        // No other interface will fare better, nor this one later.
        Err(error @ DataplaneError::Kernel { .. }) => Err(error),
        Err(error) => {
            warn!(
                "{} is left to the host's own stack until it can be attached: {error}",
                interface.name
            );
            Ok(false)
        }
    }
}
