//! Bridges whose containers leave by addresses of their own (`netmap run --egress`).

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use anyhow::{Context as _, Result, ensure};
use etherparse::{Icmpv4Type, Icmpv6Type};
use netmap_tests::{
    DEADLINE, Family, Lab, Namespace, Options, Place, Scene, ipv6,
    ping::{self, Pinger, Reply},
    ping6::{self, Pinger6, Reply6},
    scene::{PUBLISHED, SERVED, Transport},
    tcp, topology, udp, wait_for,
};

/// Further addresses of the host, by family: the first on its uplink, the second on its loopback interface, where no
/// neighbour is asked for it and the remote host has a route.
const OWN4: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 168, 50, 7), Ipv4Addr::new(203, 0, 113, 7)];
const OWN6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0x50, 0, 0, 0, 0, 0, 7),
    Ipv6Addr::new(0xfd00, 0x113, 0, 0, 0, 0, 0, 7),
];

fn own(family: Family) -> [IpAddr; 2] {
    match family {
        Family::V4 => OWN4.map(IpAddr::V4),
        Family::V6 => OWN6.map(IpAddr::V6),
    }
}

/// A lab whose remote host knows the way to all of these.
fn lab(options: Options) -> Result<Lab> {
    let lab = Lab::with(Options {
        ipv6: true,
        ..options
    })?;
    let [_, by_route4] = OWN4;
    let [_, by_route6] = OWN6;
    lab.remote.batch(&format!(
        "route add {by_route4} via {}\nroute add {by_route6} via {}\n",
        Family::V4.address(Place::Host),
        Family::V6.address(Place::Host),
    ))?;
    Ok(lab)
}

fn add(lab: &Lab, address: IpAddr) -> Result<()> {
    // Deprecated, so that it does not become the uplink's own: of IPv6 that is the newest.
    let lifetime = if address.is_ipv6() { "preferred_lft 0" } else { "" };
    lab.host
        .batch(&format!("addr add {} nodad {lifetime}\n", place(address)))
}

fn remove(lab: &Lab, address: IpAddr) -> Result<()> {
    lab.host.batch(&format!("addr del {}\n", place(address)))
}

fn place(address: IpAddr) -> String {
    let is_first = Family::ALL.iter().any(|family| own(*family)[0] == address);
    match (is_first, address) {
        (true, IpAddr::V4(_)) => format!("{address}/24 dev up0"),
        (true, IpAddr::V6(_)) => format!("{address}/64 dev up0"),
        (false, IpAddr::V4(_)) => format!("{address}/32 dev lo"),
        (false, IpAddr::V6(_)) => format!("{address}/128 dev lo"),
    }
}

/// A scene whose host has all of them.
fn scene(options: Options, arguments: &[&str]) -> Result<Scene> {
    let lab = lab(options)?;
    for address in Family::ALL.into_iter().flat_map(own) {
        add(&lab, address)?;
    }
    Scene::with_arguments(lab, arguments)
}

/// Who the remote host's server sees when `client` asks it.
fn seen(client: &Namespace, family: Family, transport: Transport) -> Result<IpAddr> {
    let answer = transport.request(client, family.at(Place::Remote, SERVED), "hello")?;
    Ok(answer.client.ip())
}

fn ping(client: &Namespace, family: Family) -> Result<()> {
    let from = match family.address(Place::Remote) {
        IpAddr::V4(to) => match ping::ping(client, to, 77, "ping")? {
            Reply::Echo { from, .. } => IpAddr::V4(from),
            Reply::Error { from, what } => anyhow::bail!("{from} says {what:?}"),
        },
        IpAddr::V6(to) => match ping6::ping(client, to, 77, "ping")? {
            Reply6::Echo { from, .. } => IpAddr::V6(from),
            Reply6::Error { from, what } => anyhow::bail!("{from} says {what:?}"),
        },
    };
    ensure!(from == family.address(Place::Remote));
    Ok(())
}

#[test]
fn containers_of_a_bridge_leave_by_its_address_and_others_by_the_uplinks() -> Result<()> {
    for (offloads, native_xdp, number) in [(true, false, 0), (false, false, 1), (true, true, 1)] {
        let arguments = Family::ALL.map(|family| format!("br1={}", own(family)[number]));
        let options = Options {
            offloads,
            native_xdp,
            ..Options::default()
        };
        let scene = scene(options, &["--egress", &arguments[0], "--egress", &arguments[1]])?;
        for family in Family::ALL {
            leave_by(&scene, family, own(family)[number])?;
        }
    }
    Ok(())
}

/// The containers of the first bridge leave by `own`, that of the second by the uplink's.
fn leave_by(scene: &Scene, family: Family, own: IpAddr) -> Result<()> {
    for transport in Transport::ALL {
        for client in [&scene.lab.c1, &scene.lab.c1b] {
            let (from, moved) = scene.netmap.watch(|| seen(client, family, transport))?;
            ensure!(from == own, "{family:?} {transport:?}: {from}");
            moved
                .with_uplink_hooks_merged()
                .ensure_carried_by(&["port-in egress-out", "uplink-in egress-reply"])?;
        }
        let other = seen(&scene.lab.c2, family, transport)?;
        ensure!(other == family.address(Place::Host), "{other}");
        // What is published is so at every address of the host.
        let answer = transport.request(&scene.lab.remote, SocketAddr::new(own, PUBLISHED), "in")?;
        ensure!(answer.client.ip() == family.address(Place::Remote));
    }
    ping(&scene.lab.c1, family)
}

#[test]
fn what_the_host_forwards_by_itself_leaves_by_that_address_too() -> Result<()> {
    let scene = scene(
        Options::default(),
        &["--egress", "br1=203.0.113.7,br1=fd00:113::7"],
    )?;
    for (family, port, address) in [
        // In the first bridge's network, but not behind the bridge: no hook sees what it sends.
        (Family::V4, "vc3", "172.30.1.77"),
        (Family::V6, "vc6", "fd00:1::77"),
    ] {
        let unhooked = scene.lab.add_routed_container(port, address.parse::<IpAddr>()?)?;
        let [_, own] = own(family);
        for transport in Transport::ALL {
            let (from, moved) = scene.netmap.watch(|| seen(&unhooked, family, transport))?;
            ensure!(from == own, "{from}");
            moved.ensure_carried_by(&["uplink-out stack-egress-out", "uplink-in stack-egress-reply"])?;
        }
        ping(&unhooked, family)?;
    }
    Ok(())
}

#[test]
fn every_container_keeps_to_one_of_several_addresses() -> Result<()> {
    let arguments = Family::ALL
        .into_iter()
        .flat_map(own)
        .map(|address| format!("br1={address}"));
    let arguments = arguments.collect::<Vec<_>>().join(",");
    let scene = scene(Options::default(), &["--egress", &arguments, "--nat", "eim"])?;
    let mut containers = vec![];
    for number in 0..12_u8 {
        containers.push(scene.lab.add_container(
            &format!("p{number}"),
            "br1",
            Ipv4Addr::new(172, 30, 1, 20 + number),
            Ipv4Addr::new(172, 30, 1, 1),
        )?);
    }
    let mut all = BTreeSet::new();
    for container in &containers {
        let mut addresses = BTreeSet::new();
        for transport in Transport::ALL {
            for _ in 0..3 {
                addresses.insert(seen(container, Family::V4, transport)?);
            }
        }
        ensure!(addresses.len() == 1, "{addresses:?}");
        all.extend(addresses);
    }
    ensure!(all == BTreeSet::from(own(Family::V4)), "{all:?}");
    let six = seen(&scene.lab.c1, Family::V6, Transport::Udp)?;
    ensure!(own(Family::V6).contains(&six) && seen(&scene.lab.c1, Family::V6, Transport::Tcp)? == six);
    Ok(())
}

#[test]
fn what_waits_for_its_address_leaves_by_no_other_and_goes_when_the_address_goes() -> Result<()> {
    let scene = Scene::with_arguments(
        lab(Options::default())?,
        &["--egress", "br1=192.168.50.7,br1=fd00:50::7"],
    )?;
    for family in Family::ALL {
        let [address, _] = own(family);
        ensure!(
            scene
                .netmap
                .log()
                .contains(&format!("{address} is not an address of this host (yet)")),
            "{}",
            scene.netmap.log()
        );
        let to = family.at(Place::Remote, SERVED);
        let client = udp::Client::connected(&scene.lab.c1, to)?;
        let ((), moved) = scene.netmap.watch(|| client.send("too early"))?;
        moved.ensure_dropped_by(&["port-in no-egress-address"])?;
        // Others are not concerned.
        ensure!(seen(&scene.lab.c2, family, Transport::Tcp)? == family.address(Place::Host));

        add(&scene.lab, address)?;
        wait_for("the address is taken", || {
            Ok((seen(&scene.lab.c1, family, Transport::Udp).ok() == Some(address)).then_some(()))
        })?;
        let mut connection = tcp::Client::connect(&scene.lab.c1, to)?;
        ensure!(connection.ask("one")?.client.ip() == address);
        let flows = |scene: &Scene| -> Result<usize> {
            let flows = scene.netmap.flows()?;
            let source = address.to_string();
            Ok(flows
                .iter()
                .filter(|flow| flow["translated"]["src"] == source.as_str())
                .count())
        };
        ensure!(flows(&scene)? > 0);

        remove(&scene.lab, address)?;
        wait_for("its flows were ended", || Ok((flows(&scene)? == 0).then_some(())))?;
        let client = udp::Client::connected(&scene.lab.c1, to)?;
        let ((), moved) = scene.netmap.watch(|| client.send("too late"))?;
        moved.ensure_dropped_by(&["port-in no-egress-address"])?;
        ensure!(client.receive(std::time::Duration::from_millis(100))?.is_none());
    }
    Ok(())
}

#[test]
fn routers_and_closed_ports_are_heard_at_the_bridges_address() -> Result<()> {
    let scene = scene(
        Options::default(),
        &["--egress", "br1=203.0.113.7,br1=fd00:113::7"],
    )?;
    for family in Family::ALL {
        let closed = SocketAddr::new(family.address(Place::Remote), 9);
        let client = udp::Client::connected(&scene.lab.c1, closed)?;
        let (error, moved) = scene.netmap.watch(|| {
            client.try_send(b"is anybody there?")?;
            client
                .receive(DEADLINE)
                .err()
                .context("nobody said that the port is closed")
        })?;
        ensure!(error.to_string().contains("Connection refused"), "{error:#}");
        moved.ensure_carried_by(&["port-in egress-out", "uplink-in icmp-error"])?;
    }
    Ok(())
}

#[test]
fn a_container_traces_its_way_with_the_bridges_address() -> Result<()> {
    let scene = scene(
        Options::default(),
        &["--egress", "br1=192.168.50.7,br1=fd00:50::7"],
    )?;
    let remote = &scene.lab.remote;
    remote.sysctl("ipv4/ip_forward", "1")?;
    remote.sysctl("ipv6/conf/all/forwarding", "1")?;
    remote.batch(
        "link add far0 type veth peer name far1\n\
         addr add 10.88.0.1/24 dev far0\n\
         addr add fd00:88::1/64 dev far0 nodad\n\
         link set far1 up\n\
         link set far0 up\n",
    )?;
    let pinger = Pinger::new(&scene.lab.c1, 5)?;
    pinger.set_ttl(2)?;
    let (reply, moved) = scene.netmap.watch(|| {
        pinger.send(Ipv4Addr::new(10, 88, 0, 2), 1, "where am I?")?;
        pinger.reply(1, "where am I?")
    })?;
    ensure!(
        matches!(reply, Reply::Error { from, what: Icmpv4Type::TimeExceeded(_) } if from == topology::REMOTE),
        "{reply:?}"
    );
    moved.ensure_carried_by(&["port-in egress-out", "uplink-in icmp-error"])?;
    let pinger = Pinger6::new(&scene.lab.c1, 5)?;
    pinger.set_hops(2)?;
    let (reply, moved) = scene.netmap.watch(|| {
        pinger.send(Ipv6Addr::new(0xfd00, 0x88, 0, 0, 0, 0, 0, 2), 1, "where am I?")?;
        pinger.reply(1, "where am I?")
    })?;
    ensure!(
        matches!(reply, Reply6::Error { from, what: Icmpv6Type::TimeExceeded(_) } if from == ipv6::REMOTE),
        "{reply:?}"
    );
    moved.ensure_carried_by(&["port-in egress-out", "uplink-in icmp-error"])?;
    Ok(())
}
