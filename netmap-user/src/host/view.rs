//! What the maps should hold, computed from what netlink said.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use ipnet::Ipv4Net;
use netmap_common::maps::{Address, Endpoint, IfIndex, Interface, Network, Role, Way};

use super::{
    place::{self, Ask, Places},
    role::{Roles, Selection},
    snapshot::{HostAddress, Link, LinkKind, Peer, Snapshot},
    wire::Wire,
};

/// An interface that carries a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedInterface {
    /// Its name.
    pub name: String,
    /// What it is to netmap.
    pub role: Role,
    /// The same and more, as the data plane wants it.
    pub value: Interface,
}

/// The desired content of the maps that say where packets can be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Every address of this host, those of the loopback interface included, and an interface that has it.
    pub locals: BTreeMap<Address, IfIndex>,
    /// Subnets behind managed bridges. A single address (/32) is no subnet.
    pub networks: BTreeMap<Ipv4Net, Network>,
    /// Uplinks, managed bridges and the ports of those.
    pub interfaces: BTreeMap<IfIndex, NamedInterface>,
    /// What the uplinks are made of.
    pub wires: BTreeMap<IfIndex, Wire>,
    /// Ports of containers that take frames from XDP.
    pub redirects: BTreeSet<IfIndex>,
    /// How to reach published containers.
    pub endpoints: BTreeMap<Address, Endpoint>,
    /// The uplink of the default route with the lowest metric, else the first uplink.
    pub default_uplink: Option<IfIndex>,
    /// Names of interfaces that were asked for and are not there.
    pub missing: Vec<String>,
    /// Published addresses that have no endpoint.
    pub unresolved: Vec<Ipv4Addr>,
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
    pub(super) asks: BTreeMap<Ipv4Addr, Ask>,
}

/// The desired content of the maps; `last` remembers where published containers (`wanted`) were found, and what was an
/// uplink.
pub(super) fn picture(
    snapshot: &Snapshot,
    selection: &Selection,
    wanted: &BTreeSet<Ipv4Addr>,
    last: &Picture,
) -> Picture {
    let roles = Roles::of(snapshot, selection, &last.view.uplinks());
    let interfaces = interfaces(snapshot, &roles);
    let view = View {
        locals: locals(snapshot),
        networks: networks(snapshot, &roles),
        wires: wires(snapshot, &roles),
        redirects: redirects(snapshot, &interfaces),
        interfaces,
        default_uplink: default_uplink(snapshot, &roles),
        missing: roles.missing,
        notes: roles.notes,
        ..View::default()
    };
    let mut picture = Picture {
        view,
        ..Picture::default()
    };
    for address in wanted {
        picture.find(snapshot, *address, &last.places);
    }
    picture
}

impl Picture {
    fn find(&mut self, snapshot: &Snapshot, address: Ipv4Addr, last: &Places) {
        match self.endpoint(snapshot, address, last) {
            Some(endpoint) => {
                self.view.endpoints.insert(address.into(), endpoint);
            }
            None => self.view.unresolved.push(address),
        }
    }

    fn endpoint(&mut self, snapshot: &Snapshot, address: Ipv4Addr, last: &Places) -> Option<Endpoint> {
        if self.view.locals.contains_key(&address.into()) {
            return None;
        }
        let Some(network) = self.view.network_of(address) else {
            return elsewhere(snapshot, address);
        };
        let bridge = network.bridge;
        let gateway = network.gateway;
        let place = place::locate(snapshot, bridge, address, last.get(&address));
        if let Some(ask) = place::ask(snapshot, bridge, address, place.as_ref()) {
            self.asks.insert(address, ask);
        }
        let place = place?;
        self.places.insert(address, place);
        let port = snapshot.links.get(&place.port)?;
        let (way, out) = way_to(place.port, port, bridge);
        Some(Endpoint {
            out,
            bridge,
            gateway,
            way: way as u8,
            flags: flags(port),
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

    /// The smallest managed subnet that `address` is in.
    pub fn network_of(&self, address: Ipv4Addr) -> Option<&Network> {
        // In order of address, then length: every subnet that contains the address stands before it, the smallest
        // last. There are few, so a scan from there is short.
        let end = Ipv4Net::from(address);
        self.networks
            .range(..=end)
            .rev()
            .find(|(subnet, _)| subnet.contains(&address))
            .map(|(_, network)| network)
    }
}

/// The endpoint of an address that is behind no managed bridge: only the host's stack may know the way.
fn elsewhere(snapshot: &Snapshot, address: Ipv4Addr) -> Option<Endpoint> {
    let ordinary = !address.is_unspecified()
        && !address.is_loopback()
        && !address.is_multicast()
        && !address.is_broadcast();
    (snapshot.forwarding && ordinary).then_some(Endpoint {
        way: Way::Stack as u8,
        ..Endpoint::default()
    })
}

fn default_uplink(snapshot: &Snapshot, roles: &Roles) -> Option<IfIndex> {
    let routes = snapshot.routes_by_metric();
    let mut hops = routes.iter().flat_map(|route| &route.hops);
    let routed = hops.find(|hop| roles.uplinks.contains(&hop.out));
    routed.map(|hop| hop.out).or(roles.uplinks.first().copied())
}

fn locals(snapshot: &Snapshot) -> BTreeMap<Address, IfIndex> {
    let mut locals = BTreeMap::new();
    for (index, addresses) in &snapshot.addresses {
        for own in addresses {
            locals.entry(own.address.into()).or_insert(*index);
        }
    }
    locals
}

fn networks(snapshot: &Snapshot, roles: &Roles) -> BTreeMap<Ipv4Net, Network> {
    let mut networks = BTreeMap::new();
    for bridge in &roles.bridges {
        for own in snapshot.addresses_of(*bridge) {
            if own.subnet.prefix_len() == 32 {
                continue;
            }
            // Two bridges with one subnet cannot both be routed to: the kernel takes the older one, too.
            networks.entry(own.subnet).or_insert(Network {
                bridge: *bridge,
                gateway: own.address.into(),
                flags: 0,
            });
        }
    }
    networks
}

fn interfaces(snapshot: &Snapshot, roles: &Roles) -> BTreeMap<IfIndex, NamedInterface> {
    let mut interfaces = BTreeMap::new();
    for (index, link) in &snapshot.links {
        let (role, value) = if roles.uplinks.contains(index) {
            (Role::Uplink, uplink(snapshot, *index))
        } else if roles.bridges.contains(index) {
            (
                Role::Bridge,
                behind_bridge(snapshot, Role::Bridge, *index, link, *index),
            )
        } else if let Some(bridge) = link.master.filter(|master| roles.bridges.contains(master)) {
            (
                Role::Port,
                behind_bridge(snapshot, Role::Port, *index, link, bridge),
            )
        } else {
            continue;
        };
        let name = link.name.clone();
        interfaces.insert(*index, NamedInterface { name, role, value });
    }
    interfaces
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

fn redirects(snapshot: &Snapshot, interfaces: &BTreeMap<IfIndex, NamedInterface>) -> BTreeSet<IfIndex> {
    let veths = interfaces
        .iter()
        .filter(|(_, interface)| interface.role == Role::Port && interface.value.way == Way::Peer as u8);
    veths
        .map(|(index, _)| *index)
        .filter(|index| snapshot.takers.contains(index))
        .collect()
}

fn uplink(snapshot: &Snapshot, index: IfIndex) -> Interface {
    Interface {
        role: Role::Uplink as u8,
        way: Way::Neigh as u8,
        out: index,
        address: masquerade_address(snapshot, index).map_or(Address::ANY, Address::from),
        ..Interface::default()
    }
}

/// The source address that the kernel itself would take on this uplink: what the default route asks for, else an
/// address in the router's subnet, else the first.
fn masquerade_address(snapshot: &Snapshot, index: IfIndex) -> Option<Ipv4Addr> {
    let routes = snapshot.routes_by_metric();
    let via = || {
        routes
            .iter()
            .flat_map(|route| route.hops.iter().map(move |hop| (hop, route.source)))
            .filter(|(hop, _)| hop.out == index)
    };
    if let Some(source) = via().find_map(|(_, source)| source) {
        return Some(source);
    }
    let usable = || {
        snapshot
            .addresses_of(index)
            .iter()
            .filter(|own| own.global && !own.secondary)
    };
    let near = via()
        .filter_map(|(hop, _)| hop.gateway)
        .find_map(|gateway| usable().find(|own| own.subnet.contains(&gateway)));
    near.or_else(|| usable().next()).map(|own| own.address)
}

fn behind_bridge(snapshot: &Snapshot, role: Role, index: IfIndex, link: &Link, bridge: IfIndex) -> Interface {
    let (way, out) = way_to(index, link, bridge);
    let addresses = snapshot.addresses_of(bridge);
    let primary = |own: &&HostAddress| own.global && !own.secondary;
    let address = addresses.iter().find(primary).or_else(|| addresses.first());
    Interface {
        role: role as u8,
        way: way as u8,
        flags: flags(link),
        pad: 0,
        out,
        bridge,
        address: address.map_or(Address::ANY, |own| own.address.into()),
    }
}

/// How packets reach what is behind a port: straight into the namespace behind a veth, through the bridge otherwise.
fn way_to(index: IfIndex, link: &Link, bridge: IfIndex) -> (Way, IfIndex) {
    match link.kind {
        LinkKind::Veth(Peer::Elsewhere) if index != bridge => (Way::Peer, index),
        _ => (Way::Neigh, bridge),
    }
}

fn flags(link: &Link) -> u8 {
    if link.isolated { Interface::ISOLATED } else { 0 }
}

#[cfg(test)]
mod tests;
