//! On which port of a bridge a container is.

use std::{collections::BTreeMap, net::IpAddr};

use netmap_common::maps::IfIndex;

use super::{
    addressing::{Addressing, Neighbour},
    snapshot::{Mac, Snapshot},
};
use crate::maps::Family;

/// Where an address was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The bridge.
    pub bridge: IfIndex,
    /// The port of the bridge.
    pub port: IfIndex,
    /// The link-layer address.
    pub mac: Mac,
}

/// Where addresses were found last.
pub(super) type Places = BTreeMap<IpAddr, Place>;

/// What the kernel is asked about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    /// The bridge behind which it should be.
    pub(super) bridge: IfIndex,
    /// Verify this link-layer address, so that the bridge sees an answer and learns the port. Without one: find it.
    pub(super) verify: Option<Mac>,
    /// Its place is known already; the answer only confirms it.
    pub(super) known: bool,
}

/// The place of `address` behind `bridge`.
///
/// The kernel forgets quiet containers: bridges after 300 s, the neighbour table when it is full. So what was found
/// before (`last`) counts on while its port belongs to the bridge, no other port claims the link-layer address, and
/// nobody found the address unreachable.
pub(super) fn locate<A: Family>(
    snapshot: &Snapshot,
    addressing: &Addressing<A>,
    bridge: IfIndex,
    address: A,
    last: Option<&Place>,
) -> Option<Place> {
    let last = last.filter(|last| last.bridge == bridge);
    let mac = match addressing.neighbours.get(&(bridge, address)) {
        Some(Neighbour::Failed) => return None,
        Some(Neighbour::Known { mac, .. }) => *mac,
        None => last?.mac,
    };
    if let Some(port) = snapshot.port_of(bridge, mac) {
        return Some(Place { bridge, port, mac });
    }
    last.filter(|last| last.mac == mac && snapshot.is_port_of(last.port, bridge))
        .copied()
}

/// What to ask the kernel about an address behind `bridge` whose place came out as `place`.
pub(super) fn ask<A: Family>(
    snapshot: &Snapshot,
    addressing: &Addressing<A>,
    bridge: IfIndex,
    address: A,
    place: Option<&Place>,
) -> Option<Ask> {
    // A bridge that is down resolves nothing.
    if !snapshot.links.get(&bridge)?.up {
        return None;
    }
    let verify = match addressing.neighbours.get(&(bridge, address)) {
        // Found, or set by an administrator, which the kernel does not probe.
        Some(Neighbour::Known { mac: _, fixed }) if place.is_some() || *fixed => return None,
        Some(Neighbour::Known { mac, .. }) => Some(*mac),
        Some(Neighbour::Failed) | None => None,
    };
    Some(Ask {
        bridge,
        verify,
        known: place.is_some(),
    })
}
