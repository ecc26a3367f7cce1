//! ICMP errors through the NAT: a closed port, a narrow link, a time to live that ends on the way.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use anyhow::{Context as _, Result, ensure};
use etherparse::{Icmpv4Type, Icmpv6Type, PacketBuilder};
use netmap_tests::{
    DEADLINE, Family, Namespace, Options, Place, Scene, ipv6,
    ping::{Pinger, Reply},
    ping6::{Pinger6, Reply6},
    scene::{PUBLISHED, SERVED},
    tcp, topology, udp,
};

/// Published as a port of c1 where nobody listens.
const CLOSED: u16 = 8_081;
/// What fits through the link to [`far`]: the least that IPv6 allows.
const NARROW: u16 = 1_280;

/// A machine behind the remote one.
const fn far(family: Family) -> SocketAddr {
    let address = match family {
        Family::V4 => IpAddr::V4(FAR4),
        Family::V6 => IpAddr::V6(FAR6),
    };
    SocketAddr::new(address, 80)
}

const FAR4: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 2);
const FAR6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x88, 0, 0, 0, 0, 0, 2);

/// A scene of both families.
fn scene(options: Options) -> Result<Scene> {
    Scene::with(Options {
        ipv6: true,
        ..options
    })
}

/// A client learns that nobody listens.
fn ensure_refused(client: &Namespace, to: SocketAddr) -> Result<()> {
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
        let scene = scene(Options {
            offloads,
            ..Options::default()
        })?;
        scene.publish_c1("8081:81/udp")?;
        let lab = &scene.lab;
        for family in Family::ALL {
            let closed = family.at(Place::Host, CLOSED);
            for (client, carried) in [
                (&lab.remote, ["port-in icmp-error", "uplink-in published-in"]),
                (&lab.c1b, ["port-in hairpin-in", "port-in icmp-error"]),
                (&lab.c2, ["port-in hairpin-in", "port-in icmp-error"]),
                (&lab.c1, ["port-in icmp-error", "port-in own-port-in"]),
            ] {
                let ((), moved) = scene.netmap.watch(|| ensure_refused(client, closed))?;
                moved.ensure_carried_by(&carried)?;
            }
        }
    }
    Ok(())
}

#[test]
fn a_container_learns_that_nobody_listens_outside() -> Result<()> {
    for offloads in [true, false] {
        let scene = scene(Options {
            offloads,
            ..Options::default()
        })?;
        for family in Family::ALL {
            for client in [&scene.lab.c1, &scene.lab.c2] {
                let closed = family.at(Place::Remote, 81);
                let ((), moved) = scene.netmap.watch(|| ensure_refused(client, closed))?;
                moved.ensure_carried_by(&["port-in egress-out", "uplink-in icmp-error"])?;
            }
        }
    }
    Ok(())
}

#[test]
fn the_hosts_firewall_is_not_asked_for_errors_either() -> Result<()> {
    let scene = scene(Options {
        firewall: true,
        ..Options::default()
    })?;
    scene.publish_c1("8081:81/udp")?;
    Family::ALL.iter().try_for_each(|family| {
        ensure_refused(&scene.lab.remote, family.at(Place::Host, CLOSED))?;
        ensure_refused(&scene.lab.c1, family.at(Place::Remote, 81))
    })
}

/// Adds [`far`], to which the remote machine routes by a link that is [`NARROW`] on its own end only, so that nobody
/// else knows.
fn add_far(scene: &mut Scene) -> Result<Arc<Namespace>> {
    let far = Arc::new(Namespace::create(&format!("{}-far", scene.lab.name()))?);
    let remote = &scene.lab.remote;
    remote.sysctl("ipv4/ip_forward", "1")?;
    remote.sysctl("ipv6/conf/all/forwarding", "1")?;
    remote.batch(&format!(
        "link add far0 mtu {NARROW} type veth peer name eth0 netns {}\n\
         addr add 10.88.0.1/24 dev far0\n\
         addr add fd00:88::1/64 dev far0 nodad\n\
         link set far0 up\n",
        far.name(),
    ))?;
    far.batch(&format!(
        "addr add {FAR4}/24 dev eth0\n\
         addr add {FAR6}/64 dev eth0 nodad\n\
         link set eth0 mtu 1500 up\n\
         route add default via 10.88.0.1\n\
         route add default via fd00:88::1\n",
    ))?;
    Family::ALL
        .iter()
        .try_for_each(|family| scene.serve(&far, self::far(*family)))?;
    Ok(far)
}

#[test]
fn path_mtu_discovery_works_in_both_directions() -> Result<()> {
    const LENGTH: u64 = 1_000_001;
    for offloads in [true, false] {
        let mut scene = scene(Options {
            offloads,
            ..Options::default()
        })?;
        let far = add_far(&mut scene)?;

        for family in Family::ALL {
            let at_far = self::far(family);
            // From a container: the router tells it.
            let client = udp::Client::connected(&scene.lab.c1b, at_far)?;
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
                .watch(|| tcp::Client::connect(&scene.lab.c1, at_far)?.upload(LENGTH))?;
            ensure!(answer.client.ip() == family.address(Place::Host), "{answer:?}");
            moved.ensure_includes(&["uplink-in icmp-error"])?;

            // From a container that answers: the far machine asks for the published port.
            let published = family.at(Place::Host, PUBLISHED);
            let (answer, moved) = scene
                .netmap
                .watch(|| tcp::Client::connect(&far, published)?.download(LENGTH, 0))?;
            ensure!(answer.client.ip() == at_far.ip(), "{answer:?}");
            moved.ensure_includes(&["port-in published-reply"])?;
            ensure!(moved.dropped().is_empty(), "{moved}");
            let learnt = scene.lab.c1.line(&format!("ip route get {}", at_far.ip()))?;
            ensure!(learnt.contains(&format!("mtu {NARROW}")), "{learnt}");
        }
    }
    Ok(())
}

#[test]
fn a_container_traces_its_way() -> Result<()> {
    let mut scene = scene(Options::default())?;
    let _far = add_far(&mut scene)?;
    let pinger = Pinger::new(&scene.lab.c2, 5)?;
    for (ttl, router) in [(1, topology::GATEWAY2), (2, topology::REMOTE)] {
        pinger.set_ttl(ttl)?;
        pinger.send(FAR4, u16::from(ttl), "where am I?")?;
        let reply = pinger.reply(u16::from(ttl), "where am I?")?;
        ensure!(
            matches!(reply, Reply::Error { from, what: Icmpv4Type::TimeExceeded(_) } if from == router),
            "hop {ttl}: {reply:?}"
        );
    }
    pinger.set_ttl(3)?;
    pinger.send(FAR4, 3, "where am I?")?;
    let reply = pinger.reply(3, "where am I?")?;
    ensure!(
        matches!(reply, Reply::Echo { from, .. } if from == FAR4),
        "{reply:?}"
    );
    Ok(())
}

#[test]
fn a_container_traces_its_way_by_ipv6() -> Result<()> {
    let mut scene = scene(Options::default())?;
    let _far = add_far(&mut scene)?;
    let pinger = Pinger6::new(&scene.lab.c2, 5)?;
    for (hops, router) in [(1, ipv6::GATEWAY2), (2, ipv6::REMOTE)] {
        pinger.set_hops(hops)?;
        pinger.send(FAR6, hops.into(), "where am I?")?;
        let reply = pinger.reply(hops.into(), "where am I?")?;
        ensure!(
            matches!(reply, Reply6::Error { from, what: Icmpv6Type::TimeExceeded(_) } if from == router),
            "hop {hops}: {reply:?}"
        );
    }
    pinger.set_hops(3)?;
    pinger.send(FAR6, 3, "where am I?")?;
    let reply = pinger.reply(3, "where am I?")?;
    ensure!(reply == Reply6::Echo { from: FAR6 }, "{reply:?}");
    Ok(())
}

#[test]
fn an_error_about_nothing_that_was_sent_reaches_no_container() -> Result<()> {
    let scene = scene(Options::default())?;
    // R's own question to the container's address is dropped; so is an error that quotes the container's packet.
    for family in Family::ALL {
        let quoted = match family {
            Family::V4 => PacketBuilder::ipv4(topology::C2.octets(), topology::REMOTE.octets(), 64),
            Family::V6 => PacketBuilder::ipv6(ipv6::C2.octets(), ipv6::REMOTE.octets(), 64),
        };
        let mut quote = Vec::new();
        quoted.udp(SERVED, 40_000).write(&mut quote, b"never sent")?;
        let complain = |to: Place| match family.address(to) {
            IpAddr::V4(to) => Pinger::new(&scene.lab.remote, 1)?.complain(to, &quote),
            IpAddr::V6(to) => Pinger6::new(&scene.lab.remote, 1)?.complain(to, &quote),
        };
        let ((), moved) = scene.netmap.watch(|| complain(Place::C2))?;
        moved.ensure_dropped_by(&["uplink-in direct-access"])?;
        let ((), moved) = scene.netmap.watch(|| complain(Place::Host))?;
        moved.ensure_includes(&["uplink-in other-icmp"])?;
        moved.ensure_carried_by(&[])?;
    }
    Ok(())
}
