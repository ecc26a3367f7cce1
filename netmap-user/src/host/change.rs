//! Events applied to a snapshot, including what the kernel changes without telling.

use std::{collections::btree_map::Entry, net::Ipv4Addr};

use netmap_common::maps::IfIndex;

use super::{
    event::Event,
    snapshot::{HostAddress, Link, LinkKind, Neighbour, Peer, Snapshot, Station},
};

/// What an event changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Links, addresses or routes.
    Topology,
    /// A port of this bridge appeared, or came to life.
    Port(IfIndex),
    /// The neighbour entry of this address.
    Neighbour(Ipv4Addr),
    /// A bridge's forwarding table.
    Station,
}

impl Snapshot {
    /// Takes `event` in, and says what it changed, if anything.
    pub(super) fn apply(&mut self, event: Event) -> Option<Change> {
        match event {
            Event::Link(index, link) => self.set_link(index, link),
            Event::LinkGone(index) => self.remove_link(index),
            Event::Isolated(index, isolated) => {
                let link = self.links.get_mut(&index)?;
                let changed = link.isolated != isolated;
                link.isolated = isolated;
                changed.then_some(Change::Topology)
            }
            Event::LeftBridge(index, bridge) => {
                let link = self.links.get_mut(&index)?;
                if link.master != Some(bridge) {
                    return None;
                }
                link.master = None;
                link.isolated = false;
                self.forget_port(index);
                Some(Change::Topology)
            }
            Event::Address(index, address) => self.set_address(index, address),
            Event::AddressGone(index, address) => self.remove_address(index, address),
            Event::Neighbour(index, address, neighbour) => self.set_neighbour(index, address, neighbour),
            Event::Station(station, port) => self.set_station(station, port),
            Event::Route(route) => {
                if self.routes.contains(&route) {
                    return None;
                }
                self.routes.push(route);
                Some(Change::Topology)
            }
            Event::RouteReplaced(route) => {
                let before = self.routes.clone();
                self.routes
                    .retain(|other| (other.metric, other.tos) != (route.metric, route.tos));
                self.routes.push(route);
                (before != self.routes).then_some(Change::Topology)
            }
            Event::RouteGone(route) => {
                let before = self.routes.len();
                self.routes.retain(|other| *other != route);
                (before != self.routes.len()).then_some(Change::Topology)
            }
        }
    }

    fn set_link(&mut self, index: IfIndex, link: Link) -> Option<Change> {
        let before = self.links.get(&index);
        if before == Some(&link) {
            return None;
        }
        let Link { kind, master, up, .. } = link;
        let former = before.and_then(|before| before.master);
        let came_to_life =
            before.is_none_or(|before| before.master != master || (!before.running && link.running));
        self.links.insert(index, link);
        // A veth that came back into this namespace: its other end is not told.
        if let LinkKind::Veth(Peer::Here(peer)) = kind
            && let Some(other) = self.links.get_mut(&peer)
            && let LinkKind::Veth(_) = other.kind
        {
            other.kind = LinkKind::Veth(Peer::Here(index));
        }
        if former.is_some() && former != master {
            self.forget_port(index);
        }
        if !up {
            self.forget_dead_routes(index);
        }
        match master {
            Some(master) if came_to_life => Some(Change::Port(master)),
            _ => Some(Change::Topology),
        }
    }

    fn remove_link(&mut self, index: IfIndex) -> Option<Change> {
        self.links.remove(&index)?;
        // If the pair is being deleted, the other end's own notice follows. If not, this end has moved to another
        // namespace, of which the other end is not told.
        for link in self.links.values_mut() {
            if link.kind == LinkKind::Veth(Peer::Here(index)) {
                link.kind = LinkKind::Veth(Peer::Elsewhere);
            }
        }
        self.addresses.remove(&index);
        self.neighbours.retain(|(link, _), _| *link != index);
        self.forget_port(index);
        self.forget_dead_routes(index);
        Some(Change::Topology)
    }

    fn set_address(&mut self, index: IfIndex, address: HostAddress) -> Option<Change> {
        let addresses = self.addresses.entry(index).or_default();
        let same = |other: &&mut HostAddress| same_address(other, &address);
        match addresses.iter_mut().find(same) {
            Some(other) if *other == address => return None,
            Some(other) => *other = address,
            None => addresses.push(address),
        }
        Some(Change::Topology)
    }

    fn remove_address(&mut self, index: IfIndex, address: HostAddress) -> Option<Change> {
        let addresses = self.addresses.get_mut(&index)?;
        let before = addresses.len();
        addresses.retain(|other| !same_address(other, &address));
        if addresses.len() == before {
            return None;
        }
        if addresses.is_empty() {
            // The last address of an interface takes the routes with it.
            self.addresses.remove(&index);
            self.forget_dead_routes(index);
        }
        // Routes that ask for a source address vanish with it, without notice.
        let gone = !self
            .addresses
            .values()
            .flatten()
            .any(|other| other.address == address.address);
        if gone {
            self.routes.retain(|route| route.source != Some(address.address));
        }
        Some(Change::Topology)
    }

    fn set_neighbour(
        &mut self,
        index: IfIndex,
        address: Ipv4Addr,
        neighbour: Option<Neighbour>,
    ) -> Option<Change> {
        let before = match neighbour {
            Some(neighbour) => self.neighbours.insert((index, address), neighbour),
            None => self.neighbours.remove(&(index, address)),
        };
        (before != neighbour).then_some(Change::Neighbour(address))
    }

    fn set_station(&mut self, station: Station, port: Option<IfIndex>) -> Option<Change> {
        let before = match (self.stations.entry(station), port) {
            (Entry::Occupied(mut entry), Some(port)) => Some(entry.insert(port)),
            (Entry::Occupied(entry), None) => Some(entry.remove()),
            (Entry::Vacant(entry), Some(port)) => {
                entry.insert(port);
                None
            }
            (Entry::Vacant(_), None) => None,
        };
        (before != port).then_some(Change::Station)
    }

    fn forget_port(&mut self, index: IfIndex) {
        self.stations
            .retain(|station, port| *port != index && station.bridge != index);
    }

    /// IPv4 routes vanish without notice when the last interface that they could leave by stops to carry IPv4, as
    /// `dead` just did.
    fn forget_dead_routes(&mut self, dead: IfIndex) {
        let links = &self.links;
        let alive = |out: &IfIndex| *out != dead && links.get(out).is_some_and(|link| link.up);
        self.routes
            .retain(|route| route.hops.iter().any(|hop| alive(&hop.out)));
    }
}

fn same_address(one: &HostAddress, other: &HostAddress) -> bool {
    one.address == other.address && one.subnet == other.subnet
}
