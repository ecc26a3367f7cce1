//! Where what is published is reached from outside: by the uplinks and at the addresses that it may, whatever is asked for.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use anyhow::{Context as _, Result, ensure};
use netmap_tests::{
    Family, Lab, Moved, Namespace, Netmap, Options, Place, SILENCE, Scene,
    ipv6::{self, by_link},
    scene::{PUBLISHED, Transport},
    tcp, topology, udp, wait_for,
};

/// The host's other addresses, where it is published.
const OPEN: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 22);
const OPEN6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x50, 0, 0, 0, 0, 0, 0x22);
const DROPPED: &str = "uplink-in not-published-here";

fn lab(native_xdp: bool) -> Result<Lab> {
    let lab = Lab::with(Options {
        ipv6: true,
        native_xdp,
        ..Options::default()
    })?;
    lab.host.batch(&format!(
        "addr add {OPEN}/24 dev up0\naddr add {OPEN6}/64 dev up0 nodad\n"
    ))?;
    Ok(lab)
}

fn open(family: Family) -> IpAddr {
    match family {
        Family::V4 => OPEN.into(),
        Family::V6 => OPEN6.into(),
    }
}

/// A published port of this address.
fn at(address: impl Into<IpAddr>) -> SocketAddr {
    SocketAddr::new(address.into(), PUBLISHED)
}

/// Tries both transports, in vain, and says what moved.
fn attempt(netmap: &Netmap, from: &Namespace, to: SocketAddr) -> Result<Moved> {
    let ((), moved) = netmap.watch(|| {
        let connected = tcp::connect(from, None, to, SILENCE)?;
        ensure!(
            connected.is_err_and(|error| error.kind() == ErrorKind::TimedOut),
            "TCP to {to} is no silence"
        );
        let socket = udp::Client::connected(from, to)?;
        socket.send("nobody answers")?;
        ensure!(socket.receive(SILENCE)?.is_none(), "UDP to {to} is answered");
        Ok(())
    })?;
    Ok(moved)
}

fn ensure_reached(from: &Namespace, to: SocketAddr) -> Result<()> {
    for transport in Transport::ALL {
        transport
            .request(from, to, "published")
            .with_context(|| format!("{} to {to}", transport.name()))?;
    }
    Ok(())
}

#[test]
fn an_address_that_is_not_named_is_closed_to_the_outside_and_to_nobody_else() -> Result<()> {
    for native_xdp in [false, true] {
        let (open4, open6) = (OPEN.to_string(), format!("{OPEN6}/128"));
        let scene = Scene::with_arguments(
            lab(native_xdp)?,
            &["--publish-on", &open4, "--publish-on", &open6],
        )?;
        for family in Family::ALL {
            let host = family.at(Place::Host, PUBLISHED);
            let moved = attempt(&scene.netmap, &scene.lab.remote, host)?;
            moved.ensure_dropped_by(&[DROPPED])?;
            ensure!(moved.packets("socket proxied") == 0, "{moved}");
            // The container's gateway is an address of the host as well.
            attempt(
                &scene.netmap,
                &scene.lab.remote,
                family.at(Place::Gateway1, PUBLISHED),
            )?
            .ensure_dropped_by(&[DROPPED])?;
            ensure_reached(&scene.lab.remote, at(open(family)))?;
            for inside in [&scene.host, &*scene.lab.c1, &scene.lab.c1b, &scene.lab.c2] {
                ensure_reached(inside, host)?;
            }
            ensure_reached(&scene.host, family.at(Place::Localhost, PUBLISHED))?;
        }
    }
    Ok(())
}

#[test]
fn what_the_proxy_carries_is_closed_alike() -> Result<()> {
    let open4 = OPEN.to_string();
    let scene = Scene::with_arguments(lab(false)?, &["--publish-on", &open4])?;
    // The container has no IPv6, so that the proxy would serve; nor has who comes by a link-local address.
    let v4_only = SocketAddr::new(ipv6::HOST.into(), netmap_tests::scene::V4_ONLY);
    let by_link = by_link(&scene.lab.remote, "eth0", ipv6::HOST_LINK, PUBLISHED)?;
    for to in [v4_only, by_link.into()] {
        let moved = attempt(&scene.netmap, &scene.lab.remote, to)?;
        moved.ensure_dropped_by(&[DROPPED])?;
        ensure!(moved.packets("socket proxied") == 0, "{to}: {moved}");
    }
    ensure_reached(&scene.host, v4_only)?;

    // By an interface that netmap knows nothing of.
    let other = scene
        .lab
        .add_routed_container("other0", Ipv4Addr::new(172, 31, 0, 9))?;
    let host = at(topology::HOST);
    let (connected, moved) = scene.netmap.watch(|| tcp::connect(&other, None, host, SILENCE))?;
    ensure!(connected.is_err(), "the proxy serves who comes by other0");
    ensure!(moved.packets("socket not-published-here") > 0, "{moved}");
    ensure!(moved.packets("socket proxied") == 0, "{moved}");
    tcp::request(&other, at(OPEN), "an open address")?;
    Ok(())
}

#[test]
fn an_uplink_that_is_named_is_open_at_every_address_and_the_restriction_is_told() -> Result<()> {
    let scene = Scene::with_arguments(lab(false)?, &["--publish-on", "up0"])?;
    for family in Family::ALL {
        ensure_reached(&scene.lab.remote, family.at(Place::Host, PUBLISHED))?;
    }
    let output = scene.netmap.cli(&["publish", "9000:80", "--to", "172.30.1.2"])?;
    ensure!(output.stderr.is_empty(), "{output:?}");
    drop(scene);

    let open4 = OPEN.to_string();
    let scene = Scene::with_arguments(lab(false)?, &["--publish-on", &open4])?;
    let said = |spec: &str| -> Result<String> {
        let output = scene.netmap.cli(&["publish", spec, "--to", "172.30.1.2"])?;
        ensure!(output.status.success(), "{output:?}");
        Ok(String::from_utf8(output.stderr)?)
    };
    let anywhere = said("9000:80")?;
    ensure!(
        anywhere.contains("publishing is restricted to 192.168.50.22 (--publish-on)"),
        "{anywhere}"
    );
    let closed = said(&format!("{}:9001:80", topology::HOST))?;
    ensure!(
        closed.contains("is reached by this host and its containers only"),
        "{closed}"
    );
    ensure!(said(&format!("{OPEN}:9002:80"))?.is_empty());
    Ok(())
}

#[test]
fn flows_end_where_it_is_closed_and_an_address_that_comes_later_is_what_it_should_be() -> Result<()> {
    let mut scene = Scene::with_arguments(lab(false)?, &[])?;
    let host = at(topology::HOST);
    ensure_reached(&scene.lab.remote, host)?;
    scene.netmap.stop()?;
    let mut arguments = scene
        .netmap
        .arguments()
        .into_iter()
        .map(str::to_owned)
        .collect::<Vec<_>>();
    arguments.extend(["--publish-on".to_owned(), "192.168.50.128/25".to_owned()]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    scene.netmap.set_arguments(&arguments);
    scene.netmap.run()?;
    wait_for("flows to a closed address are ended", || {
        let is_open = scene
            .netmap
            .flows()?
            .iter()
            .any(|flow| flow["kind"] == "published");
        Ok((!is_open).then_some(()))
    })?;
    attempt(&scene.netmap, &scene.lab.remote, host)?.ensure_dropped_by(&[DROPPED])?;
    for (later, is_open) in [
        (Ipv4Addr::new(192, 168, 50, 129), true),
        (Ipv4Addr::new(192, 168, 50, 23), false),
    ] {
        let before = scene.netmap.json("status")?["tables"]["addresses"]["entries"].clone();
        scene.lab.host.batch(&format!("addr add {later}/24 dev up0\n"))?;
        wait_for("the address is known", || {
            let now = scene.netmap.json("status")?["tables"]["addresses"]["entries"].clone();
            Ok((now != before).then_some(()))
        })?;
        if is_open {
            ensure_reached(&scene.lab.remote, at(later))?;
        } else {
            attempt(&scene.netmap, &scene.lab.remote, at(later))?.ensure_dropped_by(&[DROPPED])?;
        }
    }
    Ok(())
}
