//! What `docs/docker.md` says of both ways, from one run: which address a container sees, and what many ports cost.
//!
//! Arguments are the numbers of UDP ports that one container publishes, as in `docker 1 100 1000`.

use std::{fs, time::Instant};

use anyhow::{Context as _, Result};
use netmap_tests::{
    Family,
    docker::{Stage, Way, image, matrix},
    scene::Transport,
};

/// What so many ports cost.
struct Cost {
    start: f64,
    remove: f64,
    processes: usize,
    /// In KiB, shared pages counted by their share.
    memory: u64,
}

fn main() -> Result<()> {
    let counts: Vec<u16> = std::env::args()
        .skip(1)
        .map(|count| {
            count
                .parse()
                .with_context(|| format!("{count} is no number of ports"))
        })
        .collect::<Result<_>>()?;
    let ways = [Way::Engine, Way::Netmap];
    let mut findings = Vec::new();
    for way in ways {
        let stage = quiet(Stage::new(way)?);
        let cast = stage.cast(&matrix::PUBLISH)?;
        findings.push(matrix::observe(&stage, &cast, Family::V4));
    }
    println!("| row | who asks whom | | Docker by itself | Docker with netmap |\n|---|---|---|---|---|");
    if let [engine, netmap] = findings.as_slice() {
        for (engine, netmap) in engine.iter().zip(netmap) {
            let told = |finding: &matrix::Finding| {
                finding
                    .seen
                    .map_or_else(|| "no answer".to_owned(), |seen| seen.to_string())
            };
            let transport = match engine.transport {
                Transport::Tcp => "TCP",
                Transport::Udp => "UDP",
            };
            println!(
                "| {} | {} | {transport} | {} | {} |",
                engine.row.number,
                engine.row.what,
                told(engine),
                told(netmap)
            );
        }
    }
    println!("\n| UDP ports | | start | remove | processes | memory |\n|---|---|---|---|---|---|");
    for count in counts {
        for way in ways {
            let stage = quiet(Stage::new(way)?);
            let cost = cost(&stage, count)?;
            let name = match way {
                Way::Engine => "Docker by itself",
                Way::Netmap => "with netmap",
            };
            let memory = f64::from(u32::try_from(cost.memory)?) / 1024.0;
            println!(
                "| {count} | {name} | {:.2} s | {:.2} s | {} | {memory:.1} MiB |",
                cost.start, cost.remove, cost.processes
            );
        }
    }
    Ok(())
}

fn quiet(mut stage: Stage) -> Stage {
    if let Some(netmap) = &mut stage.netmap {
        netmap.shows_log = false;
    }
    stage
}

fn cost(stage: &Stage, count: u16) -> Result<Cost> {
    let last = 20_000 + count - 1;
    let range = format!("20000-{last}:20000-{last}/udp");
    let before = Instant::now();
    stage.engine.docker(&[
        "run",
        "--detach",
        "--name",
        "many",
        "-p",
        &range,
        image::NAME,
        "/bin/sleep",
        "3600",
    ])?;
    let start = before.elapsed().as_secs_f64();
    let program = match stage.way {
        Way::Engine => "docker-proxy",
        Way::Netmap => "netmap-docker-proxy",
    };
    let processes = stage.engine.processes(program)?;
    let memory = processes.iter().map(|pid| memory(*pid)).sum();
    let before = Instant::now();
    stage.engine.docker(&["rm", "--force", "many"])?;
    Ok(Cost {
        start,
        remove: before.elapsed().as_secs_f64(),
        processes: processes.len(),
        memory,
    })
}

/// A process's proportional set size, in KiB.
fn memory(pid: u32) -> u64 {
    let told = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = told.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or_default()
}
