//! Row 8: what must not get through, and the counter that says why.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddrV4},
};

use anyhow::{Result, ensure};
use etherparse::PacketBuilder;
use netmap_tests::{
    Namespace, Options, SILENCE, Scene,
    ping::Pinger,
    tcp,
    topology::{C1, C1B, C2, HOST, REMOTE},
    udp, wait_for,
    wire::Wire,
};

#[test]
fn a_container_is_not_reached_past_its_published_ports() -> Result<()> {
    for offloads in [true, false] {
        let scene = Scene::with(Options {
            offloads,
            ..Options::default()
        })?;
        let lab = &scene.lab;
        for (client, hook) in [(&lab.remote, "uplink-in"), (&lab.c2, "port-in")] {
            let dropped = format!("{hook} direct-access");
            let at = SocketAddrV4::new(C1, 80);

            let (connected, moved) = scene.netmap.watch(|| tcp::connect(client, None, at, SILENCE))?;
            let error = connected.err().map(|error| error.kind());
            ensure!(
                error == Some(ErrorKind::TimedOut),
                "{error:?} from {}",
                client.name()
            );
            moved.ensure_dropped_by(&[&dropped])?;

            let ((), moved) = scene.netmap.watch(|| {
                let socket = udp::Client::connected(client, at)?;
                socket.send("not published")?;
                ensure!(socket.receive(SILENCE)?.is_none());
                Ok(())
            })?;
            moved.ensure_dropped_by(&[&dropped])?;

            let ((), moved) = scene.netmap.watch(|| {
                Pinger::new(client, 5)?.send(C1, 1, "not published")?;
                wait_for("the ping is dropped", || {
                    Ok((scene.netmap.packets(hook, "direct-access")? > 0).then_some(()))
                })
            })?;
            moved.ensure_dropped_by(&[&dropped])?;
        }
    }
    Ok(())
}

#[test]
fn a_port_that_is_not_published_stays_the_hosts() -> Result<()> {
    let scene = Scene::new()?;
    let lab = &scene.lab;
    for client in [&lab.remote, &lab.c1b, &lab.c2, &lab.c1, &lab.host] {
        let (connected, moved) = scene
            .netmap
            .watch(|| tcp::connect(client, None, SocketAddrV4::new(HOST, 8081), SILENCE))?;
        let error = connected.err().map(|error| error.kind());
        ensure!(
            error == Some(ErrorKind::ConnectionRefused),
            "{error:?} from {}",
            client.name()
        );
        moved.ensure_carried_by(&[])?;
    }
    let _service = tcp::Server::start(&lab.host, SocketAddrV4::new(HOST, 8081))?;
    let (answer, moved) = scene
        .netmap
        .watch(|| tcp::request(&lab.remote, SocketAddrV4::new(HOST, 8081), "the host's own"))?;
    ensure!(answer.client.ip() == REMOTE, "{answer:?}");
    moved.ensure_carried_by(&[])
}

#[test]
fn loopback_addresses_are_dropped_from_every_wire() -> Result<()> {
    let scene = Scene::new()?;
    let lab = &scene.lab;
    let localhost = Ipv4Addr::LOCALHOST;
    for (client, own, interface, hook) in [
        (&lab.remote, REMOTE, "up0", "uplink-in"),
        (&lab.c1b, C1B, "br1", "port-in"),
        (&lab.c2, C2, "br2", "port-in"),
    ] {
        for (from, to) in [(own, localhost), (localhost, HOST)] {
            let ((), moved) = scene
                .netmap
                .watch(|| send_udp(&scene, client, interface, from, to))?;
            moved.ensure_dropped_by(&[&format!("{hook} loopback-on-wire")])?;
        }
    }
    Ok(())
}

/// Sends a datagram that no socket would send, to published port 8080 at the link-layer address of the host's
/// `interface`.
fn send_udp(scene: &Scene, client: &Namespace, interface: &str, from: Ipv4Addr, to: Ipv4Addr) -> Result<()> {
    let host_side = Wire::open(&scene.lab.host, interface)?.mac();
    let wire = Wire::open(client, "eth0")?;
    let builder = PacketBuilder::ethernet2(wire.mac(), host_side)
        .ipv4(from.octets(), to.octets(), 64)
        .udp(4_000, 8_080);
    let payload = b"from nowhere";
    let mut frame = Vec::with_capacity(builder.size(payload.len()));
    builder.write(&mut frame, payload)?;
    wire.send(&frame)
}
