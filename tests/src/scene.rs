//! A lab with a netmap, servers and published ports, ready for clients.

use std::net::{IpAddr, SocketAddr};

use anyhow::Result;

use crate::{Answer, Family, Lab, Namespace, Netmap, Options, Place, tcp, topology, udp};

/// The port that every scene publishes.
pub const PUBLISHED: u16 = 8080;
/// The port that scenes with IPv6 publish in both families to what container c1 has of IPv4 alone.
pub const V4_ONLY: u16 = 8089;
/// The port of every server.
pub const SERVED: u16 = 80;

/// A transport to test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Transport {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Tcp, Self::Udp];

    /// Its name, as in `8080:80/tcp`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    /// Asks the server at `to` once, as a client in `namespace`.
    pub fn request(self, namespace: &Namespace, to: impl Into<SocketAddr>, payload: &str) -> Result<Answer> {
        match self {
            Self::Tcp => tcp::request(namespace, to, payload),
            Self::Udp => udp::request(namespace, to, payload),
        }
    }
}

/// A lab whose host runs netmap, with TCP (and HTTP) and UDP servers at port 80 of container c1 and of the remote host.
/// Published is 8080 to c1:80; with [`Options::ipv6`] all of it in both families, and [`V4_ONLY`] to c1:80 of IPv4.
#[derive(Debug)]
pub struct Scene {
    /// The netmap under test; goes before the lab does.
    pub netmap: Netmap,
    servers: Vec<Server>,
    /// The host with its processes in netmap's control group, as on any host; `lab.host` is for those outside.
    pub host: Namespace,
    /// The lab.
    pub lab: Lab,
}

#[derive(Debug)]
#[expect(dead_code, reason = "servers are held until the scene ends")]
enum Server {
    Tcp(tcp::Server),
    Udp(udp::Server),
}

impl Scene {
    /// A scene in a lab as most hosts are.
    pub fn new() -> Result<Self> {
        Self::with(Options::default())
    }

    /// A scene in a lab with these options.
    pub fn with(options: Options) -> Result<Self> {
        Self::in_lab(Lab::with(options)?)
    }

    /// A scene in this lab.
    pub fn in_lab(lab: Lab) -> Result<Self> {
        Self::with_arguments(lab, &[])
    }

    /// The same, netmap running with these arguments too.
    pub fn with_arguments(lab: Lab, arguments: &[&str]) -> Result<Self> {
        let scene = Self::unpublished(lab, arguments)?;
        for transport in Transport::ALL {
            scene.publish_c1(&format!("{PUBLISHED}:{SERVED}/{}", transport.name()))?;
            if scene.lab.options().ipv6 {
                let spec = format!("{V4_ONLY}:{SERVED}/{}", transport.name());
                scene.netmap.publish(&spec, topology::C1)?;
            }
        }
        Ok(scene)
    }

    /// The same with nothing published yet.
    pub fn unpublished(lab: Lab, arguments: &[&str]) -> Result<Self> {
        let netmap = Netmap::start_with_more(&lab, arguments)?;
        let mut scene = Self {
            host: netmap.clients(&lab.host)?,
            netmap,
            servers: Vec::new(),
            lab,
        };
        for &family in scene.families() {
            scene.serve(&scene.lab.c1.clone(), family.at(Place::C1, SERVED))?;
            scene.serve(&scene.lab.remote.clone(), family.at(Place::Remote, SERVED))?;
        }
        Ok(scene)
    }

    /// The address families that its lab has.
    pub fn families(&self) -> &'static [Family] {
        if self.lab.options().ipv6 {
            &Family::ALL
        } else {
            &[Family::V4]
        }
    }

    /// Starts a TCP and a UDP server at `address` in `namespace`, until the scene ends.
    pub fn serve(&mut self, namespace: &Namespace, address: impl Into<SocketAddr>) -> Result<()> {
        let address = address.into();
        self.servers
            .push(Server::Tcp(tcp::Server::start(namespace, address)?));
        self.servers
            .push(Server::Udp(udp::Server::start(namespace, address)?));
        Ok(())
    }

    /// Publishes `spec`, as in `8080:80/tcp`, to container c1, by every address that it has.
    pub fn publish_c1(&self, spec: &str) -> Result<()> {
        let mut command = vec!["publish".to_owned(), spec.to_owned()];
        for family in self.families() {
            command.extend(["--to".to_owned(), family.address(Place::C1).to_string()]);
        }
        let command: Vec<_> = command.iter().map(String::as_str).collect();
        self.netmap.done(&command).map(drop)
    }

    /// Publishes `ports`, as in `8080:80`, for TCP and UDP.
    pub fn publish_both(&self, ports: &str, target: impl Into<IpAddr>) -> Result<()> {
        let target = target.into();
        for transport in Transport::ALL {
            self.netmap
                .publish(&format!("{ports}/{}", transport.name()), target)?;
        }
        Ok(())
    }
}
