//! What one address family's maps should hold, as far as it does not depend on what is published.

use std::collections::BTreeMap;

use netmap_common::maps::{EgressPlace, Endpoint, IfIndex, Interface, Network, Role, Way, capacity};

use super::{
    addressing::{Addressing, HostAddress},
    family::HostFamily,
    role::Roles,
    snapshot::{Link, LinkKind, Peer, Snapshot},
    view::NamedInterface,
};
use crate::maps::{Family, Subnet as _};

/// The desired content of one family's maps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FamilyView<A: Family> {
    /// Every address of this host, those of the loopback interface included, and an interface that has it.
    pub locals: BTreeMap<A, IfIndex>,
    /// Subnets behind managed bridges. A single address (/32, /128) is no subnet, and neither is what every link has
    /// (`fe80::/10`).
    pub networks: BTreeMap<A::Net, Network<A>>,
    /// The addresses that containers leave by, where not by the uplink's.
    pub egress: BTreeMap<EgressPlace, A>,
    /// Uplinks, managed bridges and the ports of those, also where they have no address of the family.
    pub interfaces: BTreeMap<IfIndex, Interface<A>>,
    /// Containers' addresses, and the port that each is behind.
    pub owners: BTreeMap<A, IfIndex>,
    /// How to reach published containers.
    pub endpoints: BTreeMap<A, Endpoint<A>>,
}

impl<A: Family> FamilyView<A> {
    /// The smallest managed subnet that `address` is in.
    pub fn network_of(&self, address: A) -> Option<&Network<A>> {
        // In order of address, then length: every subnet that contains the address stands before it, the smallest
        // last. There are few, so a scan from there is short.
        let end = A::Net::around(address, u8::try_from(A::BITS).ok()?)?;
        self.networks
            .range(..=end)
            .rev()
            .find(|(subnet, _)| subnet.contains(address))
            .map(|(_, network)| network)
    }
}

/// All but the endpoints.
pub(super) fn without_endpoints<A: HostFamily>(
    snapshot: &Snapshot,
    addressing: &Addressing<A>,
    roles: &Roles,
    interfaces: &BTreeMap<IfIndex, NamedInterface>,
) -> FamilyView<A> {
    let values = interfaces.iter().filter_map(|(index, interface)| {
        let link = snapshot.links.get(index)?;
        let value = match (interface.role, link.master) {
            (Role::Uplink, _) => uplink(addressing, *index),
            (Role::Port, Some(bridge)) => behind_bridge(addressing, Role::Port, *index, link, bridge),
            (role, _) => behind_bridge(addressing, role, *index, link, *index),
        };
        Some((*index, value))
    });
    let locals = locals(addressing);
    FamilyView {
        egress: egress(&locals, roles),
        locals,
        networks: networks(addressing, roles),
        interfaces: values.collect(),
        owners: BTreeMap::new(),
        endpoints: BTreeMap::new(),
    }
}

/// How packets reach what is behind a port: straight into the namespace behind a veth, through the bridge otherwise.
pub(super) fn way_to(index: IfIndex, link: &Link, bridge: IfIndex) -> (Way, IfIndex) {
    match link.kind {
        LinkKind::Veth(Peer::Elsewhere) if index != bridge => (Way::Peer, index),
        _ => (Way::Neigh, bridge),
    }
}

pub(super) fn flags(link: &Link) -> u8 {
    if link.isolated { Interface::ISOLATED } else { 0 }
}

fn locals<A: Family>(addressing: &Addressing<A>) -> BTreeMap<A, IfIndex> {
    let mut locals = BTreeMap::new();
    for (index, addresses) in &addressing.addresses {
        for own in addresses.iter().filter(|own| own.is_verified()) {
            locals.entry(own.address).or_insert(*index);
        }
    }
    locals
}

fn networks<A: HostFamily>(addressing: &Addressing<A>, roles: &Roles) -> BTreeMap<A::Net, Network<A>> {
    let mut networks = BTreeMap::new();
    for bridge in &roles.bridges {
        // A bridge without a carrier verifies no address: its subnet is behind it all the same.
        let mut addresses = addressing.addresses_of(*bridge).to_vec();
        addresses.sort_by_key(|own| !own.is_verified());
        for own in &addresses {
            if u32::from(own.subnet.bits()) == A::BITS || is_every_links(own) {
                continue;
            }
            // Two bridges with one subnet cannot both be routed to: the kernel takes the older one, too.
            networks.entry(own.subnet).or_insert(Network {
                bridge: *bridge,
                gateway: own.address,
                flags: network_flags::<A>(roles, *bridge),
            });
        }
    }
    networks
}

fn network_flags<A: Family>(roles: &Roles, bridge: IfIndex) -> u32 {
    let mappings = if roles.with_mappings.contains(&bridge) {
        Network::<A>::MAPPINGS
    } else {
        0
    };
    let places = egress_of::<A>(roles, bridge).count();
    mappings | Network::<A>::egress(u16::try_from(places).unwrap_or(0))
}

/// The addresses that a bridge's containers are to leave by, as many as there is room for.
fn egress_of<A: Family>(roles: &Roles, bridge: IfIndex) -> impl Iterator<Item = A> {
    let addresses = roles.egress.get(&bridge).into_iter().flatten();
    addresses
        .filter_map(|address| A::from_ip(*address))
        .take(capacity::EGRESS_PLACES.into())
}

/// The place of an address that the host does not have is the next one's meanwhile, so that nobody else's changes. Where
/// the host has none of a bridge's, its places are there all the same, and what leaves is refused: the user did not want it
/// to have the uplink's address.
fn egress<A: Family>(locals: &BTreeMap<A, IfIndex>, roles: &Roles) -> BTreeMap<EgressPlace, A> {
    let mut places = BTreeMap::new();
    for bridge in roles.egress.keys() {
        let wanted: Vec<A> = egress_of(roles, *bridge).collect();
        for start in 0..wanted.len() {
            let mut from_there = wanted.iter().cycle().skip(start).take(wanted.len());
            let place = u32::try_from(start).ok();
            if let (Some(number), Some(address)) =
                (place, from_there.find(|address| locals.contains_key(address)))
            {
                let bridge = *bridge;
                places.insert(EgressPlace { bridge, number }, *address);
            }
        }
    }
    places
}

fn is_every_links<A: HostFamily>(own: &HostAddress<A>) -> bool {
    !A::HAS_LINK_LOCAL_NETWORKS && (own.address.is_link_local() || own.subnet.first().is_link_local())
}

fn uplink<A: HostFamily>(addressing: &Addressing<A>, index: IfIndex) -> Interface<A> {
    Interface {
        role: Role::Uplink as u8,
        way: Way::Neigh as u8,
        flags: 0,
        pad: 0,
        out: index,
        bridge: IfIndex(0),
        address: masquerade_address(addressing, index).unwrap_or(A::ANY),
    }
}

/// The source address that the kernel itself would take on this uplink: what the default route asks for, else the best,
/// of IPv4 one in the router's subnet before others, else the first.
fn masquerade_address<A: HostFamily>(addressing: &Addressing<A>, index: IfIndex) -> Option<A> {
    let via: Vec<_> = addressing
        .hops_by_metric()
        .filter(|(_, hop)| hop.out == index)
        .collect();
    if let Some(source) = via.iter().find_map(|(route, _)| route.source) {
        return Some(source);
    }
    let own = addressing.addresses_of(index).iter();
    let usable: Vec<_> = own.filter_map(|own| Some((A::source_rank(own)?, own))).collect();
    let best = usable.iter().map(|(rank, _)| *rank).min()?;
    let usable = || {
        usable
            .iter()
            .filter(|(rank, _)| *rank == best)
            .map(|(_, own)| own)
    };
    let near = via
        .iter()
        .filter_map(|(_, hop)| hop.gateway.filter(|_| A::PREFERS_ROUTERS_SUBNET))
        .find_map(|gateway| usable().find(|own| own.subnet.contains(gateway)));
    near.or_else(|| usable().next()).map(|own| own.address)
}

fn behind_bridge<A: HostFamily>(
    addressing: &Addressing<A>,
    role: Role,
    index: IfIndex,
    link: &Link,
    bridge: IfIndex,
) -> Interface<A> {
    let (way, out) = way_to(index, link, bridge);
    let own = addressing.addresses_of(bridge).iter();
    let own = own.filter(|own| own.is_verified() && !is_every_links(own));
    let address = own.min_by_key(|own| A::source_rank(own).unwrap_or(u8::MAX));
    Interface {
        role: role as u8,
        way: way as u8,
        flags: flags(link),
        pad: 0,
        out,
        bridge,
        address: address.map_or(A::ANY, |own| own.address),
    }
}
