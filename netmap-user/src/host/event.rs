//! Netlink messages as facts: parsed once, here.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope},
    link::{
        InfoBridgePort, InfoKind, InfoPortData, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
        LinkProtoInfoBridge,
    },
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState},
    route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType},
};
use netmap_common::maps::IfIndex;
use rtnetlink::packet_core::{NLM_F_REPLACE, Nla as _};

use super::snapshot::{DefaultRoute, Hop, HostAddress, Link, LinkKind, Mac, Neighbour, Peer, Station};

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
    /// An interface has this address.
    Address(IfIndex, HostAddress),
    /// An interface has it no more.
    AddressGone(IfIndex, HostAddress),
    /// The neighbour entry of an address on a link.
    Neighbour(IfIndex, Ipv4Addr, Option<Neighbour>),
    /// The port by which a bridge reaches a station.
    Station(Station, Option<IfIndex>),
    /// A default route.
    Route(DefaultRoute),
    /// A default route takes the place of the one of the same metric.
    RouteReplaced(DefaultRoute),
    /// A default route is gone.
    RouteGone(DefaultRoute),
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
            RouteNetlinkMessage::NewAddress(address) => {
                let (index, address) = address_of(address)?;
                Some(Self::Address(index, address))
            }
            RouteNetlinkMessage::DelAddress(address) => {
                let (index, address) = address_of(address)?;
                Some(Self::AddressGone(index, address))
            }
            RouteNetlinkMessage::NewNeighbour(neighbour) => neighbour_of(neighbour, true),
            RouteNetlinkMessage::DelNeighbour(neighbour) => neighbour_of(neighbour, false),
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
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Wireless(_) => return None,
            LinkAttribute::IfName(value) => name = Some(value.clone()),
            LinkAttribute::Mtu(value) => mtu = *value,
            LinkAttribute::Address(value) => mac = mac_of(value),
            LinkAttribute::Link(index) if peer != Peer::Elsewhere => peer = Peer::Here(IfIndex(*index)),
            LinkAttribute::ParentDevBusName(value) => bus = Some(value.clone()),
            LinkAttribute::LinkNetNsId(_) => peer = Peer::Elsewhere,
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
    })
}

fn mac_of(bytes: &[u8]) -> Option<Mac> {
    bytes.try_into().ok().map(Mac)
}

fn address_of(message: &AddressMessage) -> Option<(IfIndex, HostAddress)> {
    if message.header.family != AddressFamily::Inet {
        return None;
    }
    let mut local = None;
    let mut remote = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(IpAddr::V4(address)) => local = Some(*address),
            AddressAttribute::Address(IpAddr::V4(address)) => remote = Some(*address),
            _ => {}
        }
    }
    let address = local.or(remote)?;
    let subnet = Ipv4Net::new(remote.unwrap_or(address), message.header.prefix_len).ok()?;
    let address = HostAddress {
        address,
        subnet: subnet.trunc(),
        secondary: message.header.flags.contains(AddressHeaderFlags::Secondary),
        global: message.header.scope == AddressScope::Universe,
    };
    Some((IfIndex(message.header.index), address))
}

fn neighbour_of(message: &NeighbourMessage, present: bool) -> Option<Event> {
    let header = &message.header;
    let index = IfIndex(header.ifindex);
    let mut address = None;
    let mut mac = None;
    let mut bridge = None;
    let mut vlan = 0;
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(value)) => address = Some(*value),
            NeighbourAttribute::LinkLayerAddress(value) => mac = mac_of(value),
            NeighbourAttribute::Controller(value) => bridge = Some(IfIndex(*value)),
            NeighbourAttribute::Vlan(value) => vlan = *value,
            _ => {}
        }
    }
    match header.family {
        AddressFamily::Bridge => {
            // Without a bridge it is a filter of the device itself; permanent entries are the bridge's own addresses.
            let station = Station {
                bridge: bridge?,
                mac: mac?,
                vlan,
            };
            let learned = present && header.state != NeighbourState::Permanent && index != station.bridge;
            Some(Event::Station(station, learned.then_some(index)))
        }
        AddressFamily::Inet if !header.flags.contains(NeighbourFlags::Proxy) => {
            let neighbour = match header.state {
                _ if !present => None,
                NeighbourState::Failed => Some(Neighbour::Failed),
                NeighbourState::Incomplete | NeighbourState::None => None,
                NeighbourState::Permanent | NeighbourState::Noarp => {
                    mac.map(|mac| Neighbour::Known { mac, fixed: true })
                }
                _ => mac.map(|mac| Neighbour::Known { mac, fixed: false }),
            };
            Some(Event::Neighbour(index, address?, neighbour))
        }
        _ => None,
    }
}

fn default_route_of(message: &RouteMessage) -> Option<DefaultRoute> {
    let header = &message.header;
    if header.address_family != AddressFamily::Inet
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
            RouteAttribute::PrefSource(RouteAddress::Inet(source)) => route.source = Some(*source),
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

fn gateway(attributes: &[RouteAttribute]) -> Option<Ipv4Addr> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(address)) => Some(*address),
        _ => None,
    })
}
