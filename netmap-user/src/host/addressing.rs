//! What netlink said of one address family.

use std::collections::BTreeMap;

use netmap_common::maps::IfIndex;

use super::{
    change::Change,
    event::FamilyEvent,
    family::HostFamily,
    snapshot::{Link, Mac},
};
use crate::maps::Family;

/// Every interface.
type Links = BTreeMap<IfIndex, Link>;

/// One of the host's own addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostAddress<A: Family> {
    /// The address.
    pub address: A,
    /// The subnet that it makes reachable (of the peer's address on a point-to-point link).
    pub subnet: A::Net,
    /// `IFA_F_SECONDARY`. IPv4: a later address of a subnet that the interface is in already, never a source by itself.
    /// IPv6 gives the bit another name, `IFA_F_TEMPORARY`: an address for privacy that is another one soon (RFC 8981).
    pub secondary: bool,
    /// Scope "global": may be seen outside of its link. Unique local addresses (RFC 4193) are, too.
    pub global: bool,
    /// How far it can be used.
    pub standing: Standing,
}

/// How far an address of the host can be used (RFC 4862, 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// For anything.
    Preferred,
    /// For nothing new (`IFA_F_DEPRECATED`). IPv4 does not mind.
    Deprecated,
    /// Not at all: whether another host has it is still being asked, or was answered (`IFA_F_TENTATIVE`,
    /// `IFA_F_DADFAILED`). The host does not answer at it.
    Tentative,
}

/// What the kernel knows about an address on a link. An entry that is being resolved is no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbour {
    /// Its link-layer address, verified or not.
    Known {
        /// The link-layer address.
        mac: Mac,
        /// Set by an administrator (`NUD_PERMANENT`, `NUD_NOARP`): the kernel never probes it.
        fixed: bool,
    },
    /// It was asked for and did not answer.
    Failed,
}

/// A default route of the main table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultRoute<A: Family> {
    /// Its metric; the lowest wins.
    pub metric: u32,
    /// The type of service that it is for, 0 for any and for IPv6.
    pub tos: u8,
    /// Its next hops, at least one. Of IPv6 all that have this metric.
    pub hops: Vec<Hop<A>>,
    /// The source address that it asks for (`RTA_PREFSRC`).
    pub source: Option<A>,
}

/// One next hop of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop<A: Family> {
    /// The interface that it leaves by.
    pub out: IfIndex,
    /// The router; none on a point-to-point link.
    pub gateway: Option<A>,
}

/// What netlink said of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addressing<A: Family> {
    /// Addresses of each interface, in the kernel's order: primary ones of a subnet come first, of IPv6 the newest.
    pub addresses: BTreeMap<IfIndex, Vec<HostAddress<A>>>,
    /// Default routes of the main table.
    pub routes: Vec<DefaultRoute<A>>,
    /// Neighbour entries.
    pub neighbours: BTreeMap<(IfIndex, A), Neighbour>,
    /// Whether the host forwards (`net.ipv4.ip_forward`, `net.ipv6.conf.all.forwarding`).
    pub forwarding: bool,
}

impl<A: Family> HostAddress<A> {
    /// Whether the host answers at it.
    pub fn is_verified(&self) -> bool {
        self.standing != Standing::Tentative
    }
}

impl<A: Family> Addressing<A> {
    /// The addresses of an interface.
    pub fn addresses_of(&self, index: IfIndex) -> &[HostAddress<A>] {
        self.addresses.get(&index).map_or(&[], Vec::as_slice)
    }

    /// Default routes with each of their next hops, the preferred one first.
    pub fn hops_by_metric(&self) -> impl Iterator<Item = (&DefaultRoute<A>, &Hop<A>)> {
        let mut routes: Vec<_> = self.routes.iter().collect();
        routes.sort_by_key(|route| route.metric);
        routes
            .into_iter()
            .flat_map(|route| route.hops.iter().map(move |hop| (route, hop)))
    }
}

impl<A: HostFamily> Addressing<A> {
    /// Takes `event` in, and says what it changed, if anything.
    pub(super) fn apply(&mut self, event: FamilyEvent<A>, links: &Links) -> Option<Change> {
        match event {
            FamilyEvent::Address(index, address) => self.set_address(index, address),
            FamilyEvent::AddressGone(index, address) => self.remove_address(index, address, links),
            FamilyEvent::Neighbour(index, address, neighbour) => {
                self.set_neighbour(index, address, neighbour)
            }
            FamilyEvent::Route(route) => self.change_routes(|routes| add_route(routes, route)),
            FamilyEvent::RouteReplaced(route) => self.change_routes(|routes| {
                routes.retain(|other| (other.metric, other.tos) != (route.metric, route.tos));
                routes.push(route);
            }),
            FamilyEvent::RouteGone(route) => self.change_routes(|routes| remove_route(routes, &route)),
        }
    }

    /// An interface is gone.
    pub(super) fn forget_link(&mut self, index: IfIndex, links: &Links) {
        self.addresses.remove(&index);
        self.neighbours.retain(|(link, _), _| *link != index);
        self.forget_dead_routes(index, links);
    }

    /// Routes vanish without notice when the last interface that they could leave by stops to carry the family, as
    /// `dead` just did.
    pub(super) fn forget_dead_routes(&mut self, dead: IfIndex, links: &Links) {
        let alive = |out: &IfIndex| *out != dead && links.get(out).is_some_and(|link| link.up);
        self.routes
            .retain(|route| route.hops.iter().any(|hop| alive(&hop.out)));
    }

    fn set_address(&mut self, index: IfIndex, address: HostAddress<A>) -> Option<Change> {
        let addresses = self.addresses.entry(index).or_default();
        let same = |other: &&mut HostAddress<A>| same_address(other, &address);
        match addresses.iter_mut().find(same) {
            Some(other) if *other == address => return None,
            Some(other) => *other = address,
            None if A::NEWEST_FIRST => addresses.insert(0, address),
            None => addresses.push(address),
        }
        Some(Change::Address(index))
    }

    fn remove_address(&mut self, index: IfIndex, address: HostAddress<A>, links: &Links) -> Option<Change> {
        let addresses = self.addresses.get_mut(&index)?;
        let before = addresses.len();
        addresses.retain(|other| !same_address(other, &address));
        if addresses.len() == before {
            return None;
        }
        if addresses.is_empty() {
            self.addresses.remove(&index);
            if !A::ROUTES_ARE_HOPS {
                // The last address of an interface takes the routes with it.
                self.forget_dead_routes(index, links);
            }
        }
        let mut others = self.addresses.values().flatten();
        if !others.any(|other| other.address == address.address) {
            self.forget_source(address.address);
        }
        Some(Change::Address(index))
    }

    /// Routes that ask for a source address vanish with it, or ask for it no more, without notice.
    fn forget_source(&mut self, source: A) {
        if A::ROUTES_ARE_HOPS {
            let asking = self
                .routes
                .iter_mut()
                .filter(|route| route.source == Some(source));
            asking.for_each(|route| route.source = None);
        } else {
            self.routes.retain(|route| route.source != Some(source));
        }
    }

    fn set_neighbour(&mut self, index: IfIndex, address: A, neighbour: Option<Neighbour>) -> Option<Change> {
        let before = match neighbour {
            Some(neighbour) => self.neighbours.insert((index, address), neighbour),
            None => self.neighbours.remove(&(index, address)),
        };
        (before != neighbour).then(|| Change::Neighbour(address.into()))
    }

    fn change_routes(&mut self, change: impl FnOnce(&mut Vec<DefaultRoute<A>>)) -> Option<Change> {
        let before = self.routes.clone();
        change(&mut self.routes);
        (before != self.routes).then_some(Change::Topology)
    }
}

fn add_route<A: HostFamily>(routes: &mut Vec<DefaultRoute<A>>, route: DefaultRoute<A>) {
    let mut same = routes
        .iter_mut()
        .filter(|other| A::ROUTES_ARE_HOPS && other.metric == route.metric);
    if let Some(other) = same.next() {
        for hop in route.hops {
            if !other.hops.contains(&hop) {
                other.hops.push(hop);
            }
        }
        other.source = route.source.or(other.source);
    } else if !routes.contains(&route) {
        routes.push(route);
    }
}

fn remove_route<A: HostFamily>(routes: &mut Vec<DefaultRoute<A>>, route: &DefaultRoute<A>) {
    if !A::ROUTES_ARE_HOPS {
        routes.retain(|other| other != route);
        return;
    }
    for other in routes.iter_mut().filter(|other| other.metric == route.metric) {
        other.hops.retain(|hop| !route.hops.contains(hop));
    }
    routes.retain(|other| !other.hops.is_empty());
}

fn same_address<A: Family>(one: &HostAddress<A>, other: &HostAddress<A>) -> bool {
    one.address == other.address && one.subnet == other.subnet
}
