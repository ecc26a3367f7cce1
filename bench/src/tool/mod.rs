//! The load of TCP and UDP clients: a server, and clients that say what they got. Each is a process of its own, kept on
//! one core.
//!
//! A TCP client's first byte says what the connection is for: `r` a request that is answered before the server closes
//! (so that the client keeps no `TIME_WAIT`), `p` requests and answers without end, `u` bytes to the server, `d` bytes
//! from it. Requests and answers are 64 bytes, and every answer is compared with its request.

mod bulk;
mod connect;
mod histogram;
mod pingpong;
mod serve;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::SocketAddrV4,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Subcommand};
use nix::sys::{prctl::set_pdeathsig, signal::Signal};
use serde::{Deserialize, Serialize};

use crate::{interrupt, machine};

/// Bytes of a request and of an answer.
const MESSAGE: usize = 64;
/// How long a client waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(3);

/// A tool and how it runs.
#[derive(Args, Debug)]
pub(crate) struct Tool {
    /// The core that it keeps to
    #[arg(long)]
    core: usize,
    #[command(subcommand)]
    work: Work,
}

#[derive(Debug, Subcommand)]
enum Work {
    /// Serves TCP and UDP at an address
    Serve {
        /// Where
        at: SocketAddrV4,
    },
    /// Connects, asks, reads the answer and the end, again and again
    Connect {
        /// Whom
        to: SocketAddrV4,
        /// Milliseconds
        time: u64,
        /// Connections at a time
        at_once: usize,
    },
    /// Asks and waits for the answer over TCP, again and again
    TcpPingpong {
        /// Whom
        to: SocketAddrV4,
        /// Milliseconds
        time: u64,
    },
    /// The same over UDP
    UdpPingpong {
        /// Whom
        to: SocketAddrV4,
        /// Milliseconds
        time: u64,
    },
    /// Sends bytes
    Upload {
        /// Whom
        to: SocketAddrV4,
        /// Milliseconds
        time: u64,
    },
    /// Receives bytes
    Download {
        /// From whom
        to: SocketAddrV4,
        /// Milliseconds
        time: u64,
    },
}

/// What a client got.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Connections, round trips or bytes.
    pub(crate) done: u64,
    /// Those that failed.
    pub(crate) failed: u64,
    /// How long it took.
    pub(crate) seconds: f64,
    /// Nanoseconds that the client ran.
    pub(crate) cpu: u64,
    /// Half of the round trips took at most so many nanoseconds.
    pub(crate) p50: u64,
    /// 99 of 100 did.
    pub(crate) p99: u64,
}

/// What the process of a tool does.
pub(crate) fn work(tool: &Tool) -> Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    machine::pin(0, tool.core)?;
    let milliseconds = Duration::from_millis;
    let outcome = match tool.work {
        Work::Serve { at } => return serve::serve(at),
        Work::Connect { to, time, at_once } => connect::run(to, milliseconds(time), at_once),
        Work::TcpPingpong { to, time } => pingpong::tcp(to, milliseconds(time)),
        Work::UdpPingpong { to, time } => pingpong::udp(to, milliseconds(time)),
        Work::Upload { to, time } => bulk::upload(to, milliseconds(time)),
        Work::Download { to, time } => bulk::download(to, milliseconds(time)),
    };
    let mut outcome = outcome?;
    outcome.cpu = machine::Meter::default()
        .with_processes(&[std::process::id()])
        .nanoseconds();
    Ok(serde_json::to_writer(std::io::stdout(), &outcome)?)
}

/// A server that runs. Ended when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
}

impl Server {
    /// Starts to serve at `at`, by a command that enters the right namespace, and waits until it listens.
    pub(crate) fn start(mut command: Command, core: usize, at: SocketAddrV4) -> Result<Self> {
        let mut child = command
            .args(["tool", "--core", &core.to_string(), "serve", &at.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the server")?;
        let stdout = child.stdout.take();
        let server = Self { child };
        let mut ready = [0; 1];
        stdout
            .context("the server has no output")?
            .read_exact(&mut ready)
            .context("the server did not start; its message is above")?;
        Ok(server)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Runs a client to its end, by a command that enters the right namespace.
pub(crate) fn run(mut command: Command, core: usize, arguments: &[&str]) -> Result<Outcome> {
    let output = command
        .args(["tool", "--core", &core.to_string()])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .context("cannot start a client")?;
    interrupt::check()?;
    ensure!(
        output.status.success(),
        "the client `{}` failed: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The command that runs this very program inside a namespace.
pub(crate) fn inside(namespace: &netmap_tests::Namespace) -> Result<Command> {
    Ok(namespace.command(fs::canonicalize(std::env::current_exe()?)?))
}

fn say_ready() -> Result<()> {
    let mut stdout = std::io::stdout();
    stdout.write_all(b"!")?;
    Ok(stdout.flush()?)
}

/// The `turn`th request: its first byte says what it is for.
fn request(purpose: u8, turn: u64) -> [u8; MESSAGE] {
    let mut message = [0x5a; MESSAGE];
    for (to, from) in message
        .iter_mut()
        .zip([purpose].into_iter().chain(turn.to_le_bytes()))
    {
        *to = from;
    }
    message
}
