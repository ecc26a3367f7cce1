//! The daemon comes and goes; the data plane stays until `netmap down`, which leaves nothing.

use std::{fs, io::ErrorKind, net::SocketAddrV4, time::Duration};

use anyhow::{Context as _, Result, ensure};
use netmap_tests::{
    Family, Namespace, Options, Place, SILENCE, Scene, command,
    rows::{self, ROWS, ROWS6},
    scene::{self, Transport},
    tcp,
    topology::{C1, HOST, REMOTE},
    udp,
};

const PUBLISHED: SocketAddrV4 = SocketAddrV4::new(HOST, 8_080);

#[test]
fn the_data_plane_outlives_its_daemon() -> Result<()> {
    outlive(false)
}

#[test]
fn the_data_plane_outlives_its_daemon_by_accident() -> Result<()> {
    outlive(true)
}

/// The daemon is stopped, or killed, and another one comes.
fn outlive(accident: bool) -> Result<()> {
    let mut scene = Scene::with(Options {
        ipv6: true,
        ..Options::default()
    })?;
    let before = scene.netmap.ports()?;
    let mut clients = Vec::new();
    for family in Family::ALL {
        let at = family.at(Place::Host, scene::PUBLISHED);
        let mut connection = tcp::Client::connect(&scene.lab.remote, at)?;
        let session = udp::Client::connected(&scene.lab.remote, at)?;
        let seen = (connection.ask("before")?.client, session.ask("before")?.client);
        clients.push((connection, session, seen));
    }
    if accident {
        scene.netmap.kill()?;
    } else {
        let status = scene.netmap.stop()?;
        ensure!(status.success(), "SIGTERM ended it with {status}");
    }
    for (connection, session, seen) in &mut clients {
        ensure!((connection.ask("without")?.client, session.ask("without")?.client) == *seen);
    }
    scene.netmap.settle()?;
    // Without the proxy's row.
    for row in ROWS.iter().chain(ROWS6) {
        Transport::ALL
            .iter()
            .try_for_each(|transport| row.check(&scene, *transport))?;
    }
    ensure!(
        scene.netmap.ports()? == before,
        "read-only commands need no daemon"
    );
    scene.netmap.flows()?;
    scene
        .netmap
        .refused(&["publish", "8081:80/tcp", "--to", "172.30.1.2"], 1)?;

    scene.netmap.run()?;
    ensure!(scene.netmap.ports()? == before);
    for (mut connection, session, seen) in clients {
        ensure!((connection.ask("after")?.client, session.ask("after")?.client) == seen);
        connection.finish()?;
    }
    scene.netmap.settle()?;
    rows::check_all(&scene)?;
    scene.publish_c1("8081:80")?;
    scene.netmap.unpublish("8080/tcp")?;
    for family in Family::ALL {
        let at = family.at(Place::Host, 8_081);
        tcp::request(&scene.lab.remote, at, "published by the second daemon")?;
        let at = family.at(Place::Host, scene::PUBLISHED);
        let error = tcp::connect(&scene.lab.remote, None, at, SILENCE)?.err();
        ensure!(error.map(|error| error.kind()) == Some(ErrorKind::ConnectionRefused));
    }
    Ok(())
}

#[test]
fn down_leaves_nothing() -> Result<()> {
    let mut scene = Scene::new()?;
    let untouched = configuration(&netmap_tests::Lab::new()?.host)?;
    rows::check_all(&scene)?;
    scene.netmap.stop()?;
    scene.netmap.down()?;

    ensure!(
        !scene.netmap.pins().exists(),
        "{} is still there",
        scene.netmap.pins().display()
    );
    ensure!(
        !scene.netmap.socket().exists(),
        "{} is still there",
        scene.netmap.socket().display()
    );
    let processes = fs::read_to_string(scene.netmap.cgroup().join("cgroup.procs"))?;
    ensure!(processes.is_empty(), "processes are left: {processes}");
    let left = configuration(&scene.lab.host)?;
    ensure!(
        left == untouched,
        "netmap left this behind:\n{left}\nwhere an untouched host has:\n{untouched}"
    );

    for client in [&scene.lab.remote, &scene.lab.host, &scene.lab.c2] {
        let error = tcp::connect(client, None, PUBLISHED, SILENCE)?
            .err()
            .map(|error| error.kind());
        ensure!(
            error == Some(ErrorKind::ConnectionRefused),
            "{error:?} from {}",
            client.name()
        );
    }
    // Nothing translates any more: the remote host sees the container itself.
    ensure!(
        tcp::request(&scene.lab.c1, SocketAddrV4::new(REMOTE, 80), "routed")?
            .client
            .ip()
            == C1
    );

    scene.netmap.run()?;
    ensure!(scene.netmap.ports()?.is_empty(), "rules outlived `netmap down`");
    scene.publish_both("8080:80", C1)?;
    rows::check_all(&scene)
}

#[test]
fn down_stops_the_daemon_first() -> Result<()> {
    let mut scene = Scene::new()?;
    scene.netmap.down()?;
    let status = scene.netmap.stop()?;
    ensure!(status.success(), "the daemon ended with {status}");
    ensure!(
        !scene.netmap.pins().exists(),
        "the daemon pinned again what `netmap down` had removed"
    );
    ensure!(!scene.netmap.socket().exists());
    scene
        .netmap
        .down()
        .context("where there is nothing, nothing is to be done")
}

#[test]
fn an_interface_that_goes_and_comes_back_is_served_again() -> Result<()> {
    let mut scene = Scene::new()?;
    scene.lab.host.batch("link del vc1b\n")?;
    tcp::request(&scene.lab.remote, PUBLISHED, "without a neighbour")?;
    scene.netmap.restart()?;
    let again = scene
        .lab
        .add_container("vc1b", "br1", [172, 30, 1, 3].into(), [172, 30, 1, 1].into())?;
    netmap_tests::wait_for("the port is hooked again", || {
        let (answer, moved) = scene.netmap.watch(|| tcp::request(&again, PUBLISHED, "back"))?;
        let carried = moved.carried() == ["port-in hairpin-in", "port-in hairpin-reply"];
        Ok((carried && answer.client.ip() == netmap_tests::topology::C1B).then_some(()))
    })
}

#[test]
fn the_ready_line_comes_when_packets_are_carried() -> Result<()> {
    let scene = Scene::new()?;
    ensure!(!scene.netmap.ready_line().trim().is_empty());
    let connected = tcp::connect(&scene.lab.remote, None, PUBLISHED, Duration::from_millis(900))?;
    ensure!(connected.is_ok(), "{connected:?}");
    Ok(())
}

/// What netmap could leave in a host's network: queueing disciplines, filters, firewall rules, settings.
fn configuration(host: &Namespace) -> Result<String> {
    let mut all = command::line(&format!("tc -n {} qdisc show", host.name()))?;
    for interface in ["up0", "br1", "br2", "vc1", "vc1b", "vc2"] {
        for direction in ["ingress", "egress"] {
            all += &command::line(&format!(
                "tc -n {} filter show dev {interface} {direction}",
                host.name()
            ))
            .unwrap_or_default();
        }
    }
    all += &host.line("nft list ruleset")?;
    for setting in [
        "ipv4/ip_local_reserved_ports",
        "ipv4/conf/all/route_localnet",
        "ipv4/ip_forward",
    ] {
        all += &host.try_run(|| fs::read_to_string(format!("/proc/sys/net/{setting}")))?;
    }
    Ok(all)
}
