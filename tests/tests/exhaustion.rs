//! What happens where there is no room for more flows: who is refused hears of it, and nobody else suffers.

use std::{io::ErrorKind, net::SocketAddrV4};

use anyhow::{Context as _, Result, ensure};
use netmap_tests::{
    DEADLINE, Lab, Namespace, Options, Scene, tcp,
    topology::{C1, HOST, REMOTE},
    udp,
};

/// Where nobody listens.
const NOWHERE: u16 = 9;

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
        let scene = Scene::with_arguments(Lab::with(options)?, &["--flow-entries", "64"])?;
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
