//! What host processes reach through the socket proxy.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use anyhow::{Result, ensure};
use netmap_tests::{
    Options, SILENCE, Scene, http, tcp,
    topology::{C1, GATEWAY1, GATEWAY2, HOST},
    udp, wait_for,
};

const LOCALHOST: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8_080);
const BULK: u64 = 5_000_001;

/// A scene whose host processes are served by the proxy.
fn scene() -> Result<Scene> {
    Scene::with(Options {
        socket_hooks: false,
        ..Options::default()
    })
}

#[test]
fn five_megabytes_pass_whole_in_every_direction() -> Result<()> {
    let scene = scene()?;
    for to in [
        LOCALHOST,
        SocketAddrV4::new(HOST, 8_080),
        SocketAddrV4::new(GATEWAY1, 8_080),
    ] {
        let host = &scene.host;
        ensure!(tcp::Client::connect(host, to)?.upload(BULK)?.client.ip() == GATEWAY1);
        tcp::Client::connect(host, to)?.download(BULK, 0)?;
        tcp::Client::connect(host, to)?.echo(BULK)?;
    }
    Ok(())
}

#[test]
fn either_side_may_end_its_half_first() -> Result<()> {
    const PORT: u16 = 8_081;
    let scene = scene()?;
    let server = tcp::Server::start(&scene.lab.c1, SocketAddrV4::new(C1, 81))?;
    scene.netmap.publish(&format!("{PORT}:81/tcp"), C1)?;
    let at = SocketAddrV4::new(Ipv4Addr::LOCALHOST, PORT);
    for length in [1, 100, 100_000, BULK] {
        tcp::Client::connect(&scene.host, at)?.upload(length)?;
        tcp::Client::connect(&scene.host, at)?.download(100, length)?;
    }
    let taken = wait_for("the container got all that came after its own end", || {
        let taken = server.taken();
        Ok((taken.len() == 4).then_some(taken))
    })?;
    for length in [1, 100, 100_000, BULK] {
        let whole = taken
            .iter()
            .find(|answer| answer.bytes == length)
            .map(|answer| answer.ensure_whole(length));
        ensure!(matches!(whole, Some(Ok(()))), "of {length} bytes: {taken:?}");
    }
    Ok(())
}

#[test]
fn datagrams_are_answered_from_the_address_that_was_asked() -> Result<()> {
    let scene = scene()?;
    for address in [Ipv4Addr::LOCALHOST, HOST, GATEWAY1, GATEWAY2] {
        let at = SocketAddrV4::new(address, 8_080);
        // Both clients check whence the answer comes: the kernel for one, the client itself for the other.
        let answer = udp::request(&scene.host, at, "connected")?;
        ensure!(answer.client.ip() == GATEWAY1, "{answer:?}");
        udp::request_unconnected(&scene.host, at, "unconnected")?;
    }
    Ok(())
}

#[test]
fn every_client_of_datagrams_has_a_session_of_its_own() -> Result<()> {
    let scene = scene()?;
    let clients = (0..20)
        .map(|_| udp::Client::connected(&scene.host, LOCALHOST))
        .collect::<Result<Vec<_>>>()?;
    let mut seen = Vec::new();
    for (number, client) in clients.iter().enumerate() {
        client.send(&format!("client {number}"))?;
    }
    for (number, client) in clients.iter().enumerate() {
        let answer = client.receive(netmap_tests::DEADLINE)?;
        ensure!(
            answer
                .as_ref()
                .is_some_and(|answer| answer.payload == format!("client {number}")),
            "{answer:?}"
        );
        seen.extend(answer.map(|answer| answer.client));
    }
    for (client, first) in clients.iter().zip(&seen) {
        ensure!(
            client.ask("again")?.client == *first,
            "a client changed its session"
        );
    }
    seen.sort_unstable();
    seen.dedup();
    ensure!(seen.len() == clients.len(), "clients share sessions: {seen:?}");
    Ok(())
}

#[test]
fn a_container_that_does_not_listen_is_noticed_by_the_client() -> Result<()> {
    let scene = scene()?;
    scene.netmap.publish("8081:9999/tcp", C1)?;
    // The proxy has accepted before it knows, and may end the connection before the client sees that it stands.
    let asked = tcp::Client::connect(&scene.host, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8_081)).and_then(
        |mut client| {
            client.set_patience(Duration::from_secs(2))?;
            client.ask("anybody?")
        },
    );
    let error = asked.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(
        !error.is_empty() && !error.contains("temporarily unavailable"),
        "it hangs: {error}"
    );
    Ok(())
}

#[test]
fn a_browser_on_the_host_gets_its_page() -> Result<()> {
    let scene = scene()?;
    let page = http::get(&scene.host, LOCALHOST, "/page")?;
    ensure!(page.status == 200 && page.client == GATEWAY1, "{page:?}");
    Ok(())
}

#[test]
fn without_its_daemon_the_proxy_refuses_and_afterwards_serves_again() -> Result<()> {
    let mut scene = scene()?;
    tcp::request(&scene.host, LOCALHOST, "before")?;
    scene.netmap.kill()?;
    let error = tcp::connect(&scene.host, None, LOCALHOST, SILENCE)?
        .err()
        .map(|error| error.kind());
    ensure!(error == Some(ErrorKind::ConnectionRefused), "{error:?}");
    scene.netmap.run()?;
    tcp::request(&scene.host, LOCALHOST, "after")?;
    udp::request(&scene.host, LOCALHOST, "after")?;
    Ok(())
}

#[test]
fn containers_have_their_own_localhost() -> Result<()> {
    let scene = scene()?;
    let _own = tcp::Server::start(&scene.lab.c1b, LOCALHOST)?;
    let answer = tcp::request(&scene.lab.c1b, LOCALHOST, "mine")?;
    ensure!(
        answer.local == LOCALHOST.into() && answer.client.ip() == Ipv4Addr::LOCALHOST,
        "{answer:?}"
    );
    let error = tcp::connect(&scene.lab.c2, None, LOCALHOST, SILENCE)?
        .err()
        .map(|error| error.kind());
    ensure!(error == Some(ErrorKind::ConnectionRefused), "{error:?}");
    Ok(())
}
