//! `netmap monitor`: what it tells, to whom, and that it costs nothing while nobody watches.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{Array, Map, MapData};
use netmap_common::maps::name;
use netmap_tests::{
    Family, Netmap, Options, Place, Scene, command,
    monitor::Monitor,
    scene::{PUBLISHED, SERVED},
    tcp,
    topology::{C1, C1B, GATEWAY1, HOST, REMOTE},
    udp, wait_within,
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const AT: SocketAddrV4 = SocketAddrV4::new(HOST, PUBLISHED);
const DIRECT: SocketAddrV4 = SocketAddrV4::new(C1, SERVED);

/// Who sends and who receives.
fn ends(event: &Value) -> [Value; 4] {
    ["src", "sport", "dst", "dport"].map(|key| event[key].clone())
}

#[test]
fn flows_packets_rules_containers_and_programs_are_told_of() -> Result<()> {
    let mut scene = Scene::with(Options {
        ipv6: true,
        ..Options::default()
    })?;
    let mut monitor = Monitor::start(&scene.netmap, &[])?;
    let mut clients = Vec::new();
    for family in Family::ALL {
        clients.push(open(&scene, &mut monitor, family)?);
        drop_one(&scene, &mut monitor, family, "uplink-in")?;
    }
    rules_and_places(&mut scene, &mut monitor)?;
    close(&scene, &mut monitor, clients)?;
    let missed: Vec<_> = monitor
        .rest()
        .iter()
        .filter(|event| event["event"] == "missed")
        .collect();
    ensure!(missed.is_empty(), "{missed:?}");
    ensure!(monitor.end(Signal::SIGINT)?, "it does not end well");
    Ok(())
}

#[test]
fn what_xdp_does_is_told_of_too() -> Result<()> {
    let scene = Scene::with(Options {
        ipv6: true,
        native_xdp: true,
        // What has no checksum yet is left to TC.
        offloads: false,
        ..Options::default()
    })?;
    let mut monitor = Monitor::start(&scene.netmap, &[])?;
    for family in Family::ALL {
        open(&scene, &mut monitor, family)?;
        drop_one(&scene, &mut monitor, family, "uplink-xdp")?;
    }
    Ok(())
}

/// Who sends what to whom, of a packet from `from` to `to`.
fn key(from: SocketAddr, to: SocketAddr) -> [Value; 4] {
    [
        json!(from.ip()),
        json!(from.port()),
        json!(to.ip()),
        json!(to.port()),
    ]
}

/// A connection to the published port, of which there is an event.
fn open(scene: &Scene, monitor: &mut Monitor, family: Family) -> Result<tcp::Client> {
    let (at, direct) = (family.at(Place::Host, PUBLISHED), family.at(Place::C1, SERVED));
    let mut client = tcp::Client::connect(&scene.lab.remote, at)?;
    client.ask("watched")?;
    let local = client.local()?;
    let opened = monitor.find("flow-opened", |flow| ends(&flow["original"]) == key(local, at))?;
    ensure!(ends(&opened["translated"]) == key(local, direct), "{opened}");
    for (key, value) in [
        ("protocol", "tcp"),
        ("kind", "published"),
        ("interface", "up0"),
        ("out", "vc1"),
    ] {
        ensure!(opened[key] == value, "{key} of {opened}");
    }
    Ok(client)
}

/// A datagram past the published port.
fn drop_one(scene: &Scene, monitor: &mut Monitor, family: Family, hook: &str) -> Result<()> {
    let direct = family.at(Place::C1, SERVED);
    let stray = udp::Client::connected(&scene.lab.remote, direct)?;
    let ((), moved) = scene.netmap.watch(|| stray.send("past the published port"))?;
    let local = stray.local()?;
    let dropped = monitor.find("packet-dropped", |packet| ends(packet) == key(local, direct))?;
    for (key, value) in [
        ("reason", json!("direct-access")),
        ("hook", json!(hook)),
        ("interface", json!("up0")),
        ("protocol", json!("udp")),
    ] {
        ensure!(dropped[key] == value, "{key} of {dropped}");
    }
    ensure!(dropped.get("frame").is_none(), "{dropped}");
    moved.ensure_dropped_by(&["uplink-in direct-access"])
}

/// Packets of flows are not told, and how many there were is when they end.
fn close(scene: &Scene, monitor: &mut Monitor, clients: Vec<tcp::Client>) -> Result<()> {
    for mut client in clients {
        client.ask("once more")?;
        client.finish()?;
    }
    scene.netmap.settle()?;
    let flows = scene.netmap.flows()?;
    scene.netmap.unpublish(&format!("{PUBLISHED}/tcp"))?;
    for family in Family::ALL {
        let (at, direct) = (family.at(Place::Host, PUBLISHED), family.address(Place::C1));
        let host = json!(unspecified(family));
        let rule = monitor.find("rule-unpublished", |rule| rule["host"] == host)?;
        ensure!(
            rule["port"] == PUBLISHED && rule["container"] == json!(direct),
            "{rule}"
        );
        let is_its = |flow: &Value| {
            flow["original"]["dst"] == json!(at.ip()) && flow["original"]["dport"] == PUBLISHED
        };
        let listed = flows
            .iter()
            .find(|flow| is_its(flow))
            .context("it is not listed")?;
        let closed = monitor.find("flow-closed", is_its)?;
        for key in [
            "protocol",
            "kind",
            "state",
            "original",
            "translated",
            "packets_original",
            "bytes_original",
            "packets_reply",
            "bytes_reply",
            "rule",
        ] {
            let is_same = closed[key] == listed[key] && !closed[key].is_null();
            ensure!(is_same, "{key} of {closed} and {listed}");
        }
    }
    let packets = monitor.rest().iter().filter(|event| event["dport"] == PUBLISHED);
    let packets: Vec<_> = packets.collect();
    ensure!(packets.is_empty(), "{packets:?}");
    Ok(())
}

fn rules_and_places(scene: &mut Scene, monitor: &mut Monitor) -> Result<()> {
    const LATE: Ipv4Addr = Ipv4Addr::new(172, 30, 1, 9);
    const NOBODY: Ipv4Addr = Ipv4Addr::new(172, 30, 1, 77);
    let late = scene.lab.add_container("vc9", "br1", LATE, GATEWAY1)?;
    let attached = monitor.find("attached", |program| program["interface"] == "vc9")?;
    ensure!(
        attached["role"] == "port" && attached["hook"] == "ingress",
        "{attached}"
    );
    scene.serve(&late, SocketAddrV4::new(LATE, SERVED))?;
    scene.netmap.done(&[
        "publish",
        "0.0.0.0:9090-9091:80-81",
        "--to",
        &LATE.to_string(),
        "--allow",
        "192.168.50.0/24",
    ])?;
    let rule = monitor.find("rule-published", |rule| rule["port"] == 9_090)?;
    for (key, value) in [
        ("host", json!("0.0.0.0")),
        ("end", json!(9_091)),
        ("protocol", json!("tcp")),
        ("container", json!(LATE)),
        ("container_port", json!(80)),
        ("container_end", json!(81)),
        ("allow", json!(["192.168.50.0/24"])),
    ] {
        ensure!(rule[key] == value, "{key} of {rule}");
    }
    let found = monitor.find("endpoint-found", |found| found["address"] == json!(LATE))?;
    ensure!(found["interface"] == "vc9" && found["way"] == "peer", "{found}");
    scene.lab.host.line("ip link del vc9")?;
    monitor.find("detached", |program| {
        program["interface"] == "vc9" || program["interface"].to_string().contains("index")
    })?;
    monitor.find("endpoint-lost", |lost| lost["address"] == json!(LATE))?;

    scene.netmap.publish("0.0.0.0:9092:80/udp", NOBODY)?;
    let client = udp::Client::connected(&scene.lab.remote, SocketAddrV4::new(HOST, 9_092))?;
    client.send("nobody is there")?;
    let passed = monitor.find("packet-passed", |packet| packet["dport"] == 9_092)?;
    ensure!(
        passed["reason"] == "no-endpoint" && passed["hook"] == "uplink-in",
        "{passed}"
    );
    Ok(())
}

fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}

#[test]
fn each_watcher_is_told_what_it_has_asked_for() -> Result<()> {
    let scene = Scene::new()?;
    let start = |arguments: &[&str]| Monitor::start(&scene.netmap, arguments);
    let mut watchers = [
        (start(&["--drops"])?, &["packet-dropped"][..]),
        (start(&["--reason", "not-allowed"])?, &[]),
        (start(&["--port", "8080"])?, &["flow-opened"]),
        (start(&["--port", "81"])?, &["packet-dropped"]),
        (
            start(&["--address", "172.30.1.0/24"])?,
            &["packet-dropped", "flow-opened"],
        ),
        (start(&["--address", &C1B.to_string()])?, &[]),
        (
            start(&["--container", &C1.to_string(), "--port", "80"])?,
            &["flow-opened"],
        ),
        (start(&["--interface", "up0", "--drops"])?, &["packet-dropped"]),
        (start(&["--interface", "br2"])?, &[]),
        (start(&["--reason", "to-host"])?, &["packet-passed"]),
    ];
    let mut all = start(&["--all"])?;
    udp::Client::connected(&scene.lab.remote, SocketAddrV4::new(C1, 81))?.send("dropped")?;
    tcp::request(&scene.lab.remote, AT, "opened")?;
    let closed = SocketAddrV4::new(HOST, 8_081);
    ensure!(
        tcp::Client::connect(&scene.lab.remote, closed).is_err(),
        "somebody listens there"
    );
    let of_remote = |event: &Value| {
        let src = if event["original"].is_null() {
            &event["src"]
        } else {
            &event["original"]["src"]
        };
        *src == json!(REMOTE)
    };
    for name in ["packet-dropped", "flow-opened"] {
        all.find(name, of_remote)?;
    }
    // The last of them, so that all the others were told as well.
    all.find("packet-passed", |packet| {
        of_remote(packet) && packet["dport"] == 8_081
    })?;
    for (watcher, expected) in &mut watchers {
        for name in *expected {
            watcher.find(name, of_remote)?;
        }
        let more: Vec<_> = watcher
            .rest()
            .iter()
            .filter(|event| of_remote(event) && event["event"] != "packet-passed")
            .collect();
        ensure!(more.is_empty(), "{expected:?} and {more:?}");
    }
    let refusal = scene.netmap.refused(&["monitor", "--container", "web"], 1)?;
    ensure!(
        refusal.contains("no container of the engine's is called \"web\""),
        "{refusal}"
    );
    for never in ["bad-luck", "published-in", "done"] {
        let refusal = scene.netmap.refused(&["monitor", "--reason", never], 2)?;
        ensure!(
            refusal.contains(&format!("{never:?} is no reason that packets")),
            "{refusal}"
        );
    }
    Ok(())
}

/// Until which second, of `CLOCK_MONOTONIC`, the programs tell; 0 for not at all.
fn lease(netmap: &Netmap) -> Result<u32> {
    let version = netmap.layout()?;
    let data = MapData::from_pin(version.join("maps").join(name::WATCH))?;
    let watch = Array::<_, [u32; 8]>::try_from(Map::Array(data))?.get(&0, 0)?;
    let [low, high, more, most, until, ..] = watch;
    let is_closed = [low, high, more, most] == [0; 4];
    ensure!(is_closed == (until == 0), "{watch:?}");
    Ok(until)
}

#[test]
fn the_programs_tell_only_while_somebody_watches() -> Result<()> {
    let mut scene = Scene::new()?;
    let is_shut = |netmap: &Netmap| {
        wait_within(Duration::from_secs(20), "nothing is told any more", || {
            Ok((lease(netmap)? == 0).then_some(()))
        })
    };
    ensure!(lease(&scene.netmap)? == 0);
    let mut first = Monitor::start(&scene.netmap, &[])?;
    let until = lease(&scene.netmap)?;
    ensure!(until != 0);
    let mut second = Monitor::start(&scene.netmap, &["--drops"])?;
    // The first one goes like a crash, and the other one is told still.
    ensure!(!first.end(Signal::SIGKILL)?);
    wait_within(Duration::from_secs(20), "the lease is put off", || {
        Ok((lease(&scene.netmap)? > until).then_some(()))
    })?;
    udp::Client::connected(&scene.lab.remote, DIRECT)?.send("dropped")?;
    second.find("packet-dropped", |packet| packet["reason"] == "direct-access")?;
    ensure!(second.end(Signal::SIGINT)?);
    is_shut(&scene.netmap)?;

    let mut third = Monitor::start(&scene.netmap, &[])?;
    let status = scene.netmap.kill()?;
    ensure!(!status.success());
    ensure!(third.wait()? == Some(1));
    // Nobody puts it off any more.
    ensure!(lease(&scene.netmap)? != 0);
    let refusal = scene.netmap.refused(&["monitor"], 1)?;
    ensure!(refusal.contains("netmap is not running"), "{refusal}");
    scene.netmap.run()?;
    ensure!(lease(&scene.netmap)? == 0);

    let mut fourth = Monitor::start(&scene.netmap, &[])?;
    let before = Instant::now();
    ensure!(scene.netmap.stop()?.success());
    // Who watches does not keep it from stopping.
    ensure!(
        before.elapsed() < Duration::from_secs(4),
        "{:?}",
        before.elapsed()
    );
    ensure!(fourth.wait()? == Some(1));
    ensure!(lease(&scene.netmap)? == 0);
    Ok(())
}

#[test]
fn what_cannot_be_told_is_counted() -> Result<()> {
    const FLOOD: u64 = 40_000;
    let scene = Scene::new()?;
    let mut monitor = Monitor::start(&scene.netmap, &["--reason", "direct-access"])?;
    let mut other = Monitor::start(&scene.netmap, &["--port", "8080"])?;
    let client = udp::Client::connected(&scene.lab.remote, DIRECT)?;
    let ((), moved) = scene
        .netmap
        .watch(|| (0..FLOOD).try_for_each(|_| client.send("flood")))?;
    let dropped = moved.packets("uplink-in direct-access");
    ensure!(dropped == FLOOD, "{moved}");
    let mut missed = 0;
    let mut told = 0;
    wait_within(Duration::from_secs(60), "all are told or counted", || {
        told = 0;
        missed = 0;
        for event in monitor.rest() {
            match event["event"].as_str() {
                Some("packet-dropped") => told += 1,
                Some("missed") => missed += event["count"].as_u64().unwrap_or_default(),
                _ => anyhow::bail!("{event}"),
            }
        }
        Ok((told + missed >= FLOOD).then_some(()))
    })?;
    ensure!(
        told + missed == FLOOD && told > 0,
        "{told} told and {missed} missed of {FLOOD}"
    );
    tcp::request(&scene.lab.remote, AT, "all the same")?;
    other.find("flow-opened", |flow| flow["original"]["dport"] == PUBLISHED)?;
    Ok(())
}

#[test]
fn dropped_packets_are_kept_for_wireshark_with_their_reasons() -> Result<()> {
    let scene = Scene::with(Options {
        ipv6: true,
        ..Options::default()
    })?;
    let file = std::env::temp_dir().join(format!("{}.pcapng", scene.lab.name()));
    let path = file.to_str().context("no name")?;
    let mut monitor = Monitor::start(&scene.netmap, &["--pcap", path, "--count", "3"])?;
    let long = "long ".repeat(200);
    for family in Family::ALL {
        udp::Client::connected(&scene.lab.remote, family.at(Place::C1, SERVED))?.send(&long)?;
        monitor.find("packet-dropped", |packet| packet["protocol"] == "udp")?;
    }
    tcp::request(&scene.lab.remote, AT, "no drop")?;
    monitor.find("flow-opened", |_| true)?;
    ensure!(monitor.wait()? == Some(0));
    let fields = "frame.interface_name ip.src ipv6.src udp.dstport frame.len frame.cap_len frame.comment";
    let fields: Vec<_> = fields.split(' ').flat_map(|field| ["-e", field]).collect();
    let read = command::run(
        Command::new("tshark")
            .args(["-n", "-r", path, "-T", "fields", "-E", "separator=;"])
            .args(fields),
    );
    fs::remove_file(&file)?;
    let why = "direct-access (uplink-in): From outside straight to a container's address, or between bridges: not published.";
    let (v4, v6) = (
        Family::V4.address(Place::Remote),
        Family::V6.address(Place::Remote),
    );
    let expected = format!("up0;{v4};;80;1042;256;{why}\nup0;;{v6};80;1062;256;{why}\n");
    ensure!(read? == expected);
    Ok(())
}

#[test]
fn people_read_lines_and_need_no_more_than_the_socket() -> Result<()> {
    let scene = Scene::new()?;
    let mut child = scene
        .netmap
        .host_command("setpriv")
        .args(["--bounding-set=-all", "--inh-caps=-all", "timeout", "60"])
        .arg(scene.netmap.binary())
        .args(["monitor", "--drops", "--count", "1"])
        .env("NETMAP_SOCKET", scene.netmap.socket())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    wait_within(Duration::from_secs(30), "it watches", || {
        Ok((lease(&scene.netmap)? != 0 || child.try_wait()?.is_some()).then_some(()))
    })?;
    let client = udp::Client::connected(&scene.lab.remote, DIRECT)?;
    client.send("dropped")?;
    let output = child.wait_with_output()?;
    let (said, told) = (
        String::from_utf8(output.stdout)?,
        String::from_utf8(output.stderr)?,
    );
    ensure!(
        output.status.success() && told.contains("Ctrl-C ends it"),
        "{told}"
    );
    let (time, rest) = said.split_once(' ').context("no time")?;
    ensure!(time.len() == 12, "{said}");
    let expected = format!(
        "dropped   direct-access udp {}->{DIRECT} 49 bytes at up0 uplink-in: From outside straight to a container's address, or \
         between bridges: not published.\n",
        client.local()?
    );
    ensure!(rest == expected, "{rest} is not {expected}");
    Ok(())
}
