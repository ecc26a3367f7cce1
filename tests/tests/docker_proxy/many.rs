//! A thousand published ports are a thousand processes, which take next to nothing.

use std::{fs, time::Instant};

use anyhow::{Context as _, Result, ensure};
use netmap_tests::{
    Family, Launcher, Place, Scene,
    launcher::Port,
    scene::{SERVED, Transport},
    udp,
};

use super::{any, scene, wait_for_owner};

const FIRST: u16 = 20_000;
const COUNT: u16 = 1_000;
/// KiB that a proxy may take, what it shares with the others counted to each in equal parts.
const MOST: u64 = 150;

fn thousand() -> Vec<Port> {
    let c1 = Family::V4.at(Place::C1, SERVED);
    let ports = (FIRST..).take(COUNT.into());
    ports
        .map(|port| Port::new(Transport::Udp, any(Family::V4, port), c1).with_socket())
        .collect()
}

#[test]
fn a_thousand_proxies_sleep_and_take_little_memory() -> Result<()> {
    let mut scene = scene(true)?;
    let mut engine = Launcher::start(&scene.netmap)?;
    let ports = thousand();
    let before = files(&scene)?;
    let start = Instant::now();
    for port in &ports {
        engine.publish(port)?;
    }
    println!("{COUNT} ports are published after {:?}", start.elapsed());

    let memory = engine.proxies().map(pss).sum::<Result<u64>>()?;
    let each = memory / u64::from(COUNT);
    println!("{COUNT} proxies take {memory} KiB, {each} KiB each (PSS)");
    ensure!(each < MOST, "a proxy takes {each} KiB");

    let woken = engine.proxies().map(switches).sum::<Result<u64>>()?;
    for port in [FIRST, FIRST + COUNT / 2, FIRST + COUNT - 1] {
        let answer = udp::request(
            &scene.lab.remote,
            Family::V4.at(Place::Host, port),
            "anybody there?",
        )?;
        ensure!(answer.client.ip() == Family::V4.address(Place::Remote));
    }
    scene.netmap.settle()?;
    let woken_by_now = engine.proxies().map(switches).sum::<Result<u64>>()?;
    ensure!(woken == woken_by_now, "{} wake-ups", woken_by_now - woken);

    // All of them find the next daemon.
    scene.netmap.kill()?;
    let start = Instant::now();
    scene.netmap.run()?;
    wait_for_owner(&scene.netmap, "docker", COUNT.into())?;
    println!("the next daemon has all of them after {:?}", start.elapsed());

    let start = Instant::now();
    for port in &ports {
        engine.unpublish(port)?;
    }
    println!("and none after {:?}", start.elapsed());
    ensure!(scene.netmap.ports()?.is_empty());
    let after = files(&scene)?;
    ensure!(
        after <= before + 8,
        "the daemon had {before} files open, and now {after}"
    );
    Ok(())
}

/// KiB of memory that a process takes, shared pages in equal parts.
fn pss(process: u32) -> Result<u64> {
    number(
        &fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?,
        "Pss:",
    )
}

/// How often a process has waited for something.
fn switches(process: u32) -> Result<u64> {
    number(
        &fs::read_to_string(format!("/proc/{process}/status"))?,
        "voluntary_ctxt_switches:",
    )
}

fn number(text: &str, name: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let word = line.and_then(|line| line.split_whitespace().next());
    Ok(word.context("no such line")?.parse()?)
}

fn files(scene: &Scene) -> Result<usize> {
    let daemon = scene.netmap.pid().context("no daemon")?;
    Ok(fs::read_dir(format!("/proc/{daemon}/fd"))?.count())
}
