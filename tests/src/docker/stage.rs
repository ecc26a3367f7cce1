//! A lab with an engine, ready for containers.

use std::fs;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::{Container, Engine};
use crate::{
    Family, Lab, Namespace, Netmap, Options, Place, launcher, rows::Who, scene::SERVED, tcp, topology, udp,
};

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
        Self::in_lab(way, Options::default(), change)
    }

    /// An engine in a lab that has IPv6, too. Its own network makes room for those that [`Self::cast_of_both`] adds.
    pub fn of_both(way: Way) -> Result<Self> {
        let options = Options {
            ipv6: true,
            ..Options::default()
        };
        Self::in_lab(way, options, |settings| settings["bip"] = "172.30.9.1/24".into())
    }

    fn in_lab(way: Way, options: Options, change: impl FnOnce(&mut serde_json::Value)) -> Result<Self> {
        let lab = Lab::with(Options {
            bare: true,
            ..options
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
        for &family in stage.families() {
            let remote = family.at(Place::Remote, SERVED);
            stage.servers.push((
                tcp::Server::start(&stage.lab.remote, remote)?,
                udp::Server::start(&stage.lab.remote, remote)?,
            ));
        }
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

    /// The same where containers have addresses of both families, those that the lab has for them.
    pub fn cast_of_both(&self, ports: &[&str]) -> Result<Cast> {
        for (name, bridge, gateway) in [("n1", "br1", Place::Gateway1), ("n2", "br2", Place::Gateway2)] {
            let bridge = format!("com.docker.network.bridge.name={bridge}");
            let mut command = vec!["network", "create", "--ipv6", "--opt", &bridge, name];
            let subnets = [(Family::V4, 24), (Family::V6, 64)].map(|(family, length)| {
                let gateway = family.address(gateway);
                [
                    format!("--subnet={gateway}/{length}"),
                    format!("--gateway={gateway}"),
                ]
            });
            command.extend(subnets.as_flattened().iter().map(String::as_str));
            self.engine.docker(&command)?;
        }
        let published: Vec<_> = ports.iter().flat_map(|port| ["--publish", port]).collect();
        let addresses = |network, place| {
            let addresses = Family::ALL.map(|family| family.address(place));
            let [v4, v6] = addresses;
            [
                format!("--network={network}"),
                format!("--ip={v4}"),
                format!("--ip6={v6}"),
            ]
        };
        let (c1, c1b, c2) = (
            addresses("n1", Place::C1),
            addresses("n1", Place::C1b),
            addresses("n2", Place::C2),
        );
        let mut options = published;
        options.extend(c1.iter().map(String::as_str));
        Ok(Cast {
            c1: self.engine.serve("c1", &options, &["80"])?,
            c1b: self.engine.idle("c1b", &c1b.each_ref().map(String::as_str))?,
            c2: self.engine.idle("c2", &c2.each_ref().map(String::as_str))?,
        })
    }

    /// The address families that its lab has.
    pub fn families(&self) -> &'static [Family] {
        if self.lab.options().ipv6 {
            &Family::ALL
        } else {
            &[Family::V4]
        }
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
