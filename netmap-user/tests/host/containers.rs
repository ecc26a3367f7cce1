//! How published containers are found.

use netmap_user::host::Neighbour;

use super::*;

#[test]
fn a_published_container_is_found_without_having_sent_a_packet() {
    let lab = Lab::new();
    lab.container();
    let (br, vc) = (lab.index("br1"), lab.index("vc1"));
    lab.inside(async {
        let mut host = open().await;
        host.want(BTreeSet::from([C1.into()]));
        assert_eq!(host.view().unresolved, [IpAddr::V4(C1)]);
        until(&mut host, "endpoint", |view| endpoint(view, C1).is_some()).await;
        let expected = Endpoint {
            out: vc,
            bridge: br,
            gateway: GATEWAY.into(),
            way: Way::Peer as u8,
            ..Endpoint::default()
        };
        assert_eq!(endpoint(host.view(), C1), Some(expected));
        assert!(host.view().unresolved.is_empty());
        assert_eq!(host.place_of(C1.into()).map(|place| place.port), Some(vc));
    });
}

#[test]
fn a_container_that_starts_after_it_was_published_is_found() {
    let lab = Lab::new();
    lab.inside(async {
        let mut host = open().await;
        host.want(BTreeSet::from([C1.into()]));
        // The kernel gives up on it first.
        let failed = |host: &Host| {
            host.snapshot()
                .v4
                .neighbours
                .values()
                .any(|neighbour| *neighbour == Neighbour::Failed)
        };
        let deadline = Instant::now() + PATIENCE;
        while !failed(&host) {
            assert!(Instant::now() < deadline);
            // Only events that change the view end this; cancelling it loses nothing.
            let step = Instant::now() + Duration::from_millis(50);
            if let Ok(changed) = timeout_at(step, host.changed()).await {
                changed.unwrap();
            }
        }
        lab.container();
        until(&mut host, "endpoint", |view| {
            endpoint(view, C1).is_some_and(|endpoint| endpoint.way == Way::Peer as u8)
        })
        .await;
    });
}

#[test]
fn a_container_whose_veth_is_made_anew_is_found_again() {
    let lab = Lab::new();
    lab.container();
    let before = lab.index("vc1");
    let out = lab.inside(async {
        let mut host = open().await;
        host.want(BTreeSet::from([C1.into()]));
        until(&mut host, "endpoint", |view| endpoint(view, C1).is_some()).await;
        lab.ip("h", "link del vc1");
        until(&mut host, "no endpoint", |view| endpoint(view, C1).is_none()).await;
        lab.container();
        until(&mut host, "endpoint again", |view| {
            endpoint(view, C1).is_some_and(|endpoint| endpoint.way == Way::Peer as u8)
        })
        .await;
        endpoint(host.view(), C1).unwrap().out
    });
    assert_ne!(out, before);
    assert_eq!(out, lab.index("vc1"));
}

#[test]
fn a_container_stays_found_when_bridge_and_neighbour_table_forget_it() {
    let lab = Lab::new();
    lab.container();
    let vc = lab.index("vc1");
    lab.inside(async {
        let mut host = open().await;
        host.want(BTreeSet::from([C1.into()]));
        until(&mut host, "endpoint", |view| endpoint(view, C1).is_some()).await;
        lab.ip(
            "h",
            "neigh flush all\nlink set br1 type bridge fdb_flush\naddr add 10.7.7.7/32 dev lo",
        );
        let mark: Address = Ipv4Addr::new(10, 7, 7, 7).into();
        until(&mut host, "mark", |view| view.v4.locals.contains_key(&mark)).await;
        assert!(
            host.snapshot().stations.is_empty(),
            "{:?}",
            host.snapshot().stations
        );
        assert_eq!(endpoint(host.view(), C1).map(|endpoint| endpoint.out), Some(vc));
    });
}

#[test]
fn a_neighbour_without_a_known_port_is_verified_so_that_the_bridge_learns_it() {
    let lab = Lab::new();
    lab.container();
    lab.inside(async {
        let mut host = open().await;
        host.want(BTreeSet::from([C1.into()]));
        until(&mut host, "endpoint", |view| endpoint(view, C1).is_some()).await;
        lab.ip("h", "link set br1 type bridge fdb_flush");
        // A daemon that starts now knows nothing from before.
        let mut second = open().await;
        assert!(second.snapshot().stations.is_empty());
        second.want(BTreeSet::from([C1.into()]));
        assert_eq!(second.view().unresolved, [IpAddr::V4(C1)]);
        until(&mut second, "endpoint", |view| endpoint(view, C1).is_some()).await;
    });
}

#[test]
fn a_container_takes_frames_from_xdp_while_it_has_receive_offload_on() {
    let lab = Lab::new();
    lab.container();
    let port = lab.index("vc1");
    let switch = |gro: &str| {
        run(Command::new("ip").args([
            "netns",
            "exec",
            &lab.full("c"),
            "ethtool",
            "-K",
            "eth0",
            "gro",
            gro,
        ]));
    };
    lab.inside(async {
        let mut host = open().await;
        assert!(host.view().redirects.is_empty());
        switch("on");
        until(&mut host, "on", |view| view.redirects.contains(&port)).await;
        switch("off");
        until(&mut host, "off", |view| view.redirects.is_empty()).await;
        switch("on");
        until(&mut host, "on again", |view| view.redirects.contains(&port)).await;
        lab.ip("h", "link del vc1");
        until(&mut host, "gone", |view| view.redirects.is_empty()).await;
        assert_eq!(
            host.view().wires[&lab.index("up0")].to_string(),
            "veth is no physical network card"
        );
        // Who comes later finds all as it is.
        lab.container();
        let port = lab.index("vc1");
        switch("on");
        let mut late = open().await;
        until(&mut late, "late", |view| view.redirects.contains(&port)).await;
    });
}
