//! ICMP errors through the NAT: a closed port, a narrow link, a time to live that ends on the way.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Context as _, Result, ensure};
use etherparse::Icmpv4Type;
use netmap_tests::{
    DEADLINE, Namespace, Options, Scene,
    ping::{Pinger, Reply},
    tcp,
    topology::{C1, C2, HOST, REMOTE},
    udp,
};

/// Published as a port of c1 where nobody listens.
const CLOSED: SocketAddrV4 = SocketAddrV4::new(HOST, 8_081);
/// A machine behind the remote one.
const FAR: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 88, 0, 2), 80);
/// What fits through the link to it.
const NARROW: u16 = 1_300;

/// A client learns that nobody listens.
fn ensure_refused(client: &Namespace, to: SocketAddrV4) -> Result<()> {
    let client = udp::Client::connected(client, to)?;
    client.try_send(b"is anybody there?")?;
    let error = client
        .receive(DEADLINE)
        .err()
        .with_context(|| format!("nobody said that {to} is closed"))?;
    ensure!(error.to_string().contains("Connection refused"), "{error:#}");
    Ok(())
}

#[test]
fn every_client_learns_that_nobody_listens_at_a_published_port() -> Result<()> {
    for offloads in [true, false] {
        let scene = Scene::with(Options {
            offloads,
            ..Options::default()
        })?;
        scene.netmap.publish("8081:81/udp", C1)?;
        let lab = &scene.lab;
        for (client, carried) in [
            (&lab.remote, ["port-in icmp-error", "uplink-in published-in"]),
            (&lab.c1b, ["port-in hairpin-in", "port-in icmp-error"]),
            (&lab.c2, ["port-in hairpin-in", "port-in icmp-error"]),
            (&lab.c1, ["port-in icmp-error", "port-in own-port-in"]),
        ] {
            let ((), moved) = scene.netmap.watch(|| ensure_refused(client, CLOSED))?;
            moved.ensure_carried_by(&carried)?;
        }
    }
    Ok(())
}

#[test]
fn a_container_learns_that_nobody_listens_outside() -> Result<()> {
    for offloads in [true, false] {
        let scene = Scene::with(Options {
            offloads,
            ..Options::default()
        })?;
        for client in [&scene.lab.c1, &scene.lab.c2] {
            let closed = SocketAddrV4::new(REMOTE, 81);
            let ((), moved) = scene.netmap.watch(|| ensure_refused(client, closed))?;
            moved.ensure_carried_by(&["port-in egress-out", "uplink-in icmp-error"])?;
        }
    }
    Ok(())
}

#[test]
fn the_hosts_firewall_is_not_asked_for_errors_either() -> Result<()> {
    let scene = Scene::with(Options {
        firewall: true,
        ..Options::default()
    })?;
    scene.netmap.publish("8081:81/udp", C1)?;
    ensure_refused(&scene.lab.remote, CLOSED)?;
    ensure_refused(&scene.lab.c1, SocketAddrV4::new(REMOTE, 81))
}

/// Adds [`FAR`], to which the remote machine routes by a link that is [`NARROW`] on its own end only, so that nobody
/// else knows.
fn add_far(scene: &mut Scene) -> Result<std::sync::Arc<Namespace>> {
    let far = std::sync::Arc::new(Namespace::create(&format!("{}-far", scene.lab.name()))?);
    let remote = &scene.lab.remote;
    remote.sysctl("ipv4/ip_forward", "1")?;
    remote.batch(&format!(
        "link add far0 mtu {NARROW} type veth peer name eth0 netns {}\n\
         addr add 10.88.0.1/24 dev far0\n\
         link set far0 up\n",
        far.name(),
    ))?;
    far.batch(&format!(
        "addr add {}/24 dev eth0\nlink set eth0 mtu 1500 up\nroute add default via 10.88.0.1\n",
        FAR.ip(),
    ))?;
    scene.serve(&far, FAR)?;
    Ok(far)
}

#[test]
fn path_mtu_discovery_works_in_both_directions() -> Result<()> {
    const LENGTH: u64 = 1_000_001;
    for offloads in [true, false] {
        let mut scene = Scene::with(Options {
            offloads,
            ..Options::default()
        })?;
        let far = add_far(&mut scene)?;

        // From a container: the router tells it.
        let client = udp::Client::connected(&scene.lab.c1b, FAR)?;
        let (error, moved) = scene.netmap.watch(|| {
            client.try_send("x".repeat(1_400).as_bytes())?;
            client
                .receive(DEADLINE)
                .err()
                .context("nobody said that it was too big")
        })?;
        ensure!(error.to_string().contains("Message too long"), "{error:#}");
        moved.ensure_carried_by(&["port-in egress-out", "uplink-in icmp-error"])?;

        let (answer, moved) = scene
            .netmap
            .watch(|| tcp::Client::connect(&scene.lab.c1, FAR)?.upload(LENGTH))?;
        ensure!(answer.client.ip() == HOST, "{answer:?}");
        moved.ensure_includes(&["uplink-in icmp-error"])?;

        // From a container that answers: the far machine asks for the published port.
        let published = SocketAddrV4::new(HOST, 8_080);
        let (answer, moved) = scene
            .netmap
            .watch(|| tcp::Client::connect(&far, published)?.download(LENGTH, 0))?;
        ensure!(answer.client.ip() == *FAR.ip(), "{answer:?}");
        moved.ensure_includes(&["port-in published-reply"])?;
        ensure!(moved.dropped().is_empty(), "{moved}");
        let learnt = scene.lab.c1.line(&format!("ip -4 route get {}", FAR.ip()))?;
        ensure!(learnt.contains(&format!("mtu {NARROW}")), "{learnt}");
    }
    Ok(())
}

#[test]
fn a_container_traces_its_way() -> Result<()> {
    let mut scene = Scene::new()?;
    let _far = add_far(&mut scene)?;
    let pinger = Pinger::new(&scene.lab.c2, 5)?;
    for (ttl, router) in [(1, netmap_tests::topology::GATEWAY2), (2, REMOTE)] {
        pinger.set_ttl(ttl)?;
        pinger.send(*FAR.ip(), u16::from(ttl), "where am I?")?;
        let reply = pinger.reply(u16::from(ttl), "where am I?")?;
        ensure!(
            matches!(reply, Reply::Error { from, what: Icmpv4Type::TimeExceeded(_) } if from == router),
            "hop {ttl}: {reply:?}"
        );
    }
    pinger.set_ttl(3)?;
    pinger.send(*FAR.ip(), 3, "where am I?")?;
    let reply = pinger.reply(3, "where am I?")?;
    ensure!(
        matches!(reply, Reply::Echo { from, .. } if from == *FAR.ip()),
        "{reply:?}"
    );
    Ok(())
}

#[test]
fn an_error_about_nothing_that_was_sent_reaches_no_container() -> Result<()> {
    let scene = Scene::new()?;
    // R's own question to the container's address is dropped; so is an error that quotes the container's packet.
    let quoted = etherparse::PacketBuilder::ipv4(C2.octets(), REMOTE.octets(), 64).udp(80, 40_000);
    let mut quote = Vec::new();
    quoted.write(&mut quote, b"never sent")?;
    let pinger = Pinger::new(&scene.lab.remote, 1)?;
    let ((), moved) = scene.netmap.watch(|| pinger.complain(C2, &quote))?;
    moved.ensure_dropped_by(&["uplink-in direct-access"])?;
    let ((), moved) = scene.netmap.watch(|| pinger.complain(HOST, &quote))?;
    moved.ensure_includes(&["uplink-in other-icmp"])?;
    moved.ensure_carried_by(&[])
}
