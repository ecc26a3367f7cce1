//! What a flood leaves to others: connections that clients make beside it, an established one, and the daemon's work.
//!
//! The generator has one core. Forwarding, clients and the server share the other, so a flood costs clients the time that its
//! packets take there, whatever is made of them. What that is alone shows a stream of as many packets of one flow.

use std::{fs, thread};

use anyhow::{Context as _, Result, ensure};
use netmap_tests::Namespace;

use super::Run;
use crate::{
    backend::{Backend, Stage},
    effort::Effort,
    figures::Metric,
    generator::Generator,
    interrupt,
    line::{ANSWERED, Direction, Line},
    machine::{Meter, SERVER_CORE},
    ports::Ports,
    tool::{self, Server},
    traffic::{Packets, Sources},
};

const SERIES: &str = "clients beside a flood";
/// Connections that the clients have at a time.
const AT_ONCE: &str = "8";
/// What netmap has by default, which other measures do without.
const LIMITS: [&str; 4] = ["--max-flows", "65536", "--max-source-flows", "32768"];
/// Packets a second at the fixed rate.
const RATE: u64 = 100_000;

/// A flood.
#[derive(Clone, Copy)]
struct Flood {
    column: &'static str,
    kind: Packets,
    from: Whom,
    rate: Option<u64>,
}

/// Who sends it.
#[derive(Clone, Copy)]
enum Whom {
    /// A flow that is there already.
    OneFlow,
    /// One client, a port a packet.
    OneClient,
    /// Everybody.
    Anybody,
}

const fn flood(column: &'static str, kind: Packets, from: Whom, rate: Option<u64>) -> Flood {
    Flood {
        column,
        kind,
        from,
        rate,
    }
}

const ALL: &[Flood] = &[
    flood("none", Packets::Udp, Whom::OneFlow, Some(1)),
    flood("1 flow, 100 k/s", Packets::Udp, Whom::OneFlow, Some(RATE)),
    flood("UDP, 100 k/s", Packets::Udp, Whom::Anybody, Some(RATE)),
    flood("SYN, 100 k/s", Packets::Syns, Whom::Anybody, Some(RATE)),
    flood(
        "UDP of one client, 100 k/s",
        Packets::Udp,
        Whom::OneClient,
        Some(RATE),
    ),
    flood(
        "SYN of one client, 100 k/s",
        Packets::Syns,
        Whom::OneClient,
        Some(RATE),
    ),
    flood("1 flow", Packets::Udp, Whom::OneFlow, None),
    flood("UDP", Packets::Udp, Whom::Anybody, None),
    flood("SYN", Packets::Syns, Whom::Anybody, None),
];

pub(super) fn run(run: &mut Run<'_>) -> Result<()> {
    for flood in ALL {
        // In a smoke, whether clients get through at all.
        if run.effort == Effort::Smoke && flood.column != "SYN, 100 k/s" {
            continue;
        }
        interrupt::check()?;
        beside(run, *flood).with_context(|| format!("beside {}", flood.column))?;
    }
    Ok(())
}

fn beside(run: &mut Run<'_>, flood: Flood) -> Result<()> {
    let stage = Stage::with(run.backend, Ports::FEW, &LIMITS)?;
    let netmap = stage.netmap().context("netmap does not run")?;
    let line = Line::of(&stage, Direction::In, flood.kind, 1, run.effort)?;
    let lab = &stage.lab;
    let _server = Server::start(tool::inside(&lab.c1)?, SERVER_CORE, Backend::Route.address())?;
    let from = match flood.from {
        Whom::OneFlow => line.flows(ANSWERED, 1),
        Whom::OneClient => Sources::one_client(),
        Whom::Anybody => Sources::forged(),
    };
    let (warm_up, window) = match run.effort {
        Effort::Full => (2000, 5000),
        Effort::Quick => (2000, 2000),
        Effort::Smoke => (500, 500),
    };
    let to = run.backend.address().to_string();
    let client = |work: &[&str], time: u64| {
        let time = time.to_string();
        let (what, more) = work.split_first().unwrap_or((&"", &[]));
        let mut arguments = vec![*what, &to, &time];
        arguments.extend(more);
        tool::run(tool::inside(&lab.remote)?, SERVER_CORE, &arguments)
    };
    let before = sent_again(&[&lab.remote, &lab.c1])?;
    let (clients, old, cpu, packets) = thread::scope(|scope| -> Result<_> {
        // Connected before the flood, and busy until after it.
        let old = scope.spawn(|| client(&["tcp-pingpong"], warm_up + window));
        interrupt::pause(std::time::Duration::from_millis(100))?;
        let generator = Generator::start(&line.traffic(from, flood.rate))?;
        interrupt::pause(std::time::Duration::from_millis(warm_up))?;
        let meter = Meter::default().with_processes(&[netmap.pid().context("netmap does not run")?]);
        let (worked, arrived) = (meter.nanoseconds(), line.arrived()?);
        let clients = client(&["connect", AT_ONCE], window)?;
        let cpu = meter.nanoseconds() - worked;
        let packets = line.arrived()? - arrived;
        drop(generator);
        let old = old.join().map_err(|_| anyhow::anyhow!("the client panicked"))?;
        Ok((clients, old?, cpu, packets))
    })?;
    let again = sent_again(&[&lab.remote, &lab.c1])? - before;
    ensure!(
        old.failed == 0 && old.done > 0,
        "the old connection did not go on"
    );
    ensure!(
        clients.done > 0,
        "of {} new connections none was made",
        clients.failed
    );
    if run.effort == Effort::Smoke {
        ensure!(
            clients.failed * 10 <= clients.done,
            "{} new connections failed beside {}",
            clients.failed,
            clients.done
        );
    }
    let (done, failed) = (to_float(clients.done), to_float(clients.failed));
    let column = flood.column;
    run.add(SERIES, Metric::Connections, column, done / clients.seconds);
    run.add(
        SERIES,
        Metric::FailedPercent,
        column,
        100.0 * failed / (done + failed),
    );
    run.add(SERIES, Metric::SentAgain, column, to_float(again));
    run.add(
        SERIES,
        Metric::PercentOfCore,
        column,
        to_float(cpu) / clients.seconds / 1e7,
    );
    run.add(
        SERIES,
        Metric::Kpps,
        column,
        to_float(packets) / clients.seconds / 1e3,
    );
    Ok(())
}

/// Segments that TCP has sent again in these namespaces, `RetransSegs` of `/proc/net/snmp`.
fn sent_again(namespaces: &[&Namespace]) -> Result<u64> {
    let mut sum = 0;
    for namespace in namespaces {
        let text = namespace.try_run(|| fs::read_to_string("/proc/thread-self/net/snmp"))?;
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
        let (names, values) = lines.next().zip(lines.next()).context("no figures of TCP")?;
        let mut pairs = names.split(' ').zip(values.split(' '));
        let (_, value) = pairs
            .find(|(name, _)| *name == "RetransSegs")
            .context("no figure of what TCP sends again")?;
        sum += value.parse::<u64>()?;
    }
    Ok(sum)
}

#[expect(clippy::cast_precision_loss, reason = "counts and times stay far below 2^52")]
const fn to_float(number: u64) -> f64 {
    number as f64
}
