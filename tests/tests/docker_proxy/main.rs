//! netmap-docker-proxy, started as dockerd starts it: every row, the lives of all three -- engine, proxy and daemon --,
//! refusals in the engine's words, and what a thousand of them take.

mod lives;
mod many;
mod refusals;
mod rows;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Result, ensure};
use netmap_tests::{
    Family, Lab, Launcher, Netmap, Options, Place, Scene, command,
    launcher::Port,
    scene::{PUBLISHED, SERVED, Transport, V4_ONLY},
    wait_for,
};

/// A scene in which nothing is published yet, with both families.
fn scene(socket_hooks: bool) -> Result<Scene> {
    let options = Options {
        ipv6: true,
        socket_hooks,
        ..Options::default()
    };
    Scene::unpublished(Lab::with(options)?, &[])
}

/// What a scene publishes, as an engine has it done: a proxy for each transport and each family's wildcard address.
fn ports(has_socket: bool) -> Vec<Port> {
    let mut ports = Vec::new();
    for transport in Transport::ALL {
        for family in Family::ALL {
            let c1 = family.at(Place::C1, SERVED);
            ports.push(Port::new(transport, any(family, PUBLISHED), c1));
            let c1 = Family::V4.at(Place::C1, SERVED);
            ports.push(Port::new(transport, any(family, V4_ONLY), c1));
        }
    }
    for port in &mut ports {
        port.has_socket = has_socket;
    }
    ports
}

/// The one port 8080/tcp of IPv4, to container c1.
fn web() -> Port {
    let c1 = Family::V4.at(Place::C1, SERVED);
    Port::new(Transport::Tcp, any(Family::V4, PUBLISHED), c1)
}

fn any(family: Family, port: u16) -> SocketAddr {
    let address: IpAddr = match family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(address, port)
}

fn publish_all(engine: &mut Launcher, ports: &[Port]) -> Result<()> {
    ports.iter().try_for_each(|port| engine.publish(port).map(drop))
}

/// Whose each rule is.
fn owners(netmap: &Netmap) -> Result<Vec<String>> {
    let ports = netmap.ports()?;
    let owners = ports
        .iter()
        .map(|port| port["owner"].as_str().unwrap_or_default().to_owned());
    Ok(owners.collect())
}

/// Waits until all of `count` rules are of `owner`.
fn wait_for_owner(netmap: &Netmap, owner: &str, count: usize) -> Result<()> {
    wait_for(&format!("{count} rules are of {owner}"), || {
        let owners = owners(netmap)?;
        let all = owners.len() == count && owners.iter().all(|one| one == owner);
        Ok(all.then_some(()))
    })
}

/// How a program of the host fares that binds `address`.
fn bind(netmap: &Netmap, transport: &str, address: &str) -> Option<String> {
    let mut program = netmap.host_command(env!("CARGO_BIN_EXE_bind"));
    command::run(program.args([transport, address]))
        .err()
        .map(|error| error.to_string())
}

fn ensure_contains(text: &str, parts: &[&str]) -> Result<()> {
    for part in parts {
        ensure!(text.contains(part), "{part:?} is missing in: {text}");
    }
    Ok(())
}
