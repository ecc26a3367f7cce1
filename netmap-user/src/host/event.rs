//! Netlink messages as facts: parsed once, here.

use std::net::IpAddr;

use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope},
    link::{
        InfoBridgePort, InfoKind, InfoPortData, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
        LinkProtoInfoBridge,
    },
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState},
    route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType},
};
use netmap_common::maps::{Address, Address6, IfIndex};
use rtnetlink::packet_core::{NLM_F_REPLACE, Nla as _};

use super::{
    addressing::{DefaultRoute, Hop, HostAddress, Neighbour, Standing},
    family::HostFamily,
    snapshot::{Link, LinkKind, Mac, NamespaceId, Peer, Station},
};
use crate::maps::{Family, Subnet as _};

/// `IFLA_BRPORT_ISOLATED` of `linux/if_link.h`, inside `IFLA_PROTINFO`.
const IFLA_BRPORT_ISOLATED: u16 = 33;

/// Something that became true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A link is there, like this.
    Link(IfIndex, Link),
    /// A link is gone.
    LinkGone(IfIndex),
    /// A bridge told of a port's isolation.
    Isolated(IfIndex, bool),
    /// A port (first) left a bridge (second).
    LeftBridge(IfIndex, IfIndex),
    /// The port by which a bridge reaches a station.
    Station(Station, Option<IfIndex>),
    /// Something of IPv4.
    V4(FamilyEvent<Address>),
    /// Something of IPv6.
    V6(FamilyEvent<Address6>),
}

/// Something of one address family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FamilyEvent<A: Family> {
    /// An interface has this address.
    Address(IfIndex, HostAddress<A>),
    /// An interface has it no more.
    AddressGone(IfIndex, HostAddress<A>),
    /// The neighbour entry of an address on a link.
    Neighbour(IfIndex, A, Option<Neighbour>),
    /// A default route.
    Route(DefaultRoute<A>),
    /// A default route takes the place of the one of the same metric.
    RouteReplaced(DefaultRoute<A>),
    /// A default route is gone.
    RouteGone(DefaultRoute<A>),
}

impl Event {
    /// What `message` says, if it says something that matters here. `flags` are those of its header.
    pub(super) fn from_message(message: &RouteNetlinkMessage, flags: u16) -> Option<Self> {
        match message {
            RouteNetlinkMessage::NewLink(link) if link.header.interface_family == AddressFamily::Bridge => {
                let isolated = isolated_by_bridge(link)?;
                Some(Self::Isolated(IfIndex(link.header.index), isolated))
            }
            // The bridge's own notice that a port left it: the link itself goes on.
            RouteNetlinkMessage::DelLink(link) if link.header.interface_family == AddressFamily::Bridge => {
                Some(Self::LeftBridge(IfIndex(link.header.index), master(link)?))
            }
            RouteNetlinkMessage::NewLink(link) => {
                Some(Self::Link(IfIndex(link.header.index), link_of(link)?))
            }
            RouteNetlinkMessage::DelLink(link) => Some(Self::LinkGone(IfIndex(link.header.index))),
            RouteNetlinkMessage::NewNeighbour(neighbour) | RouteNetlinkMessage::DelNeighbour(neighbour)
                if neighbour.header.family == AddressFamily::Bridge =>
            {
                let is_new = matches!(message, RouteNetlinkMessage::NewNeighbour(_));
                let (station, port) = station_of(neighbour)?;
                Some(Self::Station(station, port.filter(|_| is_new)))
            }
            _ => FamilyEvent::from_message(message, flags)
                .map(Self::V4)
                .or_else(|| FamilyEvent::from_message(message, flags).map(Self::V6)),
        }
    }
}

impl Event {
    /// The address that an interface has, if it says so and is of this family.
    pub(super) fn into_address<A: HostFamily>(self) -> Option<A> {
        let address = match self {
            Self::V4(FamilyEvent::Address(_, own)) => IpAddr::from(own.address),
            Self::V6(FamilyEvent::Address(_, own)) => IpAddr::from(own.address),
            _ => return None,
        };
        A::from_ip(address)
    }
}

impl<A: HostFamily> FamilyEvent<A> {
    fn from_message(message: &RouteNetlinkMessage, flags: u16) -> Option<Self> {
        match message {
            RouteNetlinkMessage::NewAddress(address) => {
                let (index, address) = address_of(address)?;
                Some(Self::Address(index, address))
            }
            RouteNetlinkMessage::DelAddress(address) => {
                let (index, address) = address_of(address)?;
                Some(Self::AddressGone(index, address))
            }
            RouteNetlinkMessage::NewNeighbour(neighbour) => {
                let (index, address, neighbour) = neighbour_of(neighbour)?;
                Some(Self::Neighbour(index, address, neighbour))
            }
            RouteNetlinkMessage::DelNeighbour(neighbour) => {
                let (index, address, _) = neighbour_of(neighbour)?;
                Some(Self::Neighbour(index, address, None))
            }
            RouteNetlinkMessage::NewRoute(route) if flags & NLM_F_REPLACE != 0 => {
                Some(Self::RouteReplaced(default_route_of(route)?))
            }
            RouteNetlinkMessage::NewRoute(route) => Some(Self::Route(default_route_of(route)?)),
            RouteNetlinkMessage::DelRoute(route) => Some(Self::RouteGone(default_route_of(route)?)),
            _ => None,
        }
    }
}

fn isolated_by_bridge(message: &LinkMessage) -> Option<bool> {
    let infos = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::ProtoInfoBridge(infos) => Some(infos),
        _ => None,
    })?;
    infos.iter().find_map(|info| match info {
        LinkProtoInfoBridge::Other(nla) if nla.kind() == IFLA_BRPORT_ISOLATED => {
            let mut value = [0];
            (nla.value_len() == value.len()).then(|| {
                nla.emit_value(&mut value);
                value != [0]
            })
        }
        _ => None,
    })
}

fn master(message: &LinkMessage) -> Option<IfIndex> {
    message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Controller(index) if *index != 0 => Some(IfIndex(*index)),
        _ => None,
    })
}

/// The link that a message describes in full; wireless extensions send messages that describe it in part.
fn link_of(message: &LinkMessage) -> Option<Link> {
    let mut name = None;
    let mut kind = None;
    let mut peer = Peer::Here(IfIndex(0));
    let mut mtu = 0;
    let mut mac = None;
    let mut isolated = false;
    let mut bus = None;
    let mut namespace = None;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Wireless(_) => return None,
            LinkAttribute::IfName(value) => name = Some(value.clone()),
            LinkAttribute::Mtu(value) => mtu = *value,
            LinkAttribute::Address(value) => mac = mac_of(value),
            LinkAttribute::Link(index) if peer != Peer::Elsewhere => peer = Peer::Here(IfIndex(*index)),
            LinkAttribute::ParentDevBusName(value) => bus = Some(value.clone()),
            LinkAttribute::LinkNetNsId(number) => {
                peer = Peer::Elsewhere;
                namespace = Some(NamespaceId(*number)).filter(|_| *number >= 0);
            }
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    match info {
                        LinkInfo::Kind(value) => kind = Some(value),
                        LinkInfo::PortData(InfoPortData::BridgePort(port)) => {
                            isolated = port.contains(&InfoBridgePort::Isolated(true));
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    let flags = message.header.flags;
    let vlan_of = match (kind, peer) {
        (Some(InfoKind::Vlan), Peer::Here(lower)) => Some(lower),
        _ => None,
    };
    let type_name = kind.map(ToString::to_string);
    let kind = match kind {
        _ if flags.contains(LinkFlags::Loopback) => LinkKind::Loopback,
        Some(InfoKind::Bridge) => LinkKind::Bridge,
        Some(InfoKind::Veth) => LinkKind::Veth(peer),
        _ => LinkKind::Other,
    };
    Some(Link {
        name: name?,
        kind,
        master: master(message),
        up: flags.contains(LinkFlags::Up),
        running: flags.contains(LinkFlags::Running),
        isolated,
        mtu,
        mac,
        type_name,
        bus,
        vlan_of,
        namespace: namespace.filter(|_| matches!(kind, LinkKind::Veth(_))),
    })
}

fn mac_of(bytes: &[u8]) -> Option<Mac> {
    bytes.try_into().ok().map(Mac)
}

fn address_of<A: HostFamily>(message: &AddressMessage) -> Option<(IfIndex, HostAddress<A>)> {
    if message.header.family != A::NUMBER {
        return None;
    }
    let mut local = None;
    let mut remote = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = A::from_ip(*address),
            AddressAttribute::Address(address) => remote = A::from_ip(*address),
            _ => {}
        }
    }
    let address = local.or(remote)?;
    let has = |flag| message.header.flags.contains(flag);
    let is_optimistic = message.attributes.iter().any(|attribute| {
        matches!(attribute, AddressAttribute::Flags(flags) if flags.contains(AddressFlags::Optimistic))
    });
    // An optimistic address is in use while it is verified (RFC 4429, 3.3).
    let is_tentative = has(AddressHeaderFlags::Tentative) && !is_optimistic;
    let standing = if is_tentative || has(AddressHeaderFlags::Dadfailed) {
        Standing::Tentative
    } else if has(AddressHeaderFlags::Deprecated) {
        Standing::Deprecated
    } else {
        Standing::Preferred
    };
    let address = HostAddress {
        address,
        subnet: A::Net::around(remote.unwrap_or(address), message.header.prefix_len)?,
        secondary: has(AddressHeaderFlags::Secondary),
        global: message.header.scope == AddressScope::Universe,
        standing,
    };
    Some((IfIndex(message.header.index), address))
}

/// A station, and the port behind which its bridge has learned it.
fn station_of(message: &NeighbourMessage) -> Option<(Station, Option<IfIndex>)> {
    let index = IfIndex(message.header.ifindex);
    let mut bridge = None;
    let mut vlan = 0;
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Controller(value) => bridge = Some(IfIndex(*value)),
            NeighbourAttribute::Vlan(value) => vlan = *value,
            _ => {}
        }
    }
    // Without a bridge it is a filter of the device itself; permanent entries are the bridge's own addresses.
    let bridge = bridge?;
    let mac = link_layer_address(message)?;
    let learned = message.header.state != NeighbourState::Permanent && index != bridge;
    Some((Station { bridge, mac, vlan }, learned.then_some(index)))
}

fn link_layer_address(message: &NeighbourMessage) -> Option<Mac> {
    message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(value) => mac_of(value),
        _ => None,
    })
}

fn neighbour_of<A: HostFamily>(message: &NeighbourMessage) -> Option<(IfIndex, A, Option<Neighbour>)> {
    let header = &message.header;
    if header.family != A::NUMBER || header.flags.contains(NeighbourFlags::Proxy) {
        return None;
    }
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(value)) => A::from_ip((*value).into()),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(value)) => A::from_ip((*value).into()),
        _ => None,
    })?;
    if address.is_multicast_or_reserved() {
        // Groups have entries, too, one a link and group with IPv6.
        return None;
    }
    let known = |fixed| link_layer_address(message).map(|mac| Neighbour::Known { mac, fixed });
    let neighbour = match header.state {
        NeighbourState::Failed => Some(Neighbour::Failed),
        NeighbourState::Incomplete | NeighbourState::None => None,
        NeighbourState::Permanent | NeighbourState::Noarp => known(true),
        _ => known(false),
    };
    Some((IfIndex(header.ifindex), address, neighbour))
}

fn default_route_of<A: HostFamily>(message: &RouteMessage) -> Option<DefaultRoute<A>> {
    let header = &message.header;
    if header.address_family != A::NUMBER
        || header.destination_prefix_length != 0
        || header.table != RouteHeader::RT_TABLE_MAIN
        || header.kind != RouteType::Unicast
    {
        return None;
    }
    let mut route = DefaultRoute {
        metric: 0,
        tos: header.tos,
        hops: Vec::new(),
        source: None,
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Priority(metric) => route.metric = *metric,
            RouteAttribute::PrefSource(source) => route.source = of_route(source),
            RouteAttribute::MultiPath(hops) => {
                let hops = hops.iter().map(|hop| Hop {
                    out: IfIndex(hop.interface_index),
                    gateway: gateway(&hop.attributes),
                });
                route.hops.extend(hops);
            }
            RouteAttribute::Oif(index) => route.hops.push(Hop {
                out: IfIndex(*index),
                gateway: gateway(&message.attributes),
            }),
            _ => {}
        }
    }
    (!route.hops.is_empty()).then_some(route)
}

fn gateway<A: HostFamily>(attributes: &[RouteAttribute]) -> Option<A> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(address) => of_route(address),
        _ => None,
    })
}

fn of_route<A: HostFamily>(address: &RouteAddress) -> Option<A> {
    match address {
        RouteAddress::Inet(address) => A::from_ip(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => A::from_ip(IpAddr::V6(*address)),
        _ => None,
    }
}
