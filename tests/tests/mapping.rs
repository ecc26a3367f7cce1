//! Bridges whose containers keep their ports towards everybody (`netmap run --nat`).

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};

use anyhow::{Context as _, Result, ensure};
use netmap_tests::{
    Answer, DEADLINE, Lab, Options, Scene, stun,
    topology::{C1, C2, HOST, REMOTE, REMOTE2},
    udp,
};

fn scene(arguments: &[&str]) -> Result<Scene> {
    let lab = Lab::with(Options {
        second_remote: true,
        ..Options::default()
    })?;
    let mut scene = Scene::with_arguments(lab, arguments)?;
    let remote = scene.lab.remote.clone();
    scene.serve(&remote, SocketAddrV4::new(REMOTE2, 80))?;
    Ok(scene)
}

// From a port that masquerading never takes: one that it may take is kept where it can be, and looks independent.
#[test]
fn a_stun_client_finds_independent_mapping_and_filter_where_they_are_asked_for() -> Result<()> {
    for (arguments, expected) in [
        (&["--nat", "eim"][..], "Independent Mapping, Independent Filter"),
        (&["--nat", "br1=eim"], "Independent Mapping, Independent Filter"),
        (&["--nat", "eim,br1=edm"], "Dependent Mapping"),
        (&[], "Dependent Mapping"),
    ] {
        let scene = scene(arguments)?;
        let _server = stun::Server::start(&scene.lab.remote, [REMOTE, REMOTE2])?;
        let (kind, moved) = scene
            .netmap
            .watch(|| stun::kind_of_nat(&scene.lab.c1, 40_000, REMOTE))?;
        ensure!(kind.starts_with(expected), "{arguments:?}: {kind}");
        if expected.starts_with("Independent") {
            ensure!(kind.contains("will hairpin"), "{kind}");
            // The client asks its own port, whose answers have the same addresses: one entry, counted as those.
            moved.ensure_includes(&["uplink-in mapped-in", "port-in hairpin-reply"])?;
        }
    }
    Ok(())
}

#[test]
fn whom_a_container_has_not_asked_reaches_it_at_the_port_that_it_keeps() -> Result<()> {
    for native_xdp in [false, true] {
        let lab = Lab::with(Options {
            second_remote: true,
            native_xdp,
            ..Options::default()
        })?;
        let mut scene = Scene::with_arguments(lab, &["--nat", "br1=eim"])?;
        let remote = scene.lab.remote.clone();
        scene.serve(&remote, SocketAddrV4::new(REMOTE2, 80))?;
        let container: UdpSocket = bound(&scene, C1, 40_000)?;
        let outside = seen_by_remote(&container, SocketAddrV4::new(REMOTE, 80))?;
        ensure!(outside.ip() == HOST, "{outside}");
        ensure!(seen_by_remote(&container, SocketAddrV4::new(REMOTE2, 80))? == outside);

        let stranger = udp::Client::unconnected(&remote, SocketAddrV4::new(REMOTE2, 9_000), outside)?;
        let ((), moved) = scene.netmap.watch(|| {
            stranger.send("who is there?")?;
            let mut buffer = [0; 100];
            let (length, from) = container.recv_from(&mut buffer)?;
            ensure!(buffer.get(..length) == Some(&b"who is there?"[..]));
            ensure!(from == SocketAddr::from((REMOTE2, 9_000)), "{from}");
            container.send_to(&Answer::new(from, container.local_addr()?, "me").to_line()?, from)?;
            let answer = stranger.receive(DEADLINE)?.context("no answer")?;
            ensure!(answer.payload == "me");
            Ok(())
        })?;
        moved.ensure_includes(&["uplink-in mapped-in", "port-in mapped-reply"])?;
        let kinds = |wanted: &str| -> Result<usize> {
            let flows = scene.netmap.flows()?;
            Ok(flows.iter().filter(|flow| flow["kind"] == wanted).count())
        };
        ensure!((kinds("mapping")?, kinds("mapped")?, kinds("egress")?) == (1, 1, 2));
        // The other bridge keeps no ports, and lets in who was asked alone.
        let other = bound(&scene, C2, 40_000)?;
        let outside = seen_by_remote(&other, SocketAddrV4::new(REMOTE, 80))?;
        ensure!(seen_by_remote(&other, SocketAddrV4::new(REMOTE2, 80))? != outside);
        ensure!(kinds("mapping")? == 1);
    }
    Ok(())
}

/// A datagram socket in the container with this address.
fn bound(scene: &Scene, address: Ipv4Addr, port: u16) -> Result<UdpSocket> {
    let container = if address == C1 {
        &scene.lab.c1
    } else {
        &scene.lab.c2
    };
    let socket = container.try_run(|| UdpSocket::bind((address, port)))?;
    socket.set_read_timeout(Some(DEADLINE))?;
    Ok(socket)
}

/// The end of this socket as a server outside sees it.
fn seen_by_remote(socket: &UdpSocket, server: SocketAddrV4) -> Result<SocketAddr> {
    socket.send_to(b"hello", server)?;
    let mut buffer = [0; 1_000];
    let (length, from) = socket.recv_from(&mut buffer)?;
    ensure!(from == SocketAddr::from(server), "{from}");
    Ok(Answer::from_bytes(buffer.get(..length).unwrap_or_default())?.client)
}
