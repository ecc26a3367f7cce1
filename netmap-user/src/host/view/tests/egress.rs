//! Bridges whose containers leave by addresses of their own.

use netmap_common::maps::{EgressPlace, capacity};

use super::{
    ipv6::{dual, has, own6, six},
    *,
};

fn seen(snapshot: &Snapshot, choices: &[&str]) -> View {
    let selection = Selection {
        egress: choices.iter().map(|choice| choice.parse().unwrap()).collect(),
        ..Selection::default()
    };
    picture(snapshot, &selection, &BTreeSet::new(), &Picture::default()).view
}

fn places<A: Family>(view: &FamilyView<A>) -> Vec<(u32, A)> {
    let places = view.egress.iter();
    places
        .map(|(place, address)| {
            assert_eq!(place.bridge, BRIDGE);
            (place.number, *address)
        })
        .collect()
}

fn counts<A: Family>(view: &FamilyView<A>) -> Vec<u32> {
    view.networks.values().map(Network::egress_places).collect()
}

#[test]
fn a_bridge_has_a_place_for_each_address_of_a_family_and_the_other_none() {
    let mut snapshot = dual();
    snapshot.apply(has(UP, own6("2001:db8:50::7/64")));
    let view = seen(
        &snapshot,
        &["2001:db8:50::7", "br1=2001:db8:50::2", "br1=2001:db8:50::7"],
    );
    assert_eq!(
        places(&view.v6),
        [(0, six("2001:db8:50::2")), (1, six("2001:db8:50::7"))]
    );
    assert_eq!((counts(&view.v6), counts(&view.v4)), (vec![2], vec![0]));
    assert!(view.v4.egress.is_empty() && view.notes.is_empty());
    let view = seen(&snapshot, &["192.168.50.2", "br9=2001:db8:50::7"]);
    assert_eq!(places(&view.v4), [(0, HOST.into())]);
    assert_eq!((counts(&view.v6), counts(&view.v4)), (vec![0], vec![1]));
}

#[test]
fn an_address_that_is_not_there_is_waited_for_and_said() {
    let mut snapshot = host();
    let view = seen(&snapshot, &["br1=192.168.50.7"]);
    assert_eq!((places(&view.v4), counts(&view.v4)), (vec![], vec![1]));
    assert_eq!(
        view.notes,
        [
            "192.168.50.7 is not an address of this host (yet): what is to leave br1 by it waits, or leaves by another of \
          --egress"
        ]
    );
    let later = Ipv4Addr::new(192, 168, 50, 7);
    snapshot.apply(Event::V4(FamilyEvent::Address(UP, own(later, 24))));
    let view = seen(&snapshot, &["br1=192.168.50.7"]);
    assert_eq!(
        (places(&view.v4), counts(&view.v4)),
        (vec![(0, later.into())], vec![1])
    );
    assert!(view.notes.is_empty());
}

#[test]
fn the_place_of_an_address_that_is_gone_is_the_next_ones_and_nobody_elses_changes() {
    let mut snapshot = host();
    let addresses = [7, 8, 9].map(|last| Ipv4Addr::new(192, 168, 50, last));
    for address in addresses {
        snapshot.apply(Event::V4(FamilyEvent::Address(UP, own(address, 24))));
    }
    let choices = ["192.168.50.7", "192.168.50.8", "192.168.50.9"];
    let now = |snapshot: &Snapshot| {
        let found = places(&seen(snapshot, &choices).v4);
        found
            .into_iter()
            .map(|(_, address)| Ipv4Addr::from(address))
            .collect::<Vec<_>>()
    };
    assert_eq!(now(&snapshot), addresses);
    let [seven, eight, nine] = addresses;
    snapshot.apply(Event::V4(FamilyEvent::AddressGone(UP, own(nine, 24))));
    assert_eq!(now(&snapshot), [seven, eight, seven]);
    snapshot.apply(Event::V4(FamilyEvent::AddressGone(UP, own(seven, 24))));
    assert_eq!(now(&snapshot), [eight, eight, eight]);
}

#[test]
fn there_is_an_end_to_the_addresses_of_a_bridge() {
    let mut snapshot = host();
    let many: Vec<Ipv4Addr> = (10..=10 + u8::try_from(capacity::EGRESS_PLACES).unwrap())
        .map(|last| Ipv4Addr::new(192, 168, 50, last))
        .collect();
    for address in &many {
        snapshot.apply(Event::V4(FamilyEvent::Address(UP, own(*address, 24))));
    }
    let choices: Vec<String> = many.iter().map(ToString::to_string).collect();
    let view = seen(&snapshot, &choices.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(counts(&view.v4), [u32::from(capacity::EGRESS_PLACES)]);
    assert_eq!(view.v4.egress.len(), usize::from(capacity::EGRESS_PLACES));
    let last = EgressPlace {
        bridge: BRIDGE,
        number: u32::from(capacity::EGRESS_PLACES),
    };
    assert!(!view.v4.egress.contains_key(&last));
    assert_eq!(
        view.notes,
        ["br1 has more than 16 addresses to leave by: the others are not used"]
    );
}
