//! netmap itself, and which of its parts the binary at hand has.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
};

use anyhow::{Context as _, Result, ensure};
use netmap_tests::{Lab, Netmap, command, topology::C1};
use serde_json::{Value, json};

use super::Backend;
use crate::ports::{Port, Ports};

/// An uplink where no packet comes, so that all published ports are the proxy's.
const IDLE: &str = "idle0";
/// The most ports that are published one by one; more become ranges.
const MOST_SINGLE: u16 = 10_000;
/// How many ports a request publishes at most.
const BATCH: usize = 10_000;

/// Parts that not every netmap has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Features {
    /// `--xdp native`.
    pub(crate) native_xdp: bool,
    /// `--no-socket-hooks`, and so a connect hook.
    pub(crate) connect_hook: bool,
    /// Limits of one container's flows, and of one client's.
    limits: bool,
}

impl Features {
    /// Asks the binary's help.
    pub(crate) fn of_binary() -> Result<Self> {
        let binary = netmap_tests::ground::binary()?;
        let help = command::run(std::process::Command::new(binary).args(["run", "--help"]))?;
        Ok(Self {
            native_xdp: help.contains("native"),
            connect_hook: help.contains(NO_SOCKET_HOOKS),
            limits: help.contains("--max-source-flows"),
        })
    }
}

const NO_SOCKET_HOOKS: &str = "--no-socket-hooks";

/// Runs netmap in the lab's host and publishes `ports`.
pub(super) fn start(lab: &Lab, backend: Backend, ports: Ports, more: &[&str]) -> Result<Netmap> {
    let mut arguments = match backend {
        Backend::NetmapProxy => {
            lab.host.batch(&format!(
                "link add {IDLE} type veth peer name idle1\nlink set {IDLE} up\n"
            ))?;
            vec!["--uplink", IDLE]
        }
        Backend::NetmapXdp => vec![
            "--uplink", "up0", "--bridge", "br1", "--bridge", "br2", "--xdp", "native",
        ],
        _ => vec!["--uplink", "up0", "--bridge", "br1", "--bridge", "br2"],
    };
    if backend == Backend::NetmapProxy && Features::of_binary()?.connect_hook {
        arguments.push(NO_SOCKET_HOOKS);
    }
    // One container and one client stand for many here.
    if Features::of_binary()?.limits && !more.contains(&"--max-flows") {
        arguments.extend(["--max-flows", "0", "--max-source-flows", "0"]);
    }
    arguments.extend(more);
    let mut netmap = Netmap::start_with(lab, &arguments)?;
    netmap.shows_log = false;
    publish_all(&netmap, ports)?;
    Ok(netmap)
}

/// Publishes ports by the daemon's API, many a request.
fn publish_all(netmap: &Netmap, ports: Ports) -> Result<()> {
    let all: Vec<Port> = ports.all().collect();
    let bindings: Vec<Value> = if ports.others < MOST_SINGLE {
        all.iter().map(|port| binding(*port, *port)).collect()
    } else {
        spans(&all).map(|(first, last)| binding(first, last)).collect()
    };
    request(netmap, &bindings)
}

/// Publishes these ports one by one, as many as fit in a request.
pub(crate) fn publish_single(netmap: &Netmap, ports: &[Port]) -> Result<()> {
    let bindings: Vec<Value> = ports.iter().map(|port| binding(*port, *port)).collect();
    request(netmap, &bindings)
}

/// Publishes one port by the command line, as a user does. For IPv4 alone, as the others' rules are.
pub(super) fn publish(lab: &Lab, netmap: &Netmap, port: Port) -> Result<()> {
    let spec = format!("0.0.0.0:{}", port.spec());
    run(lab, netmap, &["publish", &spec, "--to", &C1.to_string()])
}

/// Takes one port back by the command line.
pub(super) fn unpublish(lab: &Lab, netmap: &Netmap, port: Port) -> Result<()> {
    let published = format!("0.0.0.0:{}/{}", port.host, port.transport.name());
    run(lab, netmap, &["unpublish", &published])
}

/// Unlike the lab's own way to run it, without other programs around it that would take time, too.
fn run(lab: &Lab, netmap: &Netmap, arguments: &[&str]) -> Result<()> {
    let mut command = lab.host.command(netmap.binary());
    command
        .args(arguments)
        .env("NETMAP_SOCKET", netmap.socket())
        .env("NETMAP_PIN_DIR", netmap.pins());
    command::run(&mut command).map(drop)
}

fn request(netmap: &Netmap, bindings: &[Value]) -> Result<()> {
    for batch in bindings.chunks(BATCH) {
        post(netmap, "/v1/publish", &json!({ "bindings": batch }))?;
    }
    Ok(())
}

/// Ranges of at most 100 ports that follow each other.
fn spans(ports: &[Port]) -> impl Iterator<Item = (Port, Port)> {
    ports
        .chunk_by(|one, next| {
            let follows = one.transport == next.transport
                && one.host.checked_add(1) == Some(next.host)
                && one.container.checked_add(1) == Some(next.container);
            follows && next.host % 100 != 0
        })
        .filter_map(|span| Some((*span.first()?, *span.last()?)))
}

fn binding(first: Port, last: Port) -> Value {
    json!({
        "published": {
            "host": "0.0.0.0",
            "ports": [first.host, last.host],
            "transport": first.transport.name(),
        },
        "target": C1,
        "target_ports": [first.container, last.container],
    })
}

/// A request to the daemon.
fn post(netmap: &Netmap, path: &str, body: &Value) -> Result<()> {
    let body = serde_json::to_vec(body)?;
    let mut stream = UnixStream::connect(netmap.socket()).context("netmap does not listen")?;
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: netmap\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, text) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    ensure!(
        head.starts_with("HTTP/1.1 200"),
        "netmap refused to publish {} bytes of bindings: {head}\n{text}",
        body.len()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use netmap_tests::scene::Transport;

    use super::*;

    #[test]
    fn many_ports_become_ranges_that_cover_each_once() {
        let ports: Vec<_> = Ports::numbering(60_000, Transport::Tcp).all().collect();
        let spans: Vec<_> = spans(&ports).collect();
        let covered: usize = spans
            .iter()
            .map(|(first, last)| usize::from(last.host - first.host) + 1)
            .sum();
        assert_eq!(covered, ports.len());
        assert!(spans.len() < 1000, "{}", spans.len());
    }
}
