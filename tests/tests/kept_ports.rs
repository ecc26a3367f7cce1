//! Bridges whose containers keep their ports towards everybody (`netmap run --nat`), over both transports and families; what
//! a STUN client says of it is in `mapping.rs`.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{HashMap, Map, MapData};
use bytemuck::{Pod, bytes_of, pod_read_unaligned};
use netmap_common::maps::{Address, Address6, Flow, FlowKey, Ip, Kind, name};
use netmap_tests::{
    DEADLINE, Family, Lab, Namespace, Netmap, Options, Place, Scene,
    scene::{SERVED, Transport},
    tcp, udp, wait_for, wait_within,
};

/// A source port that masquerading never takes, for one that it may take is kept where it can be, and looks independent.
const PORT: u16 = 40_000;
/// Where a stranger asks from.
const STRANGER: u16 = 9_000;

/// Of both families; the first bridge's containers keep their ports.
fn scene(options: Options, more: &[&str]) -> Result<Scene> {
    let lab = Lab::with(Options {
        ipv6: true,
        second_remote: true,
        ..options
    })?;
    let arguments: Vec<_> = ["--nat", "br1=eim"].iter().chain(more).copied().collect();
    let mut scene = Scene::with_arguments(lab, &arguments)?;
    let remote = scene.lab.remote.clone();
    for family in Family::ALL {
        scene.serve(&remote, family.at(Place::Remote2, SERVED))?;
    }
    Ok(scene)
}

/// Asks `to` from that port; how the server sees it.
fn seen(transport: Transport, client: &Namespace, from: SocketAddr, to: SocketAddr) -> Result<SocketAddr> {
    let answer = match transport {
        Transport::Udp => udp::Client::connected_from(client, from, to)?.ask("hello")?,
        Transport::Tcp => {
            let mut client = tcp::Client::connect_from(client, from, to)?;
            let answer = client.ask("hello")?;
            client.finish()?;
            answer
        }
    };
    Ok(answer.client)
}

/// Has a server until the end of the scene at the port that was asked from.
fn listen(scene: &mut Scene, family: Family) -> Result<()> {
    let c1 = scene.lab.c1.clone();
    scene.serve(&c1, family.at(Place::C1, PORT))
}

/// How many mappings containers of the first bridge have, by `netmap status`.
fn mappings(netmap: &Netmap) -> Result<u64> {
    let status = netmap.json("status")?;
    let bridges = status["bridges"].as_array().context("status has no bridges")?;
    let bridge = bridges.iter().find(|bridge| bridge["interface"] == "br1");
    let bridge = bridge.context("status does not know br1")?;
    ensure!(bridge["nat"] == "eim", "{bridge}");
    bridge["mappings"]
        .as_u64()
        .with_context(|| format!("no number of mappings in {bridge}"))
}

#[test]
fn every_transport_of_both_families_keeps_its_port_and_lets_everybody_in_there() -> Result<()> {
    for offloads in [true, false] {
        let mut scene = scene(
            Options {
                offloads,
                ..Options::default()
            },
            &[],
        )?;
        ensure!(mappings(&scene.netmap)? == 0);
        let mut count = 0;
        for family in Family::ALL {
            let (c1, remote, remote2) = (
                family.at(Place::C1, PORT),
                family.at(Place::Remote, SERVED),
                family.at(Place::Remote2, SERVED),
            );
            let mut outside = Vec::new();
            for transport in Transport::ALL {
                let first = seen(transport, &scene.lab.c1, c1, remote)?;
                ensure!(first.ip() == family.address(Place::Host), "{first}");
                let second = seen(transport, &scene.lab.c1, c1, remote2)?;
                ensure!(
                    first == second,
                    "{family:?} {transport:?}: {first}, then {second}"
                );
                outside.push((transport, first));
                count += 1;
                // The other bridge has a port for each destination.
                let c2 = family.at(Place::C2, PORT);
                let [first, second] = [remote, remote2].map(|to| seen(transport, &scene.lab.c2, c2, to));
                ensure!(first? != second?);
            }
            listen(&mut scene, family)?;
            for (transport, outside) in outside {
                let stranger = family.at(Place::Remote2, STRANGER);
                let (asked, moved) = scene
                    .netmap
                    .watch(|| seen(transport, &scene.lab.remote, stranger, outside))?;
                ensure!(asked == stranger, "c1 sees {asked}");
                moved.ensure_carried_by(&["uplink-in mapped-in", "port-in mapped-reply"])?;
            }
            ensure!(mappings(&scene.netmap)? == count);
        }
    }
    Ok(())
}

#[test]
fn a_neighbour_that_asks_a_kept_port_is_seen_with_its_own_port_outside() -> Result<()> {
    let mut scene = scene(Options::default(), &[])?;
    for family in Family::ALL {
        let remote = family.at(Place::Remote, SERVED);
        let mut outside = Vec::new();
        for transport in Transport::ALL {
            outside.push((
                transport,
                seen(transport, &scene.lab.c1, family.at(Place::C1, PORT), remote)?,
            ));
        }
        listen(&mut scene, family)?;
        for (transport, outside) in outside {
            let from = family.at(Place::C1b, PORT);
            let (asked, moved) = scene
                .netmap
                .watch(|| seen(transport, &scene.lab.c1b, from, outside))?;
            moved.ensure_carried_by(&["port-in hairpin-in", "port-in hairpin-reply"])?;
            ensure!(asked.ip() == family.address(Place::Host), "c1 sees {asked}");
            ensure!(seen(transport, &scene.lab.c1b, from, remote)? == asked);
        }
    }
    Ok(())
}

#[test]
fn a_mapping_that_nobody_uses_ends_and_lets_nobody_in_any_more() -> Result<()> {
    let mut scene = scene(Options::default(), &["--timeout", "udp-answered=120"])?;
    for family in Family::ALL {
        let c1 = family.at(Place::C1, PORT);
        let outside = seen(
            Transport::Udp,
            &scene.lab.c1,
            c1,
            family.at(Place::Remote, SERVED),
        )?;
        listen(&mut scene, family)?;
        let stranger = family.at(Place::Remote2, STRANGER);
        ensure!(seen(Transport::Udp, &scene.lab.remote, stranger, outside)? == stranger);
        ensure!(mappings(&scene.netmap)? == 1);
        // Nearly: the sweeper looks at what comes of age between two of its laps.
        age(&scene.netmap, family, 117)?;
        patiently("the mapping ends", || Ok(mappings(&scene.netmap)? == 0))?;
        let late = udp::Client::connected_from(
            &scene.lab.remote,
            family.at(Place::Remote2, STRANGER + 1),
            outside,
        )?;
        let ((), moved) = scene.netmap.watch(|| {
            late.send("is anybody there?")?;
            ensure!(
                late.receive(DEADLINE).is_err(),
                "the host did not say that the port is closed"
            );
            Ok(())
        })?;
        moved.ensure_carried_by(&[])?;
        ensure!(moved.packets("uplink-in to-host") == 1, "{moved}");
    }
    Ok(())
}

#[test]
fn a_connection_that_says_nothing_keeps_its_mapping() -> Result<()> {
    let scene = scene(Options::default(), &[])?;
    for family in Family::ALL {
        let c1 = family.at(Place::C1, PORT);
        let mut connection = tcp::Client::connect_from(&scene.lab.c1, c1, family.at(Place::Remote, SERVED))?;
        let outside = connection.ask("hello")?.client;
        age(&scene.netmap, family, 60)?;
        let before = last_kept(&scene.netmap, family)?;
        patiently("the sweeper has kept the mapping", || {
            Ok(last_kept(&scene.netmap, family)? > before)
        })?;
        let again = connection.ask("again")?.client;
        ensure!(again == outside, "{again}");
    }
    Ok(())
}

/// Waits for something that the sweeper does: it comes by every five seconds at most.
fn patiently(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    wait_within(4 * DEADLINE, what, || Ok(holds()?.then_some(())))
}

/// Makes a family's mappings and flows as old as if so many seconds had passed without a packet.
fn age(netmap: &Netmap, family: Family, seconds: u32) -> Result<()> {
    each(netmap, family, seconds).map(drop)
}

/// When a packet, or the sweeper in its place, last kept a mapping, on the kernel's clock.
fn last_kept(netmap: &Netmap, family: Family) -> Result<u32> {
    each(netmap, family, 0)?.context("there is no mapping")
}

fn each(netmap: &Netmap, family: Family, age: u32) -> Result<Option<u32>> {
    match family {
        Family::V4 => each_of::<Address, 16, 64>(netmap, name::FLOWS, age),
        Family::V6 => each_of::<Address6, 40, 88>(netmap, name::FLOWS6, age),
    }
}

/// Lowers the time of every entry; when a mapping had its last packet.
fn each_of<A: Ip, const KEY: usize, const FLOW: usize>(
    netmap: &Netmap,
    table: &str,
    age: u32,
) -> Result<Option<u32>>
where
    FlowKey<A>: Pod,
    Flow<A>: Pod,
{
    let pin = wait_for("the tables are pinned", || pin(netmap, table))?;
    let mut flows: HashMap<MapData, [u8; KEY], [u8; FLOW]> =
        Map::HashMap(MapData::from_pin(pin)?).try_into()?;
    let entries: Vec<_> = flows.iter().collect::<Result<_, _>>()?;
    let mut last = None;
    for (key, bytes) in entries {
        let mut flow: Flow<A> = pod_read_unaligned(&bytes);
        if flow.kind() == Some(Kind::Mapping) {
            last = last.max(Some(flow.last_seen.0));
        }
        if age > 0 {
            flow.last_seen.0 = flow.last_seen.0.saturating_sub(age);
            let bytes: [u8; FLOW] = bytes_of(&flow).try_into()?;
            flows.insert(key, bytes, 0)?;
        }
    }
    Ok(last)
}

fn pin(netmap: &Netmap, table: &str) -> Result<Option<PathBuf>> {
    let layouts = std::fs::read_dir(netmap.pins())?.flatten();
    let mut pins = layouts.map(|layout| layout.path().join("maps").join(table));
    Ok(pins.find(|pin| pin.exists()))
}

#[test]
fn status_says_how_each_bridge_is_kept() -> Result<()> {
    let scene = scene(
        Options::default(),
        &[
            "--egress",
            "br1=192.168.50.2",
            "--egress",
            "br2=fd00:50::99",
            "--direct",
            "br2=allow",
        ],
    )?;
    seen(
        Transport::Udp,
        &scene.lab.c1,
        Family::V4.at(Place::C1, PORT),
        Family::V4.at(Place::Remote, SERVED),
    )?;
    let host: IpAddr = Family::V4.address(Place::Host);
    let status = scene.netmap.json("status")?;
    ensure!(
        status["bridges"]
            == serde_json::json!([
                {
                    "interface": "br1", "nat": "eim", "mappings": 1, "direct": "deny", "egress": [host],
                    "egress_missing": [], "internal": false, "not_masqueraded": [],
                },
                {
                    "interface": "br2", "nat": "edm", "mappings": 0, "direct": "allow", "egress": [],
                    "egress_missing": ["ipv6"], "internal": false, "not_masqueraded": [],
                },
            ]),
        "{status}"
    );
    let text = scene.netmap.done(&["status"])?;
    for line in [
        "bridge      br1 leaves by 192.168.50.2; nat eim (1 mapping); direct deny\n",
        "bridge      br2 leaves by no IPv6 address yet; nat edm; direct allow\n",
    ] {
        ensure!(text.contains(line), "{text}");
    }
    Ok(())
}
