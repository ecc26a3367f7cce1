//! Datagrams larger than a packet, through every row of the README's table, and pings as large.

use std::net::SocketAddrV4;

use anyhow::{Context as _, Result, ensure};
use etherparse::{Ipv4Header, PacketBuilder};
use netmap_tests::{
    DEADLINE, Options, Scene,
    ping::{Reply, ping},
    rows::ROWS,
    topology::{C1, C1B, HOST, REMOTE},
    udp,
    wire::Wire,
};

/// Link-layer addresses of up0 and br1 in every lab.
const UP0: [u8; 6] = [2, 0, 0, 0, 0x50, 2];
const BR1: [u8; 6] = [2, 0, 0, 0, 1, 1];

const LARGE: usize = 30_000;

#[test]
fn large_datagrams_get_through_both_ways_on_every_row() -> Result<()> {
    for offloads in [true, false] {
        let scene = Scene::with(Options {
            offloads,
            ..Options::default()
        })?;
        for row in ROWS {
            let payload = format!("row {} ", row.number).repeat(LARGE / 6);
            let (answer, moved) = scene
                .netmap
                .watch(|| udp::request(row.from.client(&scene), row.to, &payload))?;
            ensure!(answer.client.ip() == row.sees, "{}: {answer:?}", row.what);
            ensure!(moved.dropped().is_empty(), "{}: {moved}", row.what);
            // Every piece was carried, none by the proxy. The host's own are led, not carried.
            moved.ensure_carried_by(row.carried)?;
            for name in row.carried.iter().filter(|name| !name.starts_with("socket")) {
                let pieces = moved.packets(name);
                ensure!(pieces >= 20, "{}: {name} counted {pieces} pieces", row.what);
            }
        }
    }
    Ok(())
}

#[test]
fn large_pings_get_through() -> Result<()> {
    let scene = Scene::new()?;
    let payload = "ping ".repeat(LARGE / 5);
    for client in [&scene.lab.c1, &scene.lab.c2] {
        let (reply, moved) = scene.netmap.watch(|| ping(client, REMOTE, 7, &payload))?;
        ensure!(matches!(reply, Reply::Echo { from: REMOTE, .. }), "{reply:?}");
        moved.ensure_carried_by(&["port-in egress-out", "uplink-in egress-reply"])?;
    }
    Ok(())
}

#[test]
fn through_the_hosts_stack_too() -> Result<()> {
    let scene = Scene::new()?;
    let outside = "172.31.9.9".parse()?;
    let routed = scene.lab.add_routed_container("vr", outside)?;
    let _server = udp::Server::start(&routed, SocketAddrV4::new(outside, 80))?;
    scene.netmap.publish("9090:80/udp", outside)?;
    let payload = "x".repeat(LARGE);
    let (answer, moved) = scene
        .netmap
        .watch(|| udp::request(&scene.lab.remote, SocketAddrV4::new(HOST, 9_090), &payload))?;
    ensure!(answer.client.ip() == REMOTE, "{answer:?}");
    moved.ensure_carried_by(&["uplink-in stack-published-in", "uplink-out stack-published-reply"])
}

/// A UDP datagram's frames, its content cut into two.
fn pieces(
    wire: &Wire,
    gateway: [u8; 6],
    from: SocketAddrV4,
    to: SocketAddrV4,
    payload: &str,
) -> Result<[Vec<u8>; 2]> {
    const HEADERS: usize = 14 + 20;
    const CUT: usize = 512;
    let builder = PacketBuilder::ethernet2(wire.mac(), gateway)
        .ipv4(from.ip().octets(), to.ip().octets(), 64)
        .udp(from.port(), to.port());
    let mut whole = Vec::new();
    builder.write(&mut whole, payload.as_bytes())?;
    let (headers, content) = whole.split_at(HEADERS);
    let (mut ip, _) = Ipv4Header::from_slice(headers.get(14..).unwrap_or_default())?;
    let mut cut = |offset: usize, content: &[u8], more: bool| {
        ip.identification = 7;
        ip.dont_fragment = false;
        ip.more_fragments = more;
        ip.fragment_offset = u16::try_from(offset / 8)?.try_into()?;
        ip.set_payload_len(content.len())?;
        ip.header_checksum = ip.calc_header_checksum();
        let mut frame = headers.get(..14).unwrap_or_default().to_vec();
        ip.write_raw(&mut frame)?;
        frame.extend(content);
        anyhow::Ok(frame)
    };
    let (first, second) = content.split_at(CUT);
    Ok([cut(0, first, true)?, cut(CUT, second, false)?])
}

#[test]
fn containers_that_choose_the_same_identification_are_not_mixed_up() -> Result<()> {
    let scene = Scene::new()?;
    let to = SocketAddrV4::new(REMOTE, 80);
    let mut senders = Vec::new();
    for (namespace, address) in [(&scene.lab.c1, C1), (&scene.lab.c1b, C1B)] {
        let from = SocketAddrV4::new(address, 40_000);
        let payload = format!("from {address} ").repeat(60);
        let wire = Wire::open(namespace, "eth0")?;
        let pieces = pieces(&wire, BR1, from, to, &payload)?;
        let client = udp::Client::connected_from(namespace, from, to)?;
        // The next hop is known, and the flow is there.
        client.ask("who am I?")?;
        senders.push((wire, pieces, client, payload));
    }
    for index in 0..2 {
        for (wire, pieces, ..) in &senders {
            wire.send(&pieces[index])?;
        }
    }
    for (.., client, payload) in &senders {
        let answer = client.receive(DEADLINE)?;
        ensure!(
            answer.is_some_and(|answer| answer.payload == *payload),
            "not what was sent"
        );
    }
    Ok(())
}

#[test]
fn a_datagram_whose_last_piece_comes_first_gets_through_by_the_proxy() -> Result<()> {
    let scene = Scene::new()?;
    let to = SocketAddrV4::new(HOST, 8_080);
    let from = SocketAddrV4::new(REMOTE, 40_000);
    let payload = "the last shall be first ".repeat(60);
    let wire = Wire::open(&scene.lab.remote, "eth0")?;
    let [first, last] = pieces(&wire, UP0, from, to, &payload)?;
    let client = udp::Client::connected_from(&scene.lab.remote, from, to)?;
    let (answer, moved) = scene.netmap.watch(|| {
        wire.send(&last)?;
        wire.send(&first)?;
        client.receive(DEADLINE)
    })?;
    ensure!(
        answer.is_some_and(|answer| answer.payload == payload),
        "not what was sent"
    );
    moved.ensure_carried_by(&["socket proxied"])?;
    ensure!(moved.packets("uplink-in fragment") == 2, "{moved}");
    Ok(())
}

#[test]
fn what_lies_over_the_first_piece_is_dropped() -> Result<()> {
    let scene = Scene::new()?;
    let to = SocketAddrV4::new(HOST, 8_080);
    let from = SocketAddrV4::new(REMOTE, 40_000);
    let payload = "over and over ".repeat(60);
    let wire = Wire::open(&scene.lab.remote, "eth0")?;
    let [first, last] = pieces(&wire, UP0, from, to, &payload)?;
    let client = udp::Client::connected_from(&scene.lab.remote, from, to)?;
    let mut over = last.clone();
    // The fragment offset: 8 bytes, where the first has 512.
    over[20..22].copy_from_slice(&1_u16.to_be_bytes());
    let (answer, moved) = scene.netmap.watch(|| {
        wire.send(&first)?;
        wire.send(&over)?;
        wire.send(&last)?;
        client.receive(DEADLINE)
    })?;
    ensure!(
        answer.is_some_and(|answer| answer.payload == payload),
        "not what was sent"
    );
    ensure!(moved.packets("uplink-in fragment-overlap") == 1, "{moved}");
    Ok(())
}

#[test]
fn what_the_host_fragments_for_a_narrow_uplink_leaves_with_its_address() -> Result<()> {
    let scene = Scene::new()?;
    let lab = &scene.lab;
    lab.host.batch("link set up0 mtu 1400\n")?;
    lab.remote.batch("link set eth0 mtu 1400\n")?;
    // c1 does not ask for the path's MTU.
    lab.c1.sysctl("ipv4/ip_no_pmtu_disc", "1")?;
    let payload = "too big for one, ".repeat(85);
    let client = udp::Client::connected(&lab.c1, SocketAddrV4::new(REMOTE, 80))?;
    let first = client.ask("a flow before")?;
    let (answer, moved) = scene.netmap.watch(|| Ok(client.ask(&payload)))?;
    let answer = answer.with_context(|| format!("what moved is: {moved}"))?;
    ensure!(answer.client == first.client, "{answer:?}");
    moved.ensure_carried_by(&["uplink-in egress-reply", "uplink-out stack-egress-out"])?;
    ensure!(moved.packets("port-in too-big") == 1, "{moved}");
    ensure!(moved.packets("uplink-out stack-egress-out") == 2, "{moved}");
    Ok(())
}
