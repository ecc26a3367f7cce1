//! How packets are forwarded: MTU, time to live, marks, tags, and other programs at the same hooks.

use std::net::{IpAddr, SocketAddrV4};

use anyhow::{Context as _, Result, ensure};
use etherparse::{Icmpv4Type, Icmpv6Type, PacketBuilder, VlanId, icmpv4::DestUnreachableHeader};
use netmap_tests::{
    Family, Lab, Options, Place, Scene, command, ipv6,
    ping::{Pinger, Reply},
    ping6::{Pinger6, Reply6},
    rows, tcp,
    topology::{C1B, GATEWAY1, HOST, REMOTE},
    udp, wait_for,
    wire::{Wire, carries},
};
use socket2::SockRef;

const PUBLISHED: SocketAddrV4 = SocketAddrV4::new(HOST, 8_080);
const REMOTE_SERVER: SocketAddrV4 = SocketAddrV4::new(REMOTE, 80);

/// A scene of both families.
fn both() -> Result<Scene> {
    Scene::with(Options {
        ipv6: true,
        ..Options::default()
    })
}

#[test]
fn what_does_not_fit_the_uplink_is_answered_by_the_host() -> Result<()> {
    const MTU: u16 = 1_400;
    let scene = both()?;
    let lab = &scene.lab;
    lab.host.batch(&format!("link set up0 mtu {MTU}\n"))?;
    lab.remote.batch(&format!("link set eth0 mtu {MTU}\n"))?;

    let pinger = Pinger::new(&lab.c1, 3)?;
    let big = "x".repeat(1_450);
    let (reply, moved) = scene.netmap.watch(|| {
        pinger.send(REMOTE, 1, &big)?;
        pinger.reply(1, &big)
    })?;
    let needed = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: MTU };
    let expected = Reply::Error {
        from: GATEWAY1,
        what: Icmpv4Type::DestinationUnreachable(needed),
    };
    ensure!(reply == expected, "{reply:?}");
    moved.ensure_includes(&["port-in too-big"])?;

    let pinger = Pinger6::new(&lab.c1, 3)?;
    let (reply, moved) = scene.netmap.watch(|| {
        pinger.send(ipv6::REMOTE, 1, &big)?;
        pinger.reply(1, &big)
    })?;
    let expected = Reply6::Error {
        from: ipv6::GATEWAY1,
        what: Icmpv6Type::PacketTooBig { mtu: MTU.into() },
    };
    ensure!(reply == expected, "{reply:?}");
    moved.ensure_includes(&["port-in too-big"])?;

    for family in Family::ALL {
        let client = udp::Client::connected(&lab.c1b, family.at(Place::Remote, 80))?;
        client.try_send(big.as_bytes())?;
        let error = client
            .receive(netmap_tests::DEADLINE)
            .err()
            .context("nobody said that it was too big")?;
        ensure!(error.to_string().contains("Message too long"), "{error:#}");
        client.ask("small enough")?;
    }

    for row in rows::all(&scene) {
        row.check_bulk(&scene, 1_000_001)?;
    }
    Ok(())
}

#[test]
fn a_router_takes_one_from_the_time_to_live() -> Result<()> {
    let scene = both()?;
    let lab = &scene.lab;
    let (at_c1, at_remote) = (Wire::open(&lab.c1, "eth0")?, Wire::open(&lab.remote, "eth0")?);
    for family in Family::ALL {
        let ttl = |wire: &Wire, from: Place, what: &str| {
            let (from, source, ttl) = match family.address(from) {
                IpAddr::V4(from) => (from.octets().to_vec(), 26..30, 22),
                IpAddr::V6(from) => (from.octets().to_vec(), 22..38, 21),
            };
            wire.find(what, |frame| {
                (carries(frame, what) && frame.get(source.clone()) == Some(&from))
                    .then(|| frame.get(ttl).copied())
            })
        };
        let published = family.at(Place::Host, 8_080);
        udp::request(&lab.remote, published, "published ttl")?;
        ensure!(ttl(&at_c1, Place::Remote, "published ttl")? == Some(63));
        ensure!(ttl(&at_remote, Place::Host, "published ttl")? == Some(63));
        udp::request(&lab.c1, family.at(Place::Remote, 80), "egress ttl")?;
        ensure!(ttl(&at_remote, Place::Host, "egress ttl")? == Some(63));
        ensure!(ttl(&at_c1, Place::Remote, "egress ttl")? == Some(63));
        udp::request(&lab.c2, published, "hairpin ttl")?;
        ensure!(ttl(&at_c1, Place::C2, "hairpin ttl")? == Some(63));
    }
    Ok(())
}

#[test]
fn a_time_to_live_of_one_ends_at_the_host() -> Result<()> {
    let scene = Scene::new()?;
    let pinger = Pinger::new(&scene.lab.c1, 9)?;
    pinger.set_ttl(1)?;
    let (reply, moved) = scene.netmap.watch(|| {
        pinger.send(REMOTE, 1, "not far")?;
        pinger.reply(1, "not far")
    })?;
    let Reply::Error {
        from: GATEWAY1,
        what: Icmpv4Type::TimeExceeded(_),
    } = reply
    else {
        anyhow::bail!("{reply:?}");
    };
    moved.ensure_includes(&["port-in ttl-expired"])?;
    moved.ensure_carried_by(&[])?;
    pinger.set_ttl(2)?;
    pinger.send(REMOTE, 2, "far enough")?;
    ensure!(matches!(
        pinger.reply(2, "far enough")?,
        Reply::Echo { from: REMOTE, .. }
    ));
    Ok(())
}

#[test]
fn a_time_to_live_that_ends_in_a_flow_is_answered_with_what_the_sender_knows() -> Result<()> {
    let scene = both()?;
    let at_remote = Wire::open(&scene.lab.remote, "eth0")?;
    for family in Family::ALL {
        // Where a frame says what it is, where an error has its type, and which; where the address of its source is, and
        // in the quote both addresses and the port asked for.
        let (protocol, kind, source, addresses, port) = match family {
            Family::V4 => ((23, 1), (34, 11), 26..30, 54..62, 64..66),
            Family::V6 => ((20, 58), (54, 3), 22..38, 70..102, 104..106),
        };
        let published = family.at(Place::Host, 8_080);
        let client = udp::Client::connected(&scene.lab.remote, published)?;
        let set_hops = |hops: u32| {
            let socket = SockRef::from(client.socket());
            match family {
                Family::V4 => socket.set_ttl_v4(hops),
                Family::V6 => socket.set_unicast_hops_v6(hops),
            }
        };
        client.ask("far enough")?;
        set_hops(1)?;
        let (quoted, moved) = scene.netmap.watch(|| {
            client.send("not far enough")?;
            at_remote.find("time exceeded", |frame| {
                let is_error =
                    [protocol, kind].map(|(at, value)| frame.get(at) == Some(&value)) == [true, true];
                is_error.then(|| {
                    Some((
                        frame.get(source.clone())?.to_vec(),
                        frame.get(addresses.clone())?.to_vec(),
                        frame.get(port.clone())?.to_vec(),
                    ))
                })
            })
        })?;
        let [remote, host] = [Place::Remote, Place::Host].map(|place| match family.address(place) {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        });
        let expected = (
            host.clone(),
            [remote, host].concat(),
            published.port().to_be_bytes().to_vec(),
        );
        ensure!(quoted.as_ref() == Some(&expected), "{quoted:?}");
        moved.ensure_carried_by(&["uplink-in host-answers", "uplink-out icmp-error"])?;
        set_hops(64)?;
        client.ask("far enough again")?;
    }
    Ok(())
}

#[test]
fn a_vlan_tagged_frame_is_left_alone() -> Result<()> {
    let scene = Scene::new()?;
    let lab = &scene.lab;
    let seen = Wire::open(&lab.c1, "eth0")?;
    for (client, own, interface, hook) in [
        (&lab.c1b, C1B, "br1", "port-in"),
        (&lab.remote, REMOTE, "up0", "uplink-in"),
    ] {
        let to = Wire::open(&lab.host, interface)?.mac();
        let wire = Wire::open(client, "eth0")?;
        let builder = PacketBuilder::ethernet2(wire.mac(), to)
            .single_vlan(VlanId::try_new(5)?)
            .ipv4(own.octets(), HOST.octets(), 64)
            .udp(4_000, 8_080);
        let mut frame = Vec::new();
        builder.write(&mut frame, b"tagged")?;
        let ((), moved) = scene.netmap.watch(|| wire.send(&frame))?;
        moved.ensure_includes(&[&format!("{hook} vlan")])?;
        moved.ensure_carried_by(&[])?;
    }
    udp::request(&lab.remote, PUBLISHED, "untagged")?;
    let frames = seen.drain()?;
    ensure!(frames.iter().any(|frame| carries(frame, "untagged")));
    ensure!(
        !frames
            .iter()
            .any(|frame| carries(frame, "tagged") && !carries(frame, "untagged"))
    );
    Ok(())
}

#[test]
fn no_mark_reaches_a_container_or_the_host() -> Result<()> {
    let scene = both()?;
    // On the host's loopback interface the proxy answers, with the mark.
    for machine in [&scene.lab.c1, &scene.lab.c1b, &scene.lab.c2, &scene.lab.host] {
        machine.nft(
            "table inet lab {
               counter seen {}
               counter marked {}
               chain in {
                 type filter hook input priority -400;
                 counter name seen
                 iif != lo meta mark != 0 counter name marked
               }
             }",
        )?;
    }
    rows::check_all(&scene)?;
    // And what a container asks of the host itself.
    let own = SocketAddrV4::new(GATEWAY1, 5_353);
    let _server = udp::Server::start(&scene.lab.host, own)?;
    let (_, moved) = scene
        .netmap
        .watch(|| udp::request(&scene.lab.c1, own, "the host"))?;
    moved.ensure_includes(&["port-in to-host", "bridge-in done"])?;
    for machine in [&scene.lab.c1, &scene.lab.c1b, &scene.lab.c2, &scene.lab.host] {
        ensure!(
            counted(machine, "seen")? > 0,
            "the counter in {} sees nothing",
            machine.name()
        );
        ensure!(
            counted(machine, "marked")? == 0,
            "marked packets reached {}",
            machine.name()
        );
    }
    Ok(())
}

#[test]
fn other_programs_at_the_same_hook_keep_seeing_what_is_not_ours() -> Result<()> {
    let lab = Lab::new()?;
    lab.host
        .batch("link add mirror0 type veth peer name mirror1\nlink set mirror0 up\nlink set mirror1 up\n")?;
    for interface in ["up0", "vc1"] {
        lab.host.tc(&format!(
            "qdisc add dev {interface} clsact\n\
             filter add dev {interface} ingress pref 100 protocol all u32 match u32 0 0 action mirred egress mirror dev mirror0\n",
        ))?;
    }
    let filters = |lab: &Lab, interface: &str| {
        command::line(&format!(
            "tc -n {} filter show dev {interface} ingress",
            lab.host.name()
        ))
    };
    let mirrored = Wire::open(&lab.host, "mirror1")?;
    let scene = Scene::in_lab(lab)?;
    for (client, payload) in [
        (&scene.lab.remote, "seen at the uplink"),
        (&scene.lab.c1, "seen at the port"),
    ] {
        let pinger = Pinger::new(client, 4)?;
        pinger.send(HOST, 1, payload)?;
        pinger.reply(1, payload)?;
        mirrored.find(payload, |frame| carries(frame, payload).then_some(()))?;
    }
    rows::check_all(&scene)?;

    let Scene { mut netmap, lab, .. } = scene;
    netmap.stop()?;
    netmap.down()?;
    for interface in ["up0", "vc1"] {
        let left = filters(&lab, interface)?;
        ensure!(
            left.contains("mirred"),
            "netmap took the other program's filter off {interface}: {left}"
        );
    }
    Ok(())
}

#[test]
fn a_stale_neighbour_heals() -> Result<()> {
    let scene = Scene::new()?;
    tcp::request(&scene.lab.c1, REMOTE_SERVER, "known")?;
    scene
        .lab
        .host
        .batch("neigh flush dev up0\nneigh flush dev br1\n")?;
    tcp::request(&scene.lab.c1, REMOTE_SERVER, "asked again")?;
    scene.lab.host.batch(&format!(
        "neigh replace {REMOTE} lladdr 02:00:00:00:99:99 nud stale dev up0\n"
    ))?;
    // The kernel probes a stale neighbour 5 s after its first use, three times, before it gives the entry up.
    let start = std::time::Instant::now();
    let client = udp::Client::connected(&scene.lab.c1, REMOTE_SERVER)?;
    while start.elapsed() < 4 * netmap_tests::DEADLINE {
        client.send("healed")?;
        if client.receive(netmap_tests::SILENCE)?.is_some() {
            return Ok(());
        }
    }
    anyhow::bail!("a wrong link-layer address never healed")
}

#[test]
fn an_isolated_neighbour_is_answered_through_the_gateway() -> Result<()> {
    let scene = both()?;
    for port in ["vc1", "vc1b"] {
        command::line(&format!(
            "bridge -n {} link set dev {port} isolated on",
            scene.lab.host.name()
        ))?;
    }
    for neighbour in [&scene.lab.c1, &scene.lab.c1b] {
        neighbour.batch("neigh flush dev eth0\n")?;
    }
    for family in Family::ALL {
        let published = family.at(Place::Host, 8_080);
        let gateway = family.address(Place::Gateway1);
        wait_for("the isolated neighbour gets its answer from the gateway", || {
            let client = udp::Client::connected(&scene.lab.c1b, published)?;
            client.send("isolated")?;
            let answer = client.receive(netmap_tests::SILENCE)?;
            Ok(answer
                .is_some_and(|answer| answer.client.ip() == gateway)
                .then_some(()))
        })?;
        ensure!(tcp::request(&scene.lab.c1b, published, "isolated")?.client.ip() == gateway);
        // The other bridge is reached by routing as ever.
        let answer = tcp::request(&scene.lab.c2, published, "routed")?;
        ensure!(answer.local.ip() == family.address(Place::C1), "{answer:?}");
    }
    Ok(())
}

/// Packets of an nftables counter in `container`.
fn counted(container: &netmap_tests::Namespace, counter: &str) -> Result<u64> {
    let shown = container.line(&format!("nft list counter inet lab {counter}"))?;
    let words: Vec<_> = shown.split_whitespace().collect();
    let packets = words.windows(2).find_map(|pair| match pair {
        ["packets", number] => number.parse().ok(),
        _ => None,
    });
    packets.with_context(|| format!("no count in {shown}"))
}
