//! [`Host`] against a real kernel, in network namespaces that each test makes for itself. Needs root.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod containers;
mod egress;
mod ipv6;
mod lab;
mod loss;
mod owners;

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr},
    process::Command,
    time::Duration,
};

use netmap_common::maps::{Address, Endpoint, Interface, Role, Way};
use netmap_user::host::{Host, NamedInterface, Selection, View};
use tokio::time::{Instant, timeout_at};

use crate::lab::{Lab, run};

const C1: Ipv4Addr = Ipv4Addr::new(172, 30, 1, 2);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 30, 1, 1);
const HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 2);

/// Longest wait for something that should happen in milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// Follows the host until the view is as expected; shows what it is instead when that takes too long.
async fn until(host: &mut Host, what: &str, expected: impl Fn(&View) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !expected(host.view()) {
        let changed = timeout_at(deadline, host.changed()).await;
        let Ok(changed) = changed else {
            panic!("{what}: {:#?}\n{:#?}", host.view(), host.snapshot());
        };
        changed.unwrap();
    }
}

fn named<'a>(view: &'a View, name: &str) -> Option<&'a NamedInterface> {
    view.interfaces.values().find(|interface| interface.name == name)
}

/// The same as the data plane wants it.
fn value(view: &View, name: &str) -> Option<Interface> {
    let carriers = view.interfaces.iter();
    let (index, _) = carriers.clone().find(|(_, interface)| interface.name == name)?;
    view.v4.interfaces.get(index).copied()
}

fn endpoint(view: &View, address: Ipv4Addr) -> Option<Endpoint> {
    view.v4.endpoints.get(&address.into()).copied()
}

async fn open() -> Host {
    Host::open(Selection::default()).await.unwrap()
}

#[test]
fn the_first_view_shows_what_is_there() {
    let lab = Lab::new();
    lab.container();
    let (up, br, vc) = (lab.index("up0"), lab.index("br1"), lab.index("vc1"));
    lab.inside(async {
        let host = open().await;
        let view = host.view();
        assert_eq!(view.default_uplink, Some(up));
        let roles: Vec<_> = view
            .interfaces
            .iter()
            .map(|(index, it)| (*index, it.role))
            .collect();
        let mut expected = vec![(up, Role::Uplink), (br, Role::Bridge), (vc, Role::Port)];
        expected.sort_by_key(|(index, _)| *index);
        assert_eq!(roles, expected);
        assert_eq!(view.v4.interfaces[&up].address, HOST.into());
        let port = Interface {
            role: Role::Port as u8,
            way: Way::Peer as u8,
            flags: Interface::<Address>::KNOWN,
            out: vc,
            bridge: br,
            address: GATEWAY.into(),
            ..Interface::default()
        };
        assert_eq!(view.v4.interfaces[&vc], port);
        let locals: Vec<_> = view.v4.locals.keys().copied().map(Ipv4Addr::from).collect();
        assert_eq!(locals, [Ipv4Addr::LOCALHOST, GATEWAY, HOST]);
        assert_eq!(
            view.v4.networks[&"172.30.1.0/24".parse().unwrap()].gateway,
            GATEWAY.into()
        );
    });
}

#[test]
fn a_namespace_without_anything_is_followed() {
    let lab = Lab::new();
    let view = lab.inside_of("c", async { open().await.view().clone() });
    assert_eq!(view, View::default());
}

#[test]
fn a_container_added_later_appears_as_a_port_reached_by_peer() {
    let lab = Lab::new();
    let host = lab.inside(async {
        let mut host = open().await;
        lab.container();
        until(&mut host, "port by peer", |view| {
            value(view, "vc1").is_some_and(|port| port.way == Way::Peer as u8)
        })
        .await;
        host.view().clone()
    });
    assert_eq!(named(&host, "vc1").map(|port| port.role), Some(Role::Port));
    let port = value(&host, "vc1").unwrap();
    assert_eq!((port.out, port.bridge), (lab.index("vc1"), lab.index("br1")));
}

#[test]
fn addresses_and_default_routes_that_come_and_go_are_followed() {
    let lab = Lab::new();
    let second = Ipv4Addr::new(192, 168, 50, 77);
    let up = lab.index("up0");
    lab.inside(async {
        let mut host = open().await;
        lab.ip("h", "addr add 192.168.50.77/32 dev up0");
        until(&mut host, "address", |view| {
            view.v4.locals.get(&second.into()) == Some(&up)
        })
        .await;
        assert_eq!(host.view().v4.interfaces[&up].address, HOST.into());
        lab.ip("h", "route replace default via 192.168.50.1 src 192.168.50.77");
        until(&mut host, "source", |view| {
            view.v4.interfaces[&up].address == second.into()
        })
        .await;
        // The kernel says nothing about a route that goes with the last address, or with the link.
        lab.ip("h", "addr flush dev up0");
        until(&mut host, "uplink without an address", |view| {
            view.v4
                .interfaces
                .get(&up)
                .is_some_and(|uplink| uplink.address == Address::ANY)
        })
        .await;
        lab.ip(
            "h",
            "addr add 192.168.50.2/24 dev up0\n\
             addr add 192.168.50.77/32 dev up0\n\
             route add default via 192.168.50.1",
        );
        until(&mut host, "uplink with its address again", |view| {
            view.v4.interfaces[&up].address == HOST.into()
        })
        .await;
        // An interface that is down for a while is still the uplink.
        lab.ip("h", "link set up0 down\naddr add 192.168.50.78/32 dev up0");
        let third = Ipv4Addr::new(192, 168, 50, 78);
        until(&mut host, "what came after", |view| {
            view.v4.locals.contains_key(&third.into())
        })
        .await;
        assert_eq!(
            named(host.view(), "up0").map(|uplink| uplink.role),
            Some(Role::Uplink)
        );
        lab.ip(
            "h",
            "link set up0 up\nroute add default via 192.168.50.1 metric 5\naddr del 192.168.50.77/32 dev up0",
        );
        until(&mut host, "uplink once more", |view| {
            view.default_uplink == Some(up) && !view.v4.locals.contains_key(&second.into())
        })
        .await;
        assert_eq!(host.resyncs(), 0);
    });
}

#[test]
fn a_tap_is_reached_through_the_bridge() {
    let lab = Lab::new();
    let br = lab.index("br1");
    lab.inside(async {
        let mut host = open().await;
        lab.ip("h", "tuntap add tap1 mode tap\nlink set tap1 master br1");
        until(&mut host, "tap", |view| named(view, "tap1").is_some()).await;
        let value = value(host.view(), "tap1").unwrap();
        assert_eq!((value.way, value.out, value.bridge), (Way::Neigh as u8, br, br));
    });
}

#[test]
fn isolation_and_leaving_the_bridge_are_noticed() {
    let lab = Lab::new();
    lab.container();
    let full = lab.full("h");
    lab.inside(async {
        let mut host = open().await;
        let isolated = |view: &View, flag| {
            value(view, "vc1").is_some_and(|port| port.flags & Interface::ISOLATED == flag)
        };
        lab.ip("h", "link set vc1 type bridge_slave isolated on");
        until(&mut host, "isolated", |view| isolated(view, Interface::ISOLATED)).await;
        let bridge = |value| {
            run(Command::new("bridge").args(["-n", &full, "link", "set", "dev", "vc1", "isolated", value]));
        };
        bridge("off");
        until(&mut host, "not isolated", |view| isolated(view, 0)).await;
        bridge("on");
        until(&mut host, "isolated again", |view| {
            isolated(view, Interface::ISOLATED)
        })
        .await;
        lab.ip("h", "link set vc1 nomaster");
        until(&mut host, "no port", |view| named(view, "vc1").is_none()).await;
        lab.ip("h", "link set vc1 master br1");
        until(&mut host, "port", |view| isolated(view, 0)).await;
        assert_eq!(host.resyncs(), 0);
    });
}

#[test]
fn a_bridge_that_appears_later_is_missing_until_then() {
    let lab = Lab::new();
    lab.inside(async {
        let selection = Selection {
            uplinks: vec!["up0".to_owned()],
            bridges: vec!["br7".to_owned()],
            ..Selection::default()
        };
        let mut host = Host::open(selection).await.unwrap();
        assert_eq!(host.view().missing, ["br7"]);
        assert!(named(host.view(), "br1").is_none());
        lab.ip("h", "link add br7 type bridge");
        until(&mut host, "bridge", |view| view.missing.is_empty()).await;
        assert_eq!(
            named(host.view(), "br7").map(|bridge| bridge.role),
            Some(Role::Bridge)
        );
    });
}

#[test]
fn switching_forwarding_off_takes_the_stack_away_from_far_addresses() {
    let lab = Lab::new();
    let far = Ipv4Addr::new(10, 44, 0, 2);
    let forwarding = |value: &str| fs::write("/proc/sys/net/ipv4/ip_forward", value).unwrap();
    lab.inside(async {
        forwarding("1");
        let mut host = open().await;
        host.want(BTreeSet::from([far.into()]));
        assert_eq!(
            endpoint(host.view(), far).map(|endpoint| endpoint.way),
            Some(Way::Stack as u8)
        );
        forwarding("0");
        until(&mut host, "no endpoint", |view| {
            view.unresolved == [IpAddr::V4(far)]
        })
        .await;
        forwarding("1");
        until(&mut host, "endpoint", |view| view.unresolved.is_empty()).await;
    });
}
