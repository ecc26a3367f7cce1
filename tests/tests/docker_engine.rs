//! A container engine is followed: its networks are managed and its containers named as they come and go, and nothing
//! happens to anybody's connections when it goes away, comes back or talks nonsense.

use std::{net::SocketAddrV4, path::PathBuf};

use anyhow::{Result, ensure};
use netmap_tests::{
    Lab, Namespace, Netmap, SILENCE,
    engine::{Engine, Mood},
    tcp,
    topology::{C1, C1B, C2, HOST, REMOTE},
    udp, wait_for,
};

const OUTSIDE: SocketAddrV4 = SocketAddrV4::new(REMOTE, 80);

/// A host whose engine has network `front` on br1, and nothing on br2.
struct Scene {
    netmap: Netmap,
    engine: Engine,
    lab: Lab,
    _server: (tcp::Server, udp::Server),
}

impl Scene {
    fn new() -> Result<Self> {
        Self::with(|engine, _| {
            engine.put_network("front", "br1", &[], false);
            engine.start()
        })
    }

    fn with(prepare: impl FnOnce(&mut Engine, &Lab) -> Result<()>) -> Result<Self> {
        let lab = Lab::new()?;
        let socket = engine_socket(&lab);
        let mut engine = Engine::new(&socket);
        prepare(&mut engine, &lab)?;
        let docker = format!("--docker={}", socket.display());
        Ok(Self {
            netmap: Netmap::start_with(&lab, &["--uplink", "up0", &docker])?,
            engine,
            _server: (
                tcp::Server::start(&lab.remote, OUTSIDE)?,
                udp::Server::start(&lab.remote, OUTSIDE)?,
            ),
            lab,
        })
    }
}

/// Waits until the remote machine sees a container under this address.
fn wait_until_seen(container: &Namespace, address: std::net::Ipv4Addr) -> Result<()> {
    wait_for(&format!("{} is seen as {address}", container.name()), || {
        let client = udp::Client::connected(container, OUTSIDE)?;
        client.send("who am I")?;
        // What leaves while its network is taken over or let go has no answer.
        let answer = client.receive(SILENCE)?;
        Ok(answer.filter(|answer| answer.client.ip() == address).map(drop))
    })
}

fn engine_socket(lab: &Lab) -> PathBuf {
    std::env::temp_dir().join(format!("engine-{}.sock", lab.name()))
}

#[test]
fn networks_are_managed_as_they_come_and_go() -> Result<()> {
    let scene = Scene::new()?;
    ensure!(
        scene.netmap.ready_line().contains("bridges br1;"),
        "{}",
        scene.netmap.ready_line()
    );
    wait_until_seen(&scene.lab.c1, HOST)?;
    // Nobody manages that bridge: the host routes, as it did before.
    wait_until_seen(&scene.lab.c2, C2)?;

    scene.engine.add_network("back", "br2");
    wait_until_seen(&scene.lab.c2, HOST)?;
    scene.engine.remove_network("front");
    wait_until_seen(&scene.lab.c1, C1)?;
    wait_until_seen(&scene.lab.c2, HOST)?;

    // One that the host does not have yet is waited for, and not missed.
    scene.engine.add_network("later", "br7");
    scene.engine.add_network("front", "br1");
    wait_until_seen(&scene.lab.c1, HOST)?;
    ensure!(scene.netmap.json("status")?["missing_interfaces"] == serde_json::json!([]));
    Ok(())
}

#[test]
fn an_internal_network_stays_inside_and_a_plain_one_keeps_its_addresses() -> Result<()> {
    let plain = [("bridge.enable_ip_masquerade", "false")];
    let scene = Scene::with(|engine, _| {
        engine.put_network("inside", "br1", &[], true);
        engine.put_network("plain", "br2", &plain, false);
        engine.start()
    })?;
    let (answer, moved) = scene
        .netmap
        .watch(|| tcp::connect(&scene.lab.c1, None, OUTSIDE, SILENCE))?;
    ensure!(
        answer.is_err(),
        "an internal network's container reached the outside"
    );
    moved.ensure_dropped_by(&["port-in internal-network"])?;
    // The host and a neighbour are no outside.
    let neighbour = tcp::Server::start(&scene.lab.c1b, SocketAddrV4::new(C1B, 80))?;
    tcp::request(&scene.lab.c1, SocketAddrV4::new(C1B, 80), "neighbour")?;
    drop(neighbour);

    let (answer, moved) = scene
        .netmap
        .watch(|| tcp::request(&scene.lab.c2, OUTSIDE, "plain"))?;
    ensure!(answer.client.ip() == C2, "seen as {}", answer.client);
    moved.ensure_includes(&[
        "port-in not-masqueraded",
        "uplink-out stack-egress-out",
        "uplink-in stack-egress-reply",
    ])?;
    // Answers come in; what nobody asked for does not.
    let ((), moved) = scene
        .netmap
        .watch(|| udp::Client::connected(&scene.lab.remote, SocketAddrV4::new(C2, 5353))?.send("unasked"))?;
    moved.ensure_dropped_by(&["uplink-in direct-access"])
}

#[test]
fn connections_live_on_while_the_engine_and_netmap_come_and_go() -> Result<()> {
    let mut scene = Scene::new()?;
    let mut client = tcp::Client::connect(&scene.lab.c1, OUTSIDE)?;
    let seen = client.ask("before")?.client;
    ensure!(seen.ip() == HOST);

    scene.engine.stop();
    client.ask("without an engine")?;
    scene.netmap.restart()?;
    ensure!(client.ask("a new netmap without an engine")?.client == seen);
    wait_until_seen(&scene.lab.c1, HOST)?;
    scene.netmap.kill()?;
    scene.netmap.run()?;
    ensure!(client.ask("another")?.client == seen);

    scene.engine.put_network("back", "br2", &[], false);
    scene.engine.start()?;
    // It is looked for again, and tells what came meanwhile.
    wait_until_seen(&scene.lab.c2, HOST)?;
    ensure!(client.ask("with the engine again")?.client == seen);

    // Without a restart: the stream alone breaks.
    scene
        .engine
        .put_network("front", "br1", &[("bridge.enable_icc", "false")], false);
    scene.engine.cut();
    wait_for("the events are listened to again", || {
        Ok((scene.engine.listeners() == 1).then_some(()))
    })?;
    scene.engine.remove_network("back");
    wait_until_seen(&scene.lab.c2, C2)?;
    ensure!(client.ask("after all")?.client == seen);
    client.finish()
}

#[test]
fn an_engine_that_talks_nonsense_changes_nothing_and_is_complained_about_once() -> Result<()> {
    let scene = Scene::new()?;
    let mut client = tcp::Client::connect(&scene.lab.c1, OUTSIDE)?;
    let seen = client.ask("before")?.client;
    for mood in [Mood::Babbling, Mood::Lying, Mood::HangingUp] {
        let before = scene.engine.asked().len();
        let warned = scene.netmap.log().matches("WARN").count();
        scene.engine.be(mood);
        scene.engine.remove_network("no such");
        wait_for("it was asked again and again", || {
            Ok((scene.engine.asked().len() > before + 9).then_some(()))
        })?;
        ensure!(client.ask("during")?.client == seen);
        wait_until_seen(&scene.lab.c1, HOST)?;
        let warnings = scene.netmap.log().matches("WARN").count() - warned;
        ensure!(warnings == 1, "{mood:?}: {warnings} warnings");

        scene.engine.be(Mood::Sane);
        scene.engine.put_network("back", "br2", &[], false);
        wait_until_seen(&scene.lab.c2, HOST)?;
        wait_for("the events are listened to", || {
            Ok((scene.engine.listeners() == 1).then_some(()))
        })?;
        scene.engine.remove_network("back");
        wait_until_seen(&scene.lab.c2, C2)?;
    }
    client.finish()
}

#[test]
fn containers_are_called_by_their_names_while_the_daemon_runs() -> Result<()> {
    let mut scene = Scene::with(|engine, _| {
        engine.put_network("front", "br1", &[], false);
        engine.put_container("web", "front", C1, &[]);
        engine.start()
    })?;
    scene.netmap.publish("9090:80", C1)?;
    let named = |netmap: &Netmap| -> Result<Vec<(String, String)>> {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or("-").to_owned();
        let ports = netmap.ports()?.into_iter();
        Ok(ports
            .map(|row| (text(&row["container_name"]), text(&row["network"])))
            .collect())
    };
    let web = ("web".to_owned(), "front".to_owned());
    ensure!(
        named(&scene.netmap)? == [web.clone(), web],
        "{:?}",
        named(&scene.netmap)?
    );
    scene.engine.remove_container("web");
    scene.engine.add_container("other", "front", C1, &[]);
    wait_for("the new container is named", || {
        Ok((named(&scene.netmap)?.iter().all(|(name, _)| name == "other")).then_some(()))
    })?;
    scene.netmap.stop()?;
    ensure!(
        named(&scene.netmap)?
            .iter()
            .all(|(name, network)| name == "-" && network == "-")
    );
    Ok(())
}

#[test]
fn what_containers_publish_follows_them_to_another_address_and_ends_with_them() -> Result<()> {
    let scene = Scene::new()?;
    let (host, lab) = (SocketAddrV4::new(HOST, 8080), &scene.lab);
    let ports = [
        ("80/tcp", "0.0.0.0", "8080"),
        ("80/udp", "0.0.0.0", "8080"),
        ("443/tcp", "::", "8443"),
    ];
    let _servers = [(&lab.c1, C1), (&lab.c1b, C1B)].map(|(container, address)| {
        let at = SocketAddrV4::new(address, 80);
        (
            tcp::Server::start(container, at),
            udp::Server::start(container, at),
        )
    });
    scene.engine.add_container("web", "front", C1, &ports);
    wait_for("the ports are published", || {
        Ok((scene.netmap.ports()?.len() == 3).then_some(()))
    })?;
    let rows = scene.netmap.ports()?;
    ensure!(
        rows.iter()
            .all(|row| row["owner"] == "docker" && row["container_name"] == "web"),
        "{rows:?}"
    );
    let answer = tcp::request(&lab.remote, host, "published")?;
    ensure!(
        answer.client.ip() == REMOTE && answer.local.ip() == C1,
        "{answer:?}"
    );
    let patient = udp::Client::connected(&lab.remote, host)?;
    ensure!(patient.ask("before")?.local.ip() == C1);

    // A restart with another address, while a client goes on sending by the same socket.
    scene.engine.remove_container("web");
    scene.engine.add_container("web", "front", C1B, &ports);
    wait_for("the client is answered by the new address", || {
        patient.send("during")?;
        let answer = patient.receive(SILENCE)?;
        Ok(answer.filter(|answer| answer.local.ip() == C1B).map(drop))
    })?;
    ensure!(tcp::request(&lab.remote, host, "moved")?.local.ip() == C1B);

    scene.engine.remove_container("web");
    wait_for("nothing is published", || {
        Ok(scene.netmap.ports()?.is_empty().then_some(()))
    })?;
    ensure!(tcp::connect(&lab.remote, None, host, SILENCE)?.is_err());
    Ok(())
}

#[test]
fn what_an_engine_published_waits_for_its_word_and_the_operators_is_nobody_elses() -> Result<()> {
    let mut scene = Scene::with(|engine, _| {
        engine.put_network("front", "br1", &[], false);
        engine.put_container(
            "web",
            "front",
            C1,
            &[("80/tcp", "0.0.0.0", "8080"), ("80/tcp", "0.0.0.0", "9090")],
        );
        engine.put_container("other", "front", C1B, &[("80/tcp", "0.0.0.0", "9091")]);
        engine.start()
    })?;
    let _server = tcp::Server::start(&scene.lab.c1, SocketAddrV4::new(C1, 80))?;
    let owners = |netmap: &Netmap| -> Result<Vec<String>> {
        let rows = netmap.ports()?.into_iter();
        Ok(rows
            .map(|row| format!("{} {}", row["port"], row["owner"].as_str().unwrap_or("?")))
            .collect())
    };
    ensure!(owners(&scene.netmap)? == ["8080 docker", "9090 docker", "9091 docker"]);
    let refused = scene
        .netmap
        .refused(&["publish", "8080:81", "--to", "172.30.1.3"], 1)?;
    ensure!(refused.contains("docker"), "{refused}");
    let mut client = tcp::Client::connect(&scene.lab.remote, SocketAddrV4::new(HOST, 8080))?;
    let seen = client.ask("before")?;

    scene.engine.stop();
    scene.netmap.restart()?;
    ensure!(
        owners(&scene.netmap)?
            == [
                "8080 docker (unclaimed)",
                "9090 docker (unclaimed)",
                "9091 docker (unclaimed)"
            ],
        "{:?}",
        owners(&scene.netmap)?
    );
    ensure!(client.ask("a new netmap")?.client == seen.client);
    // The operator takes one back and has it for something else: the engine does not get it.
    scene.netmap.unpublish("0.0.0.0:9090")?;
    scene.netmap.publish("0.0.0.0:9090:90", C1)?;

    scene.engine.remove_container("other");
    scene.engine.start()?;
    wait_for("the engine's word is taken", || {
        Ok((owners(&scene.netmap)? == ["8080 docker", "9090 operator"]).then_some(()))
    })?;
    ensure!(
        client.ask("the engine again")?.client == seen.client,
        "the flow was touched"
    );
    ensure!(
        scene.netmap.log().matches("is not published: ").count() == 1,
        "{}",
        scene.netmap.log()
    );
    client.finish()
}

#[test]
fn a_networks_containers_leave_by_the_address_that_it_names() -> Result<()> {
    let other = std::net::Ipv4Addr::new(192, 168, 50, 9);
    let scene = Scene::with(|engine, lab| {
        lab.host.batch(&format!("addr add {other}/32 dev up0\n"))?;
        engine.put_network("front", "br1", &[("host_ipv4", "192.168.50.9")], false);
        engine.put_network("back", "br2", &[], false);
        engine.start()
    })?;
    wait_until_seen(&scene.lab.c1, other)?;
    wait_until_seen(&scene.lab.c2, HOST)?;
    scene.engine.put_network("front", "br1", &[], false);
    scene.engine.remove_network("back");
    wait_until_seen(&scene.lab.c1, HOST)
}
