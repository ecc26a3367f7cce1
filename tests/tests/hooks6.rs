//! Host processes that ask for published ports by IPv6: led straight to containers, or left to the proxy.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use netmap_tests::{
    Answer, DEADLINE, Lab, SILENCE, Scene,
    ipv6::{self, C1, C2, GATEWAY1, GATEWAY2, HOST, HOST_LINK},
    scene::Transport,
    tcp, topology, udp,
};
use socket2::{Domain, Type};

const PORT: u16 = 8_086;
const ANYWHERE: SocketAddrV6 = at(Ipv6Addr::UNSPECIFIED, 0);
const LOCALHOST: SocketAddrV6 = at(Ipv6Addr::LOCALHOST, PORT);
const PUBLISHED: SocketAddrV6 = at(HOST, PORT);

/// What a host process asks for, and the address that the container then sees.
const ASKED: [(Ipv6Addr, Ipv6Addr); 4] = [
    (Ipv6Addr::LOCALHOST, GATEWAY1),
    (HOST, HOST),
    (GATEWAY1, GATEWAY1),
    (GATEWAY2, GATEWAY2),
];

const CONNECTED: &[&str] = &["socket connected"];
const PROXIED: &[&str] = &["socket proxied"];

const fn at(address: Ipv6Addr, port: u16) -> SocketAddrV6 {
    SocketAddrV6::new(address, port, 0, 0)
}

/// A scene with IPv6, whose container c1 serves [`PORT`] by IPv6 alone.
fn scene() -> Result<Scene> {
    let lab = Lab::new()?;
    ipv6::add(&lab)?;
    let mut scene = Scene::in_lab(lab)?;
    scene.serve(&scene.lab.c1.clone(), at(C1, 80))?;
    scene.publish_both(&format!("{PORT}:80"), C1)?;
    Ok(scene)
}

/// Whether the container at `at` saw this client, and the answer came from there.
fn ensure_seen(answer: &Answer, sees: impl Into<IpAddr>, at: impl Into<IpAddr>) -> Result<()> {
    let (sees, at) = (sees.into(), at.into());
    ensure!(
        answer.client.ip() == sees && answer.local.ip() == at,
        "expected {at} to see {sees}, but {answer:?}"
    );
    Ok(())
}

#[test]
fn connections_go_straight_to_the_container_and_show_the_peer_that_was_asked_for() -> Result<()> {
    let scene = scene()?;
    for (address, sees) in ASKED {
        let to = at(address, PORT);
        let (answer, moved) = scene.netmap.watch(|| {
            let mut client = tcp::Client::connect(&scene.host, to)?;
            let answer = client.ask("straight")?;
            ensure!(client.peer()? == to.into(), "the peer is {}", client.peer()?);
            ensure!(client.local()? == answer.client, "{:?}", client.local());
            client.finish()?;
            Ok(answer)
        })?;
        ensure_seen(&answer, sees, C1)?;
        moved.ensure_carried_by(CONNECTED)?;
        tcp::Client::connect(&scene.host, to)?.echo(1_000_001)?;
    }
    Ok(())
}

#[test]
fn datagrams_go_straight_and_are_answered_from_where_they_were_sent_to() -> Result<()> {
    let scene = scene()?;
    for (address, sees) in ASKED {
        let to = at(address, PORT);
        let (answer, moved) = scene.netmap.watch(|| {
            let client = udp::Client::connected(&scene.host, to)?;
            ensure!(client.socket().peer_addr()? == to.into());
            // Each answer says where it comes from, and the client compares.
            client.ask("first")?;
            client.ask("second")
        })?;
        ensure_seen(&answer, sees, C1)?;
        moved.ensure_carried_by(CONNECTED)?;
        ensure!(
            moved.packets("socket connected") == 1,
            "counted a datagram: {moved}"
        );
        let (answer, moved) = scene.netmap.watch(|| {
            let client = udp::Client::unconnected(&scene.host, ANYWHERE, to)?;
            client.ask("first")?;
            client.ask("second")
        })?;
        ensure_seen(&answer, sees, C1)?;
        moved.ensure_carried_by(CONNECTED)?;
        ensure!(moved.packets("socket connected") == 2, "{moved}");
    }
    let client = udp::Client::connected_from(&scene.host, at(HOST, 0), PUBLISHED)?;
    ensure_seen(&client.ask("bound to an address")?, HOST, C1)
}

#[test]
fn the_unspecified_address_means_this_host_whatever_the_socket_is_bound_to() -> Result<()> {
    let scene = scene()?;
    let to = at(Ipv6Addr::UNSPECIFIED, PORT);
    for (from, sees) in [(ANYWHERE, GATEWAY1), (at(HOST, 0), HOST)] {
        let (answer, moved) = scene.netmap.watch(|| {
            let mut client = tcp::Client::connect_from(&scene.host, from, to)?;
            ensure!(client.peer()? == LOCALHOST.into(), "{}", client.peer()?);
            client.ask("anywhere")
        })?;
        ensure_seen(&answer, sees, C1)?;
        moved.ensure_carried_by(CONNECTED)?;
    }
    Ok(())
}

#[test]
fn what_only_the_proxy_can_carry_is_left_to_it() -> Result<()> {
    let scene = scene()?;
    let loopback = at(Ipv6Addr::LOCALHOST, 0);
    let link = ipv6::by_link(&scene.lab.host, "up0", HOST_LINK, PORT)?;
    let ((), moved) = scene.netmap.watch(|| {
        let mut client = tcp::Client::connect_from(&scene.host, loopback, LOCALHOST)?;
        ensure_seen(&client.ask("from loopback")?, GATEWAY1, C1)?;
        client.finish()?;
        for client in [
            udp::Client::connected_from(&scene.host, loopback, LOCALHOST)?,
            udp::Client::unconnected(&scene.host, loopback, LOCALHOST)?,
        ] {
            ensure_seen(&client.ask("from loopback")?, GATEWAY1, C1)?;
        }
        let mut client = tcp::Client::connect(&scene.host, link)?;
        ensure_seen(&client.ask("to a link-local address")?, GATEWAY1, C1)?;
        client.finish()?;
        for client in [
            udp::Client::connected(&scene.host, link)?,
            udp::Client::unconnected(&scene.host, ANYWHERE, link)?,
        ] {
            ensure_seen(&client.ask("to a link-local address")?, GATEWAY1, C1)?;
        }
        let socket = scene.host.socket(Domain::IPV6, Type::STREAM)?;
        socket.bind_device(Some(b"lo"))?;
        Ok(socket.connect_timeout(&SocketAddr::from(LOCALHOST).into(), DEADLINE)?)
    })?;
    moved.ensure_carried_by(PROXIED)
}

#[test]
fn a_container_of_ipv4_alone_is_served_by_the_proxy() -> Result<()> {
    let scene = scene()?;
    for address in [Ipv6Addr::LOCALHOST, HOST, GATEWAY2] {
        let to = at(address, 8_080);
        let ((), moved) = scene.netmap.watch(|| {
            for answer in [
                tcp::request(&scene.host, to, "to IPv4")?,
                udp::request(&scene.host, to, "to IPv4")?,
                udp::request_unconnected(&scene.host, to, "to IPv4")?,
            ] {
                ensure_seen(&answer, topology::GATEWAY1, topology::C1)?;
            }
            tcp::Client::connect(&scene.host, to)?.echo(1_000_001)?;
            Ok(())
        })?;
        moved.ensure_carried_by(PROXIED)?;
    }
    Ok(())
}

#[test]
fn one_socket_may_turn_to_both_families_and_to_the_container_itself() -> Result<()> {
    let scene = scene()?;
    let socket = UdpSocket::from(scene.host.socket(Domain::IPV6, Type::DGRAM)?);
    socket.set_read_timeout(Some(DEADLINE))?;
    let mapped = at(topology::HOST.to_ipv6_mapped(), 8_080);
    let mut buffer = [0; 1_024];
    for to in [PUBLISHED, mapped, at(C1, 80), LOCALHOST, mapped, PUBLISHED] {
        socket.send_to(b"whoever", to)?;
        let (_, from) = socket.recv_from(&mut buffer)?;
        ensure!(from == to.into(), "asked {to}, answered by {from}");
    }
    // Not to IPv4: the kernel gives such a socket no answers of IPv4 once it has been connected by IPv6.
    for to in [LOCALHOST, at(C1, 80), PUBLISHED] {
        socket.connect(SocketAddr::from(to))?;
        ensure!(socket.peer_addr()? == to.into(), "{}", socket.peer_addr()?);
        socket.send(b"whoever")?;
        let (_, from) = socket.recv_from(&mut buffer)?;
        ensure!(from == to.into(), "asked {to}, answered by {from}");
    }
    Ok(())
}

#[test]
fn a_containers_own_localhost_is_left_alone() -> Result<()> {
    let scene = scene()?;
    let inside = scene.netmap.clients(&scene.lab.c2)?;
    let _tcp = tcp::Server::start(&scene.lab.c2, LOCALHOST)?;
    let _udp = udp::Server::start(&scene.lab.c2, LOCALHOST)?;
    let ((), moved) = scene.netmap.watch(|| {
        for answer in [
            tcp::request(&inside, LOCALHOST, "mine")?,
            udp::request(&inside, LOCALHOST, "mine")?,
            udp::request_unconnected(&inside, LOCALHOST, "mine")?,
        ] {
            ensure_seen(&answer, Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST)?;
        }
        Ok(())
    })?;
    moved.ensure_carried_by(&[])
}

#[test]
fn taking_a_port_back_ends_what_the_host_itself_has_open_there() -> Result<()> {
    let mut scene = scene()?;
    scene.serve(&scene.lab.c2.clone(), at(C2, 80))?;
    scene.publish_both("8081:80", C1)?;
    for address in [Ipv6Addr::LOCALHOST, HOST] {
        let to = at(address, 8_081);
        let mut cut = tcp::Client::connect(&scene.host, to)?;
        let datagrams = udp::Client::connected(&scene.host, to)?;
        let unconnected = udp::Client::unconnected(&scene.host, ANYWHERE, to)?;
        let mut other_port = tcp::Client::connect(&scene.host, at(address, PORT))?;
        let other_datagrams = udp::Client::connected(&scene.host, at(address, PORT))?;
        let mut direct = tcp::Client::connect(&scene.host, at(C1, 80))?;
        cut.ask("before")?;
        datagrams.ask("before")?;
        unconnected.ask("before")?;

        for transport in Transport::ALL {
            scene.netmap.unpublish(&format!("8081/{}", transport.name()))?;
        }
        cut.set_patience(Duration::from_secs(1))?;
        let error = cut.ask("after").err().context("still connected")?.to_string();
        ensure!(!error.contains("temporarily unavailable"), "it hangs: {error}");
        let error = datagrams.socket().take_error()?.map(|error| error.kind());
        ensure!(error == Some(ErrorKind::ConnectionAborted), "{error:?}");
        ensure!(
            datagrams.socket().send(b"after").is_err(),
            "it still has its peer"
        );
        unconnected.send("after")?;
        ensure!(!matches!(unconnected.receive(SILENCE), Ok(Some(_))));
        let refused = tcp::connect(&scene.host, None, to, SILENCE)?.err();
        ensure!(refused.map(|error| error.kind()) == Some(ErrorKind::ConnectionRefused));

        other_port.ask("another port")?;
        other_datagrams.ask("another port")?;
        direct.ask("asked for the container itself")?;

        scene.publish_both("8081:80", C2)?;
        for transport in Transport::ALL {
            let answer = transport.request(&scene.host, to, "to another container")?;
            ensure!(answer.local.ip() == C2, "{answer:?}");
        }
        ensure!(unconnected.ask("the same socket")?.local.ip() == C2);
        for transport in Transport::ALL {
            scene.netmap.unpublish(&format!("8081/{}", transport.name()))?;
        }
        scene.publish_both("8081:80", C1)?;
    }
    Ok(())
}

#[test]
fn connections_outlive_the_daemon_and_the_next_one_can_still_end_them() -> Result<()> {
    let mut scene = scene()?;
    let mut kept = tcp::Client::connect(&scene.host, PUBLISHED)?;
    kept.ask("before")?;
    scene.netmap.kill()?;
    kept.ask("without the daemon")?;
    let answer = tcp::request(&scene.host, PUBLISHED, "without the daemon")?;
    ensure_seen(&answer, HOST, C1)?;
    scene.netmap.run()?;
    kept.ask("after")?;
    scene.netmap.unpublish(&format!("{PORT}/tcp"))?;
    kept.set_patience(Duration::from_secs(1))?;
    ensure!(kept.ask("unpublished").is_err());
    Ok(())
}
