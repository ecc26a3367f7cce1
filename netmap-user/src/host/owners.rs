//! Which port a container's address belongs to.

use std::collections::{BTreeMap, BTreeSet};

use netmap_common::maps::{IfIndex, Interface, Role, capacity};

use super::{
    family::HostFamily,
    role::Roles,
    snapshot::{NamespaceId, Snapshot},
    tables::FamilyView,
    view::NamedInterface,
};

/// How many addresses of its bridge's networks a container may have. With more it is taken for one of whose addresses
/// nothing is known: so nobody fills the table.
const MOST: usize = 256;

/// Ports of bridges that hold containers to their own addresses, and the namespaces behind them.
pub(super) fn homes(
    snapshot: &Snapshot,
    roles: &Roles,
    interfaces: &BTreeMap<IfIndex, NamedInterface>,
) -> BTreeSet<(IfIndex, NamespaceId)> {
    let ports = interfaces
        .iter()
        .filter(|(_, interface)| interface.role == Role::Port);
    let homes = ports.filter_map(|(index, _)| {
        let link = snapshot.links.get(index)?;
        let is_held = roles.holding.contains(&link.master?);
        Some((*index, link.namespace.filter(|_| is_held)?))
    });
    homes.collect()
}

/// Writes down who owns which address, and marks the ports whose addresses are known.
///
/// An address that is in several namespaces stays with the port that had it first (`last`), so that nobody takes a neighbour's
/// by giving it to himself. Of two ports of a bridge into one namespace either may send from any of its addresses: nothing is
/// known of those.
pub(super) fn settle<A: HostFamily>(
    snapshot: &Snapshot,
    homes: &BTreeSet<(IfIndex, NamespaceId)>,
    last: &BTreeMap<A, IfIndex>,
    view: &mut FamilyView<A>,
) {
    let bridge_of = |port: IfIndex| snapshot.links.get(&port).and_then(|link| link.master);
    let mut doors: BTreeMap<(Option<IfIndex>, NamespaceId), usize> = BTreeMap::new();
    for (port, namespace) in homes {
        *doors.entry((bridge_of(*port), *namespace)).or_default() += 1;
    }
    let mut claims: BTreeMap<A, Vec<IfIndex>> = BTreeMap::new();
    let mut claimed = 0;
    for (port, namespace) in homes {
        let bridge = bridge_of(*port);
        if doors.get(&(bridge, *namespace)) != Some(&1) {
            continue;
        }
        let Some(inhabitants) = snapshot.inhabitants.get(namespace) else {
            continue;
        };
        let is_here = |address: &&A| {
            view.network_of(**address)
                .is_some_and(|network| Some(network.bridge) == bridge)
        };
        let own: Vec<A> = A::of(inhabitants)
            .iter()
            .filter(is_here)
            .copied()
            .take(MOST + 1)
            .collect();
        claimed += own.len();
        if own.len() > MOST || claimed > capacity::OWNERS {
            continue;
        }
        for address in own {
            claims.entry(address).or_default().push(*port);
        }
    }
    for (address, ports) in claims {
        let former = last.get(&address).filter(|port| ports.contains(port));
        let Some(owner) = former.or_else(|| ports.first()) else {
            continue;
        };
        view.owners.insert(address, *owner);
        // A container without an address of the family may get its first one at any moment, and send at once.
        if let Some(interface) = view.interfaces.get_mut(owner) {
            interface.flags |= Interface::<A>::KNOWN;
        }
    }
}
