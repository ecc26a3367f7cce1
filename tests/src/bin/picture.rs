//! Draws `docs/top.svg`: `netmap top` in a real terminal, in the laboratory, while everybody is busy. As root, at the root of the
//! repository: `cargo build -p netmap-user && cargo run -p netmap-tests --bin picture`.

use std::{
    fs,
    net::SocketAddrV4,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use netmap_tests::{
    Namespace, Scene, picture, tcp,
    terminal::Terminal,
    topology::{C1, C1B, C2, HOST, REMOTE},
    udp,
};

const COLUMNS: u16 = 80;
const LINES: u16 = 20;

fn main() -> Result<()> {
    let mut scene = Scene::new()?;
    scene.netmap.shows_log = false;
    for (namespace, address) in [(scene.lab.c1b.clone(), C1B), (scene.lab.c2.clone(), C2)] {
        scene.serve(&namespace, SocketAddrV4::new(address, 80))?;
    }
    for (spec, container) in [
        ("443:80", C1B),
        ("5432:80", C2),
        ("514:80/udp", C2),
        ("20000-20099:80-179", C1B),
    ] {
        scene.netmap.publish(&format!("0.0.0.0:{spec}"), container)?;
    }
    let terminal = Terminal::open(scene.lab.name(), COLUMNS, LINES)?;
    let done = AtomicBool::new(false);
    let remote = &scene.lab.remote;
    let screen = thread::scope(|scope| {
        let workers = [
            scope.spawn(|| talk(remote, 8080, 900, 1, &done)),
            scope.spawn(|| talk(remote, 443, 700, 2, &done)),
            scope.spawn(|| talk(remote, 443, 300, 7, &done)),
            scope.spawn(|| talk(remote, 5432, 100, 10, &done)),
            scope.spawn(|| send(remote, SocketAddrV4::new(HOST, 514), 20, &done)),
            scope.spawn(|| send(remote, SocketAddrV4::new(C1, 80), 50, &done)),
            scope.spawn(|| visit(&scene.lab.c1, &done)),
        ];
        let seen = look(&terminal, &scene);
        done.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.join().map_err(|_| anyhow!("a worker has panicked"))??;
        }
        seen
    })?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("no root")?;
    let place = root.join("docs/top.svg");
    fs::write(&place, picture::svg(&screen, COLUMNS.into()))?;
    println!("{}", place.display());
    Ok(())
}

/// What the terminal shows once there is a curve to see.
fn look(terminal: &Terminal, scene: &Scene) -> Result<String> {
    terminal.start_top(scene, "-d 1")?;
    terminal.fits("it has looked for a while", |screen| {
        let curve = screen.chars().filter(|sign| ('▁'..='█').contains(sign));
        curve.count() >= 16 && screen.contains("daemon runs")
    })?;
    let screen = terminal.coloured()?;
    terminal.key("q")?;
    terminal.shows("ended 0")?;
    Ok(screen)
}

/// Asks at a published port, again and again.
fn talk(from: &Namespace, port: u16, length: usize, pause: u64, done: &AtomicBool) -> Result<()> {
    let mut client = tcp::Client::connect(from, SocketAddrV4::new(HOST, port))?;
    let text = "x".repeat(length);
    while !done.load(Ordering::Relaxed) {
        client.ask(&text)?;
        thread::sleep(Duration::from_millis(pause));
    }
    client.finish()
}

/// Sends datagrams that nobody need answer.
fn send(from: &Namespace, to: SocketAddrV4, pause: u64, done: &AtomicBool) -> Result<()> {
    let client = udp::Client::connected(from, to)?;
    while !done.load(Ordering::Relaxed) {
        client.send("a line of a log")?;
        thread::sleep(Duration::from_millis(pause));
    }
    Ok(())
}

/// A container that opens connections to the outside, more and fewer of them.
fn visit(from: &Namespace, done: &AtomicBool) -> Result<()> {
    const PAUSES: [u64; 8] = [20, 30, 60, 120, 60, 40, 90, 25];
    let to = SocketAddrV4::new(REMOTE, 80);
    for pause in PAUSES.into_iter().cycle() {
        for _ in 0..1_500 / pause {
            if done.load(Ordering::Relaxed) {
                return Ok(());
            }
            tcp::request(from, to, "hello")?;
            thread::sleep(Duration::from_millis(pause));
        }
    }
    Ok(())
}
