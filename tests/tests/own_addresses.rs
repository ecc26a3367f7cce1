//! A container sends from its own addresses only: what it forges in a neighbour's name opens nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, bail, ensure};
use etherparse::{PacketBuilder, PacketBuilderStep};
use netmap_tests::{
    Family, Lab, Moved, Namespace, Options, Place, Scene,
    scene::{PUBLISHED, SERVED, Transport},
    topology, udp, wait_for,
    wire::{Wire, carries},
};

const FORGED: &str = "port-in spoofed-source";
const CONTENT: &str = "in somebody's name";

fn scene(arguments: &[&str]) -> Result<Scene> {
    let lab = Lab::with(Options {
        ipv6: true,
        ..Options::default()
    })?;
    Scene::with_arguments(lab, arguments)
}

/// What a packet is.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Syn,
    Ack,
    Datagram,
    Ping,
}

const KINDS: [Kind; 4] = [Kind::Syn, Kind::Ack, Kind::Datagram, Kind::Ping];

/// A frame from `from` to `to`, handed to `mac`.
fn frame(wire: &Wire, mac: [u8; 6], kind: Kind, from: SocketAddr, to: SocketAddr) -> Result<Vec<u8>> {
    let link = PacketBuilder::ethernet2(wire.mac(), mac);
    let packet = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => link.ipv4(from.octets(), to.octets(), 64),
        (IpAddr::V6(from), IpAddr::V6(to)) => link.ipv6(from.octets(), to.octets(), 64),
        _ => bail!("{from} and {to} are of two families"),
    };
    let mut frame = Vec::new();
    let content = CONTENT.as_bytes();
    match kind {
        Kind::Syn => packet
            .tcp(from.port(), to.port(), 1, 64_000)
            .syn()
            .write(&mut frame, &[])?,
        Kind::Ack => packet
            .tcp(from.port(), to.port(), 1, 64_000)
            .ack(1)
            .write(&mut frame, content)?,
        Kind::Datagram => packet.udp(from.port(), to.port()).write(&mut frame, content)?,
        Kind::Ping => ping(packet, to, &mut frame)?,
    }
    Ok(frame)
}

fn ping(packet: PacketBuilderStep<etherparse::IpHeaders>, to: SocketAddr, frame: &mut Vec<u8>) -> Result<()> {
    if to.is_ipv4() {
        packet
            .icmpv4_echo_request(77, 1)
            .write(frame, CONTENT.as_bytes())?;
    } else {
        packet
            .icmpv6_echo_request(77, 1)
            .write(frame, CONTENT.as_bytes())?;
    }
    Ok(())
}

/// What moves when `attacker` forges everything from `from` to `to`, handed to the neighbour or gateway that has `mac`.
fn forge(
    scene: &Scene,
    attacker: &Namespace,
    mac: [u8; 6],
    kinds: &[Kind],
    (from, to): (SocketAddr, SocketAddr),
) -> Result<Moved> {
    let wire = Wire::open(attacker, "eth0")?;
    let ((), moved) = scene.netmap.watch(|| {
        for kind in kinds {
            wire.send(&frame(&wire, mac, *kind, from, to)?)?;
        }
        Ok(())
    })?;
    Ok(moved)
}

fn ensure_forged(moved: &Moved, packets: usize) -> Result<()> {
    moved.ensure_dropped_by(&[FORGED])?;
    ensure!(moved.carried().is_empty(), "{moved}");
    ensure!(moved.packets(FORGED) == packets as u64, "{moved}");
    Ok(())
}

#[test]
fn a_neighbours_name_opens_no_flow_to_the_outside_to_published_ports_or_to_neighbours() -> Result<()> {
    let scene = scene(&[])?;
    let gateway = Wire::open(&scene.lab.host, "br1")?.mac();
    let c1 = Wire::open(&scene.lab.c1, "eth0")?;
    let uplink = Wire::open(&scene.lab.remote, "eth0")?;
    for family in Family::ALL {
        // What c1 itself sent at the end of the last round.
        drop((c1.drain()?, uplink.drain()?));
        let victim = family.at(Place::C1, 30_000);
        let nobody = match family {
            Family::V4 => "172.30.1.99:30000".parse::<SocketAddr>()?,
            Family::V6 => "[fd00:1::99]:30000".parse()?,
        };
        let mut flow_before = scene.netmap.flows()?.len();
        for from in [victim, nobody] {
            for to in [
                family.at(Place::Remote, SERVED),
                family.at(Place::Host, PUBLISHED),
                family.at(Place::Gateway1, 22),
                family.at(Place::C2, SERVED),
            ] {
                let moved = forge(&scene, &scene.lab.c1b, gateway, &KINDS, (from, to))?;
                ensure_forged(&moved, KINDS.len()).with_context(|| format!("{from} to {to}"))?;
            }
        }
        // On the bridge itself: what c1 would take for c1b's neighbour's word.
        let direct = (nobody, family.at(Place::C1, SERVED));
        ensure_forged(
            &forge(&scene, &scene.lab.c1b, c1.mac(), &KINDS, direct)?,
            KINDS.len(),
        )?;
        ensure!(
            scene.netmap.flows()?.len() == flow_before,
            "{:?}",
            scene.netmap.flows()?
        );

        for (who, wire) in [("c1", &c1), ("the remote host", &uplink)] {
            let leaked = wire.drain()?.iter().any(|frame| carries(frame, CONTENT));
            ensure!(!leaked, "{who} got a forged packet");
        }

        // The victim is not in the way of itself, also by the very ports that were forged.
        for transport in Transport::ALL {
            let answer = transport.request(&scene.lab.c1, family.at(Place::Remote, SERVED), "mine")?;
            ensure!(answer.client.ip() == family.address(Place::Host), "{answer:?}");
        }
        let c1b = udp::request(&scene.lab.c1b, family.at(Place::Host, PUBLISHED), "mine")?;
        ensure!(c1b.client.ip() == family.address(Place::C1b), "{c1b:?}");
        flow_before = scene.netmap.flows()?.len();
        let own = forge(
            &scene,
            &scene.lab.c1,
            gateway,
            &[Kind::Datagram],
            (victim, family.at(Place::Remote, 9)),
        )?;
        own.ensure_includes(&["port-in egress-out"])?;
        ensure!(scene.netmap.flows()?.len() == flow_before + 1);
    }
    Ok(())
}

#[test]
fn a_victims_flow_goes_on_while_its_name_is_forged() -> Result<()> {
    let scene = scene(&[])?;
    let gateway = Wire::open(&scene.lab.host, "br1")?.mac();
    let server = udp::Server::start(&scene.lab.remote, SocketAddr::new(topology::REMOTE.into(), 9_999))?;
    let remote = SocketAddr::new(topology::REMOTE.into(), 9_999);
    let victim = udp::Client::connected(&scene.lab.c1, remote)?;
    for round in 0..3 {
        let from = SocketAddr::new(topology::C1.into(), 40_000 + round);
        let moved = forge(&scene, &scene.lab.c1b, gateway, &KINDS, (from, remote))?;
        ensure_forged(&moved, KINDS.len())?;
        victim.send("still here")?;
        ensure!(
            victim.receive(netmap_tests::DEADLINE)?.is_some(),
            "round {round} is not answered"
        );
    }
    drop(server);
    Ok(())
}

#[test]
fn a_new_container_and_a_new_address_are_not_in_the_way_of_their_first_packets() -> Result<()> {
    let scene = scene(&[])?;
    let remote = SocketAddr::new(topology::REMOTE.into(), SERVED);
    // One after the other under the same address.
    let address = Ipv4Addr::new(172, 30, 1, 20);
    for number in 0..6 {
        let port = format!("n{number}");
        let ((), moved) = scene.netmap.watch(|| {
            let container = scene
                .lab
                .add_container(&port, "br1", address, topology::GATEWAY1)?;
            udp::request(&container, remote, "the first")?;
            container.batch("link del eth0\n")
        })?;
        ensure!(moved.dropped().is_empty(), "{moved}");
    }
    let second = Ipv4Addr::new(172, 30, 1, 77);
    scene.lab.c1b.batch(&format!("addr add {second}/24 dev eth0\n"))?;
    let gateway = Wire::open(&scene.lab.host, "br1")?.mac();
    let from = SocketAddr::new(second.into(), 30_000);
    wait_for("the second address is c1b's", || {
        let moved = forge(&scene, &scene.lab.c1b, gateway, &[Kind::Datagram], (from, remote))?;
        Ok((moved.packets("port-in egress-out") == 1).then_some(()))
    })?;
    // And c1's it is not.
    ensure_forged(
        &forge(&scene, &scene.lab.c1, gateway, &KINDS, (from, remote))?,
        KINDS.len(),
    )
}

#[test]
fn a_bridge_may_be_told_not_to_mind() -> Result<()> {
    let scene = scene(&["--own-addresses", "br1=off"])?;
    let [first, second] = ["br1", "br2"].map(|bridge| Wire::open(&scene.lab.host, bridge));
    let remote = SocketAddr::new(topology::REMOTE.into(), SERVED);
    let from = |address| SocketAddr::new(IpAddr::V4(address), 30_000);
    let foreign = (from(Ipv4Addr::new(172, 30, 1, 99)), remote);
    forge(&scene, &scene.lab.c1b, first?.mac(), &[Kind::Datagram], foreign)?
        .ensure_includes(&["port-in egress-out"])?;
    let foreign = (from(Ipv4Addr::new(172, 30, 2, 99)), remote);
    ensure_forged(
        &forge(&scene, &scene.lab.c2, second?.mac(), &KINDS, foreign)?,
        KINDS.len(),
    )
}
