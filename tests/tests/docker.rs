//! A real dockerd, its own way and netmap's.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    thread,
};

use anyhow::{Context as _, Result, anyhow};
use netmap_tests::{
    Family, Namespace, Place, SILENCE,
    docker::{Stage, Way, matrix, rules, stage::Cast},
    scene::{SERVED, Transport},
    tcp,
    topology::{C1, GATEWAY1, HOST, REMOTE},
    udp, wait_for,
};

#[test]
fn the_engines_own_way_has_the_rows_that_it_is_known_for() -> Result<()> {
    let stage = Stage::new(Way::Engine)?;
    let cast = stage.cast(&matrix::PUBLISH)?;
    matrix::check(&stage, &cast, Family::V4)?;
    assert!(!rules::list(&stage.lab.host)?.is_empty());
    assert_eq!(stage.engine.processes("docker-proxy")?.len(), 4);
    Ok(())
}

#[test]
fn every_row_holds_for_a_real_engines_containers() -> Result<()> {
    let stage = Stage::new(Way::Netmap)?;
    let cast = stage.cast(&matrix::PUBLISH)?;
    matrix::check(&stage, &cast, Family::V4)?;
    rules::ensure_none(&stage.lab.host)
}

#[test]
fn every_row_holds_by_both_families() -> Result<()> {
    let stage = Stage::of_both(Way::Netmap)?;
    let cast = stage.cast_of_both(&matrix::PUBLISH)?;
    for family in Family::ALL {
        matrix::check(&stage, &cast, family)?;
    }
    ping_out(&stage, &cast)?;
    not_past_published_ports(&stage, &cast)?;
    v6_clients_of_a_container_without(&stage, &cast)?;
    rules::ensure_none(&stage.lab.host)
}

/// Row 7 with ping: the remote host knows no way to a container, so an answer says that it saw the host.
fn ping_out(stage: &Stage, cast: &Cast) -> Result<()> {
    for family in Family::ALL {
        let remote = family.address(Place::Remote);
        let ping = format!("ping -c 1 -W 5 {remote}");
        let (said, moved) = stage.netmap()?.watch(|| cast.c1.network.line(&ping))?;
        assert!(said.contains("1 received"), "{said}");
        assert!(moved.carried().contains(&"port-in egress-out"), "{moved:?}");
    }
    Ok(())
}

/// Row 8.
fn not_past_published_ports(stage: &Stage, cast: &Cast) -> Result<()> {
    for family in Family::ALL {
        for (client, hook) in [(&*stage.lab.remote, "uplink-in"), (&cast.c2.network, "port-in")] {
            let before = stage.netmap()?.packets(hook, "direct-access")?;
            let to = family.at(Place::C1, SERVED);
            assert!(tcp::connect(client, None, to, SILENCE)?.is_err(), "{hook}, {to}");
            assert!(
                stage.netmap()?.packets(hook, "direct-access")? > before,
                "{hook}, {to}"
            );
        }
    }
    Ok(())
}

/// Row 9: the proxy brings them to its IPv4 address.
fn v6_clients_of_a_container_without(stage: &Stage, cast: &Cast) -> Result<()> {
    stage.add_network("n3", "br3", "172.30.3.0/24")?;
    let options = ["--network", "n3", "-p", "8089:80", "-p", "8089:80/udp"];
    stage.engine.serve("c4", &options, &["80"])?;
    for (client, place) in [
        (&*stage.lab.remote, Place::Host),
        (&stage.host, Place::Host),
        (&stage.host, Place::Localhost),
        (&cast.c1.network, Place::Host),
        (&cast.c2.network, Place::Gateway2),
    ] {
        for transport in Transport::ALL {
            let to = Family::V6.at(place, 8089);
            assert_eq!(seen(client, to, transport)?, Ipv4Addr::new(172, 30, 3, 1), "{to}");
        }
    }
    assert_eq!(seen(&stage.lab.remote, (HOST, 8089), Transport::Tcp)?, REMOTE);
    Ok(())
}

/// No proxy at all: netmap hears of ports by the engine's API alone.
#[test]
fn an_engine_without_userland_proxies_has_every_row() -> Result<()> {
    let mut stage = Stage::new(Way::Netmap)?;
    stage.engine.stop()?;
    // What `netmap docker install` has written, but for this.
    let file = stage.engine.configuration();
    let mut settings: serde_json::Value = serde_json::from_slice(&fs::read(&file)?)?;
    settings["userland-proxy"] = false.into();
    fs::write(&file, settings.to_string())?;
    stage.engine.start()?;
    let cast = stage.cast(&matrix::PUBLISH)?;
    matrix::check(&stage, &cast, Family::V4)?;
    assert_eq!(stage.engine.processes("netmap-docker-proxy")?, Vec::<u32>::new());
    stage.engine.docker(&["rm", "--force", "c1"])?;
    wait_for("the ports go with their container", || {
        Ok(stage.netmap()?.ports()?.is_empty().then_some(()))
    })?;
    rules::ensure_none(&stage.lab.host)
}

/// What `netmap doctor` finds of this engine.
fn found(stage: &Stage) -> Result<Vec<String>> {
    let file = stage.engine.configuration().display().to_string();
    let output = stage
        .netmap()?
        .cli(&["doctor", "--json", "--daemon-json", &file])?;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let findings = report["findings"].as_array().context("no findings are told")?;
    let ids = findings.iter().filter_map(|finding| finding["id"].as_str());
    Ok(ids
        .filter(|id| id.starts_with("docker"))
        .map(str::to_owned)
        .collect())
}

#[test]
fn the_doctor_tells_when_an_engine_is_not_set_up_for_netmap() -> Result<()> {
    let mut stage = Stage::new(Way::Netmap)?;
    assert_eq!(found(&stage)?, Vec::<String>::new());
    let file = stage.engine.configuration();
    let written = fs::read_to_string(&file)?;
    // Written after it has started.
    fs::write(&file, &written)?;
    assert_eq!(found(&stage)?, ["docker-restart"]);
    let mut settings: serde_json::Value = serde_json::from_str(&written)?;
    settings["iptables"] = true.into();
    fs::write(&file, settings.to_string())?;
    assert_eq!(found(&stage)?, ["docker-settings"]);
    settings["iptables"] = false.into();
    settings["userland-proxy-path"] = "/nonexistent/netmap-docker-proxy".into();
    fs::write(&file, settings.to_string())?;
    assert_eq!(found(&stage)?, ["docker-restart", "docker-proxy"]);
    fs::write(&file, "{")?;
    assert_eq!(found(&stage)?, ["docker-settings"]);
    fs::write(&file, &written)?;
    stage.engine.stop()?;
    stage.engine.start()?;
    assert_eq!(found(&stage)?, Vec::<String>::new());
    Ok(())
}

/// What a client's kernel says when nobody listens.
fn is_refused(client: &Namespace, to: (Ipv4Addr, u16)) -> Result<bool> {
    Ok(tcp::connect(client, None, to, SILENCE)?.is_err())
}

fn seen(client: &Namespace, to: impl Into<SocketAddr>, transport: Transport) -> Result<IpAddr> {
    let answer = transport.request(client, to, "who am I")?;
    Ok(answer.client.ip().to_canonical())
}

#[test]
fn ports_are_published_as_docker_users_write_them() -> Result<()> {
    let stage = Stage::new(Way::Netmap)?;
    let (engine, remote, host) = (&stage.engine, &stage.lab.remote, &stage.host);

    let ranges = engine.serve(
        "ranges",
        &[
            "-p",
            "9000-9002:80-82",
            "-p",
            "9000-9002:80-82/udp",
            "-p",
            "53:80/udp",
        ],
        &["80", "81", "82"],
    )?;
    for port in 9000..=9002 {
        for transport in Transport::ALL {
            let answer = transport.request(remote, (HOST, port), "range")?;
            assert_eq!(answer.client.ip().to_canonical(), REMOTE);
            assert_eq!(answer.local.port(), port - 8920);
        }
    }
    assert_eq!(seen(remote, (HOST, 53), Transport::Udp)?, REMOTE);
    assert!(is_refused(remote, (HOST, 53))?, "53 is published by UDP alone");
    engine.docker(&["rm", "--force", &ranges.name])?;
    assert!(is_refused(remote, (HOST, 9000))?, "the container is gone");

    let chosen = engine.serve(
        "chosen",
        &["-p", "81", "-P", "--expose", "80", "--expose", "80/udp"],
        &["80", "81"],
    )?;
    for (port, transport) in [
        ("80/tcp", Transport::Tcp),
        ("81/tcp", Transport::Tcp),
        ("80/udp", Transport::Udp),
    ] {
        let published = *chosen.published(port).first().context("no port was chosen")?;
        assert_eq!(seen(remote, (HOST, published), transport)?, REMOTE);
    }
    engine.docker(&["rm", "--force", "chosen"])?;

    let bound = engine.serve(
        "bound",
        &[
            "-p",
            "192.168.50.2:9100:80",
            "-p",
            "127.0.0.1:9101:80",
            "-p",
            "127.0.0.2:9101:81",
            "-p",
            "192.168.50.2:9101:82",
        ],
        &["80", "81", "82"],
    )?;
    assert_eq!(seen(remote, (HOST, 9100), Transport::Tcp)?, REMOTE);
    assert!(is_refused(host, (GATEWAY1, 9100))?, "9100 is of one address");
    for (address, port) in [
        (Ipv4Addr::LOCALHOST, 80),
        (Ipv4Addr::new(127, 0, 0, 2), 81),
        (HOST, 82),
    ] {
        let answer = tcp::request(host, (address, 9101), "which")?;
        assert_eq!(answer.local.port(), port, "{address}");
    }
    assert_eq!(tcp::request(remote, (HOST, 9101), "which")?.local.port(), 82);
    engine.docker(&["rm", "--force", &bound.name])?;
    assert_eq!(stage.netmap()?.ports()?, Vec::<serde_json::Value>::new());
    rules::ensure_none(&stage.lab.host)
}

#[test]
fn a_taken_port_is_refused_in_words_that_docker_users_know() -> Result<()> {
    let stage = Stage::new(Way::Netmap)?;
    let engine = &stage.engine;
    engine.serve("first", &["-p", "8080:80"], &["80"])?;
    let said = engine.refused(&[
        "run",
        "--detach",
        "--name",
        "second",
        "-p",
        "8080:80",
        "lab",
        "/bin/sleep",
        "60",
    ])?;
    assert!(said.contains("port is already allocated"), "{said}");
    engine.docker(&["rm", "--force", "second"])?;

    let _listener = tcp::Server::start(&stage.host, (Ipv4Addr::UNSPECIFIED, 8081))?;
    let said = engine.refused(&[
        "run",
        "--detach",
        "--name",
        "second",
        "-p",
        "8081:80",
        "lab",
        "/bin/sleep",
        "60",
    ])?;
    assert!(said.contains("address already in use"), "{said}");
    engine.docker(&["rm", "--force", "second"])?;

    stage.netmap()?.publish("8082:80", C1)?;
    let said = engine.refused(&[
        "run",
        "--detach",
        "--name",
        "second",
        "-p",
        "8082:80",
        "lab",
        "/bin/sleep",
        "60",
    ])?;
    assert!(said.contains("8082"), "{said}");
    engine.docker(&["rm", "--force", "second"])?;

    let said = engine.refused(&[
        "run",
        "--detach",
        "--name",
        "second",
        "-p",
        "8083:80/sctp",
        "lab",
        "/bin/sleep",
        "60",
    ])?;
    assert!(said.to_lowercase().contains("sctp"), "{said}");
    assert_eq!(seen(&stage.lab.remote, (HOST, 8080), Transport::Tcp)?, REMOTE);
    Ok(())
}

#[test]
fn a_container_moves_between_networks_and_serves_late() -> Result<()> {
    let stage = Stage::new(Way::Netmap)?;
    let (engine, remote) = (&stage.engine, &stage.lab.remote);
    stage.add_network("n2", "br2", "172.30.2.0/24")?;
    stage.add_network("n3", "br3", "172.30.3.0/24")?;
    let both = engine.idle("both", &["--network", "n2", "-p", "8080:80", "-p", "8080:80/udp"])?;
    engine.docker(&["exec", "--detach", "both", "/respond", "80"])?;
    both.await_server(80)?;
    for transport in Transport::ALL {
        assert_eq!(seen(remote, (HOST, 8080), transport)?, REMOTE, "served late");
    }
    engine.docker(&["network", "connect", "n3", "both"])?;
    for transport in Transport::ALL {
        assert_eq!(seen(remote, (HOST, 8080), transport)?, REMOTE, "on two networks");
    }
    engine.docker(&["network", "disconnect", "n2", "both"])?;
    for transport in Transport::ALL {
        assert_eq!(
            seen(remote, (HOST, 8080), transport)?,
            REMOTE,
            "on the other network"
        );
    }
    let c3 = engine.idle("c3", &["--network", "n3"])?;
    assert_eq!(seen(&c3.network, (HOST, 8080), Transport::Tcp)?, c3.address()?);
    rules::ensure_none(&stage.lab.host)
}

#[test]
fn a_client_that_keeps_sending_reaches_the_container_at_its_new_address() -> Result<()> {
    let stage = Stage::new(Way::Netmap)?;
    let (engine, remote) = (&stage.engine, &stage.lab.remote);
    let first = engine.serve("c1", &["-p", "8080:80/udp"], &["80"])?;
    let client = udp::Client::connected(remote, (HOST, 8080))?;
    assert_eq!(client.ask("before")?.client.ip().to_canonical(), REMOTE);
    engine.docker(&["stop", "--time", "0", "c1"])?;
    engine.idle("squatter", &[])?;
    engine.docker(&["start", "c1"])?;
    let second = engine.container("c1")?;
    assert_ne!(first.address()?, second.address()?);
    let answer = wait_for("the client is answered again", || {
        // A refusal is no answer either.
        let _lost = client.try_send(b"after");
        Ok(client.receive(SILENCE).ok().flatten())
    })?;
    assert_eq!(answer.client.ip().to_canonical(), REMOTE);
    Ok(())
}

#[test]
fn an_engine_that_is_killed_leaves_its_ports_at_work() -> Result<()> {
    let mut stage = Stage::with(Way::Netmap, |settings| settings["live-restore"] = true.into())?;
    let lives = stage
        .engine
        .serve("lives", &["-p", "8080:80", "-p", "8080:80/udp"], &["80"])?;
    let mut open = tcp::Client::connect(&stage.lab.remote, (HOST, 8080))?;
    open.ask("before")?;
    stage.engine.kill()?;
    open.ask("while dockerd is dead")?;
    for transport in Transport::ALL {
        assert_eq!(
            seen(&stage.lab.remote, (HOST, 8080), transport)?,
            REMOTE,
            "dockerd is dead"
        );
    }
    stage.engine.start()?;
    open.ask("after dockerd's return")?;
    assert_eq!(stage.engine.container("lives")?.address()?, lives.address()?);
    let unclaimed = stage.netmap()?.json("ports")?.to_string().contains("unclaimed");
    assert!(!unclaimed, "{}", stage.netmap()?.json("ports")?);

    let Some(netmap) = &mut stage.netmap else {
        anyhow::bail!("no netmap")
    };
    netmap.kill()?;
    open.ask("while netmap is dead")?;
    netmap.run()?;
    open.ask("after netmap's return")?;
    wait_for("the proxies have come in again", || {
        let ports = stage.netmap()?.json("ports")?.to_string();
        Ok((!ports.contains("unclaimed")).then_some(()))
    })?;
    for transport in Transport::ALL {
        assert_eq!(
            seen(&stage.lab.remote, (HOST, 8080), transport)?,
            REMOTE,
            "netmap is back"
        );
    }
    stage.engine.docker(&["rm", "--force", "lives"])?;
    assert!(is_refused(&stage.lab.remote, (HOST, 8080))?);
    assert_eq!(stage.netmap()?.ports()?, Vec::<serde_json::Value>::new());
    rules::ensure_none(&stage.lab.host)
}

#[test]
fn ten_containers_start_at_once() -> Result<()> {
    let stage = Stage::new(Way::Netmap)?;
    thread::scope(|scope| {
        let starts: Vec<_> = (0..10)
            .map(|number| {
                let engine = &stage.engine;
                scope.spawn(move || {
                    let port = format!("{}:80", 8100 + number);
                    engine.serve(&format!("c{number}"), &["-p", &port], &["80"])
                })
            })
            .collect();
        starts
            .into_iter()
            .try_for_each(|start| start.join().map_err(|_| anyhow!("a thread panicked"))?.map(drop))
    })?;
    for port in 8100..8110 {
        assert_eq!(seen(&stage.lab.remote, (HOST, port), Transport::Tcp)?, REMOTE);
    }
    rules::ensure_none(&stage.lab.host)
}
