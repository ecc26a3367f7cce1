//! The lab itself, without netmap: what the other tests stand on.

use std::{
    net::{SocketAddr, SocketAddrV4},
    path::Path,
};

use anyhow::{Result, ensure};
use netmap_tests::{
    Lab, Options, http,
    ping::{self, Reply},
    tcp,
    topology::{C1, C1B, C2, GATEWAY1, HOST, REMOTE, has_br_netfilter},
    udp, wire,
};

#[test]
fn machines_reach_each_other_by_plain_routing() -> Result<()> {
    for offloads in [true, false] {
        let lab = Lab::with(Options {
            offloads,
            ..Options::default()
        })?;
        let at = SocketAddrV4::new(C1, 80);
        let _tcp = tcp::Server::start(&lab.c1, at)?;
        let _udp = udp::Server::start(&lab.c1, at)?;
        for (client, address) in [
            (&lab.remote, REMOTE),
            (&lab.c1b, C1B),
            (&lab.c2, C2),
            (&lab.host, GATEWAY1),
        ] {
            let answer = tcp::request(client, at, "hello")?;
            ensure!(
                answer.client.ip() == address && answer.local == at.into(),
                "{answer:?}"
            );
            let answer = udp::request(client, at, "hello")?;
            ensure!(
                answer.client.ip() == address && answer.local == at.into(),
                "{answer:?}"
            );
            let answer = udp::request_unconnected(client, at, "hello")?;
            ensure!(answer.client.ip() == address, "{answer:?}");
        }
        ensure!(matches!(
            ping::ping(&lab.c1, REMOTE, 7, "hello")?,
            Reply::Echo {
                from: REMOTE,
                ttl: 63
            }
        ));
    }
    Ok(())
}

#[test]
fn bulk_transfers_arrive_whole_in_every_shape() -> Result<()> {
    const LENGTH: u64 = 3_000_001;
    let lab = Lab::new()?;
    let at = SocketAddrV4::new(C1, 80);
    let server = tcp::Server::start(&lab.c1, at)?;
    tcp::Client::connect(&lab.remote, at)?.upload(LENGTH)?;
    tcp::Client::connect(&lab.remote, at)?.echo(LENGTH)?;
    tcp::Client::connect(&lab.remote, at)?.download(LENGTH, 1_000)?;
    let taken = netmap_tests::wait_for("the server got the last bytes", || Ok(server.taken().pop()))?;
    taken.ensure_whole(1_000)?;
    let client = tcp::Client::connect_from(&lab.remote, SocketAddrV4::new(REMOTE, 4_000), at)?;
    ensure!(client.local()? == SocketAddrV4::new(REMOTE, 4_000).into());
    client.finish()
}

#[test]
fn the_http_server_says_who_asks() -> Result<()> {
    let lab = Lab::new()?;
    let at = SocketAddrV4::new(C1, 80);
    let _http = tcp::Server::start(&lab.c1, at)?;
    let page = http::get(&lab.remote, at, "/hello")?;
    ensure!(
        page.status == 200 && page.client == REMOTE && page.body.contains("172.30.1.2:80"),
        "{page:?}"
    );
    Ok(())
}

#[test]
fn the_firewall_lets_nothing_in() -> Result<()> {
    let lab = Lab::with(Options {
        firewall: true,
        br_netfilter: has_br_netfilter(),
        ..Options::default()
    })?;
    let at = SocketAddrV4::new(C1, 80);
    let _server = udp::Server::start(&lab.c1, at)?;
    let client = udp::Client::connected(&lab.remote, at)?;
    client.send("hello")?;
    ensure!(
        client.receive(netmap_tests::SILENCE)?.is_none(),
        "the firewall let a datagram through"
    );
    Ok(())
}

#[test]
fn a_routed_container_is_reached_without_a_bridge() -> Result<()> {
    let lab = Lab::new()?;
    let at: SocketAddr = "172.31.0.2:80".parse()?;
    let c3 = lab.add_routed_container("vc3", at.ip())?;
    let _server = udp::Server::start(&c3, at)?;
    let answer = udp::request(&lab.c2, at, "hello")?;
    ensure!(answer.client.ip() == C2, "{answer:?}");
    Ok(())
}

#[test]
fn frames_are_seen_on_the_wire() -> Result<()> {
    let lab = Lab::new()?;
    let wire = wire::Wire::open(&lab.remote, "eth0")?;
    let pinger = ping::Pinger::new(&lab.c1, 77)?;
    let arrived = ping::Pinger::new(&lab.remote, 0)?;
    pinger.send(REMOTE, 1, "seen on the wire")?;
    let request = arrived.request("seen on the wire")?;
    ensure!(
        (request.from, request.id, request.ttl) == (C1, 77, 63),
        "{request:?}"
    );
    let source = wire.find("ping", |frame| {
        wire::carries(frame, "seen on the wire")
            .then(|| frame.get(26..30).map(<[u8]>::to_vec))
            .flatten()
    })?;
    ensure!(source == C1.octets(), "{source:?}");
    pinger.set_ttl(1)?;
    pinger.send(REMOTE, 2, "too far")?;
    ensure!(matches!(
        pinger.reply(2, "too far")?,
        Reply::Error { from: GATEWAY1, .. }
    ));
    Ok(())
}

#[test]
fn nothing_is_left_of_a_lab() -> Result<()> {
    let lab = Lab::new()?;
    let paths: Vec<_> = lab
        .all()
        .iter()
        .map(|namespace| namespace.path().to_owned())
        .collect();
    ensure!(paths.iter().all(|path| path.exists()));
    let server = tcp::Server::start(&lab.host, SocketAddrV4::new(HOST, 80))?;
    drop(server);
    drop(lab);
    ensure!(
        !paths.iter().any(|path| Path::exists(path)),
        "some of {paths:?} still exist"
    );
    Ok(())
}
