//! Neighbour discovery of IPv6 goes on as if netmap were not there, and what netmap carries survives that it begins anew.

use std::net::Ipv6Addr;

use anyhow::{Result, ensure};
use netmap_tests::{
    Family, Namespace, Options, Place, Scene,
    ipv6::{C1, C1B, GATEWAY1, HOST, REMOTE},
    ping6::{self, Reply6},
    rows,
    scene::Transport,
    wait_for,
};

fn scene() -> Result<Scene> {
    Scene::with(Options {
        ipv6: true,
        ..Options::default()
    })
}

/// The link-layer address under which `namespace` knows a neighbour.
fn known(namespace: &Namespace, address: Ipv6Addr) -> Result<Option<String>> {
    let shown = namespace.line(&format!("ip -6 neigh show to {address}"))?;
    let words: Vec<_> = shown.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "lladdr");
    Ok(at.and_then(|at| words.get(at + 1)).map(|word| (*word).to_owned()))
}

fn mac(namespace: &Namespace, interface: &str) -> Result<String> {
    let shown = namespace.line(&format!("ip -o link show {interface}"))?;
    let word = shown.split("link/ether ").nth(1).unwrap_or_default();
    Ok(word.split(' ').next().unwrap_or_default().to_owned())
}

fn forget(scene: &Scene) -> Result<()> {
    for namespace in scene.lab.all() {
        namespace.line("ip -6 neigh flush all")?;
    }
    Ok(())
}

#[test]
fn every_row_holds_after_everybody_forgot_everybody() -> Result<()> {
    let scene = scene()?;
    // The flow of every row is there, and its answers need a neighbour that nobody knows any more.
    for row in rows::ROWS6 {
        row.check(&scene, Transport::Udp)?;
    }
    for row in rows::ROWS6 {
        for transport in Transport::ALL {
            forget(&scene)?;
            row.check(&scene, transport)?;
        }
    }
    Ok(())
}

#[test]
fn neighbours_find_each_other_and_are_seen_with_their_own_link_addresses() -> Result<()> {
    let scene = scene()?;
    let lab = &scene.lab;
    forget(&scene)?;
    for (address, namespace, interface, asks) in [
        (C1, &lab.c1, "eth0", &lab.c1b),
        (C1B, &lab.c1b, "eth0", &lab.c1),
        (GATEWAY1, &lab.host, "br1", &lab.c1),
        (C1, &lab.c1, "eth0", &lab.host),
        (HOST, &lab.host, "up0", &lab.remote),
        (REMOTE, &lab.remote, "eth0", &lab.host),
    ] {
        let (reply, moved) = scene
            .netmap
            .watch(|| ping6::ping(asks, address, 3, "neighbour"))?;
        ensure!(reply == Reply6::Echo { from: address }, "{reply:?}");
        moved.ensure_carried_by(&[])?;
        let (found, own) = (known(asks, address)?, mac(namespace, interface)?);
        ensure!(found.as_ref() == Some(&own), "{address}: {found:?}, not {own}");
    }
    Ok(())
}

#[test]
fn a_container_verifies_a_neighbour_with_its_link_local_address() -> Result<()> {
    let scene = scene()?;
    let lab = &scene.lab;
    let ((), moved) = scene.netmap.watch(|| {
        for (container, neighbour, address) in [(&lab.c1b, &lab.c1, C1), (&lab.c1, &lab.c1b, C1B)] {
            let link = mac(neighbour, "eth0")?;
            container.batch(&format!(
                "neigh replace {address} lladdr {link} nud probe dev eth0\n"
            ))?;
            wait_for("the neighbour answers", || {
                let shown = container.line(&format!("ip -6 neigh show to {address}"))?;
                Ok(shown.contains("REACHABLE").then_some(()))
            })?;
        }
        Ok(())
    })?;
    moved.ensure_includes(&["port-in other-icmp"])?;
    moved.ensure_dropped_by(&[])
}

#[test]
fn an_address_that_a_neighbour_has_already_is_noticed() -> Result<()> {
    let scene = scene()?;
    let lab = &scene.lab;
    // Asked from the unspecified address, to a group: as much as neighbour discovery has that is not ordinary.
    lab.c1b.sysctl("ipv6/conf/eth0/accept_dad", "1")?;
    let ((), moved) = scene.netmap.watch(|| {
        lab.c1b.batch(&format!("addr add {C1}/64 dev eth0\n"))?;
        wait_for("the address is found to be somebody else's", || {
            let shown = lab.c1b.line("ip -6 addr show dev eth0")?;
            Ok(shown.contains("dadfailed").then_some(()))
        })
    })?;
    moved.ensure_carried_by(&[])?;
    let served = Family::V6.at(Place::Host, netmap_tests::scene::PUBLISHED);
    let answer = Transport::Tcp.request(&lab.remote, served, "still c1's")?;
    ensure!(answer.local.ip() == C1, "{answer:?}");
    Ok(())
}
