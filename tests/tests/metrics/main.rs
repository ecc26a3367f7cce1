//! `GET /metrics`: what is served to whom, and that Prometheus and its tools make of it what is meant.

mod prometheus;

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use netmap_common::maps::Reason;
use netmap_tests::{
    DEADLINE, Netmap, Options, Scene, command,
    scene::Transport,
    tcp,
    topology::{C1, HOST},
    wait_within,
};
use serde_json::Value;

use self::prometheus::{Prometheus, promtool};

/// Where the scene's daemon serves metrics.
const AT: &str = "127.0.0.1:9469";
const DOCUMENT: &str = include_str!("../../../docs/metrics.md");
const RULES: &str = include_str!("../../../dist/prometheus/netmap.rules.yml");
const DASHBOARD: &str = include_str!("../../../dist/grafana/netmap.json");
const ALERTS: &str = include_str!("alerts.yml");

/// A metric's samples: labels as they are written, and the value.
type Samples = BTreeMap<String, f64>;

/// What is served, by the samples' names.
struct Page {
    types: BTreeMap<String, String>,
    samples: BTreeMap<String, Samples>,
}

impl Page {
    fn read(text: &str) -> Result<Self> {
        ensure!(text.ends_with("\n# EOF\n"), "it has no end");
        let mut types = BTreeMap::new();
        let mut samples: BTreeMap<String, Samples> = BTreeMap::new();
        for line in text.lines() {
            if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
                let suffix = match kind {
                    "counter" => "_total",
                    "info" => "_info",
                    _ => "",
                };
                types.insert(format!("{name}{suffix}"), kind.to_owned());
            } else if !line.starts_with('#') {
                let (series, value) = line.rsplit_once(' ').context("a sample without a value")?;
                let (name, labels) = series.split_once('{').unwrap_or((series, ""));
                let is_new = samples
                    .entry(name.to_owned())
                    .or_default()
                    .insert(labels.trim_end_matches('}').to_owned(), value.parse()?);
                ensure!(is_new.is_none(), "{series} is there twice");
            }
        }
        Ok(Self { types, samples })
    }

    /// The sum of the samples whose labels contain all of `labels`.
    fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let samples = self.samples.get(name).into_iter().flatten();
        let chosen = samples.filter(|(found, _)| labels.iter().all(|label| found.contains(label)));
        chosen.map(|(_, value)| value).sum()
    }
}

/// What the daemon answers by its own socket to a request without a body, head and all.
fn ask(netmap: &Netmap, request: &str) -> Result<String> {
    let mut stream = UnixStream::connect(netmap.socket())?;
    stream.set_read_timeout(Some(3 * DEADLINE))?;
    write!(stream, "{request} HTTP/1.1\r\nHost: netmap\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn page(netmap: &Netmap) -> Result<Page> {
    let answer = ask(netmap, "GET /metrics")?;
    let (head, text) = answer.split_once("\r\n\r\n").context("no answer came")?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
    ensure!(
        head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{head}"
    );
    Page::read(text)
}

/// What curl gets over TCP as a process of the host.
fn curl(scene: &Scene, arguments: &[&str], path: &str) -> Result<String> {
    let mut curl = scene.lab.host.command("curl");
    curl.args(["--silent", "--show-error", "--max-time", "30", "--noproxy", "*"]);
    curl.args(arguments).arg(format!("http://{AT}{path}"));
    command::run(&mut curl)
}

fn request(scene: &Scene, port: u16) -> Result<()> {
    let at = SocketAddr::from((HOST, port));
    Transport::Tcp.request(&scene.lab.remote, at, "counted").map(drop)
}

#[test]
fn what_is_counted_reaches_prometheus() -> Result<()> {
    let scene = Scene::with_arguments(netmap_tests::Lab::with(Options::default())?, &["--metrics", AT])?;
    scene.netmap.publish("20000-20099:80-179/tcp", C1)?;
    let page = matches_the_document_and_the_counters(&scene)?;
    over_tcp_there_is_nothing_else(&scene)?;
    clients_that_say_nothing_keep_nobody_waiting(&scene)?;
    an_address_that_cannot_be_had_is_named(&scene)?;
    let classic = curl(&scene, &["--header", "Accept: text/plain"], "/metrics")?;
    promtool(&["check", "metrics"], &classic)?;
    let rules = rules_file()?;
    promtool(&["check", "rules", &rules.display().to_string()], "")?;
    let prometheus = Prometheus::start(&scene.lab.host, AT.parse()?, &rules)?;
    prometheus.wait()?;
    flows_are_counted_by_laps(&scene)?;
    prometheus.expect("up", 1.0)?;
    prometheus.expect("netmap_rule_ports{published=\"0.0.0.0:20000-20099/tcp\"}", 100.0)?;
    let carried = scene.netmap.packets("uplink-in", "published-in")?;
    #[expect(clippy::cast_precision_loss, reason = "a few packets")]
    prometheus.expect(
        "netmap_packets_total{hook=\"uplink-in\",reason=\"published-in\"}",
        carried as f64,
    )?;
    ensure!(
        prometheus
            .query("ALERTS{alertname!~\"NetmapContainersUnresolved|NetmapInterfaceMissing|NetmapDown\"}")?
            .is_empty()
    );
    the_dashboard_asks_for_what_there_is(&page, &prometheus)
}

fn matches_the_document_and_the_counters(scene: &Scene) -> Result<Page> {
    let before = page(&scene.netmap)?;
    for port in [8_080, 8_080, 20_000] {
        request(scene, port)?;
    }
    scene.netmap.settle()?;
    let after = page(&scene.netmap)?;
    let documented: BTreeMap<String, String> = DOCUMENT
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|row| {
            let mut cells = row.split('|').map(|cell| cell.trim().replace('`', ""));
            Some((cells.next()?, cells.next()?))
        })
        .collect();
    ensure!(after.types == documented, "{:?}", after.types);
    // Each packet once, by the reason that `netmap stats` has too, and no other hook's counters.
    let published = [
        "hook=\"uplink-in\"",
        "reason=\"published-in\"",
        "class=\"carried\"",
    ];
    let packets = |page: &Page| page.sum("netmap_packets_total", &published);
    let moved = packets(&after) - packets(&before);
    ensure!(moved >= 9.0, "{moved} packets for three requests");
    #[expect(clippy::cast_precision_loss, reason = "a few packets")]
    let counted = scene.netmap.packets("uplink-in", "published-in")? as f64;
    ensure!((packets(&after) - counted).abs() < 0.5, "{counted}");
    ensure!(after.sum("netmap_packet_bytes_total", &published) > 40.0 * moved);
    let dropped = ["class=\"dropped\"", "hook=\"uplink-in\""];
    ensure!(after.sum("netmap_packets_total", &dropped) < 0.5);
    // A range is one series, of each family.
    let rules = after.samples.get("netmap_rule_ports").context("no rules")?;
    ensure!(rules.len() == 6, "{rules:?}");
    let range = "published=\"0.0.0.0:20000-20099/tcp\",target=\"172.30.1.2:80-179/tcp\",container=\"\",owner=\"operator\"";
    ensure!(
        rules.get(range).is_some_and(|ports| (*ports - 100.0).abs() < 0.5),
        "{rules:?}"
    );
    ensure!((after.sum("netmap_published_ports", &["ipv4", "tcp"]) - 101.0).abs() < 0.5);
    ensure!(after.sum("netmap_attachments", &["role=\"uplink\""]) >= 2.0);
    ensure!(after.sum("process_resident_memory_bytes", &[]) > 1e6);
    ensure!(
        !after.samples.contains_key("netmap_engine_connected"),
        "there is no engine"
    );
    Ok(after)
}

fn flows_are_counted_by_laps(scene: &Scene) -> Result<()> {
    let _open = tcp::Client::connect(&scene.lab.remote, SocketAddr::from((HOST, 8_080)))?;
    wait_within(6 * DEADLINE, "a lap has counted the flows", || {
        let page = page(&scene.netmap)?;
        let live = page.sum("netmap_flows", &["family=\"ipv4\"", "kind=\"published\""]);
        let opened = page.sum(
            "netmap_flows_opened_total",
            &["family=\"ipv4\"", "kind=\"published\""],
        );
        let of_rule = page.sum("netmap_rule_flows", &["published=\"0.0.0.0:8080/tcp\""]);
        Ok((live >= 4.0 && opened >= 4.0 && of_rule >= 3.0).then_some(()))
    })
}

fn over_tcp_there_is_nothing_else(scene: &Scene) -> Result<()> {
    let text = curl(scene, &[], "/metrics")?;
    ensure!(Page::read(&text)?.types.len() > 30);
    let head = curl(scene, &["--head"], "/metrics")?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
    let status = ["--output", "/dev/null", "--write-out", "%{http_code}"];
    for (arguments, path, expected) in [
        (&["--request", "POST", "--data", "x"][..], "/metrics", "405"),
        (&[], "/v1/status", "404"),
        (&["--request", "POST", "--data", "{}"], "/v1/publish", "404"),
    ] {
        let answer = curl(scene, &[&status, arguments].concat(), path)?;
        ensure!(answer == expected, "{path} with {arguments:?}: {answer}");
    }
    Ok(())
}

/// More than are served at a time.
fn clients_that_say_nothing_keep_nobody_waiting(scene: &Scene) -> Result<()> {
    let at: SocketAddr = AT.parse()?;
    let silent: Vec<TcpStream> = (0..24)
        .map(|_| tcp::connect(&scene.lab.host, None, at, DEADLINE)?.context("it refuses"))
        .collect::<Result<_>>()?;
    // The daemon and its own socket notice nothing.
    scene.netmap.json("status")?;
    page(&scene.netmap)?;
    // Over TCP it takes as long as they may keep their places.
    curl(scene, &[], "/metrics")?;
    drop(silent);
    Ok(())
}

fn an_address_that_cannot_be_had_is_named(scene: &Scene) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("{}-other", scene.lab.name()));
    fs::create_dir_all(&folder)?;
    let (socket, pins) = (
        folder.join("sock"),
        PathBuf::from(format!("{}-other", scene.netmap.pins().display())),
    );
    let (socket, pins_text) = (socket.display().to_string(), pins.display().to_string());
    let run = |at| {
        scene.netmap.refused(
            &[
                "run",
                "--uplink",
                "up0",
                "--socket",
                &socket,
                "--pin-dir",
                &pins_text,
                "--metrics",
                at,
            ],
            1,
        )
    };
    let said = [run(AT), run("192.0.2.99:9469")];
    fs::remove_dir_all(&folder)?;
    if pins.exists() {
        fs::remove_dir_all(&pins)?;
    }
    let [taken, nowhere] = said;
    let (taken, nowhere) = (taken?, nowhere?);
    ensure!(
        taken.contains("metrics cannot be served at 127.0.0.1:9469: another program has that port"),
        "{taken}"
    );
    ensure!(nowhere.contains("this host has no such address"), "{nowhere}");
    let usage = scene.netmap.refused(&["run", "--metrics", "9469"], 2)?;
    ensure!(usage.contains("is no place to serve metrics at"), "{usage}");
    Ok(())
}

fn rules_file() -> Result<PathBuf> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(package
        .join("../dist/prometheus/netmap.rules.yml")
        .canonicalize()?)
}

/// Every metric that an expression names.
fn named(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("netmap_") || word.starts_with("process_"))
}

fn the_dashboard_asks_for_what_there_is(page: &Page, prometheus: &Prometheus) -> Result<()> {
    let dashboard: Value = serde_json::from_str(DASHBOARD)?;
    let panels = dashboard["panels"].as_array().context("no panels")?;
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array())
        .flatten();
    let expressions: Vec<&str> = targets.filter_map(|target| target["expr"].as_str()).collect();
    ensure!(expressions.len() > 30, "{}", expressions.len());
    for expression in &expressions {
        for name in named(expression) {
            ensure!(page.types.contains_key(name), "there is no {name}");
        }
        let filled_in = expression
            .replace("$__rate_interval", "1m")
            .replace("$job", "netmap")
            .replace("$instance", ".*");
        prometheus.query(&filled_in)?;
    }
    // What there is always gives something to look at.
    let flows = "sum(netmap_flows{job=~\"netmap\", instance=~\".*\"})";
    ensure!(prometheus.query(flows)?.len() == 1);
    for expression in RULES
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: "))
    {
        for name in named(expression) {
            ensure!(page.types.contains_key(name), "there is no {name}");
        }
    }
    Ok(())
}

#[test]
fn alerts_say_what_is_meant() -> Result<()> {
    let tests = std::env::temp_dir().join(format!("netmap-alerts-{}.yml", std::process::id()));
    fs::write(
        &tests,
        ALERTS.replace("RULES", &rules_file()?.display().to_string()),
    )?;
    let tested = promtool(&["test", "rules", &tests.display().to_string()], "");
    fs::remove_file(&tests)?;
    tested?;
    // A reason that is misspelt would never alert.
    let reasons = RULES
        .split("reason=")
        .skip(1)
        .filter_map(|rest| rest.split('"').nth(1));
    for reason in reasons.flat_map(|reasons| reasons.split('|')) {
        ensure!(
            Reason::ALL.iter().any(|known| known.name() == reason)
                || ["full", "client-full", "resources"].contains(&reason),
            "there is no reason {reason}"
        );
    }
    Ok(())
}
