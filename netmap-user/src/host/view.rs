//! What the maps should hold, computed from what netlink said.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use netmap_common::maps::{Address, Address6, Endpoint, IfIndex, Role, Way, capacity};

use super::{
    addressing::Addressing,
    family::HostFamily,
    owners,
    place::{self, Ask, Places},
    role::{self, Roles, Selection},
    snapshot::{NamespaceId, Snapshot},
    tables::{self, FamilyView},
    wire::Wire,
};
use crate::maps::Family;

/// An interface that carries a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedInterface {
    /// Its name.
    pub name: String,
    /// What it is to netmap.
    pub role: Role,
}

/// The desired content of the maps that say where packets can be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// IPv4's.
    pub v4: FamilyView<Address>,
    /// IPv6's.
    pub v6: FamilyView<Address6>,
    /// Uplinks, managed bridges and the ports of those.
    pub interfaces: BTreeMap<IfIndex, NamedInterface>,
    /// What the uplinks are made of.
    pub wires: BTreeMap<IfIndex, Wire>,
    /// Ports of containers that take frames from XDP.
    pub redirects: BTreeSet<IfIndex>,
    /// The uplink of the default route with the lowest metric, IPv4's before IPv6's, else the first uplink.
    pub default_uplink: Option<IfIndex>,
    /// Names of interfaces that were asked for and are not there.
    pub missing: Vec<String>,
    /// Published addresses that have no endpoint.
    pub unresolved: Vec<IpAddr>,
    /// What the user should know about the selection, a sentence each.
    pub notes: Vec<String>,
}

/// A view and what it was found out with.
#[derive(Clone, Debug, Default)]
pub(super) struct Picture {
    /// For the maps.
    pub(super) view: View,
    /// Where published containers are: the memory of the next picture.
    pub(super) places: Places,
    /// What the kernel should find out.
    pub(super) asks: BTreeMap<IpAddr, Ask>,
    /// The namespaces behind ports whose addresses matter.
    pub(super) homes: BTreeSet<(IfIndex, NamespaceId)>,
}

/// The desired content of the maps; `last` remembers where published containers (`wanted`) were found, and what was an
/// uplink.
pub(super) fn picture(
    snapshot: &Snapshot,
    selection: &Selection,
    wanted: &BTreeSet<IpAddr>,
    last: &Picture,
) -> Picture {
    let roles = Roles::of(snapshot, selection, &last.view.uplinks());
    let interfaces = interfaces(snapshot, &roles);
    let mut v4 = tables::without_endpoints(snapshot, &snapshot.v4, &roles, &interfaces);
    let mut v6 = tables::without_endpoints(snapshot, &snapshot.v6, &roles, &interfaces);
    let homes = owners::homes(snapshot, &roles, &interfaces);
    owners::settle(snapshot, &homes, &last.view.v4.owners, &mut v4);
    owners::settle(snapshot, &homes, &last.view.v6.owners, &mut v6);
    let mut notes = roles.notes.clone();
    notes.extend(unfulfilled(snapshot, &roles, |address| match address {
        IpAddr::V4(address) => v4.locals.contains_key(&address.into()),
        IpAddr::V6(address) => v6.locals.contains_key(&address.into()),
    }));
    let mut search = Search {
        snapshot,
        wanted,
        last: &last.places,
        places: Places::new(),
        asks: BTreeMap::new(),
        unresolved: Vec::new(),
    };
    let view = View {
        wires: wires(snapshot, &roles),
        redirects: redirects(snapshot, &v4),
        v4: search.with_endpoints(&snapshot.v4, v4),
        v6: search.with_endpoints(&snapshot.v6, v6),
        interfaces,
        default_uplink: default_uplink(snapshot, &roles),
        missing: roles.missing,
        notes,
        unresolved: search.unresolved,
    };
    Picture {
        view,
        places: search.places,
        asks: search.asks,
        homes,
    }
}

/// For published containers.
struct Search<'host> {
    snapshot: &'host Snapshot,
    wanted: &'host BTreeSet<IpAddr>,
    last: &'host Places,
    places: Places,
    asks: BTreeMap<IpAddr, Ask>,
    unresolved: Vec<IpAddr>,
}

impl Search<'_> {
    fn with_endpoints<A: HostFamily>(
        &mut self,
        addressing: &Addressing<A>,
        mut view: FamilyView<A>,
    ) -> FamilyView<A> {
        for address in self.wanted.iter().filter_map(|address| A::from_ip(*address)) {
            match self.endpoint(addressing, &view, address) {
                Some(endpoint) => {
                    view.endpoints.insert(address, endpoint);
                }
                None => self.unresolved.push(address.into()),
            }
        }
        view
    }

    fn endpoint<A: HostFamily>(
        &mut self,
        addressing: &Addressing<A>,
        view: &FamilyView<A>,
        address: A,
    ) -> Option<Endpoint<A>> {
        if view.locals.contains_key(&address) {
            return None;
        }
        let Some(network) = view.network_of(address) else {
            return elsewhere(addressing, address);
        };
        let (snapshot, bridge) = (self.snapshot, network.bridge);
        let last = self.last.get(&address.into());
        let place = place::locate(snapshot, addressing, bridge, address, last);
        if let Some(ask) = place::ask(snapshot, addressing, bridge, address, place.as_ref()) {
            self.asks.insert(address.into(), ask);
        }
        let place = place?;
        self.places.insert(address.into(), place);
        let port = snapshot.links.get(&place.port)?;
        let (way, out) = tables::way_to(place.port, port, bridge);
        Some(Endpoint {
            out,
            bridge,
            gateway: network.gateway,
            way: way as u8,
            flags: tables::flags(port),
            pad: [0; 2],
        })
    }
}

impl View {
    /// The uplinks.
    pub fn uplinks(&self) -> Vec<IfIndex> {
        let uplinks = self
            .interfaces
            .iter()
            .filter(|(_, interface)| interface.role == Role::Uplink);
        uplinks.map(|(index, _)| *index).collect()
    }

    /// Every address of this host.
    pub fn locals(&self) -> impl Iterator<Item = IpAddr> {
        let v4 = self.v4.locals.keys().map(|address| (*address).into());
        v4.chain(self.v6.locals.keys().map(|address| (*address).into()))
    }

    /// Whether `address` is one of them.
    pub fn is_local(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.v4.locals.contains_key(&address.into()),
            IpAddr::V6(address) => self.v6.locals.contains_key(&address.into()),
        }
    }
}

/// The endpoint of an address that is behind no managed bridge: only the host's stack may know the way.
fn elsewhere<A: HostFamily>(addressing: &Addressing<A>, address: A) -> Option<Endpoint<A>> {
    let is_every_links = !A::HAS_LINK_LOCAL_NETWORKS && address.is_link_local();
    let ordinary =
        address != A::ANY && !address.is_loopback() && !address.is_multicast_or_reserved() && !is_every_links;
    (addressing.forwarding && ordinary).then_some(Endpoint {
        out: IfIndex(0),
        bridge: IfIndex(0),
        gateway: A::ANY,
        way: Way::Stack as u8,
        flags: 0,
        pad: [0; 2],
    })
}

/// What is to be said of addresses that containers are to leave by, a sentence each.
fn unfulfilled(snapshot: &Snapshot, roles: &Roles, is_local: impl Fn(IpAddr) -> bool) -> Vec<String> {
    let mut missing: BTreeMap<IpAddr, Vec<&str>> = BTreeMap::new();
    let mut notes = Vec::new();
    for (bridge, addresses) in &roles.egress {
        let name = role::name(snapshot, *bridge);
        for address in addresses.iter().filter(|address| !is_local(**address)) {
            missing.entry(*address).or_default().push(name);
        }
        let room = usize::from(capacity::EGRESS_PLACES);
        let is_full = |is_ipv4| {
            addresses
                .iter()
                .filter(|address| address.is_ipv4() == is_ipv4)
                .count()
                > room
        };
        if is_full(true) || is_full(false) {
            notes.push(format!(
                "{name} has more than {room} addresses to leave by: the others are not used"
            ));
        }
    }
    notes.extend(missing.into_iter().map(|(address, bridges)| {
        format!(
            "{address} is not an address of this host (yet): what is to leave {} by it waits, or leaves by another of \
             --egress",
            bridges.join(", ")
        )
    }));
    notes
}

fn default_uplink(snapshot: &Snapshot, roles: &Roles) -> Option<IfIndex> {
    let routed = snapshot.default_hops().find(|out| roles.uplinks.contains(out));
    routed.or(roles.uplinks.first().copied())
}

fn interfaces(snapshot: &Snapshot, roles: &Roles) -> BTreeMap<IfIndex, NamedInterface> {
    let role = |index: &IfIndex, master: Option<IfIndex>| {
        if roles.uplinks.contains(index) {
            Some(Role::Uplink)
        } else if roles.bridges.contains(index) {
            Some(Role::Bridge)
        } else {
            let bridge = master.filter(|master| roles.bridges.contains(master));
            bridge.map(|_| Role::Port)
        }
    };
    let carriers = snapshot.links.iter().filter_map(|(index, link)| {
        let role = role(index, link.master)?;
        let name = link.name.clone();
        Some((*index, NamedInterface { name, role }))
    });
    carriers.collect()
}

fn wires(snapshot: &Snapshot, roles: &Roles) -> BTreeMap<IfIndex, Wire> {
    let links = roles
        .uplinks
        .iter()
        .filter_map(|index| Some((*index, snapshot.links.get(index)?)));
    links
        .map(|(index, link)| (index, Wire::of(snapshot, index, link)))
        .collect()
}

fn redirects<A: Family>(snapshot: &Snapshot, view: &FamilyView<A>) -> BTreeSet<IfIndex> {
    let veths = view
        .interfaces
        .iter()
        .filter(|(_, value)| value.role == Role::Port as u8 && value.way == Way::Peer as u8);
    veths
        .map(|(index, _)| *index)
        .filter(|index| snapshot.takers.contains(index))
        .collect()
}

#[cfg(test)]
mod tests;
