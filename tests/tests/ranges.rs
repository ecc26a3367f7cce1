//! Ranges of ports are one object, however many ports they have.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddrV4},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use netmap_tests::{
    Netmap, SILENCE, Scene, command,
    scene::Transport,
    topology::{C1, C2, GATEWAY1, HOST, REMOTE},
    udp,
};

const RANGE: &str = "20000-29999:20000-29999";

#[test]
fn ten_thousand_ports_are_one_rule_a_family_within_a_second() -> Result<()> {
    let mut scene = Scene::new()?;
    let (rules, processes) = (scene.netmap.ports()?.len(), processes(&scene.netmap)?);
    for transport in ["udp", "tcp"] {
        let start = Instant::now();
        scene.netmap.publish(&format!("{RANGE}/{transport}"), C1)?;
        let took = start.elapsed();
        ensure!(
            took < Duration::from_secs(1),
            "publishing {RANGE}/{transport} took {took:?}"
        );
    }
    let ports = scene.netmap.ports()?;
    ensure!(
        ports.len() == rules + 4,
        "{} rules more than before: {ports:?}",
        ports.len() - rules
    );
    for host in ["0.0.0.0", "::"] {
        let range = ports
            .iter()
            .find(|port| port["protocol"] == "udp" && port["port"] == 20_000 && port["host"] == host);
        let range = range.context("the range is not listed")?;
        ensure!(
            range["end"] == 29_999 && range["container_port"] == 20_000 && range["container_end"] == 29_999,
            "{range}"
        );
    }
    ensure!(
        self::processes(&scene.netmap)? == processes,
        "the range has processes or threads of its own"
    );

    for port in [20_000, 25_000, 29_999] {
        scene.serve(&scene.lab.c1.clone(), SocketAddrV4::new(C1, port))?;
        for transport in Transport::ALL {
            for (client, address, sees) in [
                (&scene.lab.remote, HOST, REMOTE),
                (&scene.lab.c2, HOST, C2),
                (&scene.lab.host, Ipv4Addr::LOCALHOST, GATEWAY1),
                (&scene.lab.host, HOST, GATEWAY1),
            ] {
                let answer = transport.request(client, SocketAddrV4::new(address, port), "in the range")?;
                ensure!(answer.local == SocketAddrV4::new(C1, port).into(), "{answer:?}");
                ensure!(answer.client.ip() == sees, "{answer:?}");
            }
        }
    }
    for port in [19_999, 30_000] {
        scene.serve(&scene.lab.c1.clone(), SocketAddrV4::new(C1, port))?;
        let outside = udp::Client::unconnected(
            &scene.lab.remote,
            SocketAddrV4::new(REMOTE, 0),
            SocketAddrV4::new(HOST, port),
        )?;
        outside.send("outside the range")?;
        ensure!(outside.receive(SILENCE)?.is_none(), "port {port} is served");
    }

    for transport in ["udp", "tcp"] {
        scene.netmap.unpublish(&format!("20000-29999/{transport}"))?;
    }
    ensure!(scene.netmap.ports()?.len() == rules);
    Ok(())
}

#[test]
fn a_range_may_lead_to_other_numbers() -> Result<()> {
    let mut scene = Scene::new()?;
    scene.publish_both("8100-8109:9000-9009", C1)?;
    for (host, container) in [(8_100, 9_000), (8_104, 9_004), (8_109, 9_009)] {
        scene.serve(&scene.lab.c1.clone(), SocketAddrV4::new(C1, container))?;
        for transport in Transport::ALL {
            for client in [&scene.lab.remote, &scene.lab.c2, &scene.lab.host] {
                let answer = transport.request(client, SocketAddrV4::new(HOST, host), "shifted")?;
                ensure!(
                    answer.local == SocketAddrV4::new(C1, container).into(),
                    "{answer:?}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn another_program_of_the_host_cannot_bind_inside_a_range() -> Result<()> {
    let scene = Scene::new()?;
    for transport in ["tcp", "udp"] {
        ensure!(bind(&scene.netmap, transport, "0.0.0.0:25000").is_none());
        scene.netmap.publish(&format!("{RANGE}/{transport}"), C1)?;
        for address in ["0.0.0.0:20000", "127.0.0.1:25000", "192.168.50.2:29999"] {
            let error = bind(&scene.netmap, transport, address);
            let in_use = error
                .as_deref()
                .is_some_and(|error| error.contains("Address already in use"));
            ensure!(
                in_use,
                "binding {address}/{transport} inside the range: {error:?}"
            );
        }
        ensure!(bind(&scene.netmap, transport, "0.0.0.0:19999").is_none());
        scene.netmap.unpublish(&format!("20000-29999/{transport}"))?;
        ensure!(bind(&scene.netmap, transport, "0.0.0.0:25000").is_none());
    }
    Ok(())
}

/// How a program of the host fares that binds `address`.
fn bind(netmap: &Netmap, transport: &str, address: &str) -> Option<String> {
    let mut program = netmap.host_command(env!("CARGO_BIN_EXE_bind"));
    command::run(program.args([transport, address]))
        .err()
        .map(|error| error.to_string())
}

/// Processes and threads of the daemon.
fn processes(netmap: &Netmap) -> Result<(usize, usize)> {
    let pid = netmap.pid().context("the daemon does not run")?;
    let threads = fs::read_dir(format!("/proc/{pid}/task"))?.count();
    let members = command::run(Command::new("cat").arg(netmap.cgroup().join("cgroup.procs")))?;
    Ok((members.lines().count(), threads))
}
