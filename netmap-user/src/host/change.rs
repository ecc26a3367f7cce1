//! Events applied to a snapshot, including what the kernel changes without telling.

use std::{collections::btree_map::Entry, net::IpAddr};

use netmap_common::maps::IfIndex;

use super::{
    event::Event,
    snapshot::{Link, LinkKind, Peer, Snapshot, Station},
};

/// What an event changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Links or routes.
    Topology,
    /// An address of this interface.
    Address(IfIndex),
    /// A port of this bridge appeared, or came to life.
    Port(IfIndex),
    /// The neighbour entry of this address.
    Neighbour(IpAddr),
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
            Event::Station(station, port) => self.set_station(station, port),
            Event::V4(event) => self.v4.apply(event, &self.links),
            Event::V6(event) => self.v6.apply(event, &self.links),
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
            self.v4.forget_dead_routes(index, &self.links);
            self.v6.forget_dead_routes(index, &self.links);
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
        self.v4.forget_link(index, &self.links);
        self.v6.forget_link(index, &self.links);
        self.forget_port(index);
        Some(Change::Topology)
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
}
