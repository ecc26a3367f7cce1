//! How published containers are reached.

use super::*;
use crate::host::place::Place;

#[test]
fn a_veth_whose_peer_stays_here_is_reached_through_the_bridge() {
    let mut snapshot = host();
    let peer = IfIndex(13);
    snapshot.apply(Event::Link(
        peer,
        link("vc1p", LinkKind::Veth(Peer::Here(PORT)), None),
    ));
    let endpoint = endpoint_of(&see(&snapshot), C1).unwrap();
    assert_eq!((endpoint.way, endpoint.out), (Way::Neigh as u8, BRIDGE));
    // It moves to a namespace; nothing is said about the port itself.
    snapshot.apply(Event::LinkGone(peer));
    assert_eq!(endpoint_of(&see(&snapshot), C1), Some(c1_by_peer()));
}

#[test]
fn ports_and_bridges_that_are_down_count() {
    let mut snapshot = host();
    for index in [BRIDGE, PORT] {
        let mut link = snapshot.links[&index].clone();
        link.up = false;
        link.running = false;
        snapshot.apply(Event::Link(index, link));
    }
    let picture = see(&snapshot);
    assert!(picture.view.interfaces.contains_key(&BRIDGE) && picture.view.interfaces.contains_key(&PORT));
    assert_eq!(endpoint_of(&picture, C1), Some(c1_by_peer()));
}

#[test]
fn a_container_is_found_by_neighbour_entry_and_forwarding_table() {
    let picture = see(&host());
    assert_eq!(endpoint_of(&picture, C1), Some(c1_by_peer()));
    assert!(picture.view.unresolved.is_empty() && picture.asks.is_empty());
    let place = Place {
        bridge: BRIDGE,
        port: PORT,
        mac: C1_MAC,
    };
    assert_eq!(picture.places, Places::from([(C1.into(), place)]));
}

#[test]
fn a_container_that_never_spoke_is_unresolved_and_asked_for() {
    let c9 = Ipv4Addr::new(172, 30, 1, 9);
    let picture = see_wanting(&host(), &[c9], &Places::new());
    assert_eq!(picture.view.unresolved, [IpAddr::V4(c9)]);
    let ask = Ask {
        bridge: BRIDGE,
        verify: None,
        known: false,
    };
    assert_eq!(picture.asks, BTreeMap::from([(c9.into(), ask)]));
}

#[test]
fn a_neighbour_whose_port_is_not_known_is_verified_so_that_the_bridge_learns_it() {
    let mut snapshot = host();
    snapshot.apply(Event::Station(station(C1_MAC), None));
    let picture = see(&snapshot);
    assert_eq!(picture.view.unresolved, [IpAddr::V4(C1)]);
    assert_eq!(picture.asks[&C1.into()].verify, Some(C1_MAC));
    // The kernel would not probe what an administrator has set.
    let fixed = Neighbour::Known {
        mac: C1_MAC,
        fixed: true,
    };
    snapshot.apply(Event::V4(FamilyEvent::Neighbour(BRIDGE, C1.into(), Some(fixed))));
    assert!(see(&snapshot).asks.is_empty());
}

#[test]
fn a_quiet_container_keeps_its_place_when_the_kernel_forgets_it() {
    let mut snapshot = host();
    let first = see(&snapshot);
    snapshot.apply(Event::Station(station(C1_MAC), None));
    let aged = see_wanting(&snapshot, &[C1], &first.places);
    assert_eq!(endpoint_of(&aged, C1), Some(c1_by_peer()));
    snapshot.apply(Event::V4(FamilyEvent::Neighbour(BRIDGE, C1.into(), None)));
    let collected = see_wanting(&snapshot, &[C1], &aged.places);
    assert_eq!(endpoint_of(&collected, C1), Some(c1_by_peer()));
    assert!(collected.asks[&C1.into()].known, "confirmed once in a while");
}

#[test]
fn a_place_is_lost_with_its_port_with_another_claim_and_with_a_failed_neighbour() {
    let first = see(&host()).places;
    let after = |events: &[Event]| {
        let mut snapshot = host();
        snapshot.apply(Event::V4(FamilyEvent::Neighbour(BRIDGE, C1.into(), None)));
        for event in events {
            snapshot.apply(event.clone());
        }
        endpoint_of(&see_wanting(&snapshot, &[C1], &first), C1)
    };
    assert_eq!(after(&[]), Some(c1_by_peer()));
    assert_eq!(after(&[Event::LinkGone(PORT)]), None);
    assert_eq!(after(&[Event::LeftBridge(PORT, BRIDGE)]), None);
    assert_eq!(
        after(&[Event::Link(PORT, link("vc1", LinkKind::Other, None))]),
        None
    );
    assert_eq!(
        after(&[Event::V4(FamilyEvent::Neighbour(
            BRIDGE,
            C1.into(),
            Some(Neighbour::Failed)
        ))]),
        None
    );
    // Another address answers for it now, and nobody knows from where.
    let other = Mac([2, 0, 0, 0, 1, 99]);
    assert_eq!(
        after(&[Event::V4(FamilyEvent::Neighbour(
            BRIDGE,
            C1.into(),
            Some(known(other))
        ))]),
        None
    );
    // The same link-layer address speaks behind another port.
    let moved = after(&[Event::Station(station(C1_MAC), Some(TAP))]).unwrap();
    assert_eq!((moved.way, moved.out), (Way::Neigh as u8, BRIDGE));
}

#[test]
fn behind_a_bridge_that_is_down_nothing_is_asked() {
    let mut snapshot = host();
    let mut down = snapshot.links[&BRIDGE].clone();
    down.up = false;
    snapshot.apply(Event::Link(BRIDGE, down));
    let picture = see_wanting(&snapshot, &[Ipv4Addr::new(172, 30, 1, 9)], &Places::new());
    assert!(picture.asks.is_empty() && picture.view.unresolved.len() == 1);
}

#[test]
fn an_address_behind_no_bridge_goes_through_the_stack_if_the_host_forwards() {
    let mut snapshot = host();
    let far = Ipv4Addr::new(10, 44, 0, 2);
    assert_eq!(
        see_wanting(&snapshot, &[far], &Places::new()).view.unresolved,
        [IpAddr::V4(far)]
    );
    snapshot.v4.forwarding = true;
    let endpoint = endpoint_of(&see_wanting(&snapshot, &[far], &Places::new()), far);
    let stack = Endpoint {
        way: Way::Stack as u8,
        ..Endpoint::default()
    };
    assert_eq!(endpoint, Some(stack));
}

#[test]
fn an_address_of_the_host_itself_has_no_endpoint() {
    let mut snapshot = host();
    snapshot.v4.forwarding = true;
    let own = [Ipv4Addr::new(127, 0, 0, 5), GATEWAY, HOST];
    let picture = see_wanting(&snapshot, &own, &Places::new());
    assert_eq!(picture.view.unresolved, own.map(IpAddr::V4));
    assert!(picture.asks.is_empty());
}
