//! Memory of processes and of the kernel's maps, with many ports and with many flows.

use std::{
    fs::{self, File},
    os::fd::{AsFd as _, AsRawFd as _},
    path::Path,
};

use anyhow::{Context as _, Result};
use aya::maps::MapData;
use netmap_tests::{Netmap, scene::Transport, topology::C1};

use super::{Run, numbered};
use crate::{
    backend::{Backend, Stage, publish_single},
    effort::Effort,
    figures::Metric,
    generator::Generator,
    interrupt,
    line::{Direction, Line},
    machine,
    ports::Ports,
    traffic::Sources,
};

/// Packets a second at which flows are opened, few enough to stop in time.
const RATE: u64 = 100_000;

pub(super) fn run(run: &mut Run<'_>) -> Result<()> {
    if run.backend == Backend::Proxy {
        return docker_proxies(run);
    }
    ports(run)?;
    flows(run)
}

fn docker_proxies(run: &mut Run<'_>) -> Result<()> {
    let count = match run.effort {
        Effort::Full => 1000,
        Effort::Quick => 100,
        Effort::Smoke => 10,
    };
    // The two that are measured elsewhere count as ports, too.
    let stage = Stage::new(Backend::Proxy, Ports::numbering(count - 1, Transport::Udp))?;
    let processes = stage.processes();
    let column = format!("{} single", numbered(count.into()));
    run.add(
        "published ports",
        Metric::ProcessMb,
        &column,
        sum(&processes, proportional)?,
    );
    run.add(
        "published ports",
        Metric::Threads,
        &column,
        sum(&processes, threads)?,
    );
    Ok(())
}

fn ports(run: &mut Run<'_>) -> Result<()> {
    let most: u16 = match run.effort {
        Effort::Full => 60_000,
        Effort::Quick => 10_000,
        Effort::Smoke => 100,
    };
    let stage = Stage::new(Backend::Netmap, Ports::numbering(0, Transport::Udp))?;
    let netmap = stage.netmap().context("netmap does not run")?;
    measure(run, netmap, "published ports", numbered(0))?;
    // A tenth below and the rest above the ports that are published already.
    for (first, count) in [(2000, most / 10), (9000, most - most / 10)] {
        let span = format!("{first}-{}", first + count - 1);
        netmap.publish(&format!("{span}:{span}/udp"), C1)?;
    }
    let column = format!("{} in two ranges", numbered(most.into()));
    measure(run, netmap, "published ports", column)?;
    drop(stage);

    // A port that is published by itself has a socket in the daemon.
    let files = u16::try_from(machine::allow_many_files()?).unwrap_or(u16::MAX);
    let single = most.min(files.saturating_sub(1000) / 1000 * 1000).max(1000);
    for count in [1000.min(most), single] {
        interrupt::check()?;
        let stage = Stage::new(Backend::Netmap, Ports::numbering(0, Transport::Udp))?;
        let netmap = stage.netmap().context("netmap does not run")?;
        let ports: Vec<_> = Ports::numbering(count + 1, Transport::Udp).others().collect();
        publish_single(netmap, &ports)?;
        measure(
            run,
            netmap,
            "published ports",
            format!("{} single", numbered(count.into())),
        )?;
    }
    Ok(())
}

fn flows(run: &mut Run<'_>) -> Result<()> {
    let counts: &[u32] = match run.effort {
        Effort::Full => &[0, 100_000, 1_000_000],
        Effort::Quick => &[0, 100_000],
        Effort::Smoke => &[0, 1000],
    };
    for count in counts {
        interrupt::check()?;
        // Two entries a flow, and the table as large as it is by default where that suffices.
        let entries = count.saturating_mul(2).next_power_of_two().max(262_144);
        let entries = entries.to_string();
        let stage = Stage::with(Backend::Netmap, Ports::FEW, &["--flow-entries", &entries])?;
        let line = Line::new(&stage, Direction::In, 1, run.effort)?;
        if *count > 0 {
            let _generator = Generator::start(&line.traffic(Sources::always_new(), Some(RATE)))?;
            line.wait_for(u64::from(*count))?;
        }
        let netmap = stage.netmap().context("netmap does not run")?;
        measure(run, netmap, "flows", numbered(*count))?;
    }
    Ok(())
}

fn measure(run: &mut Run<'_>, netmap: &Netmap, series: &'static str, column: String) -> Result<()> {
    let pid = netmap.pid().context("netmap does not run")?;
    run.add(series, Metric::ProcessMb, column.clone(), resident(pid)?);
    run.add(series, Metric::Threads, column.clone(), threads(pid)?);
    run.add(series, Metric::MapMb, column, maps(netmap.pins())?);
    Ok(())
}

fn sum(processes: &[u32], of: impl Fn(u32) -> Result<f64>) -> Result<f64> {
    processes.iter().map(|process| of(*process)).sum()
}

/// Resident set, megabytes.
fn resident(process: u32) -> Result<f64> {
    Ok(field(&format!("/proc/{process}/status"), "VmRSS:")? / 1024.0)
}

/// Proportional set, megabytes: pages that several share are divided among them.
fn proportional(process: u32) -> Result<f64> {
    Ok(field(&format!("/proc/{process}/smaps_rollup"), "Pss:")? / 1024.0)
}

fn threads(process: u32) -> Result<f64> {
    field(&format!("/proc/{process}/status"), "Threads:")
}

/// Memory of all maps that are pinned below a folder, megabytes.
fn maps(folder: &Path) -> Result<f64> {
    let mut bytes = 0.0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            bytes += maps(&path)? * 1024.0 * 1024.0;
            continue;
        }
        // Programs and links are pinned there, too.
        let Ok(map) = MapData::from_pin(&path) else {
            continue;
        };
        let about = format!("/proc/self/fdinfo/{}", map.fd().as_fd().as_raw_fd());
        if field(&about, "map_type:").is_ok() {
            bytes += field(&about, "memlock:")?;
        }
    }
    Ok(bytes / 1024.0 / 1024.0)
}

/// The number after `name` in a file of the kernel's.
fn field(path: &str, name: &str) -> Result<f64> {
    let mut text = String::new();
    std::io::Read::read_to_string(&mut File::open(path)?, &mut text)?;
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
        .with_context(|| format!("{path} has no number {name}"))
}
