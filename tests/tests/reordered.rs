//! Datagrams whose pieces come in another order than they were sent in, and pieces of nothing.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::atomic::{AtomicU16, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use netmap_tests::{
    Answer, DEADLINE, Family, Moved, Options, Place, Scene,
    pieces::{self, BR1, BR2, UP0},
    rows::Who,
    scene::{PUBLISHED, SERVED},
    tool, udp, wait_for,
    wire::Wire,
};

/// How much earlier the last piece is there: this is the network's, which no condition ends.
const LEADS: [Duration; 2] = [Duration::ZERO, Duration::from_millis(30)];

fn scene() -> Result<Scene> {
    Scene::with(Options {
        ipv6: true,
        ..Options::default()
    })
}

/// An identification that no datagram had before.
fn next_id() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(60_000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The last piece first.
fn send_reversed(wire: &Wire, [first, last]: &[Vec<u8>; 2], lead: Duration) -> Result<()> {
    wire.send(last)?;
    thread::sleep(lead);
    wire.send(first)
}

/// Asks with a datagram whose last piece comes first; gives whom the server saw, and what moved.
fn ask_reversed(
    scene: &Scene,
    (who, from): (Who, SocketAddr),
    gateway: [u8; 6],
    to: SocketAddr,
    lead: Duration,
) -> Result<(SocketAddr, Moved)> {
    let payload = "the last shall be first ".repeat(60);
    let namespace = who.namespace(&scene.lab);
    let wire = Wire::open(namespace, "eth0")?;
    let pieces = pieces::cut(&wire, next_id(), gateway, from, to, &payload)?;
    let client = udp::Client::connected_from(namespace, from, to)?;
    // The next hop is known.
    client.ask("in order")?;
    let (answer, moved) = scene.netmap.watch(|| {
        send_reversed(&wire, &pieces, lead)?;
        client.receive(DEADLINE)
    })?;
    let answer = answer.with_context(|| format!("{who:?} has no answer, and what moved is: {moved}"))?;
    ensure!(answer.payload == payload, "not what {who:?} sent");
    Ok((answer.client, moved))
}

#[test]
fn a_datagram_to_a_published_port_may_come_last_piece_first() -> Result<()> {
    for native_xdp in [false, true] {
        let scene = Scene::with(Options {
            ipv6: true,
            native_xdp,
            ..Options::default()
        })?;
        to_a_published_port(&scene)?;
    }
    Ok(())
}

fn to_a_published_port(scene: &Scene) -> Result<()> {
    for family in Family::ALL {
        let to = family.at(Place::Host, PUBLISHED);
        for lead in LEADS {
            let from = family.at(Place::Remote, 40_000);
            let (seen, moved) = ask_reversed(scene, (Who::Remote, from), UP0, to, lead)?;
            ensure!(seen == from, "c1 saw {seen}");
            moved.ensure_carried_by(&[
                "port-in published-reply",
                "uplink-in fragment-held",
                "uplink-in published-in",
            ])?;
            let from = family.at(Place::C1b, 40_000);
            let (seen, moved) = ask_reversed(scene, (Who::C1b, from), BR1, to, lead)?;
            ensure!(seen == from, "c1 saw {seen}");
            moved.ensure_carried_by(&[
                "port-in fragment-held",
                "port-in hairpin-in",
                "port-in hairpin-reply",
            ])?;
        }
    }
    Ok(())
}

#[test]
fn a_containers_datagram_may_leave_it_last_piece_first() -> Result<()> {
    let scene = scene()?;
    for family in Family::ALL {
        let to = family.at(Place::Remote, SERVED);
        for lead in LEADS {
            let from = family.at(Place::C1, 40_000);
            let (seen, moved) = ask_reversed(&scene, (Who::C1, from), BR1, to, lead)?;
            ensure!(seen.ip() == family.address(Place::Host), "R saw {seen}");
            moved.ensure_carried_by(&[
                "port-in egress-out",
                "port-in fragment-held",
                "uplink-in egress-reply",
            ])?;
        }
    }
    Ok(())
}

#[test]
fn an_answer_to_a_container_may_come_last_piece_first() -> Result<()> {
    let scene = scene()?;
    for family in Family::ALL {
        let server = family.at(Place::Remote, 9_000);
        let socket = scene.lab.remote.try_run(|| UdpSocket::bind(server))?;
        socket.set_read_timeout(Some(DEADLINE))?;
        let client = udp::Client::connected(&scene.lab.c1, server)?;
        let wire = Wire::open(&scene.lab.remote, "eth0")?;
        for lead in LEADS {
            client.send("who am I?")?;
            let (_, outside) = socket.recv_from(&mut [0; 64])?;
            let answer = Answer::new(outside, server, "first things last ".repeat(60));
            let line = String::from_utf8(answer.to_line()?)?;
            let pieces = pieces::cut(&wire, next_id(), UP0, server, outside, &line)?;
            let (received, moved) = scene.netmap.watch(|| {
                send_reversed(&wire, &pieces, lead)?;
                client.receive(DEADLINE)
            })?;
            ensure!(
                received == Some(answer),
                "{received:?}, and what moved is: {moved}"
            );
            moved.ensure_carried_by(&["uplink-in egress-reply", "uplink-in fragment-held"])?;
        }
    }
    Ok(())
}

#[test]
fn the_hosts_own_datagrams_may_come_last_piece_first_as_ever() -> Result<()> {
    let scene = scene()?;
    for family in Family::ALL {
        let server = family.at(Place::Host, 9_000);
        let _server = udp::Server::start(&scene.lab.host, server)?;
        for lead in LEADS {
            let from = family.at(Place::Remote, 40_000);
            let (seen, moved) = ask_reversed(&scene, (Who::Remote, from), UP0, server, lead)?;
            ensure!(seen == from, "the host saw {seen}");
            moved.ensure_carried_by(&["uplink-in fragment-held"])?;
            let from = family.at(Place::C1, 40_000);
            let (seen, moved) = ask_reversed(&scene, (Who::C1, from), BR1, server, lead)?;
            ensure!(seen == from, "the host saw {seen}");
            moved.ensure_carried_by(&["port-in fragment-held"])?;
        }
    }
    Ok(())
}

#[test]
fn what_waits_in_vain_is_dropped_and_counted() -> Result<()> {
    let scene = scene()?;
    for family in Family::ALL {
        let from = family.at(Place::C1, 40_000);
        let wire = Wire::open(&scene.lab.c1, "eth0")?;
        let to = family.at(Place::Remote, SERVED);
        let [_, last] = pieces::cut(&wire, next_id(), BR1, from, to, &"alone ".repeat(200))?;
        let late = || scene.netmap.packets("port-in", "fragment-late");
        let before = late()?;
        let ((), moved) = scene.netmap.watch(|| {
            wire.send(&last)?;
            wait_for("it is given up", || Ok((late()? > before).then_some(())))
        })?;
        ensure!(moved.carried() == ["port-in fragment-held"], "{moved}");
        ensure!(moved.dropped() == ["port-in fragment-late"], "{moved}");
    }
    Ok(())
}

#[test]
fn a_flood_of_pieces_without_their_first_costs_nobody_else() -> Result<()> {
    let scene = scene()?;
    let lab = &scene.lab;
    let flood = |family: Family, wire: &Wire, gateway, from, to, until: Instant| -> Result<u32> {
        let [_, mut last] = pieces::cut(wire, next_id(), gateway, from, to, &"flood ".repeat(200))?;
        let id = if family == Family::V4 { 14 + 4 } else { 14 + 40 + 6 };
        let mut sent = 0_u32;
        while Instant::now() < until {
            for _ in 0..100 {
                let number = u16::try_from(sent % 50_000 + 100)?;
                last[id..id + 2].copy_from_slice(&number.to_be_bytes());
                if family == Family::V4 {
                    pieces::set_checksum(&mut last)?;
                }
                wire.send(&last)?;
                sent += 1;
            }
        }
        Ok(sent)
    };
    for family in Family::ALL {
        let host = family.at(Place::Host, PUBLISHED);
        let remote = family.at(Place::Remote, SERVED);
        let established = udp::Client::connected(&lab.remote, host)?;
        established.ask("before the flood")?;
        let outside = Wire::open(&lab.remote, "eth0")?;
        let inside = Wire::open(&lab.c2, "eth0")?;
        let until = Instant::now() + Duration::from_secs(3);
        let sent = thread::scope(|scope| -> Result<u32> {
            let from_outside =
                scope.spawn(|| flood(family, &outside, UP0, family.at(Place::Remote, 9), host, until));
            let from_c2 = scope.spawn(|| flood(family, &inside, BR2, family.at(Place::C2, 9), remote, until));
            while Instant::now() + Duration::from_secs(1) < until {
                established.ask("meanwhile")?;
                let pings = tool::of(&scene, Who::C1, "");
                let answers = tool::pings(pings, remote.ip(), 2, "-s 8000")?;
                ensure!(answers == 2, "{answers} pings of 2 came back");
                // Who does not flood may well send the last piece first.
                let from = family.at(Place::C1, 40_001);
                ask_reversed(&scene, (Who::C1, from), BR1, remote, LEADS[1])?;
            }
            let joined = |flood: thread::ScopedJoinHandle<'_, Result<u32>>| {
                flood
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            Ok(joined(from_outside)?.min(joined(from_c2)?))
        })?;
        ensure!(sent > 2_000, "{sent} are no flood");
    }
    Ok(())
}
