//! Launcher, proxies and daemon end and start, in good order and by accident.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use netmap_tests::{
    Family, Launcher, Netmap, Place, Scene,
    rows::check_all,
    scene::{PUBLISHED, SERVED, Transport},
    tcp, udp, wait_for,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{bind, ensure_contains, ports, publish_all, scene, wait_for_owner, web};

/// A TCP connection and a UDP session from outside, through port 8080, which say the same whatever happens.
struct Clients {
    connection: tcp::Client,
    session: udp::Client,
    seen: (SocketAddr, SocketAddr),
}

impl Clients {
    fn new(scene: &Scene) -> Result<Self> {
        let at = Family::V4.at(Place::Host, PUBLISHED);
        let mut connection = tcp::Client::connect(&scene.lab.remote, at)?;
        let session = udp::Client::connected(&scene.lab.remote, at)?;
        let seen = (connection.ask("first")?.client, session.ask("first")?.client);
        Ok(Self {
            connection,
            session,
            seen,
        })
    }

    fn go_on(&mut self, when: &str) -> Result<()> {
        let seen = (self.connection.ask(when)?.client, self.session.ask(when)?.client);
        ensure!(seen == self.seen, "{when}: {seen:?}, not {:?}", self.seen);
        Ok(())
    }
}

/// The generations of all rules: a flow goes on as long as its rule's does.
fn generations(netmap: &Netmap) -> Result<Vec<(String, u64)>> {
    let ports = netmap.ports()?;
    let generation = |port: &serde_json::Value| {
        let name = format!("{}:{}/{}", port["host"], port["port"], port["protocol"]);
        Some((name, port["generation"].as_u64()?))
    };
    ports
        .iter()
        .map(|port| generation(port).context("no generation"))
        .collect()
}

#[test]
fn an_engine_that_dies_leaves_its_ports_carried_and_the_next_one_takes_them_over() -> Result<()> {
    for has_socket in [true, false] {
        let scene = scene(true)?;
        let ports = ports(has_socket);
        let mut engine = Launcher::start(&scene.netmap)?;
        publish_all(&mut engine, &ports)?;
        let mut clients = Clients::new(&scene)?;
        let before = generations(&scene.netmap)?;

        engine.kill()?;
        wait_for_owner(&scene.netmap, "docker (unclaimed)", ports.len())?;
        clients.go_on("without an engine")?;
        scene.netmap.settle()?;
        check_all(&scene)?;
        let listed = scene.netmap.done(&["ports"])?;
        ensure_contains(&listed, &["docker (unclaimed)"])?;

        // It binds its ports anew, before it starts the first proxy.
        let mut engine = Launcher::start(&scene.netmap)?;
        publish_all(&mut engine, &ports)?;
        wait_for_owner(&scene.netmap, "docker", ports.len())?;
        ensure!(generations(&scene.netmap)? == before);
        clients.go_on("with the next engine")?;
        scene.netmap.settle()?;
        check_all(&scene)?;
        ensure!(
            bind(&scene.netmap, "tcp", "0.0.0.0:8080").is_some(),
            "nobody keeps the port"
        );
        for port in &ports {
            engine.unpublish(port)?;
        }
        ensure!(scene.netmap.ports()?.is_empty());
    }
    Ok(())
}

#[test]
fn the_next_engine_may_have_another_container_there() -> Result<()> {
    let mut scene = scene(true)?;
    let c2 = Family::V4.at(Place::C2, SERVED);
    scene.serve(&scene.lab.c2.clone(), c2)?;
    let mut engine = Launcher::start(&scene.netmap)?;
    engine.publish(&web().with_socket())?;
    engine.kill()?;
    wait_for_owner(&scene.netmap, "docker (unclaimed)", 1)?;

    let mut engine = Launcher::start(&scene.netmap)?;
    let mut other = web().with_socket();
    other.container = c2;
    engine.publish(&other)?;
    let at = Family::V4.at(Place::Host, PUBLISHED);
    let answer = tcp::request(&scene.lab.remote, at, "whoever is there")?;
    ensure!(answer.local == c2, "{answer:?}");
    ensure!(
        answer.client.ip() == Family::V4.address(Place::Remote),
        "{answer:?}"
    );
    wait_for_owner(&scene.netmap, "docker", 1)
}

#[test]
fn a_rule_that_nobody_claims_makes_way_for_another_address_of_the_port() -> Result<()> {
    let scene = scene(true)?;
    let mut engine = Launcher::start(&scene.netmap)?;
    engine.publish(&web())?;
    engine.kill()?;
    wait_for_owner(&scene.netmap, "docker (unclaimed)", 1)?;
    let mut engine = Launcher::start(&scene.netmap)?;
    let mut narrow = web().with_socket();
    narrow.host = Family::V4.at(Place::Host, PUBLISHED);
    engine.publish(&narrow)?;
    let ports = scene.netmap.ports()?;
    ensure!(
        ports.len() == 1 && ports[0]["host"] == "192.168.50.2",
        "{ports:?}"
    );
    Ok(())
}

#[test]
fn a_daemon_that_is_started_anew_hears_of_every_port_and_touches_no_flow() -> Result<()> {
    for (has_socket, accident) in [(true, true), (false, true), (true, false)] {
        let mut scene = scene(true)?;
        let ports = ports(has_socket);
        let mut engine = Launcher::start(&scene.netmap)?;
        publish_all(&mut engine, &ports)?;
        let mut clients = Clients::new(&scene)?;
        let before = generations(&scene.netmap)?;
        if accident {
            scene.netmap.kill()?;
        } else {
            scene.netmap.stop()?;
        }
        clients.go_on("without a daemon")?;
        scene.netmap.run()?;
        clients.go_on("with the next daemon")?;
        wait_for_owner(&scene.netmap, "docker", ports.len())?;
        ensure!(generations(&scene.netmap)? == before);
        scene.netmap.settle()?;
        check_all(&scene)?;
        clients.go_on("at last")?;
        for port in &ports {
            ensure!(engine.unpublish(port)?.0 == Some(0));
        }
        ensure!(scene.netmap.ports()?.is_empty());
    }
    Ok(())
}

#[test]
fn ports_come_back_after_everything_was_taken_down() -> Result<()> {
    let mut scene = scene(true)?;
    let ports = ports(true);
    let mut engine = Launcher::start(&scene.netmap)?;
    publish_all(&mut engine, &ports)?;
    scene.netmap.stop()?;
    scene.netmap.down()?;
    scene.netmap.run()?;
    wait_for_owner(&scene.netmap, "docker", ports.len())?;
    check_all(&scene)
}

#[test]
fn a_port_that_is_taken_back_while_the_daemon_is_away_is_gone_when_it_is_back() -> Result<()> {
    let mut scene = scene(true)?;
    let ports = ports(true);
    let mut engine = Launcher::start(&scene.netmap)?;
    publish_all(&mut engine, &ports)?;
    scene.netmap.kill()?;
    for port in &ports {
        let (code, took) = engine.unpublish(port)?;
        ensure!(
            code == Some(0) && took < Duration::from_secs(2),
            "{code:?} after {took:?}"
        );
    }
    ensure!(
        scene.netmap.ports()?.len() == ports.len(),
        "nobody is there to take them back"
    );
    scene.netmap.run()?;
    ensure!(scene.netmap.ports()?.is_empty(), "{:?}", scene.netmap.ports()?);
    ensure_contains(&scene.netmap.log(), &["while netmap was away"])?;
    publish_all(&mut engine, &ports)?;
    check_all(&scene)
}

#[test]
fn a_proxy_that_is_killed_leaves_its_port_carried() -> Result<()> {
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        let scene = scene(true)?;
        let mut engine = Launcher::start(&scene.netmap)?;
        let proxy = engine.publish(&web().with_socket())?;
        let at = Family::V4.at(Place::Host, PUBLISHED);
        let mut client = tcp::Client::connect(&scene.lab.remote, at)?;
        client.ask("before")?;
        kill(Pid::from_raw(proxy.try_into()?), signal)?;
        wait_for_owner(&scene.netmap, "docker (unclaimed)", 1)?;
        client.ask("after")?;
        // The engine's own word counts still, whoever brings it.
        let mut again = web().with_socket();
        again.name = "again".to_owned();
        engine.publish(&again)?;
        wait_for_owner(&scene.netmap, "docker", 1)?;
        engine.unpublish(&again)?;
        ensure!(scene.netmap.ports()?.is_empty());
    }
    Ok(())
}

#[test]
fn an_operator_may_take_an_engines_port_back_until_its_container_starts_again() -> Result<()> {
    let scene = scene(true)?;
    let mut engine = Launcher::start(&scene.netmap)?;
    engine.publish(&web().with_socket())?;
    let said = scene.netmap.cli(&["unpublish", "0.0.0.0:8080"])?;
    ensure!(said.status.success());
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    ensure_contains(&said, &["0.0.0.0:8080/tcp was docker's", "stop the container"])?;
    ensure!(scene.netmap.ports()?.is_empty());
    ensure!(engine.unpublish(&web())?.0 == Some(0));
    engine.publish(&web().with_socket())?;
    wait_for_owner(&scene.netmap, "docker", 1)
}

#[test]
fn a_container_that_moves_takes_its_port_along() -> Result<()> {
    // As `docker network connect` does it: the old proxy is stopped, and a new one started.
    let mut scene = scene(true)?;
    let c2 = Family::V4.at(Place::C2, SERVED);
    scene.serve(&scene.lab.c2.clone(), c2)?;
    let mut engine = Launcher::start(&scene.netmap)?;
    for transport in Transport::ALL {
        let mut port = web();
        transport.name().clone_into(&mut port.proto);
        transport.name().clone_into(&mut port.name);
        engine.publish(&port)?;
        let at = Family::V4.at(Place::Host, PUBLISHED);
        let session = udp::Client::connected(&scene.lab.remote, at)?;
        if transport == Transport::Udp {
            session.ask("at the old place")?;
        }
        engine.unpublish(&port)?;
        port.container = c2;
        engine.publish(&port)?;
        let answer = transport.request(&scene.lab.remote, at, "at the new place")?;
        ensure!(answer.local == c2, "{answer:?}");
        if transport == Transport::Udp {
            // A client that goes on sending.
            let answer = wait_for("the session is led to the new place", || {
                Ok(session.ask("still here").ok().filter(|answer| answer.local == c2))
            })?;
            ensure!(answer.client.ip() == Family::V4.address(Place::Remote));
        }
    }
    Ok(())
}
