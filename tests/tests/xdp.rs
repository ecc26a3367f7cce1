//! Native XDP at the uplink: who carries what, and that nothing is lost between XDP and TC.

use std::net::SocketAddrV4;

use anyhow::{Context as _, Result, ensure};
use aya::{
    EbpfLoader,
    programs::{Xdp, XdpMode},
};
use netmap_common::maps::program;
use netmap_tests::{
    Family, Lab, Netmap, Options, Place, SILENCE, Scene,
    programs::object,
    scene::Transport,
    tcp,
    topology::{HOST, REMOTE},
    udp, wait_for,
};
use serde_json::Value;

const PUBLISHED: SocketAddrV4 = SocketAddrV4::new(HOST, 8_080);
const BY_XDP: &str = "uplink-xdp published-in";
const BY_TC: &str = "uplink-in published-in";
const VETH: &str = "veth is no physical network card";

/// With frames whose checksums are complete, as they come off a wire, or not.
fn scene(offloads: bool) -> Result<Scene> {
    let mut scene = Scene::with(Options {
        offloads,
        native_xdp: true,
        ipv6: true,
        ..Options::default()
    })?;
    scene.netmap.merges_uplink_hooks = false;
    Ok(scene)
}

/// Asks until this hook carries the questions.
fn wait_until_carried(scene: &Scene, by: &str) -> Result<()> {
    wait_until_carried_of(Family::V4, scene, by)
}

fn wait_until_carried_of(family: Family, scene: &Scene, by: &str) -> Result<()> {
    let at = family.at(Place::Host, 8_080);
    wait_for(&format!("{by} moves"), || {
        let (answer, moved) = scene
            .netmap
            .watch(|| udp::request(&scene.lab.remote, at, "who carries this?"))?;
        ensure!(answer.client.ip() == family.address(Place::Remote), "{answer:?}");
        Ok((moved.packets(by) > 0).then_some(()))
    })
}

/// How `netmap status` says that up0 runs XDP, and why not.
fn told(netmap: &Netmap) -> Result<(String, Option<String>)> {
    let status = netmap.json("status")?;
    let uplink = status["xdp"].get(0).context("no uplink is told of")?;
    ensure!(uplink["interface"] == "up0", "{uplink}");
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Ok((
        text(&uplink["mode"]).context("no mode is told")?,
        text(&uplink["reason"]),
    ))
}

/// The number of the XDP program that up0 runs in its driver, as others see it.
fn native_program(lab: &Lab) -> Result<Option<u64>> {
    const NATIVE: u64 = 1;
    let links: Value = serde_json::from_str(&lab.host.line("ip -j -d link show up0")?)?;
    let xdp = &links[0]["xdp"];
    if xdp.is_null() {
        return Ok(None);
    }
    ensure!(xdp["mode"].as_u64() == Some(NATIVE), "up0 runs {xdp}");
    Ok(xdp["prog"]["id"].as_u64())
}

#[test]
fn frames_with_whole_checksums_are_carried_by_xdp_and_their_answers_by_tc() -> Result<()> {
    let scene = scene(false)?;
    for family in Family::ALL {
        wait_until_carried_of(family, &scene, BY_XDP)?;
        for transport in Transport::ALL {
            let at = family.at(Place::Host, 8_080);
            let (answer, moved) = scene
                .netmap
                .watch(|| transport.request(&scene.lab.remote, at, "whole"))?;
            ensure!(answer.client.ip() == family.address(Place::Remote), "{answer:?}");
            moved.ensure_carried_by(&[BY_XDP, "port-in published-reply"])?;
            scene.netmap.settle()?;
            let at = family.at(Place::Remote, 80);
            let (answer, moved) = scene
                .netmap
                .watch(|| transport.request(&scene.lab.c1, at, "outwards"))?;
            ensure!(answer.client.ip() == family.address(Place::Host), "{answer:?}");
            moved.ensure_carried_by(&["port-in egress-out", "uplink-xdp egress-reply"])?;
            scene.netmap.settle()?;
        }
    }
    Ok(())
}

#[test]
fn a_flow_counts_a_packet_once_whether_xdp_carries_it_or_leaves_it() -> Result<()> {
    const QUESTIONS: u64 = 5;
    for offloads in [false, true] {
        let scene = scene(offloads)?;
        if !offloads {
            wait_until_carried(&scene, BY_XDP)?;
        }
        let session = udp::Client::connected(&scene.lab.remote, PUBLISHED)?;
        for number in 0..QUESTIONS {
            session.ask(&format!("question {number}"))?;
        }
        let port = session.local()?.port();
        let flows = scene.netmap.flows()?;
        let flow = flows
            .iter()
            .find(|flow| flow.to_string().contains(&port.to_string()))
            .with_context(|| format!("no flow has port {port}: {flows:?}"))?;
        for direction in ["packets_original", "packets_reply"] {
            ensure!(flow[direction] == QUESTIONS, "{direction}: {flow}");
        }
    }
    Ok(())
}

#[test]
fn frames_whose_checksum_is_yet_to_be_completed_are_carried_by_tc() -> Result<()> {
    let scene = scene(true)?;
    for family in Family::ALL {
        for transport in Transport::ALL {
            let at = family.at(Place::Host, 8_080);
            let (answer, moved) = scene
                .netmap
                .watch(|| transport.request(&scene.lab.remote, at, "partial"))?;
            ensure!(answer.client.ip() == family.address(Place::Remote), "{answer:?}");
            moved.ensure_carried_by(&[BY_TC, "port-in published-reply"])?;
            scene.netmap.settle()?;
        }
    }
    Ok(())
}

#[test]
fn what_is_dropped_anyway_is_dropped_by_xdp() -> Result<()> {
    let scene = scene(false)?;
    for family in Family::ALL {
        let direct = family.at(Place::C1, 80);
        let (connected, moved) = scene
            .netmap
            .watch(|| tcp::connect(&scene.lab.remote, None, direct, SILENCE))?;
        ensure!(connected.is_err(), "the container answered");
        moved.ensure_dropped_by(&["uplink-xdp direct-access"])?;
    }
    Ok(())
}

#[test]
fn a_frame_in_several_buffers_is_carried_by_tc() -> Result<()> {
    let scene = scene(false)?;
    let lab = &scene.lab;
    for (namespace, interface) in [
        (&lab.remote, "eth0"),
        (&lab.host, "up0"),
        (&lab.host, "vc1"),
        (&lab.host, "br1"),
        (&lab.c1, "eth0"),
    ] {
        namespace.batch(&format!("link set {interface} mtu 9000"))?;
    }
    wait_until_carried(&scene, BY_XDP)?;
    // A veth's first buffer holds some 3,500 bytes.
    let long = "many buffers ".repeat(285);
    let (answer, moved) = scene
        .netmap
        .watch(|| udp::request(&lab.remote, PUBLISHED, &long))?;
    ensure!(answer.client.ip() == REMOTE, "{answer:?}");
    moved.ensure_carried_by(&[BY_TC, "port-in published-reply"])
}

#[test]
fn a_frame_that_the_port_is_too_narrow_for_is_carried_by_tc() -> Result<()> {
    let scene = scene(false)?;
    wait_until_carried(&scene, BY_XDP)?;
    scene.lab.host.batch("link set vc1 mtu 1000")?;
    // The answers of the same length do not fit either, so that nobody waits for them.
    let client = udp::Client::connected(&scene.lab.remote, PUBLISHED)?;
    for (length, by, other) in [(1_200, BY_TC, BY_XDP), (100, BY_XDP, BY_TC)] {
        let before = scene.netmap.counters()?;
        client.send(&"x".repeat(length))?;
        let moved = wait_for(&format!("{by} moves"), || {
            let moved = before.until(&scene.netmap.counters()?);
            Ok((moved.packets(by) > 0).then_some(moved))
        })?;
        ensure!(moved.packets(other) == 0, "{moved}");
    }
    Ok(())
}

#[test]
fn a_host_that_does_not_forward_publishes_by_tc() -> Result<()> {
    let mut scene = Scene::with(Options {
        offloads: false,
        forwarding: false,
        native_xdp: true,
        ipv6: true,
        ..Options::default()
    })?;
    scene.netmap.merges_uplink_hooks = false;
    for family in Family::ALL {
        for transport in Transport::ALL {
            let at = family.at(Place::Host, 8_080);
            let (answer, moved) = scene
                .netmap
                .watch(|| transport.request(&scene.lab.remote, at, "not forwarded"))?;
            ensure!(answer.client.ip() == family.address(Place::Remote), "{answer:?}");
            moved.ensure_carried_by(&[BY_TC, "port-in published-reply"])?;
            scene.netmap.settle()?;
        }
    }
    Ok(())
}

#[test]
fn a_container_that_stops_taking_frames_is_served_by_tc_and_loses_no_connection() -> Result<()> {
    let scene = scene(false)?;
    let mut connection = tcp::Client::connect(&scene.lab.remote, PUBLISHED)?;
    for (gro, by) in [("on", BY_XDP), ("off", BY_TC), ("on", BY_XDP)] {
        scene.lab.c1.line(&format!("ethtool -K eth0 gro {gro}"))?;
        let seen = connection.ask(&format!("with gro {gro}"))?.client;
        ensure!(seen.ip() == REMOTE, "{seen}");
        wait_until_carried(&scene, by)?;
        let (answer, moved) = scene.netmap.watch(|| connection.ask("and now"))?;
        ensure!(answer.client == seen, "{answer:?}");
        moved.ensure_includes(&[by])?;
    }
    connection.finish()
}

#[test]
fn it_stays_attached_over_a_restart_and_goes_when_it_is_switched_off_or_taken_down() -> Result<()> {
    let mut scene = scene(false)?;
    ensure!(told(&scene.netmap)? == ("native".to_owned(), None));
    ensure!(native_program(&scene.lab)?.is_some());
    scene.netmap.kill()?;
    ensure!(told(&scene.netmap)? == ("native".to_owned(), None));
    ensure!(native_program(&scene.lab)?.is_some());
    scene.netmap.run()?;
    wait_until_carried(&scene, BY_XDP)?;

    let native: Vec<String> = scene.netmap.arguments().into_iter().map(str::to_owned).collect();
    let off: Vec<&str> = native
        .iter()
        .map(|argument| if argument == "native" { "off" } else { argument })
        .collect();
    scene.netmap.set_arguments(&off);
    scene.netmap.restart()?;
    ensure!(told(&scene.netmap)? == ("off".to_owned(), Some("--xdp off".to_owned())));
    ensure!(native_program(&scene.lab)?.is_none());
    wait_until_carried(&scene, BY_TC)?;

    let native: Vec<&str> = native.iter().map(String::as_str).collect();
    scene.netmap.set_arguments(&native);
    scene.netmap.restart()?;
    wait_until_carried(&scene, BY_XDP)?;
    scene.netmap.stop()?;
    wait_until_carried(&scene, BY_TC)?;
    ensure!(native_program(&scene.lab)?.is_some());
    scene.netmap.down()?;
    ensure!(native_program(&scene.lab)?.is_none());
    Ok(())
}

#[test]
fn by_itself_it_leaves_a_veth_to_tc_and_says_why() -> Result<()> {
    let scene = Scene::new()?;
    ensure!(told(&scene.netmap)? == ("off".to_owned(), Some(VETH.to_owned())));
    ensure!(native_program(&scene.lab)?.is_none());
    let text = scene.netmap.done(&["status"])?;
    ensure!(text.contains(&format!("xdp         up0 off: {VETH}\n")), "{text}");
    Ok(())
}

#[test]
fn another_program_is_never_replaced() -> Result<()> {
    let lab = Lab::new()?;
    let mut object = EbpfLoader::new().load_file(object()?)?;
    let other: &mut Xdp = object
        .program_mut(program::UPLINK_XDP)
        .context("the object has no such program")?
        .try_into()?;
    other.load()?;
    lab.host
        .run(|| other.attach("up0", XdpMode::Driver).map(drop))??;
    let theirs = native_program(&lab)?.context("the other program is not attached")?;

    let mut netmap = Netmap::prepare(&lab)?;
    let arguments = ["--uplink", "up0", "--bridge", "br1", "--xdp"];
    netmap.set_arguments(&[&arguments[..], &["native"]].concat());
    let error = netmap
        .run()
        .err()
        .context("it runs in the other's place")?
        .to_string();
    let sentence =
        "up0 cannot run native XDP: another XDP program is attached there, which netmap never replaces";
    ensure!(error.contains(sentence), "{error}");
    ensure!(!netmap.pins().exists(), "what was refused left pins");
    ensure!(native_program(&lab)? == Some(theirs));

    netmap.set_arguments(&[&arguments[..], &["auto"]].concat());
    netmap.run()?;
    ensure!(told(&netmap)? == ("off".to_owned(), Some(VETH.to_owned())));
    netmap.stop()?;
    netmap.down()?;
    ensure!(native_program(&lab)? == Some(theirs));
    Ok(())
}
