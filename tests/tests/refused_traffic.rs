//! Row 8: what must not get through, and what stays the host's.

use std::{
    io::ErrorKind,
    net::{SocketAddr, SocketAddrV4},
};

use anyhow::{Result, ensure};
use etherparse::{IpNumber, PacketBuilder};
use netmap_tests::{
    Family, Options, SILENCE, Scene, ipv6, refusals, tcp,
    topology::{C1, HOST, REMOTE},
    wire::Wire,
};

/// A scene of both families.
fn scene(options: Options) -> Result<Scene> {
    Scene::with(Options {
        ipv6: true,
        ..options
    })
}

#[test]
fn what_is_not_published_is_dropped_with_offloads() -> Result<()> {
    let scene = scene(Options::default())?;
    refusals::all(&scene).try_for_each(|refusal| refusal.check(&scene))
}

#[test]
fn what_is_not_published_is_dropped_without_offloads() -> Result<()> {
    let scene = scene(Options {
        offloads: false,
        ..Options::default()
    })?;
    refusals::all(&scene).try_for_each(|refusal| refusal.check(&scene))
}

#[test]
fn what_is_not_published_is_dropped_with_native_xdp() -> Result<()> {
    for offloads in [true, false] {
        let scene = scene(Options {
            offloads,
            native_xdp: true,
            ..Options::default()
        })?;
        refusals::all(&scene).try_for_each(|refusal| refusal.check(&scene))?;
    }
    Ok(())
}

#[test]
fn what_cannot_be_translated_does_not_leave_with_a_containers_address() -> Result<()> {
    const BR1: [u8; 6] = [2, 0, 0, 0, 1, 1];
    const CONTENT: &[u8] = b"neither ports nor an identifier";
    let scene = scene(Options::default())?;
    let outside = Wire::open(&scene.lab.remote, "eth0")?;
    let wire = Wire::open(&scene.lab.c1, "eth0")?;
    for family in Family::ALL {
        for protocol in [IpNumber::SCTP, IpNumber::GRE] {
            let frame = PacketBuilder::ethernet2(wire.mac(), BR1);
            let packet = match family {
                Family::V4 => frame.ipv4(C1.octets(), REMOTE.octets(), 64),
                Family::V6 => frame.ipv6(ipv6::C1.octets(), ipv6::REMOTE.octets(), 64),
            };
            let mut frame = Vec::new();
            packet.write(&mut frame, protocol, CONTENT)?;
            let ((), moved) = scene.netmap.watch(|| wire.send(&frame))?;
            moved.ensure_dropped_by(&["uplink-out would-leak"])?;
        }
    }
    ensure!(
        !outside
            .drain()?
            .iter()
            .any(|frame| frame.windows(CONTENT.len()).any(|window| window == CONTENT))
    );
    Ok(())
}

#[test]
fn a_port_that_is_not_published_stays_the_hosts() -> Result<()> {
    let scene = Scene::new()?;
    let lab = &scene.lab;
    let at = SocketAddrV4::new(HOST, 8_081);
    for client in [&lab.remote, &lab.c1b, &lab.c2, &lab.c1, &lab.host] {
        let (connected, moved) = scene.netmap.watch(|| tcp::connect(client, None, at, SILENCE))?;
        let error = connected.err().map(|error| error.kind());
        ensure!(
            error == Some(ErrorKind::ConnectionRefused),
            "{error:?} from {}",
            client.name()
        );
        moved.ensure_carried_by(&[])?;
    }
    let _service = tcp::Server::start(&lab.host, at)?;
    let (answer, moved) = scene
        .netmap
        .watch(|| tcp::request(&lab.remote, at, "the host's own"))?;
    ensure!(answer.client.ip() == REMOTE, "{answer:?}");
    moved.ensure_carried_by(&[])
}

#[test]
fn a_neighbour_cannot_reset_a_containers_connection() -> Result<()> {
    let scene = Scene::new()?;
    let lab = &scene.lab;
    let server = SocketAddrV4::new(REMOTE, 80);
    let mut connection = tcp::Client::connect(&lab.c1, server)?;
    connection.ask("before")?;
    let SocketAddr::V4(own) = connection.local()? else {
        anyhow::bail!("not IPv4");
    };
    let wire = Wire::open(&lab.c1b, "eth0")?;
    // To the bridge, as c1 would send it.
    let builder = PacketBuilder::ethernet2(wire.mac(), [2, 0, 0, 0, 1, 1])
        .ipv4(own.ip().octets(), server.ip().octets(), 64)
        .tcp(own.port(), server.port(), 1, 0)
        .rst();
    let mut frame = Vec::new();
    builder.write(&mut frame, &[])?;
    let ((), moved) = scene.netmap.watch(|| wire.send(&frame))?;
    moved.ensure_dropped_by(&["port-in spoofed-source"])?;
    connection.ask("after")?;
    connection.finish()
}
