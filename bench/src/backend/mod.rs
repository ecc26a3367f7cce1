//! What publishes ports: netmap, and what it is compared with.

mod docker_proxy;
mod iptables;
mod netmap;
mod nftables;

use std::{
    net::SocketAddrV4,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use clap::ValueEnum;
use netmap_tests::{
    Lab, Netmap, Options,
    scene::{PUBLISHED, SERVED},
    topology::{C1, HOST},
};
use serde::Serialize;

pub(crate) use self::{
    docker_proxy::{Proxies, is_there as has_docker_proxy},
    iptables::Flavour,
    netmap::{Features, publish_single},
};
use crate::ports::{Port, Ports};

/// One of the compared ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Backend {
    /// Plain routing to the container, without NAT and without rules
    Route,
    /// Docker's rules by iptables on nftables
    IptNft,
    /// Docker's rules by legacy iptables
    IptLegacy,
    /// One nftables map of ports
    NftMap,
    /// A docker-proxy a port
    Proxy,
    /// netmap
    Netmap,
    /// netmap's socket proxy alone, its packet hooks out of the way
    NetmapProxy,
    /// netmap with native XDP
    NetmapXdp,
}

impl Backend {
    /// Its name, as the command line has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::IptNft => "ipt-nft",
            Self::IptLegacy => "ipt-legacy",
            Self::NftMap => "nft-map",
            Self::Proxy => "proxy",
            Self::Netmap => "netmap",
            Self::NetmapProxy => "netmap-proxy",
            Self::NetmapXdp => "netmap-xdp",
        }
    }

    /// Whether user space copies the bytes.
    pub(crate) const fn is_proxy(self) -> bool {
        matches!(self, Self::Proxy | Self::NetmapProxy)
    }

    /// Where clients outside connect to.
    pub(crate) fn address(self) -> SocketAddrV4 {
        if self == Self::Route {
            SocketAddrV4::new(C1, SERVED)
        } else {
            SocketAddrV4::new(HOST, PUBLISHED)
        }
    }
}

/// A lab in which a backend publishes ports. Gone when dropped.
#[derive(Debug)]
pub(crate) struct Stage {
    /// Which it is.
    pub(crate) backend: Backend,
    carrier: Carrier,
    /// The lab, which goes last.
    pub(crate) lab: Lab,
}

#[derive(Debug)]
enum Carrier {
    Routing,
    Iptables(Flavour),
    Nftables,
    Proxies(Proxies),
    Netmap(Box<Netmap>),
}

impl Stage {
    /// A new lab where `backend` publishes `ports`.
    pub(crate) fn new(backend: Backend, ports: Ports) -> Result<Self> {
        Self::with(backend, ports, &[])
    }

    /// The same with more arguments for `netmap run`, where that is the backend.
    pub(crate) fn with(backend: Backend, ports: Ports, arguments: &[&str]) -> Result<Self> {
        // Plain routing is a host that has never seen a container engine.
        Self::build(backend, backend != Backend::Route, ports, arguments)
    }

    /// One on the same host whatever the backend: for clients on the host, plain routing is the direct way on that host.
    pub(crate) fn on_engine_host(backend: Backend, ports: Ports) -> Result<Self> {
        Self::build(backend, true, ports, &[])
    }

    /// `br_netfilter` is what a host has on which Docker or Kubernetes runs.
    fn build(backend: Backend, br_netfilter: bool, ports: Ports, arguments: &[&str]) -> Result<Self> {
        let lab = Lab::with(Options {
            br_netfilter,
            // Containers take frames from XDP.
            native_xdp: backend == Backend::NetmapXdp,
            ..Options::default()
        })?;
        let carrier = match backend {
            Backend::Route => Carrier::Routing,
            Backend::IptNft => Carrier::Iptables(Flavour::Nft.install(&lab, ports)?),
            Backend::IptLegacy => Carrier::Iptables(Flavour::Legacy.install(&lab, ports)?),
            Backend::NftMap => {
                nftables::install(&lab, ports)?;
                Carrier::Nftables
            }
            Backend::Proxy => Carrier::Proxies(Proxies::start(&lab, ports.all())?),
            Backend::Netmap | Backend::NetmapProxy | Backend::NetmapXdp => {
                Carrier::Netmap(Box::new(netmap::start(&lab, backend, ports, arguments)?))
            }
        };
        Ok(Self {
            backend,
            carrier,
            lab,
        })
    }

    /// netmap, if that is the backend.
    pub(crate) fn netmap(&self) -> Option<&Netmap> {
        match &self.carrier {
            Carrier::Netmap(netmap) => Some(netmap),
            _ => None,
        }
    }

    /// Processes that copy bytes.
    pub(crate) fn processes(&self) -> Vec<u32> {
        match &self.carrier {
            Carrier::Proxies(proxies) => proxies.pids(),
            Carrier::Netmap(netmap) => netmap.pid().into_iter().collect(),
            Carrier::Routing | Carrier::Iptables(_) | Carrier::Nftables => Vec::new(),
        }
    }

    /// Publishes one more port as its user does, and says how long that took.
    pub(crate) fn publish(&self, port: Port) -> Result<Duration> {
        let start = Instant::now();
        match &self.carrier {
            Carrier::Iptables(flavour) => flavour.publish(&self.lab, port)?,
            Carrier::Nftables => nftables::publish(&self.lab, port)?,
            Carrier::Netmap(netmap) => netmap::publish(&self.lab, netmap, port)?,
            Carrier::Routing | Carrier::Proxies(_) => bail!("{} has no rules", self.backend.name()),
        }
        Ok(start.elapsed())
    }

    /// Takes a port back, and says how long that took.
    pub(crate) fn unpublish(&self, port: Port) -> Result<Duration> {
        let start = Instant::now();
        match &self.carrier {
            Carrier::Iptables(flavour) => flavour.unpublish(&self.lab, port)?,
            Carrier::Nftables => nftables::unpublish(&self.lab, port)?,
            Carrier::Netmap(netmap) => netmap::unpublish(&self.lab, netmap, port)?,
            Carrier::Routing | Carrier::Proxies(_) => bail!("{} has no rules", self.backend.name()),
        }
        Ok(start.elapsed())
    }
}
