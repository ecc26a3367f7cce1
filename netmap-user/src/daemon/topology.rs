//! Brings the maps and the attached programs to what the host looks like.

use std::{collections::BTreeMap, fmt};

use netmap_common::maps::{Address, Endpoint, Flow, FlowKey, IfIndex, Interface, Kind, Role, Side};
use tracing::{info, warn};

use crate::{
    dataplane::{Dataplane, DataplaneError},
    expiry,
    host::{NamedInterface, View},
    maps::{Maps, MapsError},
};

/// What was applied last.
#[derive(Debug, Default)]
pub(super) struct Topology {
    applied: View,
}

impl Topology {
    /// Applies a view: first what programs look up, then the programs, so that an interface's first packet finds all.
    pub(super) fn follow(
        &mut self,
        view: &View,
        maps: &mut Maps,
        dataplane: &mut Dataplane,
    ) -> Result<(), MapsError> {
        maps.locals.replace(&view.locals)?;
        maps.networks.replace(&view.networks)?;
        let interfaces: BTreeMap<IfIndex, Interface> = view
            .interfaces
            .iter()
            .map(|(index, interface)| (*index, interface.value))
            .collect();
        maps.interfaces.replace(&interfaces)?;
        maps.endpoints.replace(&view.endpoints)?;
        for (index, interface) in &view.interfaces {
            if self
                .applied
                .interfaces
                .get(index)
                .is_none_or(|last| last.role != interface.role)
            {
                attach(dataplane, *index, interface);
            }
        }
        self.detach_gone(view, dataplane);
        self.purge_gone(view, maps)?;
        for note in view
            .notes
            .iter()
            .filter(|note| !self.applied.notes.contains(note))
        {
            warn!("{note}");
        }
        self.applied = view.clone();
        Ok(())
    }

    fn detach_gone(&self, view: &View, dataplane: &mut Dataplane) {
        let attached = dataplane.interfaces().unwrap_or_else(|error| {
            warn!("attached programs cannot be listed: {error}");
            self.applied.interfaces.keys().copied().collect()
        });
        for index in attached
            .into_iter()
            .filter(|index| !view.interfaces.contains_key(index))
        {
            if let Err(error) = dataplane.detach(index) {
                warn!("interface {} cannot be left alone: {error}", index.0);
            }
        }
    }

    /// Ends flows that lead where nothing is any more, or come from an address that the host no longer has.
    fn purge_gone(&self, view: &View, maps: &mut Maps) -> Result<(), MapsError> {
        let lost_interfaces: Vec<IfIndex> = self
            .applied
            .interfaces
            .keys()
            .filter(|index| !view.interfaces.contains_key(index))
            .copied()
            .collect();
        let lost_addresses: Vec<Address> = self
            .applied
            .locals
            .keys()
            .filter(|address| !view.locals.contains_key(address))
            .copied()
            .collect();
        let moved: BTreeMap<Address, Option<Endpoint>> = self
            .applied
            .endpoints
            .iter()
            .map(|(address, last)| (*address, *last, view.endpoints.get(address).copied()))
            .filter(|(_, last, now)| *now != Some(*last))
            .map(|(address, _, now)| (address, now))
            .collect();
        if lost_interfaces.is_empty() && lost_addresses.is_empty() && moved.is_empty() {
            return Ok(());
        }
        let ended = expiry::purge(maps, |key: &FlowKey, flow: &Flow| {
            let original = flow.side() == Side::Original;
            let lost_source =
                flow.kind() == Some(Kind::Egress) && original && lost_addresses.contains(&flow.to.src);
            let moved_target = original
                && flow.kind() != Some(Kind::Egress)
                && moved
                    .get(&flow.to.dst)
                    .is_some_and(|now| now.is_none_or(|now| now.out != flow.out));
            let lost_client = original && lost_addresses.contains(&key.dst);
            lost_interfaces.contains(&flow.out) || lost_source || moved_target || lost_client
        })?;
        if ended > 0 {
            info!("ended {} flows whose way is gone", ended / 2);
        }
        Ok(())
    }
}

/// Uplinks and bridges by name, ports by number.
impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let interfaces = &self.applied.interfaces;
        let ports = interfaces
            .values()
            .filter(|interface| interface.role == Role::Port)
            .count();
        write!(
            f,
            "uplinks {}; bridges {}; {ports} container ports",
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

fn attach(dataplane: &mut Dataplane, index: IfIndex, interface: &NamedInterface) {
    match dataplane.attach(index, interface.role) {
        Ok(attachments) => {
            for attachment in attachments {
                for program in attachment.in_front {
                    warn!(
                        "{} on {} sees packets before netmap and may keep them",
                        program, interface.name
                    );
                }
            }
        }
        // Gone again already: its event is on the way.
        Err(DataplaneError::Missing { .. }) => {}
        Err(error) => warn!("{} is left to the host's own stack: {error}", interface.name),
    }
}
