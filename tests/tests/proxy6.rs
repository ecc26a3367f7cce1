//! What the socket proxy carries of IPv6, and which ports it keeps.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
};

use anyhow::{Result, ensure};
use netmap_tests::{
    Lab, Options, SILENCE, Scene,
    ipv6::{self, C1, GATEWAY1, GATEWAY2, HOST, HOST_LINK, REMOTE_LINK},
    scene::Transport,
    tcp, topology, udp,
};
use socket2::{Domain, Socket, Type};

const PORT: u16 = 8_086;
const BULK: u64 = 5_000_001;

const fn at(address: Ipv6Addr, port: u16) -> SocketAddrV6 {
    SocketAddrV6::new(address, port, 0, 0)
}

/// A scene with IPv6 whose host processes are served by the proxy; container c1 serves [`PORT`] by IPv6 alone.
fn scene() -> Result<Scene> {
    let lab = Lab::with(Options {
        socket_hooks: false,
        ..Options::default()
    })?;
    ipv6::add(&lab)?;
    let mut scene = Scene::in_lab(lab)?;
    scene.serve(&scene.lab.c1.clone(), at(C1, 80))?;
    scene.publish_both(&format!("{PORT}:80"), C1)?;
    Ok(scene)
}

#[test]
fn five_megabytes_pass_whole_in_every_direction_to_either_family() -> Result<()> {
    let scene = scene()?;
    for address in [Ipv6Addr::LOCALHOST, HOST, GATEWAY1] {
        for (port, sees) in [(PORT, GATEWAY1.into()), (8_080, topology::GATEWAY1.into())] {
            let (to, host): (_, std::net::IpAddr) = (at(address, port), sees);
            ensure!(tcp::Client::connect(&scene.host, to)?.upload(BULK)?.client.ip() == host);
            tcp::Client::connect(&scene.host, to)?.download(BULK, 0)?;
            tcp::Client::connect(&scene.host, to)?.echo(BULK)?;
        }
    }
    Ok(())
}

#[test]
fn datagrams_are_answered_from_the_address_that_was_asked() -> Result<()> {
    let scene = scene()?;
    // Behind a single port there is one socket for the answers of all addresses, behind a large range one an address.
    scene.netmap.publish("9000-9999:80-1079/udp", C1)?;
    for address in [Ipv6Addr::LOCALHOST, HOST, GATEWAY1, GATEWAY2] {
        for port in [PORT, 8_080, 9_000] {
            // Both clients check whence the answer comes: the kernel for one, the client itself for the other.
            udp::request(&scene.host, at(address, port), "connected")?;
            udp::request_unconnected(&scene.host, at(address, port), "unconnected")?;
        }
    }
    // The socket of both families still answers IPv4.
    for address in [Ipv4Addr::LOCALHOST, topology::HOST] {
        udp::request_unconnected(&scene.host, SocketAddr::from((address, 8_080)), "IPv4")?;
    }
    Ok(())
}

#[test]
fn clients_with_link_local_addresses_are_served_and_judged() -> Result<()> {
    let scene = scene()?;
    let remote = &scene.lab.remote;
    let to = |port| ipv6::by_link(remote, "eth0", HOST_LINK, port);
    // The answers of a large range have a socket an address.
    scene.netmap.publish("9000-9999:80-1079/udp", C1)?;
    let ((), moved) = scene.netmap.watch(|| {
        for port in [PORT, 8_080] {
            let from = ipv6::by_link(remote, "eth0", REMOTE_LINK, 0)?;
            let mut client = tcp::Client::connect_from(remote, from, to(port)?)?;
            client.ask("from the link")?;
            client.finish()?;
            for client in [
                udp::Client::connected_from(remote, from, to(port)?)?,
                udp::Client::unconnected(remote, from, to(port)?)?,
            ] {
                client.ask("from the link")?;
            }
        }
        udp::request_unconnected(remote, to(9_000)?, "from the link")?;
        Ok(())
    })?;
    moved.ensure_carried_by(&["socket proxied"])?;

    let allow = |port: u16, sources: &str| {
        for transport in Transport::ALL {
            let spec = format!("{port}:80/{}", transport.name());
            scene
                .netmap
                .done(&["publish", &spec, "--to", &C1.to_string(), "--allow", sources])?;
        }
        Ok::<_, anyhow::Error>(())
    };
    allow(8_087, "fe80::/64")?;
    allow(8_088, "fd00:77::/64")?;
    for transport in Transport::ALL {
        transport.request(remote, to(8_087)?, "allowed")?;
    }
    let refused = tcp::Client::connect(remote, to(8_088)?).and_then(|mut client| {
        client.set_patience(SILENCE)?;
        client.ask("not allowed")
    });
    ensure!(refused.is_err(), "{refused:?}");
    let client = udp::Client::connected(remote, to(8_088)?)?;
    client.send("not allowed")?;
    ensure!(!matches!(client.receive(SILENCE), Ok(Some(_))));
    // The host itself may always.
    let own = ipv6::by_link(&scene.lab.host, "up0", HOST_LINK, 8_088)?;
    for to in [own, at(HOST, 8_088)] {
        for transport in Transport::ALL {
            transport.request(&scene.host, to, "the host itself")?;
        }
    }
    Ok(())
}

#[test]
fn published_ports_are_kept_from_programs_of_either_family() -> Result<()> {
    let scene = scene()?;
    scene.publish_both("8090:80", C1)?;
    scene.publish_both("127.0.0.1:20000-20099:80-179", topology::C1)?;
    scene.publish_both("[::]:21000-21099:80-179", C1)?;
    for kind in [Type::STREAM, Type::DGRAM] {
        let bind = |address: &str, only_v6: bool| -> Result<Option<ErrorKind>> {
            let address: SocketAddr = address.parse()?;
            let socket = scene.host.socket(Domain::for_address(address), kind)?;
            if address.is_ipv6() {
                socket.set_only_v6(only_v6)?;
            }
            Ok(listen(&socket, address, kind).err().map(|error| error.kind()))
        };
        let taken = Some(ErrorKind::AddrInUse);
        // 8080 is both families', 8090 is IPv6's alone; one port each, kept by sockets.
        for address in [
            "0.0.0.0:8080",
            "127.0.0.1:8080",
            "[::]:8080",
            "[::1]:8080",
            "[::]:8090",
            "[::1]:8090",
        ] {
            ensure!(
                bind(address, true)? == taken,
                "{address}: {:?}",
                bind(address, true)
            );
        }
        ensure!(bind("[::]:8090", false)? == taken);
        ensure!(bind("0.0.0.0:8090", true)?.is_none() && bind("127.0.0.1:8090", true)?.is_none());
        // Ranges are kept by the hooks.
        for address in [
            "[::]:20050",
            "[::ffff:127.0.0.1]:20050",
            "[::]:21050",
            "[::1]:21050",
            "[fd00:50::2]:21050",
        ] {
            ensure!(
                bind(address, false)? == taken,
                "{address}: {:?}",
                bind(address, false)
            );
        }
        ensure!(bind("[::1]:20050", true)?.is_none() && bind("0.0.0.0:21050", true)?.is_none());
        ensure!(bind("[::]:20100", false)?.is_none() && bind("[::]:21100", false)?.is_none());
    }
    let localhost = SocketAddr::from((Ipv4Addr::LOCALHOST, 8_080));
    let mut connection = tcp::Client::connect(&scene.host, localhost)?;
    connection.ask("before")?;
    let datagrams = udp::Client::connected(&scene.host, localhost)?;
    datagrams.ask("before")?;
    for transport in Transport::ALL {
        for range in ["127.0.0.1:20000-20099", "[::]:21000-21099"] {
            scene.netmap.unpublish(&format!("{range}/{}", transport.name()))?;
        }
        // Taken back for IPv6 alone, the port stays IPv4's.
        scene
            .netmap
            .unpublish(&format!("[::]:8080/{}", transport.name()))?;
    }
    for (address, is_free) in [
        ("[::]:20050", true),
        ("[::]:21050", true),
        ("[::1]:8080", true),
        ("0.0.0.0:8080", false),
    ] {
        let address: SocketAddr = address.parse()?;
        let socket = scene.host.socket(Domain::for_address(address), Type::STREAM)?;
        let bound = listen(&socket, address, Type::STREAM);
        ensure!(bound.is_ok() == is_free, "{address}: {bound:?}");
    }
    // And nobody who talks to it by IPv4 notices.
    connection.ask("after")?;
    datagrams.ask("after")?;
    for transport in Transport::ALL {
        transport.request(&scene.host, localhost, "another")?;
    }
    Ok(())
}

fn listen(socket: &Socket, address: SocketAddr, kind: Type) -> std::io::Result<()> {
    socket.set_reuse_address(kind == Type::STREAM)?;
    socket.bind(&address.into())?;
    if kind == Type::STREAM {
        socket.listen(1)?;
    }
    Ok(())
}

#[test]
fn without_its_daemon_the_proxy_refuses_and_afterwards_serves_again() -> Result<()> {
    let mut scene = scene()?;
    let to = at(Ipv6Addr::LOCALHOST, 8_080);
    tcp::request(&scene.host, to, "before")?;
    scene.netmap.kill()?;
    let error = tcp::connect(&scene.host, None, to, SILENCE)?.err();
    let error = error.map(|error| error.kind());
    ensure!(error == Some(ErrorKind::ConnectionRefused), "{error:?}");
    scene.netmap.run()?;
    for transport in Transport::ALL {
        transport.request(&scene.host, to, "after")?;
    }
    Ok(())
}

#[test]
fn on_a_host_without_ipv6_it_serves_ipv4_as_ever() -> Result<()> {
    let lab = Lab::with(Options {
        socket_hooks: false,
        ..Options::default()
    })?;
    for interface in ["all", "default", "lo"] {
        lab.host
            .sysctl(&format!("ipv6/conf/{interface}/disable_ipv6"), "1")?;
    }
    let mut scene = Scene::in_lab(lab)?;
    for _ in ["the first daemon", "the next"] {
        for address in [Ipv4Addr::LOCALHOST, topology::HOST] {
            for transport in Transport::ALL {
                let to = SocketAddr::from((address, 8_080));
                let (answer, moved) = scene
                    .netmap
                    .watch(|| transport.request(&scene.host, to, "IPv4 alone"))?;
                ensure!(answer.client.ip() == topology::GATEWAY1, "{answer:?}");
                moved.ensure_carried_by(&["socket proxied"])?;
            }
        }
        scene.netmap.restart()?;
    }
    Ok(())
}
