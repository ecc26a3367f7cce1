//! Datagrams larger than a packet, through every row of the README's table, and pings as large.

use std::net::{IpAddr, SocketAddr, SocketAddrV4};

use anyhow::{Context as _, Result, ensure};
use netmap_tests::{
    DEADLINE, Family, Options, Place, Scene, ipv6,
    pieces::{self, BR1, CONTENT6, UP0},
    ping::{Reply, ping},
    ping6::{self, Reply6},
    rows,
    scene::{PUBLISHED, SERVED},
    topology::REMOTE,
    udp,
    wire::Wire,
};

const LARGE: usize = 30_000;

/// A scene of both families.
fn scene(options: Options) -> Result<Scene> {
    Scene::with(Options {
        ipv6: true,
        ..options
    })
}

#[test]
fn large_datagrams_get_through_both_ways_on_every_row() -> Result<()> {
    for offloads in [true, false] {
        let scene = scene(Options {
            offloads,
            ..Options::default()
        })?;
        for row in rows::all(&scene) {
            let payload = format!("row {} ", row.number).repeat(LARGE / 6);
            let (answer, moved) = scene
                .netmap
                .watch(|| udp::request(row.from.client(&scene), row.to, &payload))?;
            ensure!(answer.client.ip() == row.sees, "{row:?}: {answer:?}");
            ensure!(moved.dropped().is_empty(), "{row:?}: {moved}");
            // Every piece was carried, none by the proxy but where it has to be. The host's own are led, not carried.
            moved.ensure_carried_by(row.carried)?;
            for name in row.carried.iter().filter(|name| !name.starts_with("socket")) {
                let pieces = moved.packets(name);
                ensure!(pieces >= 20, "{row:?}: {name} counted {pieces} pieces");
            }
        }
    }
    Ok(())
}

#[test]
fn large_pings_get_through() -> Result<()> {
    let scene = scene(Options::default())?;
    let payload = "ping ".repeat(LARGE / 5);
    for client in [&scene.lab.c1, &scene.lab.c2] {
        let (reply, moved) = scene.netmap.watch(|| ping(client, REMOTE, 7, &payload))?;
        ensure!(matches!(reply, Reply::Echo { from: REMOTE, .. }), "{reply:?}");
        moved.ensure_carried_by(&["port-in egress-out", "uplink-in egress-reply"])?;
        let (reply, moved) = scene
            .netmap
            .watch(|| ping6::ping(client, ipv6::REMOTE, 7, &payload))?;
        ensure!(reply == Reply6::Echo { from: ipv6::REMOTE }, "{reply:?}");
        moved.ensure_carried_by(&["port-in egress-out", "uplink-in egress-reply"])?;
    }
    Ok(())
}

#[test]
fn through_the_hosts_stack_too() -> Result<()> {
    let scene = scene(Options::default())?;
    for (family, outside) in [(Family::V4, "172.31.9.9"), (Family::V6, "fd00:31::9")] {
        let outside: IpAddr = outside.parse()?;
        let port = if outside.is_ipv4() { "vr" } else { "vr6" };
        let routed = scene.lab.add_routed_container(port, outside)?;
        let _server = udp::Server::start(&routed, SocketAddr::new(outside, SERVED))?;
        let everywhere = if outside.is_ipv4() { "0.0.0.0" } else { "[::]" };
        scene
            .netmap
            .publish(&format!("{everywhere}:9090:{SERVED}/udp"), outside)?;
        let payload = "x".repeat(LARGE);
        let (answer, moved) = scene
            .netmap
            .watch(|| udp::request(&scene.lab.remote, family.at(Place::Host, 9_090), &payload))?;
        ensure!(answer.client.ip() == family.address(Place::Remote), "{answer:?}");
        moved.ensure_carried_by(&["uplink-in stack-published-in", "uplink-out stack-published-reply"])?;
    }
    Ok(())
}

/// The last of two pieces, moved to where the first has its ninth byte.
fn over(last: &[u8], family: Family) -> Vec<u8> {
    let (at, offset) = match family {
        Family::V4 => (20, 1_u16),
        Family::V6 => (CONTENT6 + 2, 8),
    };
    let mut over = last.to_vec();
    over[at..at + 2].copy_from_slice(&offset.to_be_bytes());
    over
}

#[test]
fn containers_that_choose_the_same_identification_are_not_mixed_up() -> Result<()> {
    let scene = scene(Options::default())?;
    for family in Family::ALL {
        let to = family.at(Place::Remote, SERVED);
        let mut senders = Vec::new();
        for (namespace, place) in [(&scene.lab.c1, Place::C1), (&scene.lab.c1b, Place::C1b)] {
            let from = family.at(place, 40_000);
            let payload = format!("from {from} ").repeat(60);
            let wire = Wire::open(namespace, "eth0")?;
            let pieces = pieces::cut(&wire, 7, BR1, from, to, &payload)?;
            let client = udp::Client::connected_from(namespace, from, to)?;
            // The next hop is known, and the flow is there.
            client.ask("who am I?")?;
            senders.push((wire, pieces, client, payload));
        }
        for index in 0..2 {
            for (wire, pieces, ..) in &senders {
                wire.send(&pieces[index])?;
            }
        }
        for (.., client, payload) in &senders {
            let answer = client.receive(DEADLINE)?;
            ensure!(
                answer.is_some_and(|answer| answer.payload == *payload),
                "not what was sent by {family:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn what_lies_over_the_first_piece_is_dropped() -> Result<()> {
    let scene = scene(Options::default())?;
    for family in Family::ALL {
        let to = family.at(Place::Host, PUBLISHED);
        let from = family.at(Place::Remote, 40_000);
        let payload = "over and over ".repeat(60);
        let wire = Wire::open(&scene.lab.remote, "eth0")?;
        let [first, last] = pieces::cut(&wire, 7, UP0, from, to, &payload)?;
        let client = udp::Client::connected_from(&scene.lab.remote, from, to)?;
        let (answer, moved) = scene.netmap.watch(|| {
            wire.send(&first)?;
            wire.send(&over(&last, family))?;
            wire.send(&last)?;
            client.receive(DEADLINE)
        })?;
        ensure!(
            answer.is_some_and(|answer| answer.payload == payload),
            "not what was sent by {family:?}"
        );
        ensure!(moved.packets("uplink-in fragment-overlap") == 1, "{moved}");
    }
    Ok(())
}

#[test]
fn what_the_host_fragments_for_a_narrow_uplink_leaves_with_its_address() -> Result<()> {
    let scene = scene(Options::default())?;
    let lab = &scene.lab;
    lab.host.batch("link set up0 mtu 1400\n")?;
    lab.remote.batch("link set eth0 mtu 1400\n")?;
    // c1 does not ask for the path's MTU.
    lab.c1.sysctl("ipv4/ip_no_pmtu_disc", "1")?;
    let payload = "too big for one, ".repeat(85);
    let client = udp::Client::connected(&lab.c1, SocketAddrV4::new(REMOTE, 80))?;
    let first = client.ask("a flow before")?;
    let (answer, moved) = scene.netmap.watch(|| Ok(client.ask(&payload)))?;
    let answer = answer.with_context(|| format!("what moved is: {moved}"))?;
    ensure!(answer.client == first.client, "{answer:?}");
    moved.ensure_carried_by(&["uplink-in egress-reply", "uplink-out stack-egress-out"])?;
    ensure!(moved.packets("port-in too-big") == 1, "{moved}");
    ensure!(moved.packets("uplink-out stack-egress-out") == 2, "{moved}");
    Ok(())
}
