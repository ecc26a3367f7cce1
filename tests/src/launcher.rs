//! A container engine that publishes ports, as far as the host's side of it goes: the program `launcher` plays it in the
//! lab's host, and starts the `netmap-docker-proxy` under test as dockerd does.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

use crate::{Netmap, ground, scene::Transport, wait_for};

/// A port to be published.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Port {
    /// What the test calls it.
    pub name: String,
    /// `tcp`, `udp`, or what else an engine knows.
    pub proto: String,
    /// The host's side.
    pub host: SocketAddr,
    /// The container's side.
    pub container: SocketAddr,
    /// The engine binds the port and hands the socket over, as from version 28 on.
    pub has_socket: bool,
    /// More arguments.
    pub arguments: Vec<String>,
    /// More of the engine's environment.
    pub environment: BTreeMap<String, String>,
}

/// What the engine is told.
#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    /// Publish a port.
    Start(Port),
    /// Take the port of this name back.
    Stop(String),
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
pub enum Report {
    /// Published; the proxy's process.
    Started(u32),
    /// The proxy has ended.
    Stopped {
        /// So.
        code: Option<i32>,
        /// That long after SIGINT.
        milliseconds: u64,
    },
    /// In the engine's words.
    Failed(String),
}

impl Port {
    /// A port of `transport`, without a socket.
    pub fn new(transport: Transport, host: impl Into<SocketAddr>, container: impl Into<SocketAddr>) -> Self {
        let (host, container) = (host.into(), container.into());
        Self {
            name: format!("{}-{host}", transport.name()),
            proto: transport.name().to_owned(),
            host,
            container,
            has_socket: false,
            arguments: Vec::new(),
            environment: BTreeMap::new(),
        }
    }

    /// The same with a socket of the engine's.
    #[must_use]
    pub fn with_socket(self) -> Self {
        Self {
            has_socket: true,
            ..self
        }
    }
}

/// An engine. Gone with its proxies when dropped.
#[derive(Debug)]
pub struct Launcher {
    process: Child,
    orders: Option<ChildStdin>,
    reports: BufReader<ChildStdout>,
    proxies: BTreeMap<String, u32>,
}

impl Launcher {
    /// An engine in netmap's host.
    pub fn start(netmap: &Netmap) -> Result<Self> {
        let mut process = netmap
            .host_command(ground::sibling("launcher")?)
            .arg(proxy()?)
            .env("NETMAP_SHIM_SOCKET", netmap.shim_socket())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the engine")?;
        let orders = process.stdin.take();
        let reports = process.stdout.take().context("the engine has no output")?;
        Ok(Self {
            process,
            orders,
            reports: BufReader::new(reports),
            proxies: BTreeMap::new(),
        })
    }

    /// Publishes a port, and says which process stands for it; fails with the engine's words.
    pub fn publish(&mut self, port: &Port) -> Result<u32> {
        match self.order(&Order::Start(port.clone()))? {
            Report::Started(pid) => {
                self.proxies.insert(port.name.clone(), pid);
                Ok(pid)
            }
            Report::Failed(why) => bail!(why),
            other @ Report::Stopped { .. } => bail!("{other:?}"),
        }
    }

    /// What the engine says of a port that it must not get.
    pub fn refused(&mut self, port: &Port) -> Result<String> {
        match self.publish(port) {
            Ok(_) => bail!("{port:?} is published"),
            Err(why) => Ok(why.to_string()),
        }
    }

    /// Takes a port back, and says how its proxy ended and how long that took.
    pub fn unpublish(&mut self, port: &Port) -> Result<(Option<i32>, Duration)> {
        self.proxies.remove(&port.name);
        match self.order(&Order::Stop(port.name.clone()))? {
            Report::Stopped { code, milliseconds } => Ok((code, Duration::from_millis(milliseconds))),
            Report::Failed(why) => bail!(why),
            other @ Report::Started(_) => bail!("{other:?}"),
        }
    }

    /// The processes of its proxies.
    pub fn proxies(&self) -> impl Iterator<Item = u32> {
        self.proxies.values().copied()
    }

    /// Kills it, as an accident would; comes back when its proxies have ended too.
    pub fn kill(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        kill(Pid::from_raw(self.process.id().try_into()?), Signal::SIGKILL)?;
        self.process.wait()?;
        wait_for("the engine's proxies end with it", || {
            let all_ended = self.proxies.values().all(|pid| is_gone(*pid));
            Ok(all_ended.then_some(()))
        })
    }

    fn order(&mut self, order: &Order) -> Result<Report> {
        let orders = self.orders.as_mut().context("the engine is gone")?;
        writeln!(orders, "{}", serde_json::to_string(order)?)?;
        let mut line = String::new();
        self.reports.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("the engine said {line:?}"))
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            let _ended = self.end();
        }
    }
}

/// The program under test: `NETMAP_DOCKER_PROXY`, or what cargo has built beside the tests.
pub fn proxy() -> Result<PathBuf> {
    ground::built("NETMAP_DOCKER_PROXY", "netmap-docker-proxy")
}

/// Whether a process has ended, whoever has to look after it.
pub fn is_gone(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return true;
    };
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    matches!(state, None | Some('Z' | 'X'))
}
