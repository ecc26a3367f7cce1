//! What the packet hooks cannot send on by themselves goes through the host's stack, and still arrives translated.

use std::net::{IpAddr, SocketAddr, SocketAddrV4};

use anyhow::{Result, ensure};
use netmap_tests::{
    Family, Options, Place, Scene, ipv6,
    ping::{self, Pinger},
    ping6::{self, Pinger6},
    scene::Transport,
    tcp,
    topology::{C1, HOST, REMOTE},
};

const REMOTE_SERVER: SocketAddrV4 = SocketAddrV4::new(REMOTE, 80);

/// A scene of both families.
fn scene() -> Result<Scene> {
    Scene::with(Options {
        ipv6: true,
        ..Options::default()
    })
}

#[test]
fn a_published_container_behind_a_route_sees_the_client() -> Result<()> {
    let mut scene = scene()?;
    for (family, port, routed, everywhere) in [
        (Family::V4, "vc3", "172.31.0.2", "0.0.0.0"),
        (Family::V6, "vc6", "fd00:31::2", "[::]"),
    ] {
        let address: IpAddr = routed.parse()?;
        let routed = scene.lab.add_routed_container(port, address)?;
        scene.serve(&routed, SocketAddr::new(address, 80))?;
        scene.publish_both(&format!("{everywhere}:8090:80"), address)?;
        let at = family.at(Place::Host, 8_090);
        for transport in Transport::ALL {
            let (answer, moved) = scene
                .netmap
                .watch(|| transport.request(&scene.lab.remote, at, "by a route"))?;
            ensure!(
                answer.client.ip() == family.address(Place::Remote) && answer.local.ip() == address,
                "{answer:?}"
            );
            moved.ensure_carried_by(&["uplink-in stack-published-in", "uplink-out stack-published-reply"])?;
        }
        tcp::Client::connect(&scene.lab.remote, at)?.echo(1_000_001)?;
        // Its neighbours and the host get there, too, by whatever carries them.
        for client in [&scene.lab.c1, &scene.lab.c2, &scene.lab.host] {
            for transport in Transport::ALL {
                ensure!(transport.request(client, at, "somehow")?.local.ip() == address);
            }
        }
    }
    Ok(())
}

#[test]
fn a_container_without_a_known_port_leaves_with_the_hosts_address() -> Result<()> {
    let scene = scene()?;
    for (family, port, address) in [
        // In the first bridge's network, but not behind the bridge: no hook sees what it sends.
        (Family::V4, "vc3", "172.30.1.77"),
        (Family::V6, "vc6", "fd00:1::77"),
    ] {
        let unhooked = scene.lab.add_routed_container(port, address.parse::<IpAddr>()?)?;
        let server = family.at(Place::Remote, 80);
        for transport in Transport::ALL {
            let (answer, moved) = scene
                .netmap
                .watch(|| transport.request(&unhooked, server, "unhooked"))?;
            ensure!(answer.client.ip() == family.address(Place::Host), "{answer:?}");
            moved.ensure_carried_by(&["uplink-out stack-egress-out", "uplink-in stack-egress-reply"])?;
        }
        if family == Family::V4 {
            let arrivals = Pinger::new(&scene.lab.remote, 0)?;
            ping::ping(&unhooked, REMOTE, 11, "unhooked ping")?;
            ensure!(arrivals.request("unhooked ping")?.from == HOST);
        } else {
            let arrivals = Pinger6::new(&scene.lab.remote, 0)?;
            ping6::ping(&unhooked, ipv6::REMOTE, 11, "unhooked ping")?;
            ensure!(arrivals.request("unhooked ping")?.from == ipv6::HOST);
        }
        tcp::Client::connect(&unhooked, server)?.echo(1_000_001)?;
    }
    Ok(())
}

#[test]
fn the_hosts_own_traffic_is_left_alone() -> Result<()> {
    let mut scene = scene()?;
    for family in Family::ALL {
        scene.serve(&scene.lab.host.clone(), family.at(Place::Host, 7_000))?;
    }
    let lab = &scene.lab;
    for family in Family::ALL {
        let (host, c1) = (family.at(Place::Host, 7_000), family.at(Place::C1, 80));
        for (client, to, sees) in [
            (&lab.host, family.at(Place::Remote, 80), Place::Host),
            (&lab.remote, host, Place::Remote),
            (&lab.c1, host, Place::C1),
            (&lab.host, c1, Place::Gateway1),
            (&lab.c1b, c1, Place::C1b),
        ] {
            for transport in Transport::ALL {
                let (answer, moved) = scene.netmap.watch(|| transport.request(client, to, "own"))?;
                ensure!(answer.client.ip() == family.address(sees), "{answer:?}");
                moved.ensure_carried_by(&[])?;
            }
        }
    }
    Ok(())
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
