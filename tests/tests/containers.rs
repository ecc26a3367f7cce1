//! Containers that come later, and containers that look alike to the outside.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Result, ensure};
use netmap_tests::{
    Family, Options, Place, Scene, ipv6,
    ping::{Pinger, Reply},
    ping6::{Pinger6, Reply6},
    scene::Transport,
    tcp,
    topology::{C1B, C2, GATEWAY1, HOST, REMOTE},
    udp, wait_for,
};

const REMOTE_SERVER: SocketAddrV4 = SocketAddrV4::new(REMOTE, 80);

#[test]
fn a_container_added_later_gets_egress_and_published_ports() -> Result<()> {
    const LATE: Ipv4Addr = Ipv4Addr::new(172, 30, 1, 9);
    let mut scene = Scene::new()?;
    let late = scene.lab.add_container("vc9", "br1", LATE, GATEWAY1)?;
    wait_for("the new port is hooked", || {
        Ok(scene
            .netmap
            .json("status")?
            .to_string()
            .contains("vc9")
            .then_some(()))
    })?;
    scene.serve(&late, SocketAddrV4::new(LATE, 80))?;
    scene.publish_both("9090:80", LATE)?;
    for transport in Transport::ALL {
        let (answer, moved) = scene
            .netmap
            .watch(|| transport.request(&late, REMOTE_SERVER, "late"))?;
        ensure!(answer.client.ip() == HOST, "{answer:?}");
        moved.ensure_carried_by(&["port-in egress-out", "uplink-in egress-reply"])?;

        let at = SocketAddrV4::new(HOST, 9_090);
        let (answer, moved) = scene
            .netmap
            .watch(|| transport.request(&scene.lab.remote, at, "late"))?;
        ensure!(
            answer.client.ip() == REMOTE && answer.local.ip() == LATE,
            "{answer:?}"
        );
        moved.ensure_carried_by(&["uplink-in published-in", "port-in published-reply"])?;

        let (answer, moved) = scene
            .netmap
            .watch(|| transport.request(&scene.lab.c1b, at, "late"))?;
        ensure!(
            answer.client.ip() == C1B && answer.local.ip() == LATE,
            "{answer:?}"
        );
        moved.ensure_carried_by(&["port-in hairpin-in", "port-in hairpin-reply"])?;
    }
    Ok(())
}

#[test]
fn the_first_packets_of_a_new_container_leave_with_the_hosts_address() -> Result<()> {
    let scene = Scene::new()?;
    for number in 20_u8..25 {
        let address = Ipv4Addr::new(172, 30, 1, number);
        // Whether its hook is there already or the host's stack forwards, the outside sees the host.
        let container = scene
            .lab
            .add_container(&format!("vc{number}"), "br1", address, GATEWAY1)?;
        for transport in Transport::ALL {
            let answer = transport.request(&container, REMOTE_SERVER, "first")?;
            ensure!(answer.client.ip() == HOST, "{answer:?}");
        }
    }
    Ok(())
}

/// A scene of both families.
fn both() -> Result<Scene> {
    Scene::with(Options {
        ipv6: true,
        ..Options::default()
    })
}

#[test]
fn two_containers_with_one_source_port_reach_one_server() -> Result<()> {
    const PORT: u16 = 5_000;
    let scene = both()?;
    let lab = &scene.lab;
    for family in Family::ALL {
        let (c1b, c2) = (family.at(Place::C1b, PORT), family.at(Place::C2, PORT));
        let (host, server) = (family.at(Place::Host, PORT), family.at(Place::Remote, 80));
        let mut first = tcp::Client::connect_from(&lab.c1b, c1b, server)?;
        let mut second = tcp::Client::connect_from(&lab.c2, c2, server)?;
        let seen = (first.ask("first")?.client, second.ask("second")?.client);
        ensure!(
            seen.0 == host,
            "a free source port is kept, but the server saw {seen:?}"
        );
        ensure!(seen.1.ip() == host.ip() && seen.1 != seen.0, "{seen:?}");
        ensure!(first.ask("first again")?.client == seen.0);
        ensure!(second.ask("second again")?.client == seen.1);
        first.finish()?;
        second.finish()?;

        let first = udp::Client::unconnected(&lab.c1b, c1b, server)?;
        let second = udp::Client::unconnected(&lab.c2, c2, server)?;
        let seen = (first.ask("first")?.client, second.ask("second")?.client);
        ensure!(
            seen.0 == host,
            "a free source port is kept, but the server saw {seen:?}"
        );
        ensure!(seen.1.ip() == host.ip() && seen.1 != seen.0, "{seen:?}");
        ensure!(first.ask("first again")?.client == seen.0);
        ensure!(second.ask("second again")?.client == seen.1);
    }
    Ok(())
}

#[test]
fn a_privileged_source_port_stays_privileged() -> Result<()> {
    let scene = Scene::new()?;
    let lab = &scene.lab;
    let first = udp::Client::unconnected(&lab.c1b, SocketAddrV4::new(C1B, 600), REMOTE_SERVER)?;
    let second = udp::Client::unconnected(&lab.c2, SocketAddrV4::new(C2, 600), REMOTE_SERVER)?;
    ensure!(first.ask("first")?.client.port() == 600);
    let port = second.ask("second")?.client.port();
    ensure!(port < 1_024 && port != 600, "{port}");
    Ok(())
}

#[test]
fn a_published_port_is_never_taken_as_a_source() -> Result<()> {
    let scene = both()?;
    for family in Family::ALL {
        let server = family.at(Place::Remote, 80);
        let client = udp::Client::unconnected(&scene.lab.c1b, family.at(Place::C1b, 8_080), server)?;
        let seen = client.ask("from a published port")?.client;
        ensure!(
            seen.ip() == family.address(Place::Host) && seen.port() != 8_080,
            "{seen}"
        );
    }
    Ok(())
}

#[test]
fn two_pings_of_ipv6_with_one_identifier_get_their_own_answers() -> Result<()> {
    let scene = both()?;
    let arrivals = Pinger6::new(&scene.lab.remote, 0)?;
    let pingers = [
        (Pinger6::new(&scene.lab.c1, 7)?, "from c1"),
        (Pinger6::new(&scene.lab.c2, 7)?, "from c2"),
    ];
    for (pinger, payload) in &pingers {
        pinger.send(ipv6::REMOTE, 1, payload)?;
    }
    let mut ids = Vec::new();
    for (pinger, payload) in &pingers {
        let reply = pinger.reply(1, payload)?;
        ensure!(reply == Reply6::Echo { from: ipv6::REMOTE }, "{reply:?}");
        let request = arrivals.request(payload)?;
        ensure!(request.from == ipv6::HOST, "{request:?}");
        ids.push(request.id);
    }
    ensure!(ids.first() != ids.last(), "{ids:?}");
    Ok(())
}

#[test]
fn two_pings_with_one_identifier_get_their_own_answers() -> Result<()> {
    let scene = Scene::new()?;
    let arrivals = Pinger::new(&scene.lab.remote, 0)?;
    let pingers = [
        (Pinger::new(&scene.lab.c1, 7)?, "from c1"),
        (Pinger::new(&scene.lab.c2, 7)?, "from c2"),
    ];
    for (pinger, payload) in &pingers {
        pinger.send(REMOTE, 1, payload)?;
    }
    let mut seen = Vec::new();
    for (pinger, payload) in &pingers {
        let reply = pinger.reply(1, payload)?;
        ensure!(matches!(reply, Reply::Echo { from: REMOTE, .. }), "{reply:?}");
        seen.push(arrivals.request(payload)?);
    }
    ensure!(seen.iter().all(|request| request.from == HOST), "{seen:?}");
    ensure!(
        seen.first().map(|request| request.id) != seen.last().map(|request| request.id),
        "{seen:?}"
    );
    Ok(())
}
