//! Whose a container's address is.

use super::*;
use crate::host::snapshot::{Inhabitants, NamespaceId};

const HOME: NamespaceId = NamespaceId(0);
const OTHER: NamespaceId = NamespaceId(1);
const OTHER_PORT: IfIndex = IfIndex(13);

fn veth(name: &str, namespace: NamespaceId) -> Link {
    Link {
        namespace: Some(namespace),
        ..link(name, LinkKind::Veth(Peer::Elsewhere), Some(BRIDGE))
    }
}

/// The host with another container, and who lives where.
fn inhabited(first: &[Ipv4Addr], second: &[Ipv4Addr]) -> Snapshot {
    let mut snapshot = host();
    snapshot.apply(Event::Link(PORT, veth("vc1", HOME)));
    snapshot.apply(Event::Link(OTHER_PORT, veth("vc2", OTHER)));
    for (namespace, addresses) in [(HOME, first), (OTHER, second)] {
        let inhabitants = Inhabitants {
            v4: addresses.iter().map(|address| (*address).into()).collect(),
            ..Inhabitants::default()
        };
        snapshot.inhabitants.insert(namespace, inhabitants);
    }
    snapshot
}

const fn guest(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(172, 30, 1, number)
}

fn owners(view: &View) -> Vec<(Ipv4Addr, IfIndex)> {
    let owners = view.v4.owners.iter();
    owners.map(|(address, port)| ((*address).into(), *port)).collect()
}

fn are_known(view: &View) -> [bool; 2] {
    [PORT, OTHER_PORT].map(|port| view.v4.interfaces[&port].flags & Interface::<Address>::KNOWN != 0)
}

#[test]
fn a_container_owns_its_addresses_in_its_bridges_networks() {
    let far = Ipv4Addr::new(10, 0, 0, 9);
    let view = see(&inhabited(&[C1, Ipv4Addr::LOCALHOST, far], &[far])).view;
    assert_eq!(owners(&view), [(C1, PORT)]);
    // Who has no address there yet may have one before anybody has heard of it.
    assert_eq!(are_known(&view), [true, false]);
    let tap = view.v4.interfaces[&TAP].flags;
    assert_eq!((tap, view.v6.owners.len()), (0, 0));
}

#[test]
fn a_neighbours_address_is_not_had_by_having_it() {
    let mut snapshot = inhabited(&[C1], &[]);
    let before = see(&snapshot);
    let thief = Inhabitants {
        v4: [C1, guest(3)].map(Into::into).into(),
        ..Inhabitants::default()
    };
    snapshot.inhabitants.insert(OTHER, thief.clone());
    let look = |snapshot: &Snapshot, last: &Picture| {
        picture(snapshot, &Selection::default(), &BTreeSet::new(), last)
    };
    let after = look(&snapshot, &before);
    assert_eq!(owners(&after.view), [(C1, PORT), (guest(3), OTHER_PORT)]);
    // It may be given away.
    snapshot.inhabitants.insert(HOME, Inhabitants::default());
    let given = look(&snapshot, &after);
    assert_eq!(owners(&given.view), [(C1, OTHER_PORT), (guest(3), OTHER_PORT)]);
    snapshot.inhabitants.insert(HOME, thief);
    assert_eq!(owners(&look(&snapshot, &given).view), owners(&given.view));
}

#[test]
fn nothing_is_known_of_who_has_two_ports_or_too_many_addresses() {
    let mut snapshot = inhabited(&[C1], &[guest(3)]);
    snapshot.apply(Event::Link(OTHER_PORT, veth("vc2", HOME)));
    let view = see(&snapshot).view;
    assert_eq!((owners(&view), are_known(&view)), (vec![], [false, false]));

    let mut snapshot = inhabited(&[C1], &[]);
    snapshot.apply(Event::V4(FamilyEvent::Address(
        BRIDGE,
        own(Ipv4Addr::new(10, 7, 0, 1), 16),
    )));
    let many = (0..257).map(|number| Address(0x0a07_0100 + number)).collect();
    let crowd = Inhabitants {
        v4: many,
        ..Inhabitants::default()
    };
    snapshot.inhabitants.insert(OTHER, crowd);
    let view = see(&snapshot).view;
    assert_eq!(
        (owners(&view), are_known(&view)),
        (vec![(C1, PORT)], [true, false])
    );
}

#[test]
fn a_bridge_that_does_not_hold_its_containers_asks_nobody() {
    let snapshot = inhabited(&[C1], &[]);
    let choice = |word: &str| Selection {
        ownership: [word.parse().unwrap()].into_iter().collect(),
        ..Selection::default()
    };
    for (word, homes) in [("off", 0), ("br1=off", 0), ("other=off", 2)] {
        let picture = picture(&snapshot, &choice(word), &BTreeSet::new(), &Picture::default());
        assert_eq!(picture.homes.len(), homes, "{word}");
        assert_eq!(picture.view.v4.owners.is_empty(), homes == 0, "{word}");
    }
}
