//! Host processes that the socket hooks lead straight to containers, and those that they leave to the proxy.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6, TcpStream, UdpSocket},
};

use anyhow::{Context as _, Result, ensure};
use netmap_tests::{
    Answer, DEADLINE, SILENCE, Scene,
    scene::Transport,
    tcp,
    topology::{C1, GATEWAY1, GATEWAY2, HOST},
    udp,
};
use socket2::{Domain, Type};

const ANYWHERE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
const LOCALHOST: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8_080);
const PUBLISHED: SocketAddrV4 = SocketAddrV4::new(HOST, 8_080);

/// What a host process asks for, and the address that the container then sees.
const ASKED: [(Ipv4Addr, Ipv4Addr); 5] = [
    (Ipv4Addr::LOCALHOST, GATEWAY1),
    (Ipv4Addr::new(127, 9, 8, 7), GATEWAY1),
    (HOST, HOST),
    (GATEWAY1, GATEWAY1),
    (GATEWAY2, GATEWAY2),
];

const CONNECTED: &[&str] = &["socket connected"];
const PROXIED: &[&str] = &["socket proxied"];

/// Whether the container at `at` saw this client, and the answer came from there.
fn ensure_seen(answer: &Answer, sees: Ipv4Addr, at: Ipv4Addr) -> Result<()> {
    ensure!(
        answer.client.ip() == sees && answer.local.ip() == at,
        "expected {at} to see {sees}, but {answer:?}"
    );
    Ok(())
}

#[test]
fn connections_go_straight_to_the_container_and_show_the_peer_that_was_asked_for() -> Result<()> {
    let scene = Scene::new()?;
    for (address, sees) in ASKED {
        let to = SocketAddrV4::new(address, 8_080);
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
fn connected_datagram_sockets_show_the_peer_that_was_asked_for() -> Result<()> {
    let scene = Scene::new()?;
    for (address, sees) in ASKED {
        let to = SocketAddrV4::new(address, 8_080);
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
    }
    // A socket that has its port already keeps it, but no address can be fixed for it any more.
    let client = udp::Client::connected_from(
        &scene.host,
        SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 7_777),
        PUBLISHED,
    )?;
    ensure_seen(&client.ask("bound before")?, GATEWAY1, C1)?;
    let own = SocketAddrV4::new(HOST, 0);
    let client = udp::Client::connected_from(&scene.host, own, PUBLISHED)?;
    ensure_seen(&client.ask("bound to an address")?, HOST, C1)
}

#[test]
fn datagrams_of_unconnected_sockets_are_answered_from_where_they_were_sent_to() -> Result<()> {
    let scene = Scene::new()?;
    for (address, sees) in ASKED {
        let to = SocketAddrV4::new(address, 8_080);
        let (answer, moved) = scene.netmap.watch(|| {
            let client = udp::Client::unconnected(&scene.host, ANYWHERE, to)?;
            client.ask("first")?;
            client.ask("second")
        })?;
        ensure_seen(&answer, sees, C1)?;
        moved.ensure_carried_by(CONNECTED)?;
        ensure!(moved.packets("socket connected") == 2, "{moved}");
    }
    Ok(())
}

#[test]
fn the_unspecified_address_means_this_host() -> Result<()> {
    let scene = Scene::new()?;
    let to = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 8_080);
    let (answer, moved) = scene.netmap.watch(|| {
        let mut client = tcp::Client::connect(&scene.host, to)?;
        ensure!(client.peer()? == LOCALHOST.into(), "{}", client.peer()?);
        client.ask("anywhere")
    })?;
    ensure_seen(&answer, GATEWAY1, C1)?;
    moved.ensure_carried_by(CONNECTED)
}

#[test]
fn ipv6_sockets_reach_published_ports_by_mapped_addresses() -> Result<()> {
    let scene = Scene::new()?;
    for (address, sees) in ASKED {
        let to: SocketAddr = SocketAddrV6::new(address.to_ipv6_mapped(), 8_080, 0, 0).into();
        let ((), moved) = scene.netmap.watch(|| {
            let socket = scene.host.socket(Domain::IPV6, Type::STREAM)?;
            socket.connect_timeout(&to.into(), DEADLINE)?;
            let mut stream = TcpStream::from(socket);
            stream.set_nonblocking(false)?;
            stream.set_read_timeout(Some(DEADLINE))?;
            ensure!(stream.peer_addr()? == to, "{}", stream.peer_addr()?);
            stream.write_all(b"ask mapped\n")?;
            let mut buffer = [0; 1_024];
            let length = stream.read(&mut buffer)?;
            let answer = Answer::from_bytes(buffer.get(..length).unwrap_or_default())?;
            ensure_seen(&answer, sees, C1)?;

            for connected in [true, false] {
                let socket = UdpSocket::from(scene.host.socket(Domain::IPV6, Type::DGRAM)?);
                socket.set_read_timeout(Some(DEADLINE))?;
                if connected {
                    socket.connect(to)?;
                    ensure!(socket.peer_addr()? == to, "{}", socket.peer_addr()?);
                    socket.send(b"mapped")?;
                } else {
                    socket.send_to(b"mapped", to)?;
                }
                let (length, from) = socket.recv_from(&mut buffer)?;
                ensure!(from == to, "asked {to}, answered by {from}");
                let answer = Answer::from_bytes(buffer.get(..length).unwrap_or_default())?;
                ensure_seen(&answer, sees, C1)?;
            }
            Ok(())
        })?;
        moved.ensure_carried_by(CONNECTED)?;
    }
    Ok(())
}

#[test]
fn a_containers_own_localhost_is_left_alone() -> Result<()> {
    let scene = Scene::new()?;
    let lab = &scene.lab;
    // Processes of containers live in the same tree of control groups.
    let inside = [&lab.c1b, &lab.c2].map(|container| scene.netmap.clients(container));
    let [c1b, c2] = inside;
    let (c1b, c2) = (c1b?, c2?);
    let _tcp = tcp::Server::start(&lab.c1b, LOCALHOST)?;
    let _udp = udp::Server::start(&lab.c1b, LOCALHOST)?;
    let ((), moved) = scene.netmap.watch(|| {
        for answer in [
            tcp::request(&c1b, LOCALHOST, "mine")?,
            udp::request(&c1b, LOCALHOST, "mine")?,
            udp::request_unconnected(&c1b, LOCALHOST, "mine")?,
        ] {
            ensure!(
                answer.local == LOCALHOST.into() && answer.client.ip() == Ipv4Addr::LOCALHOST,
                "{answer:?}"
            );
        }
        let error = tcp::connect(&c2, None, LOCALHOST, SILENCE)?
            .err()
            .map(|error| error.kind());
        ensure!(error == Some(ErrorKind::ConnectionRefused), "{error:?}");
        Ok(())
    })?;
    moved.ensure_carried_by(&[])
}

#[test]
fn clients_that_only_the_proxy_can_serve_are_left_to_it() -> Result<()> {
    let scene = Scene::new()?;
    let loopback = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
    let ((), moved) = scene.netmap.watch(|| {
        let mut client = tcp::Client::connect_from(&scene.host, loopback, LOCALHOST)?;
        ensure_seen(&client.ask("from loopback")?, GATEWAY1, C1)?;
        client.finish()?;
        let client = udp::Client::connected_from(&scene.host, loopback, LOCALHOST)?;
        ensure_seen(&client.ask("from loopback")?, GATEWAY1, C1)?;
        let client = udp::Client::unconnected(&scene.host, loopback, LOCALHOST)?;
        ensure_seen(&client.ask("from loopback")?, GATEWAY1, C1)
    })?;
    moved.ensure_carried_by(PROXIED)?;

    let ((), moved) = scene.netmap.watch(|| {
        let socket = scene.host.socket(Domain::IPV4, Type::STREAM)?;
        socket.bind_device(Some(b"lo"))?;
        socket.connect_timeout(&SocketAddr::from(LOCALHOST).into(), DEADLINE)?;
        let socket = UdpSocket::from(scene.host.socket(Domain::IPV4, Type::DGRAM)?);
        socket2::SockRef::from(&socket).bind_device(Some(b"lo"))?;
        socket.set_read_timeout(Some(DEADLINE))?;
        socket.send_to(b"by lo", LOCALHOST)?;
        let mut buffer = [0; 1_024];
        let (_, from) = socket.recv_from(&mut buffer)?;
        ensure!(from == LOCALHOST.into(), "{from}");
        Ok(())
    })?;
    moved.ensure_carried_by(PROXIED)
}

#[test]
fn processes_outside_the_control_group_are_served_by_the_proxy() -> Result<()> {
    let scene = Scene::new()?;
    for to in [LOCALHOST, PUBLISHED] {
        for transport in Transport::ALL {
            let (answer, moved) = scene
                .netmap
                .watch(|| transport.request(&scene.lab.host, to, "outside"))?;
            ensure_seen(&answer, GATEWAY1, C1)?;
            moved.ensure_carried_by(PROXIED)?;
        }
    }
    Ok(())
}

#[test]
fn one_socket_that_asks_for_one_container_under_two_names_gets_each_answer_from_its_own() -> Result<()> {
    let scene = Scene::new()?;
    scene.publish_both("8081:80", C1)?;
    let socket = UdpSocket::from(scene.host.socket(Domain::IPV4, Type::DGRAM)?);
    socket.set_read_timeout(Some(DEADLINE))?;
    let names = [
        PUBLISHED,
        SocketAddrV4::new(HOST, 8_081),
        LOCALHOST,
        SocketAddrV4::new(GATEWAY1, 8_081),
    ];
    let ((), moved) = scene.netmap.watch(|| {
        for _ in 0..3 {
            for name in names {
                socket.send_to(name.to_string().as_bytes(), name)?;
            }
            for _ in names {
                let (answer, from) = receive(&socket)?;
                ensure!(
                    answer.payload == from.to_string() && answer.local.ip() == C1,
                    "asked {}, answered by {from}",
                    answer.payload
                );
            }
        }
        Ok(())
    })?;
    moved.ensure_carried_by(&["socket connected", "socket proxied"])
}

#[test]
fn one_socket_may_ask_for_more_ports_than_it_has_room_for() -> Result<()> {
    let mut scene = Scene::new()?;
    scene.publish_both("8100-8119:9000-9019", C1)?;
    for port in 9_000..9_020 {
        scene.serve(&scene.lab.c1.clone(), SocketAddrV4::new(C1, port))?;
    }
    let socket = UdpSocket::from(scene.host.socket(Domain::IPV4, Type::DGRAM)?);
    socket.set_read_timeout(Some(DEADLINE))?;
    for port in 8_100..8_120 {
        let to = SocketAddrV4::new(HOST, port);
        socket.send_to(to.to_string().as_bytes(), to)?;
        let (answer, from) = receive(&socket)?;
        ensure!(from == to.into(), "asked {to}, answered by {from}");
        ensure!(
            answer.local == SocketAddrV4::new(C1, port + 900).into(),
            "{answer:?}"
        );
    }
    Ok(())
}

#[test]
fn a_socket_that_turns_to_the_container_itself_sees_it_as_its_peer() -> Result<()> {
    let scene = Scene::new()?;
    let container = SocketAddr::from((C1, 80));
    let socket = UdpSocket::from(scene.host.socket(Domain::IPV4, Type::DGRAM)?);
    socket.set_read_timeout(Some(DEADLINE))?;
    for _ in 0..2 {
        for to in [SocketAddr::from(PUBLISHED), container] {
            socket.send_to(b"either", to)?;
            let (_, from) = receive(&socket)?;
            ensure!(from == to, "asked {to}, answered by {from}");
        }
    }
    for to in [SocketAddr::from(LOCALHOST), container] {
        socket.connect(to)?;
        ensure!(socket.peer_addr()? == to, "{}", socket.peer_addr()?);
        socket.send(b"either")?;
        let (_, from) = receive(&socket)?;
        ensure!(from == to, "asked {to}, answered by {from}");
    }
    Ok(())
}

#[test]
fn a_container_behind_a_route_is_reached_straight_too() -> Result<()> {
    const ROUTED: Ipv4Addr = Ipv4Addr::new(172, 31, 0, 2);
    let mut scene = Scene::new()?;
    let routed = scene.lab.add_routed_container("vc3", ROUTED)?;
    scene.serve(&routed, SocketAddrV4::new(ROUTED, 80))?;
    scene.publish_both("8090:80", ROUTED)?;
    for transport in Transport::ALL {
        let (answer, moved) = scene
            .netmap
            .watch(|| transport.request(&scene.host, SocketAddrV4::new(HOST, 8_090), "routed"))?;
        ensure_seen(&answer, HOST, ROUTED)?;
        moved.ensure_carried_by(CONNECTED)?;
    }
    Ok(())
}

#[test]
fn a_container_that_does_not_listen_refuses() -> Result<()> {
    let scene = Scene::new()?;
    scene.publish_both("8081:9999", C1)?;
    for address in [Ipv4Addr::LOCALHOST, HOST] {
        let to = SocketAddrV4::new(address, 8_081);
        let error = tcp::connect(&scene.host, None, to, DEADLINE)?
            .err()
            .map(|error| error.kind());
        ensure!(error == Some(ErrorKind::ConnectionRefused), "{error:?}");
        let client = udp::Client::connected(&scene.host, to)?;
        client.send("anybody?")?;
        let said = client.receive(DEADLINE).err().map(|error| error.to_string());
        ensure!(
            said.as_deref().is_some_and(|said| said.contains("refused")),
            "{said:?}"
        );
    }
    Ok(())
}

#[test]
fn hooks_are_listed_and_can_be_left_off() -> Result<()> {
    const HOOKS: [&str; 8] = [
        "connect4",
        "connect6",
        "sendmsg4",
        "sendmsg6",
        "recvmsg4",
        "recvmsg6",
        "getpeername4",
        "getpeername6",
    ];
    const KEPT: [&str; 2] = ["bind4", "bind6"];
    let mut scene = Scene::new()?;
    let listed = |scene: &Scene| -> Result<Vec<String>> {
        let status = scene.netmap.json("status")?;
        let attachments = status["attachments"].as_array().context("no attachments")?;
        Ok(attachments
            .iter()
            .filter(|attachment| attachment["role"] == "cgroup")
            .filter_map(|attachment| Some(attachment["hook"].as_str()?.to_owned()))
            .collect())
    };
    let found = listed(&scene)?;
    for hook in HOOKS.into_iter().chain(KEPT) {
        ensure!(found.contains(&hook.to_owned()), "{hook} is missing in {found:?}");
    }
    let led: Vec<String> = scene.netmap.arguments().into_iter().map(str::to_owned).collect();
    let mut left_off: Vec<&str> = led.iter().map(String::as_str).collect();
    left_off.push("--no-socket-hooks");
    scene.netmap.set_arguments(&left_off);
    scene.netmap.restart()?;
    ensure!(listed(&scene)? == KEPT, "{:?}", listed(&scene));
    let (answer, moved) = scene
        .netmap
        .watch(|| tcp::request(&scene.host, PUBLISHED, "by the proxy"))?;
    ensure_seen(&answer, GATEWAY1, C1)?;
    moved.ensure_carried_by(PROXIED)
}

#[test]
fn many_clients_at_once_all_get_through() -> Result<()> {
    let scene = Scene::new()?;
    let clients = (0..200)
        .map(|_| tcp::Client::connect(&scene.host, LOCALHOST))
        .collect::<Result<Vec<_>>>()?;
    for (number, mut client) in clients.into_iter().enumerate() {
        client.ask(&format!("client {number}"))?;
        ensure!(client.peer()? == LOCALHOST.into());
        client.finish()?;
    }
    Ok(())
}

fn receive(socket: &UdpSocket) -> Result<(Answer, SocketAddr)> {
    let mut buffer = [0; 1_024];
    let (length, from) = socket.recv_from(&mut buffer)?;
    Ok((
        Answer::from_bytes(buffer.get(..length).unwrap_or_default())?,
        from,
    ))
}
