//! What the packet hooks cannot send on by themselves goes through the host's stack, and still arrives translated.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Result, ensure};
use netmap_tests::{
    Namespace, Scene,
    ping::{self, Pinger},
    scene::Transport,
    tcp,
    topology::{C1, HOST, REMOTE},
};

const ROUTED: Ipv4Addr = Ipv4Addr::new(172, 31, 0, 2);
const REMOTE_SERVER: SocketAddrV4 = SocketAddrV4::new(REMOTE, 80);

#[test]
fn a_published_container_behind_a_route_sees_the_client() -> Result<()> {
    let mut scene = Scene::new()?;
    let routed = scene.lab.add_routed_container("vc3", ROUTED)?;
    scene.serve(&routed, SocketAddrV4::new(ROUTED, 80))?;
    scene.publish_both("8090:80", ROUTED)?;
    let at = SocketAddrV4::new(HOST, 8_090);
    for transport in Transport::ALL {
        let (answer, moved) = scene
            .netmap
            .watch(|| transport.request(&scene.lab.remote, at, "by a route"))?;
        ensure!(
            answer.client.ip() == REMOTE && answer.local.ip() == ROUTED,
            "{answer:?}"
        );
        moved.ensure_carried_by(&["uplink-in stack-published-in", "uplink-out stack-published-reply"])?;
    }
    tcp::Client::connect(&scene.lab.remote, at)?.echo(1_000_001)?;
    // Its neighbours and the host get there, too, by whatever carries them.
    for client in [&scene.lab.c1, &scene.lab.c2, &scene.lab.host] {
        for transport in Transport::ALL {
            ensure!(transport.request(client, at, "somehow")?.local.ip() == ROUTED);
        }
    }
    Ok(())
}

#[test]
fn a_container_without_a_known_port_leaves_with_the_hosts_address() -> Result<()> {
    // In the first bridge's network, but not behind the bridge: no hook sees what it sends.
    const UNHOOKED: Ipv4Addr = Ipv4Addr::new(172, 30, 1, 77);
    let scene = Scene::new()?;
    let unhooked = scene.lab.add_routed_container("vc3", UNHOOKED)?;
    for transport in Transport::ALL {
        let (answer, moved) = scene
            .netmap
            .watch(|| transport.request(&unhooked, REMOTE_SERVER, "unhooked"))?;
        ensure!(answer.client.ip() == HOST, "{answer:?}");
        moved.ensure_carried_by(&["uplink-out stack-egress-out", "uplink-in stack-egress-reply"])?;
    }
    let arrivals = Pinger::new(&scene.lab.remote, 0)?;
    ping::ping(&unhooked, REMOTE, 11, "unhooked ping")?;
    ensure!(arrivals.request("unhooked ping")?.from == HOST);
    tcp::Client::connect(&unhooked, REMOTE_SERVER)?.echo(1_000_001)?;
    Ok(())
}

#[test]
fn the_hosts_own_traffic_is_left_alone() -> Result<()> {
    let mut scene = Scene::new()?;
    scene.serve(&scene.lab.host.clone(), SocketAddrV4::new(HOST, 7_000))?;
    let own = |client: &Namespace, to, sees: Ipv4Addr| -> Result<()> {
        for transport in Transport::ALL {
            let (answer, moved) = scene.netmap.watch(|| transport.request(client, to, "own"))?;
            ensure!(answer.client.ip() == sees, "{answer:?}");
            moved.ensure_carried_by(&[])?;
        }
        Ok(())
    };
    let lab = &scene.lab;
    own(&lab.host, REMOTE_SERVER, HOST)?;
    own(&lab.remote, SocketAddrV4::new(HOST, 7_000), REMOTE)?;
    own(&lab.c1, SocketAddrV4::new(HOST, 7_000), C1)?;
    own(
        &lab.host,
        SocketAddrV4::new(C1, 80),
        netmap_tests::topology::GATEWAY1,
    )?;
    own(&lab.c1b, SocketAddrV4::new(C1, 80), netmap_tests::topology::C1B)
}

#[test]
fn a_host_socket_with_a_published_source_port_keeps_its_answers() -> Result<()> {
    const PORT: u16 = 25_000;
    let scene = Scene::new()?;
    for transport in ["tcp", "udp"] {
        scene
            .netmap
            .publish(&format!("20000-29999:20000-29999/{transport}"), C1)?;
    }
    // The test's own process lives outside the control group that keeps the range, as a program does that bound its
    // port before netmap came.
    let host = &scene.lab.host;
    let socket = host.try_run(|| {
        let socket = std::net::UdpSocket::bind((HOST, PORT))?;
        socket.connect(REMOTE_SERVER)?;
        socket.set_read_timeout(Some(netmap_tests::DEADLINE))?;
        Ok(socket)
    })?;
    let (answer, moved) = scene.netmap.watch(|| {
        socket.send(b"mine")?;
        let mut buffer = [0; 1_024];
        let length = socket.recv(&mut buffer)?;
        netmap_tests::Answer::from_bytes(buffer.get(..length).unwrap_or_default())
    })?;
    ensure!(
        answer.client == SocketAddrV4::new(HOST, PORT).into() && answer.payload == "mine",
        "{answer:?}"
    );
    moved.ensure_includes(&["uplink-in host-socket"])?;
    moved.ensure_carried_by(&[])?;

    let mut client = tcp::Client::connect_from(host, SocketAddrV4::new(HOST, PORT), REMOTE_SERVER)?;
    ensure!(client.ask("mine, too")?.client == SocketAddrV4::new(HOST, PORT).into());
    client.finish()
}
