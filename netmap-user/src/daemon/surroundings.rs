//! What the maps of one address family hold of the host, and which flows that leaves without a way.

use std::collections::{BTreeMap, BTreeSet};

use netmap_common::maps::{Endpoint, Flow, FlowKey, IfIndex, Kind, Side};

use super::{closures::Closures, direct::Openings};
use crate::{
    host::FamilyView,
    maps::{Family, FamilyMaps, MapsError},
};

/// What was applied last of one family.
#[derive(Debug, Default)]
pub(super) struct Surroundings<A: Family> {
    locals: BTreeSet<A>,
    endpoints: BTreeMap<A, Endpoint<A>>,
    /// Containers that are elsewhere now, until all their flows are ended.
    moved: BTreeSet<A>,
}

impl<A: Family> Surroundings<A> {
    /// What a former daemon left in the maps.
    pub(super) fn adopt(maps: &FamilyMaps<A>) -> Result<Self, MapsError> {
        Ok(Self {
            locals: BTreeSet::new(),
            endpoints: maps.endpoints.all()?.into_iter().collect(),
            moved: BTreeSet::new(),
        })
    }

    /// Writes what endpoints rest on: addresses, networks and interfaces.
    pub(super) fn write_ground(
        view: &FamilyView<A>,
        openings: &Openings,
        closures: &Closures,
        maps: &mut FamilyMaps<A>,
    ) -> Result<(), MapsError> {
        maps.locals.replace(&closures.locals(&view.locals))?;
        // Before what names them.
        maps.egress.replace(&view.egress)?;
        maps.networks.replace(&openings.networks(&view.networks))?;
        // Before a port is said to have no others.
        maps.owners.replace(&view.owners)?;
        let mut interfaces = openings.interfaces(&view.interfaces);
        closures.mark(&mut interfaces);
        maps.interfaces.replace(&interfaces)?;
        Ok(())
    }

    /// Takes `view` as applied; says whether an address is gone or a container has moved since the last.
    pub(super) fn follow(&mut self, view: &FamilyView<A>) -> bool {
        let address_lost = self
            .locals
            .iter()
            .any(|address| !view.locals.contains_key(address));
        let moved: Vec<A> = view
            .endpoints
            .iter()
            .filter(|(address, now)| self.endpoints.get(address).is_some_and(|last| last != *now))
            .map(|(address, _)| *address)
            .collect();
        let has_lost = address_lost || !moved.is_empty();
        // What is not ended yet of an earlier loss still has to go.
        self.moved.extend(moved);
        self.locals = view.locals.keys().copied().collect();
        self.endpoints.clone_from(&view.endpoints);
        has_lost
    }

    /// Whether a flow leads where nothing is any more, has an address that the host has no longer, or came in where it may
    /// not any more.
    pub(super) fn is_gone(
        &self,
        view: &FamilyView<A>,
        (openings, closures): (&Openings, &Closures),
        key: &FlowKey<A>,
        flow: &Flow<A>,
    ) -> bool {
        let leads_nowhere = flow.out != IfIndex(0) && !view.interfaces.contains_key(&flow.out);
        // A container that does not answer for a while keeps its flows; one that has moved cannot.
        let has_moved = |address| {
            let now = view
                .endpoints
                .get(address)
                .filter(|_| self.moved.contains(address));
            now.is_some_and(|now| now.out != flow.out)
        };
        let lost = |address| !view.locals.contains_key(address);
        leads_nowhere
            || match (flow.kind(), flow.side()) {
                (Some(Kind::Egress), Side::Original) => flow.to.src != key.src && lost(&flow.to.src),
                (Some(Kind::Direct), Side::Original) => view
                    .network_of(key.dst)
                    .is_none_or(|network| !openings.has::<A>(network.bridge)),
                // Only the answers' entry has the uplink; through the host's stack not even that.
                (Some(Kind::Published), Side::Reply) => closures.has(flow.out, flow.to.src),
                (Some(_), Side::Original) => lost(&key.dst) || has_moved(&flow.to.dst),
                _ => false,
            }
    }

    /// All flows were looked at since the last loss.
    pub(super) fn forget_lost(&mut self) {
        self.moved.clear();
    }
}

#[cfg(test)]
mod tests {
    use netmap_common::maps::{Address, Address6, Port, Protocol, Way};

    use super::*;

    const PORT: IfIndex = IfIndex(7);
    const OTHER_PORT: IfIndex = IfIndex(8);

    fn endpoint<A: Family>(out: IfIndex) -> Endpoint<A> {
        Endpoint {
            out,
            bridge: IfIndex(3),
            gateway: A::ANY,
            way: Way::Peer as u8,
            flags: 0,
            pad: [0; 2],
        }
    }

    /// A flow to a published port of the host's address, and what becomes of it.
    fn lives_of_a_flow<A: Family>(client: A, host: A, container: A) {
        let key = FlowKey::new(Protocol::Tcp, client, Port(4_000), host, Port(80));
        let flow = Flow {
            to: FlowKey {
                dst: container,
                ..key
            },
            out: PORT,
            kind: Kind::Published as u8,
            ..bytemuck::Zeroable::zeroed()
        };
        let mut view = FamilyView::<A>::default();
        view.locals.insert(host, IfIndex(2));
        view.endpoints.insert(container, endpoint(PORT));
        for index in [PORT, OTHER_PORT] {
            view.interfaces.insert(index, bytemuck::Zeroable::zeroed());
        }
        let (openings, closures) = (Openings::default(), Closures::default());
        let closed = (&openings, &closures);
        let mut known = Surroundings::default();
        assert!(!known.follow(&view) && !known.is_gone(&view, closed, &key, &flow));

        // It does not answer for a while.
        let mut silent = view.clone();
        silent.endpoints.clear();
        assert!(!known.follow(&silent) && !known.is_gone(&silent, closed, &key, &flow));
        known.follow(&view);

        let mut moved = view.clone();
        moved.endpoints.insert(container, endpoint(OTHER_PORT));
        assert!(known.follow(&moved) && known.is_gone(&moved, closed, &key, &flow));
        assert!(!known.follow(&moved), "once");
        assert!(
            known.is_gone(&moved, closed, &key, &flow),
            "until all were looked at"
        );
        known.forget_lost();
        assert!(!known.is_gone(&moved, closed, &key, &flow));

        let mut without_address = moved.clone();
        without_address.locals.clear();
        assert!(known.follow(&without_address) && known.is_gone(&without_address, closed, &key, &flow));
        let mut without_port = moved.clone();
        without_port.interfaces.remove(&PORT);
        assert!(known.is_gone(&without_port, closed, &key, &flow));
    }

    #[test]
    fn a_flow_ends_with_its_address_its_interface_or_its_containers_place() {
        lives_of_a_flow(Address(1), Address(2), Address(3));
        lives_of_a_flow(
            Address6([0x2001_0db8, 0, 0, 1]),
            Address6([0x2001_0db8, 0, 0, 2]),
            Address6([0xfd00_0000, 0, 0, 3]),
        );
    }
}
