//! Straight to a container's own address: for whom its bridge is open, and for nobody else.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Result, ensure};
use netmap_tests::{
    Lab, Options, SILENCE, Scene,
    scene::Transport,
    tcp,
    topology::{C1, C2, HOST, REMOTE},
};

fn scene(arguments: &[&str], native_xdp: bool) -> Result<Scene> {
    let options = Options {
        native_xdp,
        ..Options::default()
    };
    let mut scene = Scene::with_arguments(Lab::with(options)?, arguments)?;
    scene.serve(&scene.lab.c2.clone(), SocketAddrV4::new(C2, 80))?;
    Ok(scene)
}

/// R gets through untranslated, and the container to R as ever.
fn ensure_open(scene: &Scene, container: Ipv4Addr) -> Result<()> {
    let to = SocketAddrV4::new(container, 80);
    for transport in Transport::ALL {
        let (answer, moved) = scene
            .netmap
            .watch(|| transport.request(&scene.lab.remote, to, "directly"))?;
        ensure!(
            answer.client.ip() == REMOTE && answer.local.ip() == container,
            "{answer:?}"
        );
        moved.ensure_carried_by(&["uplink-in direct-in", "uplink-out direct-reply"])?;
    }
    Ok(())
}

fn ensure_closed(scene: &Scene, container: Ipv4Addr) -> Result<()> {
    let to = SocketAddrV4::new(container, 80);
    let (connected, moved) = scene
        .netmap
        .watch(|| tcp::connect(&scene.lab.remote, None, to, SILENCE))?;
    ensure!(connected.is_err(), "{container} is open");
    ensure!(
        moved.packets("uplink-in direct-access") + moved.packets("uplink-xdp direct-access") > 0,
        "{moved}"
    );
    Ok(())
}

#[test]
fn an_open_bridge_is_reached_directly_and_the_other_is_not() -> Result<()> {
    for native_xdp in [false, true] {
        let scene = scene(&["--direct", "br1=allow"], native_xdp)?;
        ensure_open(&scene, C1)?;
        ensure_closed(&scene, C2)?;
        // What containers open, and what is published, is translated as ever.
        let outside = SocketAddrV4::new(REMOTE, 80);
        let answer = tcp::request(&scene.lab.c1, outside, "the way out")?;
        ensure!(answer.client.ip() == HOST, "{answer:?}");
        tcp::request(&scene.lab.remote, SocketAddrV4::new(HOST, 8_080), "published")?;
        // Bridges stay closed to each other.
        let to = SocketAddrV4::new(C1, 80);
        let neighbour = tcp::connect(&scene.lab.c2, None, to, SILENCE)?;
        ensure!(neighbour.is_err(), "c2 reaches c1 directly");
    }
    Ok(())
}

#[test]
fn trusting_bridges_are_open_by_trusted_uplinks_only() -> Result<()> {
    let trusted = scene(&["--direct", "trusted", "--trusted", "up0"], false)?;
    ensure_open(&trusted, C1)?;
    ensure_open(&trusted, C2)?;
    drop(trusted);
    ensure_closed(&scene(&["--direct", "trusted", "--trusted", "up1"], false)?, C1)
}

#[test]
fn a_bridge_that_is_closed_again_ends_what_came_in_directly() -> Result<()> {
    let mut scene = scene(&["--direct", "allow"], false)?;
    ensure_open(&scene, C1)?;
    scene.netmap.stop()?;
    scene
        .netmap
        .set_arguments(&["--uplink", "up0", "--bridge", "br1", "--bridge", "br2"]);
    scene.netmap.run()?;
    ensure_closed(&scene, C1)
}
