//! Restarts and upgrades: who is connected notices nothing, and what has changed while no daemon ran is found.

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddrV4,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use aya::programs::ProgramInfo;
use netmap_tests::{
    Netmap, SILENCE, Scene, command,
    ping::{self, Reply},
    rows, tcp,
    topology::{C1, GATEWAY1, HOST, REMOTE},
    udp, wait_for,
};

const PUBLISHED: SocketAddrV4 = SocketAddrV4::new(HOST, 8_080);
const OUTSIDE: SocketAddrV4 = SocketAddrV4::new(REMOTE, 80);
/// How many packets of a stream may be lost over all restarts.
const HANDFUL: u32 = 5;
const ROUNDS: u32 = 10;
/// Between two packets of a stream.
const PAUSE: Duration = Duration::from_millis(4);

/// What a client has counted.
#[derive(Clone, Copy, Debug)]
struct Counted {
    sent: u32,
    lost: u32,
}

#[test]
fn ten_restarts_and_ten_exchanges_of_programs_break_nothing() -> Result<()> {
    let mut scene = Scene::new()?;
    let stop = AtomicBool::new(false);
    let (remote, c1) = (scene.lab.remote.clone(), scene.lab.c1.clone());
    let (mut inward, mut outward) = (
        tcp::Client::connect(&remote, PUBLISHED)?,
        tcp::Client::connect(&c1, OUTSIDE)?,
    );
    let sessions = [
        udp::Client::connected(&remote, PUBLISHED)?,
        udp::Client::connected(&c1, OUTSIDE)?,
    ];
    let seen_before = scene.netmap.ports()?;
    thread::scope(|scope| -> Result<()> {
        let stop = &stop;
        let connections = [&mut inward, &mut outward].map(|client| scope.spawn(|| converse(client, stop)));
        let streams = sessions.map(|session| scope.spawn(move || stream(&session, stop)));
        let pings = scope.spawn(|| echo(&c1, stop));
        let changed = change_daemons(&mut scene.netmap);
        // Some packets more by the last one's programs.
        thread::sleep(SILENCE);
        stop.store(true, Ordering::Relaxed);
        let joined =
            |result: thread::Result<Result<Counted>>| result.map_err(|_| anyhow!("a client panicked"))?;
        for connection in connections {
            let counted = joined(connection.join()).context("TCP")?;
            ensure!(counted.sent > ROUNDS && counted.lost == 0, "TCP: {counted:?}");
        }
        for (stream, name) in streams
            .into_iter()
            .chain([pings])
            .zip(["UDP in", "UDP out", "ping"])
        {
            let counted = joined(stream.join()).context(name)?;
            println!("{name}: {counted:?}");
            ensure!(
                counted.sent > 2 * ROUNDS && counted.lost <= HANDFUL,
                "{name}: {counted:?}"
            );
        }
        changed
    })?;
    ensure!(scene.netmap.ports()? == seen_before);
    inward.finish()?;
    outward.finish()?;
    rows::check_all(&scene)
}

/// Ten that take over what runs, and ten that exchange it; every other one after an accident.
fn change_daemons(netmap: &mut Netmap) -> Result<()> {
    let arguments: Vec<String> = netmap.arguments().into_iter().map(str::to_owned).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    for round in 0..2 * ROUNDS {
        let before = programs(netmap)?;
        if round % 4 < 2 {
            netmap.stop()?;
        } else {
            netmap.kill()?;
        }
        let is_exchange = round % 2 == 1;
        if is_exchange {
            // The bit is written into the programs when they are loaded.
            let bit = if round % 4 == 1 { "26" } else { "27" };
            netmap.set_arguments(&[&arguments[..], &["--mark-bit", bit]].concat());
        }
        netmap.run()?;
        let after = programs(netmap)?;
        if is_exchange {
            ensure!(before.is_disjoint(&after), "not exchanged: {before:?} {after:?}");
        } else {
            ensure!(before == after, "not taken over: {before:?} {after:?}");
        }
    }
    Ok(())
}

/// The numbers of the pinned programs.
fn programs(netmap: &Netmap) -> Result<BTreeSet<u32>> {
    let mut ids = BTreeSet::new();
    for entry in fs::read_dir(netmap.layout()?.join("programs"))? {
        ids.insert(ProgramInfo::from_pin(entry?.path())?.id());
    }
    Ok(ids)
}

/// One connection, whose every answer must come and show the same client.
fn converse(client: &mut tcp::Client, stop: &AtomicBool) -> Result<Counted> {
    let first = client.ask("first")?.client;
    let mut sent = 1;
    while !stop.load(Ordering::Relaxed) {
        let answer = client.ask(&format!("question {sent}"))?;
        ensure!(answer.client == first, "{first} became {}", answer.client);
        sent += 1;
        thread::sleep(PAUSE);
    }
    Ok(Counted { sent, lost: 0 })
}

/// Numbered datagrams, each answered or lost.
fn stream(session: &udp::Client, stop: &AtomicBool) -> Result<Counted> {
    let (mut sent, mut answered, mut clients) = (0, BTreeSet::new(), BTreeSet::new());
    let mut hear = |patience| -> Result<bool> {
        let Some(answer) = session.receive(patience)? else {
            return Ok(false);
        };
        answered.insert(answer.payload);
        clients.insert(answer.client);
        Ok(true)
    };
    while !stop.load(Ordering::Relaxed) {
        session.send(&sent.to_string())?;
        sent += 1;
        hear(PAUSE)?;
        thread::sleep(PAUSE);
    }
    while hear(SILENCE)? {}
    ensure!(clients.len() == 1, "one client became {clients:?}");
    let answered = u32::try_from(answered.len())?;
    Ok(Counted {
        sent,
        lost: sent - answered,
    })
}

/// Echo requests under one identifier.
fn echo(from: &netmap_tests::Namespace, stop: &AtomicBool) -> Result<Counted> {
    let pinger = ping::Pinger::new(from, 77)?;
    let mut counted = Counted { sent: 0, lost: 0 };
    while !stop.load(Ordering::Relaxed) {
        let sequence = u16::try_from(counted.sent % 65_536)?;
        let payload = format!("echo {sequence}");
        pinger.send(REMOTE, sequence, &payload)?;
        counted.sent += 1;
        match pinger.reply(sequence, &payload) {
            Ok(Reply::Echo { .. }) => {}
            Ok(error) => anyhow::bail!("{error:?}"),
            Err(error) => {
                println!("{error:#}");
                counted.lost += 1;
            }
        }
        thread::sleep(PAUSE);
    }
    Ok(counted)
}

#[test]
fn a_bridge_and_an_uplink_that_are_made_anew_are_served_whether_or_not_a_daemon_saw_it() -> Result<()> {
    let mut scene = Scene::new()?;
    for is_running in [true, false] {
        if !is_running {
            scene.netmap.stop()?;
        }
        let old = indexes(&scene)?;
        make_anew(&scene)?;
        let new = indexes(&scene)?;
        ensure!(old.is_disjoint(&new), "{old:?} {new:?}");
        if !is_running {
            scene.netmap.run()?;
        }
        wait_for(
            "the hooks are at the new interfaces, and no link at the old ones",
            || {
                let links = linked(&scene.netmap)?;
                Ok((links.is_superset(&new) && links.is_disjoint(&old)).then_some(()))
            },
        )?;
        wait_for("the published port is reached by the programs", || {
            let (answer, moved) = scene
                .netmap
                .watch(|| tcp::request(&scene.lab.remote, PUBLISHED, "anew"))?;
            let carried = moved.carried() == ["port-in published-reply", "uplink-in published-in"];
            Ok((carried && answer.client.ip() == REMOTE).then_some(()))
        })?;
        scene.netmap.settle()?;
        rows::check_all(&scene)?;
    }
    Ok(())
}

/// The first bridge with a container's port, and the uplink, under the same names and other numbers.
fn make_anew(scene: &Scene) -> Result<()> {
    let lab = &scene.lab;
    lab.host.batch("link del vc1\nlink del br1\nlink del up0\n")?;
    lab.host.batch(&format!(
        "link add br1 address 02:00:00:00:01:01 type bridge\n\
         addr add {GATEWAY1}/24 brd + dev br1\n\
         link set br1 up\n\
         link set vc1b master br1\n\
         link add vc1 type veth peer name eth0 netns {c1}\n\
         link set vc1 master br1 up\n\
         link add up0 address 02:00:00:00:50:02 type veth peer name eth0 netns {remote}\n\
         addr add {HOST}/24 brd + dev up0\n\
         link set up0 up\n\
         route add default via {REMOTE} dev up0\n",
        c1 = lab.c1.name(),
        remote = lab.remote.name(),
    ))?;
    lab.c1.batch(&format!(
        "addr add {C1}/24 brd + dev eth0\nlink set eth0 up\nroute add default via {GATEWAY1}\n"
    ))?;
    lab.remote.batch(&format!(
        "addr add {REMOTE}/24 brd + dev eth0\nlink set eth0 up\nroute add 172.30.0.0/16 via {HOST}\n"
    ))
}

/// The numbers of the interfaces that are made anew.
fn indexes(scene: &Scene) -> Result<BTreeSet<u32>> {
    let host = scene.lab.host.name();
    ["vc1", "br1", "up0"]
        .into_iter()
        .map(|name| {
            let shown = command::line(&format!("ip -n {host} -o link show {name}"))?;
            let (index, _) = shown.split_once(':').context("no number")?;
            Ok(index.parse()?)
        })
        .collect()
}

/// The numbers of the interfaces with a pinned link.
fn linked(netmap: &Netmap) -> Result<BTreeSet<u32>> {
    let mut indexes = BTreeSet::new();
    for entry in fs::read_dir(netmap.layout()?.join("links"))? {
        let name = entry?.file_name();
        let index = name.to_str().and_then(|name| name.split_once('-'));
        indexes.extend(index.and_then(|(index, _)| index.parse::<u32>().ok()));
    }
    Ok(indexes)
}

#[test]
fn tables_of_another_layout_are_refused_and_what_is_published_outlives_them() -> Result<()> {
    let mut scene = Scene::new()?;
    let published = scene.netmap.ports()?;
    scene.netmap.stop()?;
    // As another version would have left them.
    let layout = scene.netmap.layout()?;
    fs::rename(&layout, scene.netmap.pins().join("v0"))?;
    let layout = layout.file_name().unwrap_or_default().display().to_string();
    let arguments: Vec<String> = scene.netmap.arguments().into_iter().map(str::to_owned).collect();
    let run: Vec<&str> = ["run"]
        .into_iter()
        .chain(arguments.iter().map(String::as_str))
        .collect();
    let said = scene.netmap.refused(&run, 1)?;
    ensure!(
        said.contains(&format!(
            "another version's (layout v0, and this netmap has {layout})"
        )) && said.contains("`netmap down --keep-published`")
            && said.lines().count() == 1,
        "{said}"
    );
    // The old programs go on.
    tcp::request(&scene.lab.remote, PUBLISHED, "by another version")?;
    let done = scene.netmap.done(&["down", "--keep-published"])?;
    ensure!(done.contains("detached "), "{done}");
    ensure!(!scene.netmap.pins().exists());
    let error = tcp::connect(&scene.lab.remote, None, PUBLISHED, SILENCE)?.err();
    ensure!(error.is_some(), "an old program is attached still");
    scene.netmap.run()?;
    ensure!(scene.netmap.ports()? == published);
    rows::check_all(&scene)
}
