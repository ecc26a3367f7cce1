//! Many rules in one request: all of them or none.

use std::{
    fs,
    net::SocketAddrV4,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use netmap_tests::{
    Scene,
    scene::Transport,
    topology::{C1, HOST, REMOTE},
};

/// A file of lines, gone when dropped.
struct List(PathBuf);

impl List {
    fn new(name: &str, lines: impl Iterator<Item = String>) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("netmap-{}-{name}", std::process::id()));
        fs::write(&path, lines.collect::<Vec<_>>().join("\n"))?;
        Ok(Self(path))
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // Gone already is as good.
        let _gone = fs::remove_file(&self.0);
    }
}

#[test]
fn ten_thousand_rules_are_published_within_seconds_and_taken_back() -> Result<()> {
    let mut scene = Scene::new()?;
    let rules = scene.netmap.ports()?.len();
    let ports = 20_000..30_000;
    let publish = List::new(
        "publish",
        ports.clone().map(|port| format!("{port}:{port}/udp {C1}")),
    )?;
    let start = Instant::now();
    let said = scene.netmap.done(&["publish", "--file", publish.path()])?;
    let took = start.elapsed();
    // A build of the daemon for debugging takes a multiple; the benchmark has the figure.
    ensure!(took < Duration::from_secs(10), "it took {took:?}");
    // One of each family a line.
    ensure!(said.contains("published 20000 rules"), "{said}");
    ensure!(scene.netmap.ports()?.len() == rules + 20_000);

    for port in [20_000, 24_999, 29_999] {
        scene.serve(&scene.lab.c1.clone(), SocketAddrV4::new(C1, port))?;
        let answer =
            Transport::Udp.request(&scene.lab.remote, SocketAddrV4::new(HOST, port), "one of many")?;
        ensure!(answer.client.ip() == REMOTE, "{answer:?}");
    }

    let unpublish = List::new("unpublish", ports.map(|port| format!("{port}/udp")))?;
    let said = scene.netmap.done(&["unpublish", "--file", unpublish.path()])?;
    ensure!(said.contains("unpublished 10000 SPECs"), "{said}");
    ensure!(scene.netmap.ports()?.len() == rules);
    Ok(())
}

#[test]
fn one_line_that_cannot_be_published_keeps_all_others_from_it() -> Result<()> {
    let scene = Scene::new()?;
    let before = scene.netmap.ports()?;
    let lines = ["9001:80", "9002:80", "8080:80", "9003:80"].map(|spec| format!("{spec} {C1}"));
    let list = List::new("overlap", lines.into_iter())?;
    let said = scene.netmap.refused(&["publish", "--file", list.path()], 1)?;
    ensure!(said.contains("0.0.0.0:8080/tcp overlaps with"), "{said}");
    ensure!(scene.netmap.ports()? == before);

    let twice = List::new(
        "twice",
        ["9001:80", "9001:81"]
            .map(|spec| format!("{spec} {C1}"))
            .into_iter(),
    )?;
    let said = scene.netmap.refused(&["publish", "--file", twice.path()], 1)?;
    ensure!(said.contains("9001"), "{said}");
    ensure!(scene.netmap.ports()? == before);

    let lines = ["8080", "9009"].map(str::to_owned);
    let list = List::new("missing", lines.into_iter())?;
    let said = scene.netmap.refused(&["unpublish", "--file", list.path()], 1)?;
    ensure!(said.contains("9009/tcp is not published"), "{said}");
    ensure!(scene.netmap.ports()? == before);
    Ok(())
}

#[test]
fn a_line_that_means_nothing_is_named() -> Result<()> {
    let scene = Scene::new()?;
    let before = scene.netmap.ports()?;
    let lines = [format!("9001:80 {C1}"), format!("99999:80 {C1}")];
    let list = List::new("nonsense", lines.into_iter())?;
    let said = scene.netmap.refused(&["publish", "--file", list.path()], 2)?;
    ensure!(said.contains("line 2"), "{said}");
    ensure!(scene.netmap.ports()? == before);
    Ok(())
}
