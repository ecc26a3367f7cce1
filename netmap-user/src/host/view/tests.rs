//! The view of hand-made snapshots.

mod egress;
mod endpoints;
mod ipv6;
mod owners;

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use netmap_common::maps::{Interface, Ip as _, Network};

use super::*;
use crate::host::{
    addressing::{DefaultRoute, Hop, HostAddress, Neighbour, Standing},
    change::Change,
    event::{Event, FamilyEvent},
    snapshot::{Link, LinkKind, Mac, Peer, Station},
};

const LO: IfIndex = IfIndex(1);
const UP: IfIndex = IfIndex(2);
const BRIDGE: IfIndex = IfIndex(10);
const PORT: IfIndex = IfIndex(11);
const TAP: IfIndex = IfIndex(12);
const C1: Ipv4Addr = Ipv4Addr::new(172, 30, 1, 2);
const C1_MAC: Mac = Mac([2, 0, 0, 0, 1, 2]);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 30, 1, 1);
const HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 2);

fn link(name: &str, kind: LinkKind, master: Option<IfIndex>) -> Link {
    Link {
        name: name.to_owned(),
        kind,
        master,
        up: true,
        running: true,
        isolated: false,
        mtu: 1500,
        mac: None,
        type_name: None,
        bus: None,
        vlan_of: None,
        namespace: None,
    }
}

fn own(address: Ipv4Addr, length: u8) -> HostAddress<Address> {
    HostAddress {
        address: address.into(),
        subnet: Ipv4Net::new(address, length).unwrap().trunc(),
        secondary: false,
        global: true,
        standing: Standing::Preferred,
    }
}

fn default_route(out: IfIndex, metric: u32) -> DefaultRoute<Address> {
    let gateway = Some(Ipv4Addr::new(192, 168, 50, 1).into());
    DefaultRoute {
        metric,
        tos: 0,
        hops: vec![Hop { out, gateway }],
        source: None,
    }
}

fn known(mac: Mac) -> Neighbour {
    Neighbour::Known { mac, fixed: false }
}

fn station(mac: Mac) -> Station {
    Station {
        bridge: BRIDGE,
        mac,
        vlan: 0,
    }
}

/// lo, an uplink with a default route, and a bridge with a container behind a veth and a tap.
fn host() -> Snapshot {
    let mut snapshot = Snapshot::default();
    for event in [
        Event::Link(LO, link("lo", LinkKind::Loopback, None)),
        Event::Link(UP, link("up0", LinkKind::Other, None)),
        Event::Link(BRIDGE, link("br1", LinkKind::Bridge, None)),
        Event::Link(PORT, link("vc1", LinkKind::Veth(Peer::Elsewhere), Some(BRIDGE))),
        Event::Link(TAP, link("tap1", LinkKind::Other, Some(BRIDGE))),
        Event::V4(FamilyEvent::Address(
            LO,
            HostAddress {
                global: false,
                ..own(Ipv4Addr::LOCALHOST, 8)
            },
        )),
        Event::V4(FamilyEvent::Address(UP, own(HOST, 24))),
        Event::V4(FamilyEvent::Address(BRIDGE, own(GATEWAY, 24))),
        Event::V4(FamilyEvent::Route(default_route(UP, 100))),
        Event::V4(FamilyEvent::Neighbour(BRIDGE, C1.into(), Some(known(C1_MAC)))),
        Event::Station(station(C1_MAC), Some(PORT)),
    ] {
        assert!(snapshot.apply(event.clone()).is_some(), "{event:?}");
        assert_eq!(snapshot.apply(event), None, "the same again changes nothing");
    }
    snapshot
}

fn see(snapshot: &Snapshot) -> Picture {
    see_wanting(snapshot, &[C1], &Places::new())
}

fn see_wanting(snapshot: &Snapshot, wanted: &[Ipv4Addr], last: &Places) -> Picture {
    let wanted = wanted.iter().copied().map(IpAddr::V4).collect();
    let last = Picture {
        places: last.clone(),
        ..Picture::default()
    };
    picture(snapshot, &Selection::default(), &wanted, &last)
}

fn select(snapshot: &Snapshot, uplinks: &[&str], bridges: &[&str]) -> View {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let selection = Selection {
        uplinks: owned(uplinks),
        bridges: owned(bridges),
        ..Selection::default()
    };
    picture(snapshot, &selection, &BTreeSet::new(), &Picture::default()).view
}

fn endpoint_of(picture: &Picture, address: Ipv4Addr) -> Option<Endpoint> {
    picture.view.v4.endpoints.get(&address.into()).copied()
}

fn c1_by_peer() -> Endpoint {
    Endpoint {
        out: PORT,
        bridge: BRIDGE,
        gateway: GATEWAY.into(),
        way: Way::Peer as u8,
        ..Endpoint::default()
    }
}

#[test]
fn every_address_of_the_host_is_local() {
    let locals = see(&host()).view.v4.locals;
    let expected = [(Ipv4Addr::LOCALHOST, LO), (HOST, UP), (GATEWAY, BRIDGE)];
    let expected = expected.map(|(address, index)| (address.into(), index));
    assert_eq!(locals, BTreeMap::from(expected));
}

#[test]
fn a_bridge_brings_its_subnet_with_its_gateway() {
    let networks = see(&host()).view.v4.networks;
    let network = Network {
        bridge: BRIDGE,
        gateway: GATEWAY.into(),
        flags: 0,
    };
    assert_eq!(
        networks,
        BTreeMap::from([("172.30.1.0/24".parse().unwrap(), network)])
    );
}

#[test]
fn a_31_is_a_network_and_a_32_is_none() {
    let mut snapshot = host();
    snapshot.apply(Event::V4(FamilyEvent::Address(
        BRIDGE,
        own(Ipv4Addr::new(10, 0, 0, 0), 31),
    )));
    snapshot.apply(Event::V4(FamilyEvent::Address(
        BRIDGE,
        own(Ipv4Addr::new(10, 9, 9, 9), 32),
    )));
    let networks = see(&snapshot).view.v4.networks;
    assert_eq!(networks.len(), 2);
    assert!(networks.contains_key(&"10.0.0.0/31".parse().unwrap()));
}

#[test]
fn the_smallest_of_nested_subnets_wins() {
    let mut snapshot = host();
    let other = IfIndex(20);
    snapshot.apply(Event::Link(other, link("br2", LinkKind::Bridge, None)));
    snapshot.apply(Event::V4(FamilyEvent::Address(
        other,
        own(Ipv4Addr::new(172, 30, 0, 1), 16),
    )));
    let view = see(&snapshot).view;
    let bridge = |address: [u8; 4]| {
        view.v4
            .network_of(Ipv4Addr::from(address).into())
            .map(|network| network.bridge)
    };
    assert_eq!(bridge([172, 30, 1, 77]), Some(BRIDGE));
    assert_eq!(bridge([172, 30, 2, 77]), Some(other));
    assert_eq!(bridge([172, 31, 0, 1]), None);
}

#[test]
fn a_veth_into_another_namespace_is_reached_by_peer_and_a_tap_through_the_bridge() {
    let view = see(&host()).view;
    let interfaces = view.interfaces;
    assert_eq!(
        interfaces.keys().copied().collect::<Vec<_>>(),
        [UP, BRIDGE, PORT, TAP]
    );
    let by = |index: IfIndex| {
        let (interface, value) = (&interfaces[&index], view.v4.interfaces[&index]);
        assert_eq!(value.role, interface.role as u8);
        (interface.role, value.way, value.out, value.bridge)
    };
    let (peer, neigh) = (Way::Peer as u8, Way::Neigh as u8);
    assert_eq!(by(UP), (Role::Uplink, neigh, UP, IfIndex(0)));
    assert_eq!(by(BRIDGE), (Role::Bridge, neigh, BRIDGE, BRIDGE));
    assert_eq!(by(PORT), (Role::Port, peer, PORT, BRIDGE));
    assert_eq!(by(TAP), (Role::Port, neigh, BRIDGE, BRIDGE));
    assert_eq!(view.v4.interfaces[&UP].address, HOST.into());
    assert_eq!(view.v4.interfaces[&PORT].address, GATEWAY.into());
    assert_eq!(interfaces[&PORT].name, "vc1");
}

#[test]
fn an_isolated_port_is_marked_whoever_tells() {
    let mut snapshot = host();
    assert_eq!(
        snapshot.apply(Event::Isolated(PORT, true)),
        Some(Change::Topology)
    );
    let picture = see(&snapshot);
    assert_eq!(picture.view.v4.interfaces[&PORT].flags, Interface::ISOLATED);
    assert_eq!(endpoint_of(&picture, C1).unwrap().flags, Interface::ISOLATED);
    assert_eq!(picture.view.v4.interfaces[&TAP].flags, 0);
}

#[test]
fn uplinks_are_where_default_routes_lead_and_the_lowest_metric_is_the_default() {
    let mut snapshot = host();
    let second = IfIndex(3);
    snapshot.apply(Event::Link(second, link("up1", LinkKind::Other, None)));
    assert!(!see(&snapshot).view.interfaces.contains_key(&second));
    snapshot.apply(Event::V4(FamilyEvent::Route(default_route(second, 50))));
    let view = see(&snapshot).view;
    assert_eq!(view.interfaces[&second].role, Role::Uplink);
    assert_eq!(view.default_uplink, Some(second));
    // The kernel drops the route with the link's carrier switch and says nothing about it.
    let mut down = snapshot.links[&second].clone();
    down.up = false;
    snapshot.apply(Event::Link(second, down));
    let view = see(&snapshot).view;
    assert!(!view.interfaces.contains_key(&second));
    assert_eq!(view.default_uplink, Some(UP));
}

#[test]
fn a_default_uplink_that_was_named_needs_no_default_route() {
    let mut snapshot = host();
    snapshot.v4.routes.clear();
    let view = select(&snapshot, &["up0"], &[]);
    assert_eq!(view.default_uplink, Some(UP));
    assert_eq!(select(&snapshot, &[], &[]).default_uplink, None);
}

#[test]
fn the_default_uplink_among_named_ones_is_the_routes_choice() {
    let mut snapshot = host();
    snapshot.apply(Event::Link(IfIndex(3), link("up1", LinkKind::Other, None)));
    assert_eq!(select(&snapshot, &["up1", "up0"], &[]).default_uplink, Some(UP));
}

#[test]
fn masquerading_takes_the_routes_source_then_the_routers_subnet_then_the_first_global_address() {
    let mut snapshot = host();
    snapshot.v4.addresses.remove(&UP);
    let link_local = HostAddress {
        global: false,
        ..own(Ipv4Addr::new(169, 254, 0, 9), 16)
    };
    let secondary = HostAddress {
        secondary: true,
        ..own(Ipv4Addr::new(10, 1, 0, 3), 24)
    };
    let mut expect = |event: Option<Event>, address: Option<Ipv4Addr>| {
        if let Some(event) = event {
            snapshot.apply(event);
        }
        let value = see(&snapshot).view.v4.interfaces[&UP];
        assert_eq!(value.address, address.map_or(Address::ANY, Address::from));
    };
    let first = Ipv4Addr::new(10, 1, 0, 2);
    let source = Ipv4Addr::new(10, 2, 0, 2);
    expect(None, None);
    expect(Some(Event::V4(FamilyEvent::Address(UP, link_local))), None);
    expect(Some(Event::V4(FamilyEvent::Address(UP, secondary))), None);
    expect(
        Some(Event::V4(FamilyEvent::Address(UP, own(first, 24)))),
        Some(first),
    );
    expect(
        Some(Event::V4(FamilyEvent::Address(UP, own(source, 24)))),
        Some(first),
    );
    expect(
        Some(Event::V4(FamilyEvent::Address(UP, own(HOST, 24)))),
        Some(HOST),
    );
    let mut route = default_route(UP, 100);
    route.source = Some(source.into());
    expect(Some(Event::V4(FamilyEvent::RouteReplaced(route))), Some(source));
    // With the address, the kernel drops the route that asks for it, and says nothing.
    expect(
        Some(Event::V4(FamilyEvent::Route(default_route(UP, 200)))),
        Some(source),
    );
    expect(
        Some(Event::V4(FamilyEvent::AddressGone(UP, own(source, 24)))),
        Some(HOST),
    );
}

#[test]
fn a_bridge_with_the_default_route_is_an_uplink_and_its_ports_are_not_managed() {
    let mut snapshot = host();
    snapshot.v4.routes = vec![default_route(BRIDGE, 0)];
    let view = see(&snapshot).view;
    assert_eq!(view.interfaces[&BRIDGE].role, Role::Uplink);
    assert_eq!(view.interfaces.len(), 1);
    assert!(view.v4.networks.is_empty());
}

#[test]
fn an_interface_named_as_both_is_an_uplink_and_noted() {
    let view = select(&host(), &["br1"], &["br1"]);
    assert_eq!(view.interfaces[&BRIDGE].role, Role::Uplink);
    assert_eq!(
        view.notes,
        ["br1 is an uplink and cannot be a managed bridge as well: it is treated as an uplink"]
    );
}

#[test]
fn an_uplink_that_is_a_port_of_a_managed_bridge_stays_an_uplink_and_is_noted() {
    let mut snapshot = host();
    snapshot.apply(Event::Link(UP, link("up0", LinkKind::Other, Some(BRIDGE))));
    let view = select(&snapshot, &["up0"], &["br1"]);
    assert_eq!(view.interfaces[&UP].role, Role::Uplink);
    assert_eq!(view.interfaces[&BRIDGE].role, Role::Bridge);
    assert_eq!(
        view.notes,
        ["up0 is an uplink and a port of the managed bridge br1: it is treated as an uplink"]
    );
}

#[test]
fn names_that_are_not_there_are_missing_and_count_when_they_appear() {
    let mut snapshot = host();
    let view = select(&snapshot, &["up0", "up9"], &["br7", "up9"]);
    assert_eq!(view.missing, ["up9", "br7"]);
    assert_eq!(view.interfaces.keys().copied().collect::<Vec<_>>(), [UP]);
    snapshot.apply(Event::Link(IfIndex(70), link("br7", LinkKind::Bridge, None)));
    let view = select(&snapshot, &["up0"], &["br7"]);
    assert!(view.missing.is_empty());
    assert_eq!(view.interfaces[&IfIndex(70)].role, Role::Bridge);
    assert!(!view.interfaces.contains_key(&BRIDGE), "not selected");
}

#[test]
fn a_named_bridge_that_is_none_is_noted() {
    let view = select(&host(), &[], &["tap1"]);
    assert_eq!(
        view.notes,
        ["tap1 is not a bridge: its containers are not managed"]
    );
}

#[test]
fn a_port_that_comes_to_life_is_told_apart_from_other_changes() {
    let mut snapshot = host();
    let port = IfIndex(14);
    let mut veth = link("vc2", LinkKind::Veth(Peer::Elsewhere), None);
    veth.running = false;
    assert_eq!(
        snapshot.apply(Event::Link(port, veth.clone())),
        Some(Change::Topology)
    );
    veth.master = Some(BRIDGE);
    assert_eq!(
        snapshot.apply(Event::Link(port, veth.clone())),
        Some(Change::Port(BRIDGE))
    );
    veth.running = true;
    assert_eq!(
        snapshot.apply(Event::Link(port, veth.clone())),
        Some(Change::Port(BRIDGE))
    );
    veth.mtu = 1400;
    assert_eq!(snapshot.apply(Event::Link(port, veth)), Some(Change::Topology));
}

#[test]
fn a_link_takes_everything_with_it() {
    let mut snapshot = host();
    snapshot.apply(Event::LinkGone(BRIDGE));
    snapshot.apply(Event::LinkGone(UP));
    assert!(
        snapshot.v4.neighbours.is_empty() && snapshot.stations.is_empty() && snapshot.v4.routes.is_empty()
    );
    assert_eq!(snapshot.v4.addresses.keys().copied().collect::<Vec<_>>(), [LO]);
}

#[test]
fn an_uplink_that_was_found_by_its_default_route_outlives_the_route() {
    let mut snapshot = Snapshot::default();
    snapshot.links.insert(UP, link("up0", LinkKind::Other, None));
    snapshot.v4.routes.push(default_route(UP, 0));
    let none = BTreeSet::new();
    let first = picture(&snapshot, &Selection::default(), &none, &Picture::default());
    assert_eq!(first.view.uplinks(), [UP]);

    snapshot.v4.routes.clear();
    let second = picture(&snapshot, &Selection::default(), &none, &first);
    assert_eq!(second.view.uplinks(), [UP]);

    snapshot.links.remove(&UP);
    let third = picture(&snapshot, &Selection::default(), &none, &second);
    assert_eq!(third.view.uplinks(), []);
}

#[test]
fn a_port_takes_frames_from_xdp_if_its_device_does_and_it_is_reached_by_peer() {
    let mut snapshot = host();
    assert_eq!(see(&snapshot).view.redirects, BTreeSet::new());
    snapshot.takers = [UP, BRIDGE, PORT, TAP].into();
    assert_eq!(see(&snapshot).view.redirects, BTreeSet::from([PORT]));
}

#[test]
fn an_uplink_is_a_card_by_its_bus_unless_it_is_virtual_or_carries_a_vlan() {
    let wire = |bus: Option<&str>, type_name: Option<&str>, vlan_of| {
        let mut snapshot = host();
        let card = Link {
            bus: bus.map(str::to_owned),
            type_name: type_name.map(str::to_owned),
            ..snapshot.links[&UP].clone()
        };
        let vlan = Link {
            vlan_of,
            ..link("up.5", LinkKind::Other, None)
        };
        snapshot.apply(Event::Link(UP, card));
        snapshot.apply(Event::Link(IfIndex(50), vlan));
        see(&snapshot).view.wires[&UP].clone()
    };
    assert_eq!(wire(Some("pci"), None, None), Wire::Card);
    assert_eq!(wire(Some("usb"), None, Some(TAP)), Wire::Card);
    for (bus, type_name, what) in [
        (Some("virtio"), None, "virtio"),
        (Some("vmbus"), None, "vmbus"),
        (None, Some("veth"), "veth"),
        (None, None, "it"),
    ] {
        let found = wire(bus, type_name, None);
        assert_eq!(found.to_string(), format!("{what} is no physical network card"));
    }
    assert_eq!(
        wire(Some("pci"), None, Some(UP)).to_string(),
        "the VLAN up.5 is on it, whose tags XDP may not see"
    );
}

#[test]
fn a_bridge_with_mappings_says_so_with_its_networks() {
    let choices = |choices: &[&str]| Selection {
        mappings: choices.iter().map(|choice| choice.parse().unwrap()).collect(),
        ..Selection::default()
    };
    let snapshot = host();
    let bridge = &snapshot.links[&BRIDGE].name;
    let flags = |choices: Selection| {
        let view = picture(&snapshot, &choices, &BTreeSet::new(), &Picture::default()).view;
        view.v4
            .networks
            .values()
            .map(|network| network.flags)
            .collect::<Vec<_>>()
    };
    assert_eq!(flags(choices(&["eim"])), [4]);
    assert_eq!(flags(choices(&[&format!("{bridge}=eim")])), [4]);
    assert_eq!(flags(choices(&["eim", &format!("{bridge}=edm")])), [0]);
    assert_eq!(flags(choices(&["another=eim"])), [0]);
}
