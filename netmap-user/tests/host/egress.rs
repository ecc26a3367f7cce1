//! By which addresses containers leave, changed while the host is followed.

use std::net::{IpAddr, Ipv4Addr};

use netmap_common::maps::{Address, EgressPlace};
use netmap_user::host::View;

use crate::{lab::Lab, open, until};

const OWN: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 7);

/// The place of the lab's bridge, and how many its subnet has.
fn places(view: &View) -> (Vec<(u32, Address)>, u32) {
    let egress = view.v4.egress.iter();
    let count = view
        .v4
        .networks
        .values()
        .map(netmap_common::maps::Network::egress_places);
    (
        egress
            .map(|(EgressPlace { number, .. }, address)| (*number, *address))
            .collect(),
        count.sum(),
    )
}

#[test]
fn what_is_learned_of_a_bridge_is_in_the_view_at_once_and_its_address_when_it_comes() {
    let lab = Lab::new();
    lab.container();
    lab.inside(async {
        let mut host = open().await;
        assert_eq!(places(host.view()), (vec![], 0));
        let mut egress = host.egress().clone();
        egress.learn("br1", vec![IpAddr::V4(OWN)]);
        host.set_egress(egress.clone());
        assert_eq!(places(host.view()), (vec![], 1));
        assert!(host.view().notes[0].starts_with("192.168.50.7 is not an address of this host (yet)"));
        lab.ip("h", "addr add 192.168.50.7/24 dev up0");
        until(&mut host, "the address is taken", |view| {
            places(view) == (vec![(0, OWN.into())], 1)
        })
        .await;
        assert!(host.view().notes.is_empty());
        egress.learn("br1", Vec::new());
        host.set_egress(egress);
        assert_eq!(places(host.view()), (vec![], 0));
    });
}
