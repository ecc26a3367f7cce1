//! Row 8: what must not get through, and what stays the host's.

use std::{io::ErrorKind, net::SocketAddrV4};

use anyhow::{Result, ensure};
use netmap_tests::{
    Options, SILENCE, Scene,
    refusals::REFUSALS,
    tcp,
    topology::{HOST, REMOTE},
};

#[test]
fn what_is_not_published_is_dropped_with_offloads() -> Result<()> {
    let scene = Scene::new()?;
    REFUSALS.iter().try_for_each(|refusal| refusal.check(&scene))
}

#[test]
fn what_is_not_published_is_dropped_without_offloads() -> Result<()> {
    let scene = Scene::with(Options {
        offloads: false,
        ..Options::default()
    })?;
    REFUSALS.iter().try_for_each(|refusal| refusal.check(&scene))
}

#[test]
fn what_is_not_published_is_dropped_with_native_xdp() -> Result<()> {
    for offloads in [true, false] {
        let scene = Scene::with(Options {
            offloads,
            native_xdp: true,
            ..Options::default()
        })?;
        REFUSALS.iter().try_for_each(|refusal| refusal.check(&scene))?;
    }
    Ok(())
}

#[test]
fn a_port_that_is_not_published_stays_the_hosts() -> Result<()> {
    let scene = Scene::new()?;
    let lab = &scene.lab;
    let at = SocketAddrV4::new(HOST, 8_081);
    for client in [&lab.remote, &lab.c1b, &lab.c2, &lab.c1, &lab.host] {
        let (connected, moved) = scene.netmap.watch(|| tcp::connect(client, None, at, SILENCE))?;
        let error = connected.err().map(|error| error.kind());
        ensure!(
            error == Some(ErrorKind::ConnectionRefused),
            "{error:?} from {}",
            client.name()
        );
        moved.ensure_carried_by(&[])?;
    }
    let _service = tcp::Server::start(&lab.host, at)?;
    let (answer, moved) = scene
        .netmap
        .watch(|| tcp::request(&lab.remote, at, "the host's own"))?;
    ensure!(answer.client.ip() == REMOTE, "{answer:?}");
    moved.ensure_carried_by(&[])
}
