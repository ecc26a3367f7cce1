//! A lab with an engine, ready for containers.

use std::fs;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::{Container, Engine};
use crate::{Lab, Namespace, Netmap, Options, launcher, rows::Who, scene::SERVED, tcp, topology, udp};

/// Who does what published ports and the containers' traffic need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The engine itself: iptables, and a docker-proxy a port.
    Engine,
    /// netmap: `iptables` is off, and `userland-proxy-path` names netmap's own.
    Netmap,
}

/// A lab with a real engine.
#[derive(Debug)]
pub struct Stage {
    /// Who does the work.
    pub way: Way,
    /// The engine; goes before netmap does.
    pub engine: Engine,
    /// In netmap's way.
    pub netmap: Option<Netmap>,
    /// The host, with its processes where netmap sees their sockets.
    pub host: Namespace,
    servers: Vec<(tcp::Server, udp::Server)>,
    /// The lab, whose bridges and containers are the engine's.
    pub lab: Lab,
}

/// The containers that the rows speak of.
#[derive(Debug)]
pub struct Cast {
    /// The container behind published ports.
    pub c1: Container,
    /// Its neighbour.
    pub c1b: Container,
    /// The container on the other bridge.
    pub c2: Container,
}

impl Stage {
    /// An engine with the image that its containers are made of, no container yet.
    pub fn new(way: Way) -> Result<Self> {
        Self::with(way, |_| {})
    }

    /// The same; `change` has the last word on daemon.json.
    pub fn with(way: Way, change: impl FnOnce(&mut serde_json::Value)) -> Result<Self> {
        let lab = Lab::with(Options {
            bare: true,
            ..Options::default()
        })?;
        let mut netmap = match way {
            Way::Engine => None,
            Way::Netmap => Some(Netmap::prepare(&lab)?),
        };
        let mut engine = Engine::prepare(&lab)?;
        let host = match &netmap {
            None => lab.host.borrowed(),
            Some(netmap) => netmap.clients(&lab.host)?,
        };
        let mut settings = json!({
            "bip": format!("{}/24", topology::GATEWAY1),
            "log-driver": "none",
        });
        change(&mut settings);
        fs::write(engine.configuration(), settings.to_string())?;
        if let Some(netmap) = &mut netmap {
            hand_over(netmap, &mut engine)?;
        }
        let mut stage = Self {
            way,
            engine,
            netmap,
            host,
            servers: Vec::new(),
            lab,
        };
        stage.engine.start()?;
        stage.engine.import_image()?;
        let remote = (topology::REMOTE, SERVED);
        stage.servers.push((
            tcp::Server::start(&stage.lab.remote, remote)?,
            udp::Server::start(&stage.lab.remote, remote)?,
        ));
        Ok(stage)
    }

    /// The netmap that does the work.
    pub fn netmap(&self) -> Result<&Netmap> {
        self.netmap.as_ref().context("this is the engine's own way")
    }

    /// The rows' containers: c1 with these ports published, as in `8080:80/tcp`, c1b beside it, c2 on a network of its own.
    pub fn cast(&self, ports: &[&str]) -> Result<Cast> {
        self.add_network("n2", "br2", "172.30.2.0/24")?;
        let options: Vec<_> = ports.iter().flat_map(|port| ["--publish", port]).collect();
        Ok(Cast {
            c1: self.engine.serve("c1", &options, &["80"])?,
            c1b: self.engine.idle("c1b", &[])?,
            c2: self.engine.idle("c2", &["--network", "n2"])?,
        })
    }

    /// `docker network create` with this bridge and subnet.
    pub fn add_network(&self, name: &str, bridge: &str, subnet: &str) -> Result<()> {
        let bridge = format!("com.docker.network.bridge.name={bridge}");
        self.engine
            .docker(&["network", "create", "--subnet", subnet, "--opt", &bridge, name])
            .map(drop)
    }

    /// Where clients of `who` live.
    pub fn client<'a>(&'a self, cast: &'a Cast, who: Who) -> &'a Namespace {
        match who {
            Who::Remote => &self.lab.remote,
            Who::Host => &self.host,
            Who::C1 => &cast.c1.network,
            Who::C1b => &cast.c1b.network,
            Who::C2 => &cast.c2.network,
        }
    }
}

/// Sets the engine up for netmap, as a user does, and starts netmap first.
fn hand_over(netmap: &mut Netmap, engine: &mut Engine) -> Result<()> {
    let socket = engine.socket();
    netmap.set_arguments(&["--uplink", "up0", &format!("--docker={}", socket.display())]);
    netmap.run()?;
    engine.set_environment("NETMAP_SHIM_SOCKET", netmap.shim_socket().display().to_string());
    install(netmap, engine).map(drop)
}

/// `netmap docker install` for this engine; what it says.
pub fn install(netmap: &Netmap, engine: &Engine) -> Result<String> {
    let proxy = launcher::proxy()?;
    netmap.done(&[
        "docker",
        "install",
        "--daemon-json",
        &engine.configuration().display().to_string(),
        "--proxy-path",
        &proxy.display().to_string(),
        "--systemd-dir",
        &engine.units().display().to_string(),
    ])
}
