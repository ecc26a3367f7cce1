//! What happens where there is no room for more flows: who is refused hears of it, and nobody else suffers.

use std::{
    io::ErrorKind,
    net::SocketAddrV4,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use etherparse::PacketBuilder;
use netmap_tests::{
    DEADLINE, Lab, Namespace, Options, Scene, tcp,
    topology::{C1, C1B, HOST, REMOTE, REMOTE2},
    udp, wait_within,
    wire::Wire,
};

/// Where nobody listens.
const NOWHERE: u16 = 9;

/// The host's link-layer address on the wire.
const UPLINK_MAC: [u8; 6] = [2, 0, 0, 0, 0x50, 2];

/// Opens so many flows from `client` to `to`, as many ports.
fn open(client: &Namespace, to: SocketAddrV4, flows: usize) -> Result<Vec<udp::Client>> {
    (0..flows)
        .map(|_| {
            let client = udp::Client::connected(client, to)?;
            client.send("one of many")?;
            Ok(client)
        })
        .collect()
}

/// A client that is told "administratively prohibited" before any timeout: the kernel calls it "no route to host".
fn ensure_told(client: &Namespace, to: SocketAddrV4) -> Result<()> {
    let datagrams = udp::Client::connected(client, to)?;
    datagrams.try_send(b"is there room?")?;
    let error = datagrams
        .receive(DEADLINE)
        .err()
        .with_context(|| format!("nobody told {} that there is no room", client.name()))?;
    ensure!(error.to_string().contains("No route to host"), "{error:#}");
    let refused = tcp::connect(client, None, to, DEADLINE)?;
    let kind = refused.err().map(|error| error.kind());
    ensure!(kind == Some(ErrorKind::HostUnreachable), "{kind:?}");
    Ok(())
}

#[test]
fn who_is_refused_by_a_full_table_hears_it_at_once() -> Result<()> {
    let labs = [(true, false), (false, false), (true, true), (false, true)];
    for (offloads, native_xdp) in labs {
        let options = Options {
            offloads,
            native_xdp,
            ..Options::default()
        };
        let scene =
            Scene::with_arguments(Lab::with(options)?, &["--flow-entries", "64", "--max-flows", "0"])?;
        let lab = &scene.lab;
        let mut old = tcp::Client::connect(&lab.remote, SocketAddrV4::new(HOST, 8_080))?;
        old.ask("before")?;
        let _flows = open(&lab.c1b, SocketAddrV4::new(REMOTE, NOWHERE), 31)?;

        let published = SocketAddrV4::new(HOST, 8_080);
        for (client, to, hook) in [
            (&lab.c1, SocketAddrV4::new(REMOTE, 80), "port-in"),
            (&lab.c2, published, "port-in"),
            (&lab.remote, published, "uplink-in"),
        ] {
            let ((), moved) = scene.netmap.watch(|| ensure_told(client, to))?;
            let names = ["prohibited", "table-full"].map(|reason| format!("{hook} {reason}"));
            ensure!(
                moved.carried() == [&names[0]] && moved.dropped() == [&names[1]],
                "{moved}"
            );
            ensure!(names.iter().all(|name| moved.packets(name) == 2), "{moved}");
        }
        let answer = old.ask("and after")?;
        ensure!(
            answer.client.ip() == REMOTE && answer.local.ip() == C1,
            "{answer:?}"
        );
    }
    Ok(())
}

#[test]
fn a_container_at_its_limit_hurts_nobody_else() -> Result<()> {
    let scene = Scene::with_arguments(Lab::new()?, &["--max-flows", "20"])?;
    let lab = &scene.lab;
    let remote = SocketAddrV4::new(REMOTE, 80);
    let published = SocketAddrV4::new(HOST, 8_080);
    let (flows, moved) = scene
        .netmap
        .watch(|| open(&lab.c1b, SocketAddrV4::new(REMOTE, NOWHERE), 50))?;
    ensure!(moved.packets("port-in egress-out") == 20, "{moved}");
    ensure!(moved.packets("port-in container-full") == 30, "{moved}");
    ensure!(moved.packets("port-in prohibited") == 30, "{moved}");
    drop(flows);
    ensure_told(&lab.c1b, published)?;
    for (client, to) in [(&lab.c1, remote), (&lab.c2, published), (&lab.remote, published)] {
        tcp::request(client, to, "a neighbour")?;
        udp::request(client, to, "a neighbour")?;
    }
    Ok(())
}

#[test]
fn a_limit_counts_what_has_ended() -> Result<()> {
    let scene = Scene::with_arguments(Lab::new()?, &["--max-flows", "20", "--max-source-flows", "0"])?;
    let lab = &scene.lab;
    scene.netmap.publish("9000:9/udp", C1B)?;
    let asked = SocketAddrV4::new(HOST, 9_000);
    let (flows, moved) = scene.netmap.watch(|| open(&lab.remote, asked, 30))?;
    ensure!(moved.packets("uplink-in container-full") == 10, "{moved}");
    drop(flows);
    // The rule goes and its flows with it, when the sweeper comes by.
    scene.netmap.unpublish("9000/udp")?;
    let end = Instant::now() + 3 * DEADLINE;
    while udp::request(&lab.c1b, SocketAddrV4::new(REMOTE, 80), "again").is_err() {
        ensure!(Instant::now() < end, "flows that ended count still");
    }
    Ok(())
}

#[test]
fn a_container_opens_no_more_flows_a_second_than_it_may() -> Result<()> {
    let scene = Scene::with_arguments(Lab::new()?, &["--max-new-flows", "10"])?;
    let lab = &scene.lab;
    let (_, moved) = scene
        .netmap
        .watch(|| open(&lab.c1b, SocketAddrV4::new(REMOTE, NOWHERE), 100))?;
    // A second may end meanwhile, or two.
    let opened = moved.packets("port-in egress-out");
    ensure!((10..=30).contains(&opened), "{moved}");
    ensure!(
        moved.packets("port-in container-too-fast") == 100 - opened,
        "{moved}"
    );
    tcp::request(&lab.c1, SocketAddrV4::new(REMOTE, 80), "a neighbour")?;
    Ok(())
}

#[test]
fn a_flood_from_one_address_leaves_room_for_other_clients() -> Result<()> {
    for native_xdp in [false, true] {
        let options = Options {
            second_remote: true,
            native_xdp,
            ..Options::default()
        };
        // 128 flows: a quarter for one client.
        let scene = Scene::with_arguments(Lab::with(options)?, &["--flow-entries", "256"])?;
        let lab = &scene.lab;
        let published = SocketAddrV4::new(HOST, 8_080);
        // SYNs that nobody goes on with, and datagrams, from many ports.
        let wire = Wire::open(&lab.remote, "eth0")?;
        let (opened, moved) = scene.netmap.watch(|| {
            for port in 10_000..11_000 {
                let flood =
                    PacketBuilder::ethernet2(wire.mac(), UPLINK_MAC).ipv4(REMOTE.octets(), HOST.octets(), 64);
                let mut frame = Vec::new();
                if port % 2 == 0 {
                    flood.tcp(port, 8_080, 1, 1_000).syn().write(&mut frame, &[])?;
                } else {
                    flood.udp(port, 8_080).write(&mut frame, b"flood")?;
                }
                wire.send(&frame)?;
            }
            // New connections of another client, while it lasts.
            let other = |port| SocketAddrV4::new(REMOTE2, port);
            (0..20)
                .map(|number| {
                    let mut client =
                        tcp::Client::connect_from(&lab.remote, other(30_000 + number), published)?;
                    client.ask("one of many")?;
                    Ok(client)
                })
                .collect::<Result<Vec<_>>>()
        })?;
        ensure!(opened.len() == 20);
        ensure!(moved.packets("uplink-in source-full") >= 900, "{moved}");
        ensure!(moved.packets("uplink-in table-full") == 0, "{moved}");
        // The flooder's old connections and those of containers are not concerned either.
        tcp::request(&lab.c1b, published, "a neighbour")?;
    }
    Ok(())
}

#[test]
fn a_nearly_full_table_forgets_unanswered_flows_sooner_and_no_connection() -> Result<()> {
    const USUAL: Duration = Duration::from_secs(20);
    let arguments = [
        "--flow-entries",
        "64",
        "--max-flows",
        "0",
        "--max-source-flows",
        "0",
        "--timeout",
        "udp-unanswered-from-outside=20",
    ];
    let scene = Scene::with_arguments(Lab::new()?, &arguments)?;
    let lab = &scene.lab;
    let mut connection = tcp::Client::connect(&lab.remote, SocketAddrV4::new(HOST, 8_080))?;
    connection.ask("before")?;
    scene.netmap.publish("9000:9/udp", C1B)?;
    let began = Instant::now();
    // A container's: those that somebody outside opens would end each other first.
    let _flows = open(&lab.c2, SocketAddrV4::new(HOST, 9_000), 31)?;
    let left = || {
        let status = scene.netmap.json("status")?;
        status["lifetimes_percent"]
            .as_u64()
            .context("status says nothing of lifetimes")
    };
    wait(USUAL, "the daemon noticed", || Ok(left()? <= 25))?;
    let status = scene.netmap.done(&["status"])?;
    ensure!(status.contains("the flow table is nearly full"), "{status}");
    // A quarter of 20 seconds, and a lap or two.
    wait(USUAL, "they ended", || Ok(scene.netmap.flows()?.len() == 1))?;
    ensure!(began.elapsed() < USUAL, "it took {:?}", began.elapsed());
    wait(USUAL, "lifetimes came back", || Ok(left()? == 100))?;
    connection.ask("after")?;
    connection.finish()
}

fn wait(patience: Duration, what: &str, is_so: impl Fn() -> Result<bool>) -> Result<()> {
    wait_within(patience, what, || Ok(is_so()?.then_some(())))
}
