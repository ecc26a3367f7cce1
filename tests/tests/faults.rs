//! Faults around a netmap that runs: what it carries goes on, and it finds its way back by itself.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, SocketAddrV4},
    path::Path,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use netmap_tests::{
    DEADLINE, Lab, Netmap, Scene, api, command,
    scene::Transport,
    tcp,
    topology::{C1, C1B, GATEWAY1, HOST, REMOTE},
    wait_for, wait_within,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// A container that comes later.
const FRESH: Ipv4Addr = Ipv4Addr::new(172, 30, 1, 9);
const PUBLISHED: SocketAddrV4 = SocketAddrV4::new(HOST, 8_080);
/// For what takes a daemon a while that has everything to list anew.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until a new connection from outside is answered.
fn wait_until_served(scene: &Scene, to: SocketAddrV4) -> Result<()> {
    wait_within(PATIENCE, "a client from outside is served", || {
        let answer = tcp::request(&scene.lab.remote, to, "again").ok();
        // The proxy serves where the container's place is not known: with another address.
        Ok(answer.filter(|answer| answer.client.ip() == REMOTE && answer.local.ip() == C1))
    })
    .map(drop)
}

#[test]
fn an_uplink_that_goes_down_takes_nothing_with_it_but_its_own_packets() -> Result<()> {
    let scene = Scene::new()?;
    let lab = &scene.lab;
    let mut outside = tcp::Client::connect(&lab.remote, PUBLISHED)?;
    let mut inside = tcp::Client::connect(&lab.c1b, SocketAddrV4::new(GATEWAY1, 8_080))?;
    let before = outside.ask("before")?.client;
    inside.ask("before")?;
    for _ in 0..3 {
        lab.host.batch("link set up0 down\n")?;
        ensure!(inside.ask("while it is down")?.client.ip() == C1B);
        // The kernel forgets its routes.
        lab.host.batch(&format!(
            "link set up0 up\nroute add default via {REMOTE} dev up0\n"
        ))?;
        wait_until_served(&scene, PUBLISHED)?;
        let answer = tcp::request(&lab.c1, SocketAddrV4::new(REMOTE, 80), "out")?;
        ensure!(answer.client.ip() == HOST, "{answer:?}");
    }
    outside.set_patience(PATIENCE)?;
    ensure!(
        outside.ask("after")?.client == before,
        "it is another connection now"
    );
    Ok(())
}

#[test]
fn an_address_that_is_removed_and_comes_back_is_served_again() -> Result<()> {
    let scene = Scene::new()?;
    let lab = &scene.lab;
    let mut inside = tcp::Client::connect(&lab.c1b, SocketAddrV4::new(GATEWAY1, 8_080))?;
    for _ in 0..3 {
        lab.host.batch(&format!("addr del {HOST}/24 dev up0\n"))?;
        ensure!(inside.ask("without it")?.client.ip() == C1B);
        wait_for("status says that the uplink has none", || {
            let uplinks = scene.netmap.json("status")?["uplinks"].clone();
            Ok(uplinks[0]["ipv4"].is_null().then_some(()))
        })?;
        lab.host.batch(&format!(
            "addr add {HOST}/24 brd + dev up0\nroute add default via {REMOTE} dev up0\n"
        ))?;
        wait_until_served(&scene, PUBLISHED)?;
        wait_for("containers leave by it", || {
            let connected = tcp::connect(
                &lab.c1,
                None,
                SocketAddrV4::new(REMOTE, 80),
                Duration::from_secs(1),
            )?;
            Ok(connected.is_ok().then_some(()))
        })?;
    }
    Ok(())
}

#[test]
fn a_bridge_port_that_flaps_is_found_again_and_disturbs_no_neighbour() -> Result<()> {
    let scene = Scene::new()?;
    let lab = &scene.lab;
    let mut neighbour = tcp::Client::connect(&lab.c1b, SocketAddrV4::new(REMOTE, 80))?;
    for round in 0..20 {
        if round % 2 == 0 {
            lab.host.batch("link set vc1 down\nlink set vc1 up\n")?;
        } else {
            lab.host
                .batch("link set vc1 nomaster\nlink set vc1 master br1\n")?;
        }
        ensure!(neighbour.ask("while the other flaps")?.client.ip() == HOST);
    }
    wait_until_served(&scene, PUBLISHED)?;
    let answer = tcp::request(&lab.c1, SocketAddrV4::new(REMOTE, 80), "out")?;
    ensure!(answer.client.ip() == HOST, "{answer:?}");
    // A datagram may still be lost to the last of the changes, which its sender notices by itself.
    let answer = wait_within(PATIENCE, "a neighbour is served", || {
        let gateway = SocketAddrV4::new(GATEWAY1, 8_080);
        Ok(Transport::Udp.request(&lab.c1b, gateway, "hairpin").ok())
    })?;
    ensure!(answer.client.ip() == C1B, "{answer:?}");
    Ok(())
}

/// How many events the kernel could not tell anybody of who listens in the lab's host: the daemon alone does.
fn lost_events(lab: &Lab) -> Result<u64> {
    let table = lab
        .host
        .try_run(|| fs::read_to_string("/proc/thread-self/net/netlink"))?;
    // Eth Pid Groups Rmem Wmem Dump Locks Drops Inode: a process may have several sockets, under made-up numbers.
    let drops = table
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().nth(7)?.parse::<u64>().ok());
    Ok(drops.sum())
}

#[test]
fn a_daemon_that_could_not_follow_the_kernels_events_lists_everything_anew() -> Result<()> {
    let scene = Scene::new()?;
    let lab = &scene.lab;
    let pid = scene.netmap.pid().context("it does not run")?;
    let daemon = Pid::from_raw(pid.try_into()?);
    let mut client = tcp::Client::connect(&lab.remote, PUBLISHED)?;
    client.ask("before")?;
    kill(daemon, Signal::SIGSTOP)?;
    let stopped = (|| {
        let lines = |what: &str, last: u32| -> String {
            let line = |number| {
                let (third, fourth) = (number / 250, number % 250 + 1);
                [
                    format!("neigh {what} 10.99.{third}.{fourth} "),
                    "lladdr 02:00:00:00:99:99 dev br2 nud permanent\n".to_owned(),
                ]
            };
            (0..last).flat_map(line).collect()
        };
        // More than fits in the kernel's queue; the neighbour table holds some hundreds at a time.
        for _ in 0..60 {
            lab.host.batch(&lines("replace", 500))?;
            lab.host.batch(&lines("del", 500))?;
            if lost_events(lab)? > 0 {
                break;
            }
        }
        ensure!(lost_events(lab)? > 0, "the kernel's queue has room for all of it");
        // Nobody hears of these: a container that goes and one that comes, and an address.
        lab.host.batch("link del vc1b\n")?;
        let fresh = lab.add_container("vc9", "br1", FRESH, GATEWAY1)?;
        client.ask("while it stands still")?;
        Ok(fresh)
    })();
    kill(daemon, Signal::SIGCONT)?;
    let fresh = stopped?;
    wait_within(PATIENCE, "the new container's port is hooked", || {
        let (answered, moved) = scene.netmap.watch(|| {
            Ok(tcp::request(
                &fresh,
                SocketAddrV4::new(GATEWAY1, 8_080),
                "new here",
            ))
        })?;
        let carried = moved.packets("port-in hairpin-in") > 0;
        Ok(answered
            .ok()
            .filter(|answer| carried && answer.client.ip() == FRESH))
    })?;
    let status = scene.netmap.done(&["status"])?;
    ensure!(!status.contains("vc1b"), "{status}");
    client.ask("after")?;
    client.finish()
}

#[test]
fn at_the_limit_of_open_files_ports_are_refused_and_packets_are_not() -> Result<()> {
    let scene = Scene::new()?;
    let pid = scene.netmap.pid().context("it does not run")?;
    let open = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
    // A published port takes a file of each family; the API's client takes one, too.
    command::line(&format!("prlimit --pid {pid} --nofile={}:", open + 12))?;
    let before = scene.netmap.ports()?;
    let said = scene.netmap.refused(
        &["publish", "20000-20040:20000-20040/tcp", "--to", &C1.to_string()],
        1,
    )?;
    ensure!(said.trim().lines().count() == 1, "{said}");
    ensure!(said.contains("Too many open files"), "{said}");
    ensure!(
        scene.netmap.ports()? == before,
        "a refused command has changed something"
    );
    let answer = tcp::request(&scene.lab.remote, PUBLISHED, "meanwhile")?;
    ensure!(answer.client.ip() == REMOTE);
    // With room again it goes on as if nothing had been.
    command::line(&format!("prlimit --pid {pid} --nofile=1024:"))?;
    scene.publish_c1("20000-20040:20000-20040/tcp")?;
    scene.netmap.unpublish("20000-20040/tcp")?;
    ensure!(scene.netmap.ports()? == before);
    Ok(())
}

#[test]
fn a_full_map_refuses_the_rule_in_one_sentence_and_keeps_what_it_has() -> Result<()> {
    let scene = Scene::new()?;
    let before = scene.netmap.ports()?;
    // More prefixes than all allow-lists together have room for.
    let request = |prefixes: u32| {
        let allow: Vec<_> = (0..prefixes)
            .map(|number| format!("10.{}.{}.0/24", number / 256, number % 256))
            .collect();
        serde_json::json!({"bindings": [{
            "published": {"host": "0.0.0.0", "ports": [20_000, 20_000], "transport": "tcp"},
            "target": C1,
            "target_ports": [80, 80],
            "allow": allow,
        }]})
    };
    let answer = api::post(&scene.netmap, "/v1/publish", &request(20_000))?;
    ensure!(answer.starts_with("HTTP/1.1 409"), "{answer}");
    let sentence = answer.rsplit("\r\n\r\n").next().unwrap_or_default();
    ensure!(
        sentence.contains("the table ALLOW is full") && sentence.trim().lines().count() == 1,
        "{sentence}"
    );
    ensure!(
        scene.netmap.ports()? == before,
        "a refused command has changed something"
    );
    tcp::request(&scene.lab.remote, PUBLISHED, "meanwhile")?;
    let answer = api::post(&scene.netmap, "/v1/publish", &request(16_000))?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    Ok(())
}

#[test]
fn a_log_that_nobody_can_write_stops_nothing() -> Result<()> {
    let lab = Lab::new()?;
    let netmap = Netmap::prepare(&lab)?;
    let mut daemon = netmap
        .command("run")
        .args([
            "--uplink",
            "up0",
            "--bridge",
            "br1",
            "--bridge",
            "br2",
            "--no-socket-hooks",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(fs::OpenOptions::new().write(true).open("/dev/full")?)
        .spawn()?;
    let worked = (|| {
        let mut ready = String::new();
        BufReader::new(daemon.stdout.take().context("no output")?).read_line(&mut ready)?;
        ensure!(ready.contains("is ready"), "{ready}");
        netmap.publish("8080:80/tcp", C1)?;
        let _server = tcp::Server::start(&lab.c1, SocketAddrV4::new(C1, 80))?;
        tcp::request(&lab.remote, PUBLISHED, "before")?;
        // Worth a line each.
        lab.host.batch("link del br2\n")?;
        for _ in 0..20 {
            lab.host
                .batch("link set vc1b nomaster\nlink set vc1b master br1\n")?;
        }
        tcp::request(&lab.remote, PUBLISHED, "after")?;
        netmap.done(&["status"])?;
        Ok(())
    })();
    kill(Pid::from_raw(daemon.id().try_into()?), Signal::SIGTERM)?;
    let ended = wait_within(2 * DEADLINE, "it stops", || Ok(daemon.try_wait()?));
    let _gone = daemon.kill();
    worked?;
    ensure!(ended?.success());
    Ok(())
}

/// Nobody can turn the clocks back that netmap goes by (`CLOCK_MONOTONIC`, `bpf_ktime_get_ns` and its like): the wall clock
/// alone can jump, and the tests may not turn that of the machine. So this shows that nothing asks for it.
#[test]
fn the_wall_clock_plays_no_part() -> Result<()> {
    const WALL_CLOCKS: [&str; 6] = [
        "SystemTime",
        "CLOCK_REALTIME",
        "CLOCK_TAI",
        "bpf_ktime_get_tai_ns",
        "gettimeofday",
        "UNIX_EPOCH",
    ];
    // How old dockerd's process is, to tell the operator; what a record that cannot be used is called when it is kept aside;
    // when something happened, for whoever reads of it.
    const ALLOWED: [&str; 4] = [
        "install/daemons.rs",
        "state/mod.rs",
        "daemon/watch.rs",
        "monitor/capture.rs",
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("no workspace")?;
    let mut folders: Vec<_> = [
        "netmap-common",
        "netmap-ebpf",
        "netmap-user",
        "netmap-docker-proxy",
    ]
    .iter()
    .map(|name| root.join(name).join("src"))
    .collect();
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if !ALLOWED.iter().any(|allowed| path.ends_with(allowed)) {
                let text = fs::read_to_string(&path)?;
                let found = WALL_CLOCKS.iter().find(|clock| text.contains(*clock));
                ensure!(found.is_none(), "{} asks for {found:?}", path.display());
                files += 1;
            }
        }
    }
    ensure!(files > 100, "only {files} files were looked at");
    Ok(())
}
