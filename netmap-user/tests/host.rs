//! [`Host`] against a real kernel, in network namespaces that each test makes for itself. Needs root.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Write as _,
    net::Ipv4Addr,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use netmap_common::maps::{Address, Endpoint, IfIndex, Interface, Role, Way};
use netmap_user::host::{Host, NamedInterface, Selection, View};
use nix::sched::{CloneFlags, setns};
use tokio::time::{Instant, timeout_at};

const C1: Ipv4Addr = Ipv4Addr::new(172, 30, 1, 2);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 30, 1, 1);
const HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 2);

/// Longest wait for something that should happen in milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// Network namespaces with a name of their own, deleted at the end.
struct Lab {
    prefix: String,
    names: Vec<&'static str>,
}

impl Lab {
    /// A host namespace `h` with an uplink up0 towards a router in `r` and an empty bridge br1; an empty one, `c`.
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("nmh{}x{count}", std::process::id());
        let mut lab = Self {
            prefix,
            names: Vec::new(),
        };
        for name in ["h", "r", "c"] {
            run(Command::new("ip").args(["netns", "add", &lab.full(name)]));
            lab.names.push(name);
        }
        lab.ip(
            "h",
            "link add br1 type bridge\n\
             addr add 172.30.1.1/24 dev br1\n\
             link set br1 up\n\
             link set lo up\n\
             link add up0 type veth peer name eth0 netns R\n\
             addr add 192.168.50.2/24 dev up0\n\
             link set up0 up",
        );
        lab.ip("r", "addr add 192.168.50.1/24 dev eth0\nlink set eth0 up");
        lab.ip("h", "route add default via 192.168.50.1");
        lab
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Runs lines of `ip` commands in a namespace. `R` and `C` stand for the router's and the container's one.
    fn ip(&self, name: &str, lines: &str) {
        let lines = lines
            .replace("netns R", &format!("netns {}", self.full("r")))
            .replace("netns C", &format!("netns {}", self.full("c")));
        let mut child = Command::new("ip")
            .args(["-n", &self.full(name), "-batch", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{lines}");
    }

    /// A container in namespace `c` and on br1, that has never sent a packet. The container's end of the pair moves
    /// before it is switched on, as container engines do it.
    fn container(&self) {
        self.ip(
            "h",
            "link add vc1 type veth peer name tmp1\n\
             link set vc1 master br1\n\
             link set vc1 up\n\
             link set tmp1 netns C name eth0",
        );
        self.ip(
            "c",
            "link set eth0 addrgenmode none\n\
             addr add 172.30.1.2/24 dev eth0\n\
             link set eth0 up",
        );
    }

    fn index(&self, link: &str) -> IfIndex {
        let path = format!("/sys/class/net/{link}/ifindex");
        let output = Command::new("ip")
            .args(["netns", "exec", &self.full("h"), "cat", &path])
            .output()
            .unwrap();
        IfIndex(String::from_utf8(output.stdout).unwrap().trim().parse().unwrap())
    }

    /// Runs `body` in namespace `h`.
    fn inside<F>(&self, body: F) -> F::Output
    where
        F: Future<Output: Send> + Send,
    {
        self.inside_of("h", body)
    }

    /// Runs `body` on a thread inside a namespace, with a runtime of one thread.
    fn inside_of<F>(&self, name: &str, body: F) -> F::Output
    where
        F: Future<Output: Send> + Send,
    {
        let path = format!("/run/netns/{}", self.full(name));
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(File::open(path).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
                let mut builder = tokio::runtime::Builder::new_current_thread();
                builder.enable_all().build().unwrap().block_on(body)
            });
            thread.join().unwrap()
        })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in &self.names {
            run(Command::new("ip").args(["netns", "del", &self.full(name)]));
        }
    }
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}

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

fn endpoint(view: &View, address: Ipv4Addr) -> Option<Endpoint> {
    view.endpoints.get(&address.into()).copied()
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
        assert_eq!(view.interfaces[&up].value.address, HOST.into());
        let port = Interface {
            role: Role::Port as u8,
            way: Way::Peer as u8,
            out: vc,
            bridge: br,
            address: GATEWAY.into(),
            ..Interface::default()
        };
        assert_eq!(view.interfaces[&vc].value, port);
        let locals: Vec<_> = view.locals.keys().copied().map(Ipv4Addr::from).collect();
        assert_eq!(locals, [Ipv4Addr::LOCALHOST, GATEWAY, HOST]);
        assert_eq!(
            view.networks[&"172.30.1.0/24".parse().unwrap()].gateway,
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
            named(view, "vc1").is_some_and(|port| port.value.way == Way::Peer as u8)
        })
        .await;
        host.view().clone()
    });
    let port = named(&host, "vc1").unwrap();
    assert_eq!((port.role, port.value.out), (Role::Port, lab.index("vc1")));
    assert_eq!(port.value.bridge, lab.index("br1"));
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
            view.locals.get(&second.into()) == Some(&up)
        })
        .await;
        assert_eq!(host.view().interfaces[&up].value.address, HOST.into());
        lab.ip("h", "route replace default via 192.168.50.1 src 192.168.50.77");
        until(&mut host, "source", |view| {
            view.interfaces[&up].value.address == second.into()
        })
        .await;
        // The kernel says nothing about a route that goes with the last address, or with the link.
        lab.ip("h", "addr flush dev up0");
        until(&mut host, "no uplink", |view| view.default_uplink.is_none()).await;
        lab.ip(
            "h",
            "addr add 192.168.50.2/24 dev up0\n\
             addr add 192.168.50.77/32 dev up0\n\
             route add default via 192.168.50.1",
        );
        until(&mut host, "uplink again", |view| view.default_uplink == Some(up)).await;
        lab.ip("h", "link set up0 down");
        until(&mut host, "no uplink", |view| {
            view.default_uplink.is_none() && named(view, "up0").is_none()
        })
        .await;
        lab.ip(
            "h",
            "link set up0 up\nroute add default via 192.168.50.1 metric 5\naddr del 192.168.50.77/32 dev up0",
        );
        until(&mut host, "uplink once more", |view| {
            view.default_uplink == Some(up) && !view.locals.contains_key(&second.into())
        })
        .await;
        assert_eq!(host.resyncs(), 0);
    });
}

#[test]
fn a_published_container_is_found_without_having_sent_a_packet() {
    let lab = Lab::new();
    lab.container();
    let (br, vc) = (lab.index("br1"), lab.index("vc1"));
    lab.inside(async {
        let mut host = open().await;
        host.want(BTreeSet::from([C1]));
        assert_eq!(host.view().unresolved, [C1]);
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
        assert_eq!(host.place_of(C1).map(|place| place.port), Some(vc));
    });
}

#[test]
fn a_container_that_starts_after_it_was_published_is_found() {
    let lab = Lab::new();
    lab.inside(async {
        let mut host = open().await;
        host.want(BTreeSet::from([C1]));
        // The kernel gives up on it first.
        let failed = |host: &Host| {
            host.snapshot()
                .neighbours
                .values()
                .any(|neighbour| *neighbour == netmap_user::host::Neighbour::Failed)
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
        host.want(BTreeSet::from([C1]));
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
        host.want(BTreeSet::from([C1]));
        until(&mut host, "endpoint", |view| endpoint(view, C1).is_some()).await;
        lab.ip(
            "h",
            "neigh flush all\nlink set br1 type bridge fdb_flush\naddr add 10.7.7.7/32 dev lo",
        );
        let mark: Address = Ipv4Addr::new(10, 7, 7, 7).into();
        until(&mut host, "mark", |view| view.locals.contains_key(&mark)).await;
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
        host.want(BTreeSet::from([C1]));
        until(&mut host, "endpoint", |view| endpoint(view, C1).is_some()).await;
        lab.ip("h", "link set br1 type bridge fdb_flush");
        // A daemon that starts now knows nothing from before.
        let mut second = open().await;
        assert!(second.snapshot().stations.is_empty());
        second.want(BTreeSet::from([C1]));
        assert_eq!(second.view().unresolved, [C1]);
        until(&mut second, "endpoint", |view| endpoint(view, C1).is_some()).await;
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
        let value = named(host.view(), "tap1").unwrap().value;
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
        let isolated = |view: &View, flag| named(view, "vc1").is_some_and(|port| port.value.flags == flag);
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
        host.want(BTreeSet::from([far]));
        assert_eq!(
            endpoint(host.view(), far).map(|endpoint| endpoint.way),
            Some(Way::Stack as u8)
        );
        forwarding("0");
        until(&mut host, "no endpoint", |view| view.unresolved == [far]).await;
        forwarding("1");
        until(&mut host, "endpoint", |view| view.unresolved.is_empty()).await;
    });
}

#[test]
fn lost_events_end_in_a_right_view() {
    let lab = Lab::new();
    lab.inside(async {
        let mut host = Host::with_queue(Selection::default(), 1).await.unwrap();
        let before = host.view().clone();
        let lines: Vec<_> = (0..200)
            .map(|n| format!("addr add 10.8.0.{n}/32 dev lo"))
            .collect();
        lab.ip("h", &lines.join("\n"));
        lab.container();
        lab.ip("h", "addr del 10.8.0.7/32 dev lo");
        let last: Address = Ipv4Addr::new(10, 8, 0, 199).into();
        until(&mut host, "everything", |view| {
            view.locals.contains_key(&last)
                && named(view, "vc1").is_some_and(|port| port.value.way == Way::Peer as u8)
        })
        .await;
        assert!(host.resyncs() > 0);
        assert_eq!(host.view().locals.len(), before.locals.len() + 199);
        // Events are followed again after that.
        lab.ip("h", "addr add 10.8.0.7/32 dev lo");
        let seven: Address = Ipv4Addr::new(10, 8, 0, 7).into();
        until(&mut host, "followed", |view| view.locals.contains_key(&seven)).await;
        let fresh = open().await;
        assert_eq!(host.view(), fresh.view());
        assert_eq!(host.snapshot().addresses, fresh.snapshot().addresses);
        assert_eq!(host.snapshot().links, fresh.snapshot().links);
        assert_eq!(host.snapshot().routes, fresh.snapshot().routes);
    });
}

#[test]
fn waiting_may_be_given_up_at_any_time() {
    let lab = Lab::new();
    lab.inside(async {
        let mut host = Host::with_queue(Selection::default(), 1).await.unwrap();
        let lines: Vec<_> = (0..200)
            .map(|n| format!("addr add 10.8.0.{n}/32 dev lo"))
            .collect();
        lab.ip("h", &lines.join("\n"));
        lab.container();
        let deadline = Instant::now() + PATIENCE;
        while named(host.view(), "vc1").is_none() {
            assert!(Instant::now() < deadline);
            // Polled a few times only, then dropped: also in the middle of a resynchronisation.
            tokio::select! {
                biased;
                changed = host.changed() => changed.unwrap(),
                () = tokio::task::yield_now() => {}
            }
        }
        assert!(host.resyncs() > 0);
        assert_eq!(host.view(), open().await.view());
    });
}
