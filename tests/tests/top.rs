//! `netmap top` in a real terminal, by what its screen shows.

use std::{
    net::SocketAddrV4,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use netmap_tests::{
    Netmap, Scene,
    scene::{PUBLISHED, SERVED},
    tcp,
    terminal::Terminal,
    topology::{C1, HOST, REMOTE},
    udp,
};
use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};

const AT: SocketAddrV4 = SocketAddrV4::new(HOST, PUBLISHED);
/// A port that nobody asks.
const QUIET: &str = "0.0.0.0:8070";

/// It has ended well, and the terminal is as it was before.
fn ended(terminal: &Terminal) -> Result<()> {
    let screen = terminal.shows("ended 0")?;
    ensure!(!screen.contains("netmap top  every"), "{screen}");
    terminal.line("clear; stty -a")?;
    let screen = terminal.shows("iexten")?;
    for mode in [" icanon", " echo ", " isig"] {
        ensure!(screen.replace('\n', " ").contains(mode), "{mode} in {screen}");
    }
    Ok(())
}

/// The first row below the titles.
fn first_row(screen: &str) -> Option<Vec<&str>> {
    let mut rows = screen.lines().skip_while(|line| !line.contains("RATE"));
    Some(rows.nth(1)?.split_whitespace().collect())
}

fn is_busiest(screen: &str, port: &str) -> bool {
    first_row(screen).is_some_and(|row| {
        row.first().is_some_and(|first| first.contains(port)) && row.get(2).is_some_and(|rate| *rate != "0")
    })
}

#[test]
fn the_screen_shows_who_carries_what_and_leaves_the_terminal_as_it_was() -> Result<()> {
    let mut scene = Scene::new()?;
    scene.netmap.publish("0.0.0.0:8070:80", C1)?;
    let done = AtomicBool::new(false);
    let terminal = Terminal::open(scene.lab.name(), 80, 24)?;
    thread::scope(|scope| {
        let traffic = scope.spawn(|| traffic(&scene, &done));
        let seen = screens(&terminal, &scene).and_then(|()| snapshots(&scene.netmap));
        done.store(true, Ordering::Relaxed);
        let sent = traffic
            .join()
            .map_err(|_| anyhow::anyhow!("the traffic has panicked"))?;
        sent.and(seen)
    })?;
    // Without a daemon it shows the same, and SIGTERM ends it as well as a key.
    scene.netmap.stop()?;
    let pid = terminal.start_top(&scene, "-d 0.3")?;
    terminal.shows("no daemon answers")?;
    terminal.shows(QUIET)?;
    kill(pid, Signal::SIGTERM)?;
    ended(&terminal)?;
    let refusal = scene.netmap.refused(&["top"], 1)?;
    ensure!(refusal.contains("--once"), "{refusal}");
    scene.netmap.down()?;
    let refusal = scene.netmap.refused(&["top", "--once"], 1)?;
    ensure!(refusal.contains("netmap is not attached"), "{refusal}");
    let refusal = scene.netmap.refused(&["top", "-d", "0"], 2)?;
    ensure!(refusal.contains("is no interval"), "{refusal}");
    Ok(())
}

/// A connection that is always busy, and datagrams past the published port, until it is `done`.
fn traffic(scene: &Scene, done: &AtomicBool) -> Result<()> {
    let mut client = tcp::Client::connect(&scene.lab.remote, AT)?;
    let stray = udp::Client::connected(&scene.lab.remote, SocketAddrV4::new(C1, SERVED))?;
    let text = "busy".repeat(100);
    while !done.load(Ordering::Relaxed) {
        client.ask(&text)?;
        stray.send("past the published port")?;
        thread::sleep(Duration::from_millis(5));
    }
    client.finish()
}

fn screens(terminal: &Terminal, scene: &Scene) -> Result<()> {
    terminal.start_top(scene, "-d 0.3")?;
    let screen = terminal.fits("port 8080 is the busiest", |screen| {
        is_busiest(screen, ":8080/tcp") && screen.contains("daemon runs")
    })?;
    for part in ["daemon runs", QUIET, "172.30.1.2:80", "dropped "] {
        ensure!(screen.contains(part), "{part} is missing in:\n{screen}");
    }
    // It fits: no line is longer than the terminal, and the last one has the keys.
    let last = screen.trim_end().lines().last().unwrap_or_default();
    ensure!(last.contains("? help") && last.contains("q quit"), "{screen}");

    terminal.key("Enter")?;
    let screen = terminal.fits("the port's flow is there", |screen| {
        screen.contains("port 0.0.0.0:8080/tcp -> 172.30.1.2:80") && screen.contains(&format!("{REMOTE}:"))
    })?;
    ensure!(screen.contains("established"), "{screen}");
    ensure!(!screen.contains(":8070/"), "{screen}");
    terminal.key("Escape")?;
    terminal.shows(QUIET)?;

    terminal.key("2")?;
    terminal.fits("the container is the busiest", |screen| {
        is_busiest_container(screen)
    })?;
    terminal.key("Enter")?;
    terminal.fits("the container's ports and flows are there", |screen| {
        screen.contains("container 172.30.1.2")
            && screen.contains("0.0.0.0:8070/tcp")
            && screen.contains(&format!("{REMOTE}:"))
    })?;

    terminal.key("4")?;
    terminal.shows("direct-access")?;
    terminal.key("Enter")?;
    let screen = terminal.shows("netmap monitor --reason direct-access")?;
    ensure!(
        screen.contains("From outside straight to a container's address"),
        "{screen}"
    );

    terminal.key("1")?;
    terminal.line("/8070")?;
    terminal.fits("the filter leaves one", |screen| {
        screen.contains(QUIET) && !screen.contains(":8080/tcp")
    })?;
    terminal.key("Escape")?;
    terminal.shows(":8080/tcp")?;
    terminal.key("Space")?;
    terminal.shows("PAUSED")?;
    terminal.key("?")?;
    terminal.shows("netmap top: keys")?;
    terminal.key("?")?;
    terminal.key("Space")?;
    terminal.fits("it goes on", |screen| {
        !screen.contains("PAUSED") && !screen.contains("netmap top: keys")
    })?;
    terminal.resize(120, 30)?;
    terminal.shows("OWNER")?;
    terminal.resize(40, 8)?;
    terminal.fits("it is smaller", |screen| !screen.contains("OWNER"))?;
    terminal.resize(80, 24)?;
    terminal.key("q")?;
    ended(terminal)
}

fn is_busiest_container(screen: &str) -> bool {
    let expected = C1.to_string();
    first_row(screen).is_some_and(|row| {
        row.first() == Some(&expected.as_str()) && row.get(1).is_some_and(|rate| *rate != "0")
    })
}

/// What `--once` prints, for people and for programs.
fn snapshots(netmap: &Netmap) -> Result<()> {
    let text = netmap.done(&["top", "--once", "-d", "0.5", "--limit", "1"])?;
    for part in [
        "Ports: 1 of ",
        "0.0.0.0:8080/tcp",
        "Containers: 1",
        "Flows: 1",
        "Drops: 1",
        "Tables: 1 of",
    ] {
        ensure!(text.contains(part), "{part} is missing in:\n{text}");
    }
    let value: Value = serde_json::from_str(&netmap.done(&["top", "--once", "--json", "-d", "0.5"])?)?;
    let first = |list: &str| {
        value[list]
            .get(0)
            .with_context(|| format!("no {list} in {value}"))
    };
    let port = first("ports")?;
    ensure!(
        port["published"] == "0.0.0.0:8080/tcp" && port["flows"] == 1,
        "{port}"
    );
    for rates in [&value, port, first("containers")?, first("flows_busiest")?] {
        for key in [
            "bytes_in_rate",
            "bytes_out_rate",
            "packets_in_rate",
            "packets_out_rate",
        ] {
            ensure!(
                rates[key].as_u64().is_some_and(|rate| rate > 0),
                "{key} of {rates}"
            );
        }
    }
    ensure!(
        first("flows_busiest")?["original"]["src"] == json!(REMOTE),
        "{value}"
    );
    let quiet = value["ports"].as_array().into_iter().flatten();
    let mut quiet = quiet.filter(|port| port["published"] == format!("{QUIET}/tcp"));
    let quiet = quiet.next().context("the quiet port is not there")?;
    ensure!(
        quiet["bytes_in_rate"] == 0 && quiet["bytes_out_rate"] == 0,
        "{quiet}"
    );
    let reasons = value["reasons"].as_array().into_iter().flatten();
    let mut drops = reasons.filter(|line| line["reason"] == "direct-access" && line["hook"] == "uplink-in");
    let drop = drops.next().context("no drop")?;
    ensure!(
        drop["packets_rate"].as_u64() > Some(0) && drop["class"] == "dropped",
        "{drop}"
    );
    let tables = value["tables"].as_array().context("no tables")?;
    ensure!(
        tables
            .iter()
            .any(|table| table["table"] == "flows" && table["entries"] == 2),
        "{tables:?}"
    );
    Ok(())
}
