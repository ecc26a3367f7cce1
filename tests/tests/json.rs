//! `docs/json.md` against what the listings serve, both ways, and what they let one do.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context as _, Result, ensure};
use netmap_tests::{
    Family, Options, Place, Scene,
    monitor::Monitor,
    scene::{PUBLISHED, SERVED},
    tcp, udp,
};
use serde_json::Value;

const DOCUMENT: &str = include_str!("../../docs/json.md");

/// The keys that a command's section has, each with whether it may be missing.
fn documented(command: &str) -> Result<BTreeMap<String, bool>> {
    let heading = format!("\n## netmap {command}\n");
    let (_, section) = DOCUMENT.split_once(&heading).context("no such section")?;
    let (section, _) = section.split_once("\n## ").unwrap_or((section, ""));
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [key, kind, what, missing] = cells[..] else {
            anyhow::bail!("{row} has not four cells");
        };
        ensure!(!kind.is_empty() && !what.is_empty(), "{row}");
        Ok((key.trim_matches('`').to_owned(), !missing.is_empty()))
    })
    .collect()
}

/// The paths of all keys in `value`.
fn keys(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => {
            for item in items {
                keys(item, &format!("{path}[]"), found);
            }
        }
        Value::Object(object) => {
            for (key, value) in object {
                let key = if path == "tables" { "*" } else { key };
                let path = if path.is_empty() {
                    key.to_owned()
                } else {
                    format!("{path}.{key}")
                };
                keys(value, &path, found);
                found.insert(path);
            }
        }
        _ => {}
    }
}

/// What these commands serve, each one line of JSON, is what the document says.
fn compare(scene: &Scene, command: &str, calls: &[&[&str]]) -> Result<()> {
    let mut served = BTreeSet::new();
    for call in calls {
        let text = scene.netmap.done(call)?;
        keys(&serde_json::from_str(&text)?, "", &mut served);
    }
    let documented = documented(command)?;
    for key in &served {
        ensure!(
            documented.contains_key(key),
            "{key} of {command} is not documented"
        );
    }
    for (key, may_be_missing) in &documented {
        ensure!(
            *may_be_missing || served.contains(key),
            "{command} does not serve {key}, but {served:?}"
        );
    }
    Ok(())
}

/// One connection that goes on, and one of the same client that is to be closed.
#[test]
fn listings_are_as_documented_and_chosen_flows_are_closed_alone() -> Result<()> {
    let scene = Scene::with(Options {
        ipv6: true,
        ..Options::default()
    })?;
    let mut kept = Vec::new();
    let mut sessions = Vec::new();
    for family in Family::ALL {
        let at = family.at(Place::Host, PUBLISHED);
        let mut client = tcp::Client::connect(&scene.lab.remote, at)?;
        client.ask("to be kept")?;
        kept.push(client);
        let session = udp::Client::connected(&scene.lab.remote, at)?;
        session.ask("to be closed")?;
        sessions.push(session);
    }
    // Sampling is long enough for a tick of a clock, and no rate is asserted.
    compare(
        &scene,
        "ports",
        &[&["ports", "--json"], &["ports", "--json", "--sample", "100ms"]],
    )?;
    compare(&scene, "flows", &[&["flows", "--json"]])?;
    compare(
        &scene,
        "stats",
        &[
            &["stats", "--json"],
            &["stats", "--json", "--all", "--watch", "100ms", "--count", "1"],
        ],
    )?;
    compare(&scene, "status", &[&["status", "--json"]])?;
    ports_choose(&scene)?;
    close(&scene, &sessions, &mut kept)?;
    compare(
        &scene,
        "flows close",
        &[&["flows", "close", "--json", "--port", "9"]],
    )?;
    status(&scene)
}

fn ports_choose(scene: &Scene) -> Result<()> {
    let listed = |arguments: &[&str]| -> Result<Vec<Value>> {
        let value: Value = serde_json::from_str(&scene.netmap.done(arguments)?)?;
        Ok(value["ports"].as_array().context("no ports")?.clone())
    };
    let all = listed(&["ports", "--json"])?;
    for port in all.iter().filter(|port| port["port"] == PUBLISHED) {
        ensure!(port["flows"] == 1 && port["idle_seconds"].is_u64(), "{port}");
    }
    let chosen = listed(&[
        "ports",
        "--json",
        "--sort",
        "flows",
        "--limit",
        "1",
        "--address",
        "::/0",
    ])?;
    ensure!(chosen.len() == 1 && chosen[0]["host"] == "::", "{chosen:?}");
    let unused = listed(&["ports", "--json", "--unused"])?;
    ensure!(
        !unused.is_empty() && unused.iter().all(|port| port["port"] != PUBLISHED),
        "{unused:?}"
    );
    ensure!(listed(&["ports", "--json", "--port", "9"])?.is_empty());
    Ok(())
}

fn close(scene: &Scene, sessions: &[udp::Client], kept: &mut [tcp::Client]) -> Result<()> {
    let flows = |protocol: &str| -> Result<Vec<Value>> {
        let flows = scene.netmap.flows()?;
        Ok(flows
            .into_iter()
            .filter(|flow| flow["protocol"] == protocol)
            .collect())
    };
    let refused = scene.netmap.cli(&["flows", "close"])?;
    ensure!(
        refused.status.code() == Some(2),
        "without a filter nothing is closed"
    );
    scene.netmap.settle()?;
    let before = flows("tcp")?;
    ensure!(before.len() == 2 && flows("udp")?.len() == 2, "{before:?}");
    let mut monitor = Monitor::start(&scene.netmap, &[])?;
    let port = PUBLISHED.to_string();
    let told = scene.netmap.done(&[
        "flows",
        "close",
        "--protocol",
        "udp",
        "--port",
        &port,
        "--interface",
        "up0",
    ])?;
    ensure!(told == "closed 2 flows\n", "{told}");
    ensure!(flows("udp")?.is_empty());
    for (session, family) in sessions.iter().zip(Family::ALL) {
        let local = session.local()?;
        let closed = monitor.find("flow-closed", |flow| is_from(flow, local))?;
        ensure!(closed["packets_reply"] == 1, "{closed}");
        ensure!(
            closed["translated"]["dst"] == serde_json::json!(family.address(Place::C1))
                && closed["translated"]["dport"] == SERVED,
            "{closed}"
        );
    }
    // What was not chosen has lost nothing, its counters neither, and goes on as it was.
    let counted = |flows: &[Value]| -> BTreeSet<String> {
        let keys = [
            "original",
            "packets_original",
            "bytes_original",
            "packets_reply",
            "bytes_reply",
        ];
        let row = |flow: &Value| keys.map(|key| flow[key].to_string()).join(" ");
        flows.iter().map(row).collect()
    };
    ensure!(counted(&before) == counted(&flows("tcp")?));
    let ((), moved) = scene.netmap.watch(|| {
        kept.iter_mut()
            .try_for_each(|client| client.ask("still here").map(drop))
    })?;
    ensure!(moved.dropped().is_empty(), "{moved:?}");
    // A datagram of a closed flow opens another.
    for session in sessions {
        session.ask("anew")?;
    }
    let anew = flows("udp")?;
    ensure!(
        anew.len() == 2 && anew.iter().all(|flow| flow["packets_original"] == 1),
        "{anew:?}"
    );
    // A connection's end is told nobody: its next packet is no beginning, and is not carried.
    let client: IpAddr = kept[0].local()?.ip();
    let told = scene
        .netmap
        .done(&["flows", "close", "--client", &client.to_string(), "--json"])?;
    ensure!(told == "{\"closed\":2}\n", "{told}");
    let all = scene.netmap.done(&["flows", "close", "--all"])?;
    ensure!(all == "closed 2 flows\n", "{all}");
    ensure!(scene.netmap.flows()?.is_empty());
    Ok(())
}

fn is_from(flow: &Value, client: SocketAddr) -> bool {
    flow["original"]["src"] == serde_json::json!(client.ip()) && flow["original"]["sport"] == client.port()
}

fn status(scene: &Scene) -> Result<()> {
    let status = scene.netmap.json("status")?;
    ensure!(status["data_plane"]["is_sealed"] == true, "{status}");
    let features = status["kernel"]["features"].as_array().context("no features")?;
    ensure!(
        features.iter().all(|feature| feature["found"] == true),
        "{features:?}"
    );
    // The last flows of the ports have ended, and the daemon has kept when.
    let ports = scene.netmap.json("ports")?;
    let ports = ports["ports"].as_array().context("no ports")?;
    for port in ports.iter().filter(|port| port["port"] == PUBLISHED) {
        ensure!(port["flows"] == 0 && port["idle_seconds"].is_u64(), "{port}");
    }
    Ok(())
}
