//! A full flow table: how long it takes to list it, and what it costs to look for idle flows in it.

use std::{
    fs,
    io::Read as _,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{HashMap, Map, MapData};
use bytemuck::cast;
use netmap_common::maps::{Flow, FlowKey, Kind, Port, Protocol, Seconds, Side, TcpSeen, Way, name};
use netmap_tests::{Netmap, topology::HOST};

use super::{Run, numbered};
use crate::{
    backend::{Backend, Stage},
    effort::Effort,
    figures::Metric,
    interrupt,
    machine::Meter,
    ports::Ports,
};

/// Of listing and sweeping.
const SERIES: &str = "entries";
/// For how long the flows have rested, seconds: only established connections live so long.
const QUIET: u32 = 1_000;

type FlowTable = HashMap<MapData, [u8; size_of::<FlowKey>()], [u8; size_of::<Flow>()]>;

pub(super) fn run(run: &mut Run<'_>) -> Result<()> {
    let flows: u32 = match run.effort {
        Effort::Full | Effort::Quick => 500_000,
        Effort::Smoke => 1_000,
    };
    let stage = Stage::with(Backend::Netmap, Ports::FEW, &["--flow-entries", "1048576"])?;
    let netmap = stage.netmap().context("netmap does not run")?;
    fill(netmap, flows)?;
    let column = numbered(2 * flows);
    for (series, arguments) in [("flows", &[][..]), ("flows --json", &["--json"][..])] {
        let seconds = list(netmap, arguments, flows)?;
        run.add(series, Metric::Seconds, column.clone(), seconds);
    }
    run.add(
        SERIES,
        Metric::PercentOfCore,
        column,
        sweeping(netmap, run.effort)?,
    );
    // None was over, so none may be gone.
    list(netmap, &[], flows)?;
    Ok(())
}

/// Where the flow table is pinned: in the folder of whichever layout this netmap has.
fn pin(netmap: &Netmap) -> Result<PathBuf> {
    let folders = fs::read_dir(netmap.pins())?.flatten();
    let mut pins = folders.map(|folder| folder.path().join("maps").join(name::FLOWS));
    pins.find(|pin| pin.exists())
        .context("the flow table is not pinned")
}

/// Adds connections from a container to the outside that are established and rest.
fn fill(netmap: &Netmap, flows: u32) -> Result<()> {
    let mut table = FlowTable::try_from(Map::HashMap(MapData::from_pin(pin(netmap)?)?))?;
    let last_seen = Seconds(uptime()?.saturating_sub(QUIET));
    for number in 0..flows {
        let port = Port(u16::try_from(1024 + number % 60_000)?);
        // 10.0.0.0/8 and 100.64.0.0/10.
        let (container, outside) = ((10 << 24) + number / 60_000, (0x6440 << 16) + number / 1_000);
        let from = FlowKey::new(
            Protocol::Tcp,
            address(container),
            port,
            address(outside),
            Port(443),
        );
        let to = FlowKey {
            src: HOST.into(),
            ..from
        };
        let original = Flow {
            to,
            nonce: number,
            way: Way::Neigh as u8,
            kind: Kind::Egress as u8,
            // SYN and ACK: established.
            tcp: TcpSeen(0x12),
            last_seen,
            created: last_seen,
            packets: 10,
            bytes: 1_000,
            ..Flow::default()
        };
        let reply = Flow {
            to: from.reversed(),
            side: Side::Reply as u8,
            ..original
        };
        table.insert(cast::<_, [u8; _]>(to.reversed()), cast::<_, [u8; _]>(reply), 0)?;
        table.insert(cast::<_, [u8; _]>(from), cast::<_, [u8; _]>(original), 0)?;
    }
    Ok(())
}

fn address(number: u32) -> netmap_common::maps::Address {
    std::net::Ipv4Addr::from_bits(number).into()
}

/// Lists all flows into a pipe, as `netmap flows | wc -l` does; how many seconds that takes.
fn list(netmap: &Netmap, arguments: &[&str], flows: u32) -> Result<f64> {
    let start = Instant::now();
    let mut listing = netmap
        .command("flows")
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut output = listing.stdout.take().context("there is no pipe")?;
    let (mut lines, mut buffer) = (0, vec![0; 1 << 16]);
    loop {
        let read = output.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        let read = buffer.get(..read).unwrap_or_default();
        lines += read.split(|byte| *byte == b'\n').count() - 1;
    }
    let status = listing.wait()?;
    let seconds = start.elapsed().as_secs_f64();
    // One above the flows and one below them.
    ensure!(
        status.success() && lines == flows as usize + 2,
        "netmap flows ended with {status} after {lines} lines for {flows} flows"
    );
    Ok(seconds)
}

/// What the daemon takes while nothing else is to be done, percent of a core.
fn sweeping(netmap: &Netmap, effort: Effort) -> Result<f64> {
    let window = Duration::from_millis(match effort {
        Effort::Full => 40_000,
        Effort::Quick => 15_000,
        Effort::Smoke => 100,
    });
    let meter = Meter::default().with_processes(&[netmap.pid().context("netmap does not run")?]);
    let (before, start) = (meter.nanoseconds(), Instant::now());
    interrupt::pause(window)?;
    let worked = Duration::from_nanos(meter.nanoseconds() - before);
    Ok(100.0 * worked.as_secs_f64() / start.elapsed().as_secs_f64())
}

/// Seconds on the clock of flows, as long as the host does not sleep.
fn uptime() -> Result<u32> {
    let text = fs::read_to_string("/proc/uptime")?;
    let whole = text.split('.').next().unwrap_or_default();
    Ok(whole.parse()?)
}
