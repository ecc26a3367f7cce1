//! What is IPv6's own.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::*;
use crate::host::place::Place;

const UP_MAC: Mac = Mac([2, 0, 0, 0, 9, 9]);

pub(super) fn six(text: &str) -> Address6 {
    text.parse::<Ipv6Addr>().unwrap().into()
}

/// An address with its prefix, global unless it is link-local.
pub(super) fn own6(text: &str) -> HostAddress<Address6> {
    let net: Ipv6Net = text.parse().unwrap();
    let address = Address6::from(net.addr());
    HostAddress {
        address,
        subnet: net.trunc(),
        secondary: false,
        global: !address.is_link_local() && !address.is_loopback(),
        standing: Standing::Preferred,
    }
}

pub(super) fn has(index: IfIndex, own: HostAddress<Address6>) -> Event {
    Event::V6(FamilyEvent::Address(index, own))
}

fn route6(out: IfIndex, gateway: &str, metric: u32) -> DefaultRoute<Address6> {
    DefaultRoute {
        metric,
        tos: 0,
        hops: vec![Hop {
            out,
            gateway: Some(six(gateway)),
        }],
        source: None,
    }
}

/// [`host`] with addresses of IPv6 everywhere, a default route by the same uplink, and the container's second address.
pub(super) fn dual() -> Snapshot {
    let mut snapshot = host();
    for event in [
        has(LO, own6("::1/128")),
        has(UP, own6("fe80::2/64")),
        has(UP, own6("2001:db8:50::2/64")),
        has(BRIDGE, own6("fe80::1/64")),
        has(BRIDGE, own6("fd00:1::1/64")),
        Event::V6(FamilyEvent::Route(route6(UP, "fe80::ff", 1024))),
        Event::V6(FamilyEvent::Neighbour(
            BRIDGE,
            six("fd00:1::2"),
            Some(known(C1_MAC)),
        )),
    ] {
        assert!(snapshot.apply(event.clone()).is_some(), "{event:?}");
        assert_eq!(snapshot.apply(event), None, "the same again changes nothing");
    }
    snapshot
}

fn see6(snapshot: &Snapshot, wanted: &[&str], last: &Picture) -> Picture {
    let wanted = wanted.iter().map(|address| address.parse().unwrap()).collect();
    picture(snapshot, &Selection::default(), &wanted, last)
}

fn view6(snapshot: &Snapshot) -> FamilyView<Address6> {
    see6(snapshot, &[], &Picture::default()).view.v6
}

#[test]
fn every_verified_address_is_local() {
    let mut snapshot = dual();
    let unverified = HostAddress {
        standing: Standing::Tentative,
        ..own6("2001:db8:50::9/64")
    };
    snapshot.apply(has(UP, unverified));
    let expected = [
        ("::1", LO),
        ("2001:db8:50::2", UP),
        ("fd00:1::1", BRIDGE),
        ("fe80::1", BRIDGE),
        ("fe80::2", UP),
    ];
    let expected = expected.map(|(address, index)| (six(address), index));
    assert_eq!(view6(&snapshot).locals, BTreeMap::from(expected));
    // The same address again, without the flag.
    let verified = own6("2001:db8:50::9/64");
    assert_eq!(snapshot.apply(has(UP, verified)), Some(Change::Address(UP)));
    assert!(view6(&snapshot).locals.contains_key(&verified.address));
    // Another host had it first.
    assert_eq!(snapshot.apply(has(UP, unverified)), Some(Change::Address(UP)));
    assert!(!view6(&snapshot).locals.contains_key(&verified.address));
}

#[test]
fn networks_are_global_and_unique_local_subnets() {
    let mut snapshot = dual();
    snapshot.apply(has(BRIDGE, own6("2001:db8:1::1/64")));
    snapshot.apply(has(BRIDGE, own6("2001:db8:2::1/128")));
    let networks = view6(&snapshot).networks;
    let network = |gateway: &str| Network {
        bridge: BRIDGE,
        gateway: six(gateway),
        flags: 0,
    };
    let expected = [
        ("2001:db8:1::/64".parse().unwrap(), network("2001:db8:1::1")),
        ("fd00:1::/64".parse().unwrap(), network("fd00:1::1")),
    ];
    assert_eq!(networks, BTreeMap::from(expected));
}

#[test]
fn a_bridge_that_verifies_its_address_has_its_network_already() {
    let mut snapshot = dual();
    let unverified = |text| HostAddress {
        standing: Standing::Tentative,
        ..own6(text)
    };
    snapshot.apply(has(BRIDGE, unverified("fd00:2::1/64")));
    snapshot.apply(has(BRIDGE, unverified("fd00:1::7/64")));
    let view = view6(&snapshot);
    let gateway = |subnet: &str| view.networks[&subnet.parse().unwrap()].gateway;
    assert_eq!(gateway("fd00:2::/64"), six("fd00:2::1"));
    assert_eq!(gateway("fd00:1::/64"), six("fd00:1::1"), "the one that answers");
    assert_eq!(view.interfaces[&PORT].address, six("fd00:1::1"));
}

#[test]
fn interfaces_are_the_same_in_both_families_whatever_addresses_they_have() {
    let view = see6(&host(), &[], &Picture::default()).view;
    assert_eq!(
        view.v6.interfaces.keys().collect::<Vec<_>>(),
        view.v4.interfaces.keys().collect::<Vec<_>>()
    );
    for (index, of_v4) in &view.v4.interfaces {
        let of_v6 = view.v6.interfaces[index];
        assert_eq!(of_v6.address, Address6::ANY);
        assert_eq!(
            (of_v6.role, of_v6.way, of_v6.flags, of_v6.out, of_v6.bridge),
            (of_v4.role, of_v4.way, of_v4.flags, of_v4.out, of_v4.bridge)
        );
    }
    let with_addresses = view6(&dual());
    assert_eq!(with_addresses.interfaces[&UP].address, six("2001:db8:50::2"));
    for index in [BRIDGE, PORT, TAP] {
        assert_eq!(with_addresses.interfaces[&index].address, six("fd00:1::1"));
    }
}

#[test]
fn masquerading_takes_the_address_that_the_kernel_would() {
    let mut snapshot = dual();
    snapshot.v6.addresses.remove(&UP);
    let mut expect = |own: HostAddress<Address6>, address: &str| {
        snapshot.apply(has(UP, own));
        let taken = view6(&snapshot).interfaces[&UP].address;
        assert_eq!(taken, six(address), "after {}", own.address);
    };
    let temporary = |own| HostAddress {
        secondary: true,
        ..own
    };
    let deprecated = |own| HostAddress {
        standing: Standing::Deprecated,
        ..own
    };
    expect(own6("fe80::2/64"), "::");
    let unverified = HostAddress {
        standing: Standing::Tentative,
        ..own6("2001:db8:50::1/64")
    };
    expect(unverified, "::");
    expect(deprecated(own6("2001:db8:50::2/64")), "2001:db8:50::2");
    expect(own6("fd00:50::3/64"), "fd00:50::3");
    expect(temporary(own6("2001:db8:50::4/64")), "2001:db8:50::4");
    expect(own6("2001:db8:50::5/64"), "2001:db8:50::5");
    expect(temporary(own6("2001:db8:50::6/64")), "2001:db8:50::5");
    // Of two that are as good the newer one.
    expect(own6("2001:db8:50::7/64"), "2001:db8:50::7");
    expect(deprecated(own6("2001:db8:50::7/64")), "2001:db8:50::5");
}

#[test]
fn a_route_that_asks_for_a_source_outlives_it_and_asks_no_more() {
    let mut snapshot = dual();
    let source = own6("2001:db8:50::77/128");
    snapshot.apply(has(UP, source));
    snapshot.apply(has(UP, own6("2001:db8:50::3/64")));
    let mut route = route6(UP, "fe80::ff", 1024);
    route.source = Some(source.address);
    snapshot.apply(Event::V6(FamilyEvent::RouteReplaced(route)));
    assert_eq!(view6(&snapshot).interfaces[&UP].address, source.address);
    snapshot.apply(Event::V6(FamilyEvent::AddressGone(UP, source)));
    assert_eq!(view6(&snapshot).interfaces[&UP].address, six("2001:db8:50::3"));
    assert_eq!(snapshot.v6.routes, [route6(UP, "fe80::ff", 1024)]);
}

#[test]
fn an_interface_with_a_default_route_of_either_family_is_an_uplink() {
    let mut snapshot = dual();
    let tunnel = IfIndex(3);
    snapshot.apply(Event::Link(tunnel, link("he6", LinkKind::Other, None)));
    snapshot.v6.routes.clear();
    snapshot.apply(Event::V6(FamilyEvent::Route(route6(tunnel, "fe80::ee", 1))));
    let view = see6(&snapshot, &[], &Picture::default()).view;
    assert_eq!(view.uplinks(), [UP, tunnel]);
    assert_eq!(view.default_uplink, Some(UP), "IPv4's first");
    snapshot.v4.routes.clear();
    let view = see6(&snapshot, &[], &Picture::default()).view;
    assert_eq!(
        (view.uplinks(), view.default_uplink),
        (vec![tunnel], Some(tunnel))
    );
}

#[test]
fn next_hops_of_one_metric_come_and_go_alone() {
    let mut snapshot = dual();
    let second = IfIndex(3);
    snapshot.apply(Event::Link(second, link("up1", LinkKind::Other, None)));
    let uplinks = |snapshot: &Snapshot| see6(snapshot, &[], &Picture::default()).view.uplinks();
    snapshot.v4.routes.clear();
    // `ip -6 route append`: the kernel tells of all hops, and of one when it is deleted.
    let mut both = route6(second, "fe80::ee", 1024);
    both.hops.extend(route6(UP, "fe80::ff", 1024).hops);
    assert!(
        snapshot
            .apply(Event::V6(FamilyEvent::Route(both.clone())))
            .is_some()
    );
    assert_eq!(snapshot.apply(Event::V6(FamilyEvent::Route(both.clone()))), None);
    assert_eq!(uplinks(&snapshot), [UP, second]);
    let gone = Event::V6(FamilyEvent::RouteGone(route6(UP, "fe80::ff", 1024)));
    assert!(snapshot.apply(gone).is_some());
    assert_eq!(uplinks(&snapshot), [second]);
    // Of another metric: another route.
    let other = Event::V6(FamilyEvent::RouteGone(route6(second, "fe80::ee", 512)));
    assert_eq!(snapshot.apply(other), None);
    snapshot.apply(Event::V6(FamilyEvent::RouteGone(both)));
    assert_eq!(uplinks(&snapshot), []);
}

#[test]
fn an_interface_keeps_its_routes_without_an_address() {
    let mut snapshot = dual();
    for own in ["fe80::2/64", "2001:db8:50::2/64"] {
        snapshot.apply(Event::V6(FamilyEvent::AddressGone(UP, own6(own))));
    }
    assert!(snapshot.v6.addresses_of(UP).is_empty());
    assert_eq!(snapshot.v6.routes, [route6(UP, "fe80::ff", 1024)]);
}

#[test]
fn a_container_is_found_by_either_address_alone() {
    let snapshot = dual();
    let picture = see6(&snapshot, &["172.30.1.2", "fd00:1::2"], &Picture::default());
    let endpoint = Endpoint {
        out: PORT,
        bridge: BRIDGE,
        gateway: six("fd00:1::1"),
        way: Way::Peer as u8,
        flags: 0,
        pad: [0; 2],
    };
    assert_eq!(
        picture.view.v6.endpoints,
        BTreeMap::from([(six("fd00:1::2"), endpoint)])
    );
    assert_eq!(endpoint_of(&picture, C1), Some(c1_by_peer()));
    assert!(picture.view.unresolved.is_empty() && picture.asks.is_empty());
    let place = Place {
        bridge: BRIDGE,
        port: PORT,
        mac: C1_MAC,
    };
    assert_eq!(picture.places[&"fd00:1::2".parse().unwrap()], place);
    // Only what is published has an endpoint.
    let picture = see6(&snapshot, &["172.30.1.2"], &picture);
    assert!(picture.view.v6.endpoints.is_empty());
}

#[test]
fn a_silent_container_is_asked_for_and_keeps_its_place_once_found() {
    let mut snapshot = dual();
    let silent = see6(&snapshot, &["fd00:1::9"], &Picture::default());
    let nine: IpAddr = "fd00:1::9".parse().unwrap();
    assert_eq!(silent.view.unresolved, [nine]);
    let ask = Ask {
        bridge: BRIDGE,
        verify: None,
        known: false,
    };
    assert_eq!(silent.asks, BTreeMap::from([(nine, ask)]));
    let found = see6(&snapshot, &["fd00:1::2"], &silent);
    snapshot.apply(Event::Station(station(C1_MAC), None));
    snapshot.apply(Event::V6(FamilyEvent::Neighbour(BRIDGE, six("fd00:1::2"), None)));
    let forgotten = see6(&snapshot, &["fd00:1::2"], &found);
    assert_eq!(forgotten.view.v6.endpoints, found.view.v6.endpoints);
    let other = Event::V6(FamilyEvent::Neighbour(
        BRIDGE,
        six("fd00:1::2"),
        Some(known(UP_MAC)),
    ));
    assert_eq!(
        snapshot.apply(other),
        Some(Change::Neighbour("fd00:1::2".parse().unwrap()))
    );
    assert!(
        see6(&snapshot, &["fd00:1::2"], &forgotten)
            .view
            .v6
            .endpoints
            .is_empty()
    );
}

#[test]
fn what_is_behind_no_bridge_goes_through_the_stack_if_the_host_forwards_ipv6() {
    let mut snapshot = dual();
    let far = |snapshot: &Snapshot, address: &str| {
        let view = see6(snapshot, &[address], &Picture::default()).view.v6;
        view.endpoints.get(&six(address)).map(|endpoint| endpoint.way)
    };
    snapshot.v4.forwarding = true;
    assert_eq!(far(&snapshot, "2001:db8:44::2"), None, "that is IPv4's");
    snapshot.v6.forwarding = true;
    assert_eq!(far(&snapshot, "2001:db8:44::2"), Some(Way::Stack as u8));
    for never in ["::1", "::", "ff02::1", "fe80::77", "2001:db8:50::2", "fd00:1::1"] {
        assert_eq!(far(&snapshot, never), None, "{never}");
    }
}
