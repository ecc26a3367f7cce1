//! The same of IPv6: what the kernel does otherwise there.

use std::net::Ipv6Addr;

use netmap_common::maps::Address6;
use netmap_user::host::{FamilyView, Neighbour};

use super::*;

const SIX: &str = "fd00:1::2";

fn six(text: &str) -> Address6 {
    text.parse::<Ipv6Addr>().unwrap().into()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A host whose bridge and uplink have addresses of IPv6, and a default route of it.
fn dual() -> Lab {
    let lab = Lab::new();
    lab.ip(
        "h",
        "addr add fd00:1::1/64 dev br1 nodad\n\
         addr add 2001:db8:50::2/64 dev up0 nodad\n\
         route add default via 2001:db8:50::1",
    );
    lab
}

/// A container with addresses of both families, that has sent nothing.
fn container(lab: &Lab) {
    lab.container();
    lab.ip("c", "addr add fd00:1::2/64 dev eth0 nodad");
}

fn out_of(view: &FamilyView<Address6>, address: &str) -> Option<netmap_common::maps::IfIndex> {
    view.endpoints.get(&six(address)).map(|endpoint| endpoint.out)
}

#[test]
fn the_first_view_shows_what_there_is_of_ipv6() {
    let lab = dual();
    container(&lab);
    let (up, br, vc) = (lab.index("up0"), lab.index("br1"), lab.index("vc1"));
    lab.inside(async {
        let host = open().await;
        let view = &host.view().v6;
        for (address, index) in [("fd00:1::1", br), ("2001:db8:50::2", up)] {
            assert_eq!(view.locals.get(&six(address)), Some(&index), "{address}");
        }
        assert!(view.locals.contains_key(&six("::1")));
        assert_eq!(view.interfaces[&up].address, six("2001:db8:50::2"));
        assert_eq!(view.interfaces[&vc].address, six("fd00:1::1"));
        assert_eq!(view.interfaces[&vc].way, Way::Peer as u8);
        let networks: Vec<_> = view.networks.keys().map(ToString::to_string).collect();
        assert_eq!(networks, ["fd00:1::/64"]);
    });
}

#[test]
fn containers_that_are_published_as_one_are_all_found() {
    let lab = dual();
    container(&lab);
    let wanted: BTreeSet<_> = (2..18).map(|last| ip(&format!("fd00:1::{last}"))).collect();
    for address in &wanted {
        lab.ip("c", &format!("addr replace {address}/64 dev eth0 nodad"));
    }
    lab.inside(async {
        let mut host = open().await;
        host.want(wanted.iter().copied().chain([IpAddr::V4(C1)]).collect());
        until(&mut host, "endpoints", |view| view.unresolved.is_empty()).await;
        assert_eq!(host.view().v6.endpoints.len(), wanted.len());
    });
}

#[test]
fn a_published_container_is_found_by_neighbour_discovery() {
    let lab = dual();
    container(&lab);
    let (br, vc) = (lab.index("br1"), lab.index("vc1"));
    lab.inside(async {
        let mut host = open().await;
        host.want(BTreeSet::from([ip(SIX)]));
        assert_eq!(host.view().unresolved, [ip(SIX)]);
        until(&mut host, "endpoint", |view| out_of(&view.v6, SIX).is_some()).await;
        let expected = Endpoint {
            out: vc,
            bridge: br,
            gateway: six("fd00:1::1"),
            way: Way::Peer as u8,
            flags: 0,
            pad: [0; 2],
        };
        assert_eq!(host.view().v6.endpoints[&six(SIX)], expected);
        assert!(host.view().unresolved.is_empty());
        assert_eq!(host.place_of(ip(SIX)).map(|place| place.port), Some(vc));
    });
}

#[test]
fn a_container_that_starts_after_its_address_was_given_up_is_found() {
    let lab = dual();
    lab.inside(async {
        let mut host = open().await;
        host.want(BTreeSet::from([ip(SIX)]));
        let failed = |host: &Host| {
            let mut neighbours = host.snapshot().v6.neighbours.values();
            neighbours.any(|neighbour| *neighbour == Neighbour::Failed)
        };
        let deadline = Instant::now() + PATIENCE;
        while !failed(&host) {
            assert!(Instant::now() < deadline);
            let step = Instant::now() + Duration::from_millis(50);
            if let Ok(changed) = timeout_at(step, host.changed()).await {
                changed.unwrap();
            }
        }
        container(&lab);
        until(&mut host, "endpoint", |view| out_of(&view.v6, SIX).is_some()).await;
    });
    lab.ip("h", "link del vc1");
}

#[test]
fn a_container_is_found_again_behind_its_new_port_and_outlives_the_kernels_memory() {
    let lab = dual();
    container(&lab);
    lab.inside(async {
        let mut host = open().await;
        host.want(BTreeSet::from([ip(SIX)]));
        until(&mut host, "endpoint", |view| out_of(&view.v6, SIX).is_some()).await;
        lab.ip("h", "link del vc1");
        until(&mut host, "no endpoint", |view| out_of(&view.v6, SIX).is_none()).await;
        container(&lab);
        let port = lab.index("vc1");
        until(&mut host, "endpoint again", |view| {
            out_of(&view.v6, SIX) == Some(port)
        })
        .await;
        lab.ip(
            "h",
            "neigh flush all\nlink set br1 type bridge fdb_flush\naddr add fd00:77::7/128 dev lo",
        );
        until(&mut host, "mark", |view| {
            view.v6.locals.contains_key(&six("fd00:77::7"))
        })
        .await;
        assert_eq!(out_of(&host.view().v6, SIX), Some(port));
        // A daemon that starts now knows nothing from before: the kernel is asked.
        let mut second = open().await;
        second.want(BTreeSet::from([ip(SIX)]));
        until(&mut second, "endpoint", |view| {
            out_of(&view.v6, SIX) == Some(port)
        })
        .await;
    });
}

#[test]
fn an_address_counts_once_it_is_verified() {
    let lab = dual();
    let up = lab.index("up0");
    lab.inside(async {
        let mut host = open().await;
        // Nobody else has it: the kernel finds that out within a second or two.
        lab.ip("h", "addr add 2001:db8:50::3/64 dev up0");
        let tentative = |host: &Host| {
            let own = host.snapshot().v6.addresses_of(up).iter();
            own.filter(|own| own.address == six("2001:db8:50::3"))
                .any(|own| !own.is_verified())
        };
        let deadline = Instant::now() + PATIENCE;
        while !tentative(&host) {
            assert!(Instant::now() < deadline);
            let step = Instant::now() + Duration::from_millis(1);
            if let Ok(changed) = timeout_at(step, host.changed()).await {
                changed.unwrap();
            }
        }
        assert!(!host.view().v6.locals.contains_key(&six("2001:db8:50::3")));
        assert_eq!(host.view().v6.interfaces[&up].address, six("2001:db8:50::2"));
        until(&mut host, "verified", |view| {
            view.v6.interfaces[&up].address == six("2001:db8:50::3")
        })
        .await;
        assert_eq!(host.view().v6.locals[&six("2001:db8:50::3")], up);
        // The router has this one.
        lab.ip("r", "addr add 2001:db8:50::4/64 dev eth0 nodad");
        lab.ip(
            "h",
            "addr add 2001:db8:50::4/64 dev up0\naddr add 2001:db8:50::5/64 dev up0",
        );
        until(&mut host, "the other verified", |view| {
            view.v6.locals.contains_key(&six("2001:db8:50::5"))
        })
        .await;
        assert!(!host.view().v6.locals.contains_key(&six("2001:db8:50::4")));
    });
}

#[test]
fn the_source_is_the_kernels_own_choice() {
    let lab = dual();
    let up = lab.index("up0");
    let far = "2001:db8:ffff::1";
    let kernels_choice = || {
        let output = Command::new("ip")
            .args(["-n", &lab.full("h"), "-6", "route", "get", far])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let mut words = text.split_whitespace();
        words.find(|word| *word == "src").unwrap();
        six(words.next().unwrap())
    };
    lab.inside(async {
        let mut host = open().await;
        for lines in [
            "addr add 2001:db8:50::3/64 dev up0 nodad",
            "addr add fd00:50::3/64 dev up0 nodad",
            "addr add 2001:db8:50::4/64 dev up0 nodad preferred_lft 0",
            "addr add 2001:db8:51::5/64 dev up0 nodad",
            "addr change 2001:db8:51::5/64 dev up0 nodad preferred_lft 0",
            "route replace default via 2001:db8:50::1 src fd00:50::3",
            "addr del fd00:50::3/64 dev up0",
        ] {
            lab.ip("h", lines);
            let expected = kernels_choice();
            until(&mut host, lines, |view| {
                view.v6.interfaces[&up].address == expected
            })
            .await;
            // Who comes now makes the same choice, whatever came in which order.
            let late = open().await;
            assert_eq!(late.view().v6.interfaces[&up].address, expected, "{lines}");
        }
        assert_eq!(host.resyncs(), 0);
    });
}

#[test]
fn an_interface_with_a_default_route_of_ipv6_alone_is_an_uplink() {
    let lab = dual();
    let up = lab.index("up0");
    lab.inside(async {
        lab.ip("h", "route del default via 192.168.50.1");
        let mut host = open().await;
        assert_eq!(
            (host.view().uplinks(), host.view().default_uplink),
            (vec![up], Some(up))
        );
        lab.ip(
            "h",
            "link add up1 type veth peer name tmp9 netns R\n\
             addr add 2001:db8:60::2/64 dev up1 nodad\n\
             link set up1 up\n\
             route append default via 2001:db8:60::1",
        );
        let up1 = lab.index("up1");
        until(&mut host, "second uplink", |view| view.uplinks().contains(&up1)).await;
        let hops = |host: &Host| -> Vec<usize> {
            let routes = host.snapshot().v6.routes.iter();
            routes.map(|route| route.hops.len()).collect()
        };
        assert_eq!(hops(&host), [2]);
        lab.ip(
            "h",
            "route del default via 2001:db8:60::1\naddr add fd00:77::7/128 dev lo",
        );
        until(&mut host, "mark", |view| {
            view.v6.locals.contains_key(&six("fd00:77::7"))
        })
        .await;
        assert_eq!(hops(&host), [1]);
        assert_eq!(host.snapshot().v6, open().await.snapshot().v6);
    });
}

#[test]
fn switching_forwarding_of_ipv6_off_takes_the_stack_away_from_far_addresses() {
    let lab = dual();
    let far = ip("2001:db8:44::2");
    let forwarding = |value: &str| fs::write("/proc/sys/net/ipv6/conf/all/forwarding", value).unwrap();
    lab.inside(async {
        forwarding("1");
        let mut host = open().await;
        host.want(BTreeSet::from([far]));
        assert!(host.view().unresolved.is_empty());
        forwarding("0");
        until(&mut host, "no endpoint", |view| view.unresolved == [far]).await;
        forwarding("1");
        until(&mut host, "endpoint", |view| view.unresolved.is_empty()).await;
    });
}
