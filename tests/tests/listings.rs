//! What the listings say, for people and for programs.

use std::net::SocketAddrV4;

use anyhow::{Context as _, Result, ensure};
use netmap_tests::{
    Scene, rows, tcp,
    topology::{C1, HOST, REMOTE},
    udp,
};
use serde_json::{Value, json};

const PUBLISHED: SocketAddrV4 = SocketAddrV4::new(HOST, 8_080);

#[test]
fn ports_lists_every_rule_with_all_its_parts() -> Result<()> {
    let scene = Scene::new()?;
    scene.netmap.done(&[
        "publish",
        "127.0.0.1:9000-9009:9100-9109/udp",
        "--to",
        "172.30.2.2",
        "--allow",
        "10.0.0.0/8",
    ])?;
    let ports = scene.netmap.ports()?;
    // The scene's own are published for TCP and UDP, in both families.
    ensure!(ports.len() == 5, "{ports:?}");
    for (host, proxied) in [("0.0.0.0", false), ("::", true)] {
        let plain = of(&ports, |port| {
            port["port"] == 8_080 && port["protocol"] == "tcp" && port["host"] == host
        })?;
        for (key, value) in [
            ("end", json!(8_080)),
            ("container", json!(C1)),
            ("container_port", json!(80)),
            ("container_end", json!(80)),
            ("allow", json!([])),
            ("proxied", json!(proxied)),
            ("owner", json!("operator")),
        ] {
            ensure!(plain[key] == value, "{key} of {plain}");
        }
    }
    let range = of(&ports, |port| port["port"] == 9_000)?;
    for (key, value) in [
        ("host", json!("127.0.0.1")),
        ("end", json!(9_009)),
        ("protocol", json!("udp")),
        ("container", json!("172.30.2.2")),
        ("container_port", json!(9_100)),
        ("container_end", json!(9_109)),
        ("allow", json!(["10.0.0.0/8"])),
        ("proxied", json!(false)),
    ] {
        ensure!(range[key] == value, "{key} of {range}");
    }
    let text = scene.netmap.done(&["ports"])?;
    for part in [
        "0.0.0.0:8080/tcp",
        "[::]:8080/tcp",
        "proxy",
        "172.30.1.2",
        "127.0.0.1",
        "9000-9009",
        "10.0.0.0/8",
    ] {
        ensure!(text.contains(part), "{part} is missing in:\n{text}");
    }
    Ok(())
}

#[test]
fn flows_lists_both_directions_of_a_flow() -> Result<()> {
    let scene = Scene::new()?;
    let mut connection = tcp::Client::connect(&scene.lab.remote, PUBLISHED)?;
    connection.ask("listed")?;
    let session = udp::Client::unconnected(
        &scene.lab.c1,
        SocketAddrV4::new(C1, 5_000),
        SocketAddrV4::new(REMOTE, 80),
    )?;
    session.ask("listed")?;
    session.ask("listed twice")?;
    let flows = scene.netmap.flows()?;

    let port = connection.local()?.port();
    let published = of(&flows, |flow| {
        flow["protocol"] == "tcp" && flow["original"]["sport"] == port
    })?;
    ensure!(published["kind"] == "published", "{published}");
    ensure!(
        published["original"] == json!({"src": REMOTE, "sport": port, "dst": HOST, "dport": 8_080}),
        "{published}"
    );
    ensure!(
        published["translated"] == json!({"src": REMOTE, "sport": port, "dst": C1, "dport": 80}),
        "{published}"
    );
    ensure!(
        published["state"]
            .as_str()
            .is_some_and(|state| state.contains("established")),
        "{published}"
    );

    let egress = of(&flows, |flow| {
        flow["protocol"] == "udp" && flow["original"]["sport"] == 5_000
    })?;
    ensure!(egress["kind"] == "egress", "{egress}");
    ensure!(
        egress["translated"] == json!({"src": HOST, "sport": 5_000, "dst": REMOTE, "dport": 80}),
        "{egress}"
    );
    ensure!(
        egress["packets_original"] == 2 && egress["packets_reply"] == 2,
        "{egress}"
    );

    let text = scene.netmap.done(&["flows"])?;
    for part in ["192.168.50.3", "172.30.1.2", "8080"] {
        ensure!(text.contains(part), "{part} is missing in:\n{text}");
    }
    connection.finish()
}

#[test]
fn stats_counts_bytes_and_packets() -> Result<()> {
    let scene = Scene::new()?;
    rows::check_all(&scene)?;
    let stats = scene.netmap.json("stats")?;
    let counters = stats["counters"].as_array().context("no counters")?;
    let counter = of(counters, |row| {
        row["hook"] == "uplink-in" && row["reason"] == "published-in"
    })?;
    let (packets, bytes) = (
        counter["packets"].as_u64().unwrap_or(0),
        counter["bytes"].as_u64().unwrap_or(0),
    );
    // One UDP packet and at least five of TCP, each with a header of its own.
    ensure!(
        packets >= 6 && bytes >= packets * 28 && counter["class"] == "carried",
        "{counter}"
    );
    ensure!(scene.netmap.done(&["stats"])?.contains("published-in"));
    Ok(())
}

#[test]
fn status_names_every_hooked_interface() -> Result<()> {
    let scene = Scene::new()?;
    for shown in [
        scene.netmap.json("status")?.to_string(),
        scene.netmap.done(&["status"])?,
    ] {
        for interface in ["up0", "br1", "br2", "vc1", "vc1b", "vc2"] {
            ensure!(shown.contains(interface), "{interface} is missing in:\n{shown}");
        }
    }
    Ok(())
}

#[test]
fn help_shows_examples() -> Result<()> {
    let scene = Scene::new()?;
    for command in [
        "run",
        "publish",
        "unpublish",
        "ports",
        "flows",
        "stats",
        "status",
        "down",
    ] {
        let help = scene.netmap.done(&[command, "--help"])?;
        ensure!(
            help.contains(&format!("netmap {command}")),
            "no example in the help of {command}:\n{help}"
        );
    }
    Ok(())
}

fn of(list: &[Value], is_it: impl Fn(&Value) -> bool) -> Result<&Value> {
    list.iter()
        .find(|item| is_it(item))
        .with_context(|| format!("it is not listed: {list:?}"))
}
