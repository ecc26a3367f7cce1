//! The laboratory: a host with containers and a remote machine, made of network namespaces, and the means to drive
//! the built `netmap` binary in it from outside, as a user would.
//!
//! From the ground up, a module using only what stands above it in this list:
//!
//! - [`command`]: runs `ip`, `tc`, `ethtool`, `nft`;
//! - [`namespace`]: one network namespace, and code that runs inside it;
//! - `insider`: sockets of a control group, in any namespace;
//! - [`ground`]: the BPF file system, control groups and the binary under test;
//! - [`topology`]: the [`Lab`]: who is there and under which address;
//! - [`ipv6`]: its addresses of IPv6; [`family`]: both as one;
//! - [`answer`]: what the servers say to whoever asks;
//! - [`far`]: one machine more, behind the remote host;
//! - [`tcp`], [`udp`], [`http`], [`dns`], [`ping`], [`ping6`]: servers and clients, over real sockets;
//! - [`engine`]: a container engine that is none, for `netmap run --docker`;
//! - [`wire`]: frames as they are on an interface; [`pieces`]: datagrams in several;
//! - [`nobody`]: what a daemon needs that does not run as root;
//! - [`api`]: its API by hand;
//! - [`daemon`]: a [`Netmap`] that runs in the lab's host;
//! - [`launcher`]: an engine, as far as it starts a program for each port that it publishes there;
//! - [`counters`]: what its counters say, and assertions on what moved;
//! - [`scene`]: a lab with a netmap, servers and published ports, ready for clients;
//! - [`rows`]: the product's promises, one a row: who asks whom, who carries it, which address the container sees;
//! - [`refusals`]: its last row: what is dropped, and why;
//! - [`soak`]: all kinds of load at once, and nothing left of it;
//! - [`tool`], [`iperf`]: what everybody has at hand, from `ping` to `nmap`;
//! - [`docker`]: a real dockerd in such a host;
//! - [`programs`]: the eBPF programs by themselves, without a binary and with nothing attached.
//!
//! `cargo xtask test NAME` runs the tests whose names contain NAME, `cargo xtask demo --keep` leaves a lab up to look at.
//! Both build netmap first; `cargo test` by hand takes the one that `NETMAP_BIN` names, or what was built last.
//!
//! Everything here needs root. Traffic stays inside namespaces that the lab made, and every wait has a deadline.

pub mod answer;
pub mod api;
pub mod command;
pub mod counters;
pub mod daemon;
pub mod dns;
pub mod docker;
pub mod engine;
pub mod family;
pub mod far;
pub mod ground;
pub mod http;
mod insider;
pub mod iperf;
pub mod ipv6;
pub mod launcher;
pub mod monitor;
pub mod namespace;
pub mod nobody;
pub mod picture;
pub mod pieces;
pub mod ping;
pub mod ping6;
pub mod programs;
pub mod refusals;
pub mod rows;
pub mod scene;
pub mod soak;
pub mod stun;
pub mod tcp;
pub mod terminal;
pub mod tool;
pub mod topology;
pub mod udp;
pub mod wire;

use std::{
    io,
    time::{Duration, Instant},
};

pub use answer::Answer;
pub use counters::{Counters, Moved};
pub use daemon::Netmap;
pub use family::{Family, Place};
pub use launcher::Launcher;
pub use namespace::Namespace;
pub use nobody::Nobody;
pub use scene::Scene;
pub use topology::{Lab, Options};

/// How long a client waits for what has to come.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// How long a client waits for what must not come.
pub const SILENCE: Duration = Duration::from_millis(300);

/// How many packets or bytes a test sends that sends many: `usual`, or by `NETMAP_LESS=n` in the environment an n-th of it. A
/// virtual machine without hardware for that takes ten times as long for each.
pub fn many(usual: u64) -> u64 {
    let less = std::env::var("NETMAP_LESS").ok();
    let less = less.and_then(|less| less.parse().ok());
    usual / less.unwrap_or(1).max(1)
}

/// Asks `holds` until it says `Some`, or fails after [`DEADLINE`] with `what` did not happen.
pub fn wait_for<T>(what: &str, holds: impl FnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    wait_within(DEADLINE, what, holds)
}

/// The same with another patience, for what happens by itself in its own time.
pub fn wait_within<T>(
    patience: Duration,
    what: &str,
    mut holds: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = holds()? {
            return Ok(found);
        }
        anyhow::ensure!(
            start.elapsed() < patience,
            "within {patience:?} it did not happen that {what}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Binds, and for a moment again while the address is taken: a program that is just being started by another test of this
/// process has a copy of every socket until it runs, also of one that was closed meanwhile.
pub(crate) fn bind<T>(mut bind: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let start = Instant::now();
    loop {
        match bind() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && start.elapsed() < SILENCE => {
                std::thread::sleep(Duration::from_millis(5));
            }
            bound => return bound,
        }
    }
}
