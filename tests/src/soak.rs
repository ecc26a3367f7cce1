//! All kinds of load at once for a while, as fast as it goes: nobody is failed, every packet is accounted for, and when it is
//! over nothing is left of it.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use etherparse::PacketBuilder;
use serde_json::{Value, json};

use crate::{
    Counters, Lab, Namespace, Netmap, Scene, api,
    scene::{PUBLISHED, SERVED},
    tcp,
    topology::{C1, GATEWAY1, HOST, REMOTE},
    wait_within,
    wire::Wire,
};

/// Room for all that the load opens: a closed connection's pair of ports rests for minutes.
const ARGUMENTS: [&str; 6] = [
    "--flow-entries",
    "1048576",
    "--max-flows",
    "0",
    "--max-source-flows",
    "0",
];
/// How long it takes at most until nothing is left.
const PATIENCE: Duration = Duration::from_secs(90);
/// By how much the daemon's memory may have grown: pages that its allocator keeps, and its own tally of clients.
const GROWTH: u64 = 8 << 20;
/// Bytes of a bulk transfer.
const BULK: u64 = 16 << 20;
/// First of the ports that come and go.
const CHURNED: u16 = 20_000;

/// What was done.
#[derive(Debug, Default)]
pub struct Report {
    /// Packets that came in by the uplink.
    pub received: u64,
    /// Packets at all hooks together, each of which is accounted for.
    pub packets: u64,
    /// Connections, a request and an answer each.
    pub connections: u64,
    /// Bytes of bulk transfers.
    pub bytes: u64,
    /// Datagrams that each opened a flow.
    pub datagrams: u64,
    /// Ports that were published, asked, and taken back.
    pub published: u64,
    /// The daemon's resident memory before, bytes.
    pub resident_before: u64,
    /// And after.
    pub resident: u64,
}

/// Does it.
///
/// # Errors
///
/// What did not hold.
pub fn run(time: Duration) -> Result<Report> {
    let mut scene = Scene::with_arguments(Lab::new()?, &ARGUMENTS)?;
    let before = State::of(&scene.netmap)?;
    let ledger = Ledger::at_rest(&scene)?;
    let done = Done::default();
    load(&scene, time, &done)?;
    ensure!(
        scene.netmap.ports()? == before.ports,
        "what is published is not what was before"
    );
    let (received, packets) = ledger.settle(&scene)?;
    clear(&scene)?;
    let after = before.ensure_left(&scene.netmap)?;
    // A line for each port that came or went.
    scene.netmap.shows_log = false;
    let count = |count: AtomicU64| count.into_inner();
    Ok(Report {
        received,
        packets,
        connections: count(done.connections),
        bytes: count(done.bytes),
        datagrams: count(done.datagrams),
        published: count(done.published),
        resident_before: before.resident,
        resident: after,
    })
}

/// What has been done so far.
#[derive(Debug, Default)]
struct Done {
    connections: AtomicU64,
    bytes: AtomicU64,
    datagrams: AtomicU64,
    published: AtomicU64,
}

/// A part of the load: what it is called, and once of it.
type Work<'a> = (&'static str, Box<dyn Fn() -> Result<()> + Sync + 'a>);

/// All at once.
fn load(scene: &Scene, time: Duration, done: &Done) -> Result<()> {
    let lab = &scene.lab;
    let end = Instant::now() + time;
    let failed = AtomicBool::new(false);
    let goes_on = || Instant::now() < end && !failed.load(Ordering::Relaxed);
    let published = |address| SocketAddr::from((address, PUBLISHED));
    let outside = SocketAddr::from((REMOTE, SERVED));
    let works: [Work<'_>; 8] = [
        (
            "connections from outside",
            Box::new(|| connection(&lab.remote, published(HOST), done)),
        ),
        (
            "connections of a neighbour",
            Box::new(|| connection(&lab.c1b, published(GATEWAY1), done)),
        ),
        (
            "connections to the outside",
            Box::new(|| connection(&lab.c2, outside, done)),
        ),
        (
            "the host's own connections",
            Box::new(|| connection(&scene.host, published(Ipv4Addr::LOCALHOST), done)),
        ),
        (
            "bulk from outside",
            Box::new(|| bulk(&lab.remote, published(HOST), done)),
        ),
        ("bulk to the outside", Box::new(|| bulk(&lab.c2, outside, done))),
        ("ports that come and go", Box::new(|| churn(scene, done))),
        ("the flood", Box::new(|| flood(lab, done))),
    ];
    let repeat = |(name, work): &Work<'_>| -> Result<()> {
        while goes_on() {
            work()
                .inspect_err(|_| failed.store(true, Ordering::Relaxed))
                .with_context(|| (*name).to_owned())?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let repeat = &repeat;
        let workers: Vec<_> = works
            .iter()
            .map(|work| scope.spawn(move || repeat(work)))
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().map_err(|_| anyhow!("a client panicked"))?)
    })
}

fn connection(from: &Namespace, to: SocketAddr, done: &Done) -> Result<()> {
    for _ in 0..16 {
        connection_once(from, to)?;
        done.connections.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn bulk(from: &Namespace, to: SocketAddr, done: &Done) -> Result<()> {
    tcp::Client::connect_within(from, to, PATIENCE)?.upload(BULK)?;
    tcp::Client::connect_within(from, to, PATIENCE)?.download(BULK, 0)?;
    done.bytes.fetch_add(2 * BULK, Ordering::Relaxed);
    Ok(())
}

/// Publishes ports one by one and as a range, asks them, and takes them back.
fn churn(scene: &Scene, done: &Done) -> Result<()> {
    let span = |first: u16, last: u16| json!({"host": "0.0.0.0", "ports": [first, last], "transport": "tcp"});
    let mut spans: Vec<_> = (CHURNED..CHURNED + 16).map(|port| span(port, port)).collect();
    spans.push(span(CHURNED + 100, CHURNED + 299));
    let bindings: Vec<Value> = spans
        .iter()
        .map(|published| {
            let is_range = published["ports"][0] != published["ports"][1];
            let ports = if is_range {
                published["ports"].clone()
            } else {
                json!([SERVED, SERVED])
            };
            json!({"published": published, "target": C1, "target_ports": ports})
        })
        .collect();
    post(&scene.netmap, "/v1/publish", &json!({ "bindings": bindings }))?;
    for port in [CHURNED, CHURNED + 15] {
        connection_once(&scene.lab.remote, SocketAddrV4::new(HOST, port).into())?;
    }
    post(&scene.netmap, "/v1/unpublish", &json!({ "published": spans }))?;
    done.published.fetch_add(16 + 200, Ordering::Relaxed);
    Ok(())
}

fn connection_once(from: &Namespace, to: SocketAddr) -> Result<()> {
    // At full speed the machine's own queues overflow, and TCP has to send again what was lost there.
    let mut client = tcp::Client::connect_within(from, to, PATIENCE)?;
    client.ask("one of many")?;
    client.finish()
}

fn post(netmap: &Netmap, path: &str, body: &Value) -> Result<()> {
    let answer = api::post(netmap, path, body)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    Ok(())
}

/// Datagrams by addresses that nobody has, each of which opens a flow.
fn flood(lab: &Lab, done: &Done) -> Result<()> {
    const UPLINK_MAC: [u8; 6] = [2, 0, 0, 0, 0x50, 2];
    let wire = Wire::open(&lab.remote, "eth0")?;
    let mut frame = Vec::new();
    for _ in 0..1_000 {
        let number = done.datagrams.fetch_add(1, Ordering::Relaxed);
        let [.., b, c, d] = number.wrapping_mul(0x9e37_79b1).to_le_bytes();
        let port = u16::try_from(1024 + number % 60_000)?;
        frame.clear();
        PacketBuilder::ethernet2(wire.mac(), UPLINK_MAC)
            .ipv4([10, b, c, d], HOST.octets(), 64)
            .udp(port, PUBLISHED)
            .write(&mut frame, b"one of a flood")?;
        wire.send(&frame)?;
    }
    // 50,000 a second at most: a handshake that a lost packet holds up is not to outlast its place in the queue.
    thread::sleep(Duration::from_millis(20));
    Ok(())
}

/// Ends all flows: the rules go, and the container that asks outside.
fn clear(scene: &Scene) -> Result<()> {
    for transport in ["tcp", "udp"] {
        scene.netmap.unpublish(&format!("{PUBLISHED}/{transport}"))?;
    }
    scene.lab.host.batch("link del vc2\n")?;
    wait_within(PATIENCE, "no flow is left", || {
        let tables = scene.netmap.json("status")?["tables"].clone();
        Ok((tables["flows"]["entries"] == 0).then_some(()))
    })
}

/// What there is of a netmap.
struct State {
    ports: Vec<Value>,
    files: usize,
    threads: u64,
    resident: u64,
    tables: BTreeMap<String, u64>,
}

impl State {
    fn of(netmap: &Netmap) -> Result<Self> {
        let pid = netmap.pid().context("it does not run")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let number = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let word = line.and_then(|line| line.split_whitespace().next());
            Ok(word.with_context(|| format!("no {name}"))?.parse()?)
        };
        let tables = netmap.json("status")?["tables"].clone();
        let tables = tables.as_object().context("status tells of no tables")?;
        Ok(Self {
            ports: netmap.ports()?,
            files: fs::read_dir(format!("/proc/{pid}/fd"))?.count(),
            threads: number("Threads:")?,
            resident: number("VmRSS:")? * 1024,
            tables: tables
                .iter()
                .filter_map(|(name, table)| Some((name.clone(), table["entries"].as_u64()?)))
                .collect(),
        })
    }

    /// There is no more now than there was; the daemon's resident memory.
    fn ensure_left(&self, netmap: &Netmap) -> Result<u64> {
        wait_within(PATIENCE, "the daemon has closed what it had opened", || {
            let now = Self::of(netmap)?;
            Ok((now.files <= self.files && now.threads <= self.threads).then_some(()))
        })?;
        let now = Self::of(netmap)?;
        // Addresses are the host's: its link-local ones come when nobody else was found to have them.
        let tables = now
            .tables
            .iter()
            .filter(|(name, _)| !name.starts_with("addresses"));
        for (name, entries) in tables {
            let before = self.tables.get(name).copied().unwrap_or_default();
            ensure!(
                *entries <= before,
                "{name} has {entries} entries, and had {before}"
            );
        }
        ensure!(
            now.resident <= self.resident + GROWTH,
            "the daemon's memory has grown from {} to {} bytes",
            self.resident,
            now.resident
        );
        Ok(now.resident)
    }
}

/// What interfaces and netmap have counted, at a moment when nothing is under way.
struct Ledger {
    interfaces: BTreeMap<String, Interface>,
    counters: Counters,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Interface {
    received: u64,
    sent: u64,
    /// What the other end had no room for.
    unsent: u64,
}

impl Ledger {
    fn at_rest(scene: &Scene) -> Result<Self> {
        wait_within(PATIENCE, "packets cease to come", || {
            let before = interfaces(&scene.lab.host)?;
            let counters = scene.netmap.counters()?;
            let interfaces = interfaces(&scene.lab.host)?;
            let is_at_rest = interfaces == before;
            Ok(is_at_rest.then_some(Self { interfaces, counters }))
        })
    }

    /// Every packet that an interface has had since then stands under a reason at its hook; those of the uplink, and all.
    fn settle(&self, scene: &Scene) -> Result<(u64, u64)> {
        let now = Self::at_rest(scene)?;
        let moved = self.counters.until(&now.counters);
        let sum = |names: &[&str], of: fn(Interface) -> u64| -> u64 {
            let of = |ledger: &Self, name: &str| ledger.interfaces.get(name).copied().map_or(0, of);
            names.iter().map(|name| of(&now, name) - of(self, name)).sum()
        };
        let received = |interface: Interface| interface.received;
        let sent = |interface: Interface| interface.sent + interface.unsent;
        let mut all = 0;
        for (hook, is, should) in [
            (
                "uplink-in",
                moved.of_hook("uplink-in", true),
                sum(&["up0"], received),
            ),
            // What is dropped there has not left.
            (
                "uplink-out",
                moved.of_hook("uplink-out", false),
                sum(&["up0"], sent),
            ),
            (
                "port-in",
                moved.of_hook("port-in", true),
                sum(&["vc1", "vc1b", "vc2"], received),
            ),
            (
                "bridge-in",
                moved.of_hook("bridge-in", true),
                sum(&["br1", "br2"], received),
            ),
        ] {
            ensure!(
                is == should,
                "{hook} has counted {is} packets and the interfaces {should}: {moved}"
            );
            all += is;
        }
        Ok((sum(&["up0"], received), all))
    }
}

/// `/proc/net/dev` of a namespace.
fn interfaces(namespace: &Namespace) -> Result<BTreeMap<String, Interface>> {
    let text = namespace.try_run(|| fs::read_to_string("/proc/thread-self/net/dev"))?;
    Ok(text
        .lines()
        .filter_map(|line| {
            let (name, figures) = line.split_once(':')?;
            let figures: Vec<u64> = figures
                .split_whitespace()
                .filter_map(|word| word.parse().ok())
                .collect();
            // Received: bytes packets errs drop fifo frame compressed multicast; then the same of what was sent.
            let interface = Interface {
                received: *figures.get(1)?,
                sent: *figures.get(9)?,
                unsent: *figures.get(11)?,
            };
            Some((name.trim().to_owned(), interface))
        })
        .collect())
}
