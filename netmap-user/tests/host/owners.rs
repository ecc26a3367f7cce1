//! Whose a container's address is: learned from the namespace behind its port, and followed there.

use std::net::Ipv6Addr;

use netmap_common::maps::{Address6, IfIndex};
use netmap_user::ownership::OwnershipChoice;

use super::*;

const SECOND: Ipv4Addr = Ipv4Addr::new(172, 30, 1, 9);
const C1_6: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 2);

fn owner(view: &View, address: Ipv4Addr) -> Option<IfIndex> {
    view.v4.owners.get(&address.into()).copied()
}

/// Whether a port's addresses of IPv4 and of IPv6 are known.
fn known(view: &View, port: IfIndex) -> [bool; 2] {
    let v4 = view.v4.interfaces.get(&port).map(|port| port.flags);
    let v6 = view.v6.interfaces.get(&port).map(|port| port.flags);
    [v4, v6].map(|flags| flags.is_some_and(|flags| flags & Interface::<Address>::KNOWN != 0))
}

#[test]
fn what_a_container_has_at_the_start_is_its_own_at_once() {
    let lab = Lab::new();
    lab.container();
    let port = lab.index("vc1");
    lab.inside(async {
        let host = open().await;
        assert_eq!(owner(host.view(), C1), Some(port));
        // Not its loopback addresses, and of IPv6 it has none.
        assert_eq!(host.view().v4.owners.len(), 1);
        assert!(host.view().v6.owners.is_empty());
        assert_eq!(known(host.view(), port), [true, false]);
    });
}

#[test]
fn addresses_that_come_and_go_inside_are_followed_in_both_families() {
    let lab = Lab::new();
    lab.ip("h", "addr add fd00:1::1/64 dev br1 nodad");
    lab.inside(async {
        let mut host = open().await;
        lab.container();
        let port = lab.index("vc1");
        until(&mut host, "the first", |view| owner(view, C1) == Some(port)).await;
        assert_eq!(known(host.view(), port), [true, false]);
        lab.ip(
            "c",
            "addr add 172.30.1.9/24 dev eth0\naddr add 10.9.9.9/24 dev eth0",
        );
        until(&mut host, "the second", |view| owner(view, SECOND) == Some(port)).await;
        assert_eq!(
            host.view().v4.owners.len(),
            2,
            "10.9.9.9 is in no network of the bridge"
        );

        // On whatever interface.
        lab.ip("c", "addr add fd00:1::2/128 dev lo");
        until(&mut host, "that of IPv6", |view| {
            view.v6.owners.get(&Address6::from(C1_6)) == Some(&port)
        })
        .await;
        assert_eq!(known(host.view(), port), [true, true]);

        lab.ip("c", "addr del 172.30.1.9/24 dev eth0");
        until(&mut host, "not the second", |view| owner(view, SECOND).is_none()).await;
        lab.ip("c", "addr flush dev eth0");
        until(&mut host, "none", |view| owner(view, C1).is_none()).await;
        assert_eq!(known(host.view(), port), [false, true]);
        lab.ip("h", "link del vc1");
        until(&mut host, "no port", |view| view.v6.owners.is_empty()).await;
        assert_eq!(host.resyncs(), 0, "nothing of there was taken for here");
        assert!(
            !host
                .snapshot()
                .v4
                .addresses
                .values()
                .flatten()
                .any(|own| own.address == SECOND.into())
        );
    });
}

#[test]
fn an_address_stays_with_whom_it_was_first() {
    let lab = Lab::new();
    lab.container();
    let port = lab.index("vc1");
    lab.inside(async {
        let mut host = open().await;
        lab.ip(
            "h",
            "link add vr1 type veth peer name eth1 netns R\nlink set vr1 master br1\nlink set vr1 up",
        );
        lab.ip(
            "r",
            "addr add 172.30.1.9/24 dev eth1\naddr add 172.30.1.2/24 dev eth1",
        );
        let thief = lab.index("vr1");
        until(&mut host, "its own", |view| owner(view, SECOND) == Some(thief)).await;
        assert_eq!(owner(host.view(), C1), Some(port));
        // What a former daemon has found stays.
        host.remember_owners([(C1.into(), thief), (SECOND.into(), port)], []);
        assert_eq!(owner(host.view(), C1), Some(thief));
        assert_eq!(owner(host.view(), SECOND), Some(thief), "the other never had it");
        lab.ip("r", "addr del 172.30.1.2/24 dev eth1");
        until(&mut host, "given back", |view| owner(view, C1) == Some(port)).await;
    });
}

#[test]
fn who_has_two_ports_on_a_bridge_or_a_bridge_that_does_not_mind_owns_nothing() {
    let lab = Lab::new();
    lab.container();
    let port = lab.index("vc1");
    lab.inside(async {
        let mut host = open().await;
        lab.ip(
            "h",
            "link add vc2 type veth peer name eth1 netns C\nlink set vc2 master br1\nlink set vc2 up",
        );
        until(&mut host, "two doors", |view| owner(view, C1).is_none()).await;
        assert_eq!(known(host.view(), port), [false, false]);
        let off: OwnershipChoice = "br1=off".parse().unwrap();
        let selection = Selection {
            ownership: [off].into_iter().collect(),
            ..Selection::default()
        };
        lab.ip("h", "link del vc2");
        until(&mut host, "one door", |view| owner(view, C1).is_some()).await;
        let host = Host::open(selection).await.unwrap();
        assert!(host.view().v4.owners.is_empty() && known(host.view(), port) == [false, false]);
    });
}
