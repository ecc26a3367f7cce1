//! What an engine publishes is carried as what an operator does.

use std::io::ErrorKind;

use anyhow::{Result, ensure};
use netmap_tests::{
    Family, Launcher, Place, SILENCE,
    rows::check_all,
    scene::{PUBLISHED, Transport},
    tcp, udp,
};

use super::{bind, owners, ports, publish_all, scene};

fn check(has_socket: bool, socket_hooks: bool) -> Result<()> {
    let scene = scene(socket_hooks)?;
    let mut engine = Launcher::start(&scene.netmap)?;
    let ports = ports(has_socket);
    publish_all(&mut engine, &ports)?;
    ensure!(owners(&scene.netmap)? == vec!["docker"; ports.len()]);
    check_all(&scene)?;
    for transport in Transport::ALL {
        for address in ["0.0.0.0:8080", "127.0.0.1:8080", "[::]:8080"] {
            let refused = bind(&scene.netmap, transport.name(), address).unwrap_or_default();
            ensure!(
                refused.contains("os error 98"),
                "{address} can be bound: {refused}"
            );
        }
    }

    for port in &ports {
        let (code, _) = engine.unpublish(port)?;
        ensure!(code == Some(0), "{port:?}: {code:?}");
    }
    ensure!(scene.netmap.ports()?.is_empty(), "{:?}", scene.netmap.ports()?);
    for transport in Transport::ALL {
        ensure!(bind(&scene.netmap, transport.name(), "[::]:8080").is_none());
    }
    for family in Family::ALL {
        let at = family.at(Place::Host, PUBLISHED);
        let error = tcp::connect(&scene.lab.remote, None, at, SILENCE)?.err();
        ensure!(error.map(|error| error.kind()) == Some(ErrorKind::ConnectionRefused));
    }
    // Once more, as for a container that is started again.
    publish_all(&mut engine, &ports)?;
    check_all(&scene)
}

#[test]
fn every_row_of_an_engine_that_binds_its_ports_itself() -> Result<()> {
    check(true, true)
}

#[test]
fn every_row_of_an_engine_that_leaves_binding_to_its_proxy() -> Result<()> {
    check(false, true)
}

#[test]
fn every_row_by_the_proxy_and_the_engines_own_sockets() -> Result<()> {
    check(true, false)
}

#[test]
fn answers_leave_from_the_address_that_was_asked_by_the_engines_socket() -> Result<()> {
    let scene = scene(false)?;
    let mut engine = Launcher::start(&scene.netmap)?;
    publish_all(&mut engine, &ports(true))?;
    for (family, place) in [
        (Family::V4, Place::Localhost),
        (Family::V4, Place::Host),
        (Family::V4, Place::Gateway2),
        (Family::V6, Place::Localhost),
        (Family::V6, Place::Host),
    ] {
        let at = family.at(place, PUBLISHED);
        let answer = udp::request(&scene.host, at, "connected")?;
        ensure!(
            answer.client.ip() == family.address(Place::Gateway1),
            "{at}: {answer:?}"
        );
        udp::request_unconnected(&scene.host, at, "unconnected")?;
    }
    Ok(())
}
