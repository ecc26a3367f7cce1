//! What the host's own processes have open at a port when it is taken back.

use std::{
    io::{ErrorKind, Read as _},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6, TcpStream, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use netmap_tests::{
    DEADLINE, SILENCE, Scene,
    scene::Transport,
    tcp,
    topology::{C1, C2, HOST},
    udp,
};
use socket2::{Domain, Type};

const ANYWHERE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
const PUBLISHED: SocketAddrV4 = SocketAddrV4::new(HOST, 8_080);

#[test]
fn taking_a_port_back_ends_what_the_host_itself_has_open_there() -> Result<()> {
    let mut scene = Scene::new()?;
    scene.serve(&scene.lab.c2.clone(), SocketAddrV4::new(C2, 80))?;
    scene.publish_both("8081:80", C1)?;
    for address in [Ipv4Addr::LOCALHOST, HOST] {
        let at = |port| SocketAddrV4::new(address, port);
        let mut cut = tcp::Client::connect(&scene.host, at(8_081))?;
        let datagrams = udp::Client::connected(&scene.host, at(8_081))?;
        let unconnected = udp::Client::unconnected(&scene.host, ANYWHERE, at(8_081))?;
        let mut other_port = tcp::Client::connect(&scene.host, at(8_080))?;
        let other_datagrams = udp::Client::connected(&scene.host, at(8_080))?;
        let mut direct = tcp::Client::connect(&scene.host, SocketAddrV4::new(C1, 80))?;
        let direct_datagrams = udp::Client::connected(&scene.host, SocketAddrV4::new(C1, 80))?;
        cut.ask("before")?;
        datagrams.ask("before")?;
        unconnected.ask("before")?;

        for transport in Transport::ALL {
            scene.netmap.unpublish(&format!("8081/{}", transport.name()))?;
        }
        cut.set_patience(Duration::from_secs(1))?;
        let error = cut.ask("after").err().context("still connected")?.to_string();
        ensure!(!error.contains("temporarily unavailable"), "it hangs: {error}");
        ensure_aborted(datagrams.socket())?;
        // Nobody is at this port: the answer is an error at most.
        unconnected.send("after")?;
        ensure!(!matches!(unconnected.receive(SILENCE), Ok(Some(_))));
        let refused = tcp::connect(&scene.host, None, at(8_081), SILENCE)?.err();
        ensure!(refused.map(|error| error.kind()) == Some(ErrorKind::ConnectionRefused));

        other_port.ask("another port")?;
        other_datagrams.ask("another port")?;
        direct.ask("asked for the container itself")?;
        direct_datagrams.ask("asked for the container itself")?;

        scene.publish_both("8081:80", C2)?;
        for transport in Transport::ALL {
            let answer = transport.request(&scene.host, at(8_081), "to another container")?;
            ensure!(answer.local.ip() == C2, "{answer:?}");
        }
        ensure!(unconnected.ask("the same socket")?.local.ip() == C2);
        for transport in Transport::ALL {
            scene.netmap.unpublish(&format!("8081/{}", transport.name()))?;
        }
        scene.publish_both("8081:80", C1)?;
        ensure!(unconnected.ask("and back")?.local.ip() == C1);
    }
    Ok(())
}

#[test]
fn connections_of_mapped_addresses_end_with_their_port_as_well() -> Result<()> {
    let scene = Scene::new()?;
    let to: SocketAddr = SocketAddrV6::new(HOST.to_ipv6_mapped(), 8_080, 0, 0).into();
    let stream = scene.host.socket(Domain::IPV6, Type::STREAM)?;
    stream.connect_timeout(&to.into(), DEADLINE)?;
    let mut stream = TcpStream::from(stream);
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    let datagrams = UdpSocket::from(scene.host.socket(Domain::IPV6, Type::DGRAM)?);
    datagrams.connect(to)?;
    for transport in Transport::ALL {
        scene.netmap.unpublish(&format!("8080/{}", transport.name()))?;
    }
    let error = stream.read(&mut [0; 16]).err().map(|error| error.kind());
    ensure!(error == Some(ErrorKind::ConnectionAborted), "{error:?}");
    ensure_aborted(&datagrams)?;
    Ok(())
}

#[test]
fn connections_outlive_the_daemon_and_the_next_one_can_still_end_them() -> Result<()> {
    let mut scene = Scene::new()?;
    let mut kept = tcp::Client::connect(&scene.host, PUBLISHED)?;
    kept.ask("before")?;
    scene.netmap.kill()?;
    kept.ask("without the daemon")?;
    let answer = tcp::request(&scene.host, PUBLISHED, "without the daemon")?;
    ensure!(answer.client.ip() == HOST, "{answer:?}");
    scene.netmap.run()?;
    kept.ask("after")?;
    scene.netmap.unpublish("8080/tcp")?;
    kept.set_patience(Duration::from_secs(1))?;
    ensure!(kept.ask("unpublished").is_err());
    Ok(())
}

/// The kernel has told this connected datagram socket that its peer is gone, and lets it send no more.
fn ensure_aborted(socket: &UdpSocket) -> Result<()> {
    let error = socket.take_error()?.map(|error| error.kind());
    ensure!(error == Some(ErrorKind::ConnectionAborted), "{error:?}");
    ensure!(socket.send(b"after").is_err(), "it still has its peer");
    Ok(())
}
