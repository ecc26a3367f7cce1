//! `iperf3`: its server, and what its client says came through.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{Namespace, command};

/// A server until it is dropped.
#[derive(Debug)]
pub struct Server(Child);

impl Server {
    /// Listens on `address` in `namespace`.
    pub fn start(namespace: &Namespace, address: SocketAddr) -> Result<Self> {
        let mut child = namespace
            .command("iperf3")
            .args(["-s", "--forceflush", "-B", &address.ip().to_string()])
            .args(["-p", &address.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start iperf3; `cargo xtask setup` installs what the tests need")?;
        let said = child.stdout.take().context("no standard output")?;
        let server = Self(child);
        let mut lines = BufReader::new(said).lines().map_while(Result::ok);
        let listens = lines.any(|line| line.contains("Server listening"));
        ensure!(listens, "iperf3 does not listen on {address}");
        // What else it says has to go somewhere.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _killed = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// How much one direction of a run carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Bytes that were sent.
    pub sent: u64,
    /// Bytes that arrived.
    pub received: u64,
}

/// A run of the client: its directions' sums, one, or with `--bidir` two.
pub fn run(client: &mut Command, to: SocketAddr, how: &str) -> Result<Vec<Flow>> {
    client.args(["iperf3", "-J", "-c", &to.ip().to_string()]);
    client
        .args(["-p", &to.port().to_string()])
        .args(how.split_whitespace());
    let said: Value = serde_json::from_str(&command::run(client)?)?;
    let end = &said["end"];
    let bytes = |sum: String| end[&sum]["bytes"].as_u64();
    let directions = ["", "_bidir_reverse"].into_iter().filter_map(|direction| {
        Some(Flow {
            sent: bytes(format!("sum_sent{direction}"))?,
            received: bytes(format!("sum_received{direction}"))?,
        })
    });
    Ok(directions.collect())
}
