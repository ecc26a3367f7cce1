//! Containers of a real engine, and the clients in them.

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Engine, image};
use crate::{Namespace, tcp, wait_for};

/// A container that runs. It stays when this value goes.
#[derive(Debug)]
pub struct Container {
    /// The name that it was given.
    pub name: String,
    /// Its network, for clients in it; of the process that it had when this value was made.
    pub network: Namespace,
    state: Value,
}

impl Engine {
    /// `docker run --detach --name NAME OPTIONS lab /respond PORTS`, up when this returns.
    pub fn serve(&self, name: &str, options: &[&str], ports: &[&str]) -> Result<Container> {
        let mut arguments = vec!["run", "--detach", "--name", name];
        arguments.extend(options);
        arguments.extend([image::NAME, image::SERVER]);
        arguments.extend(ports);
        self.docker(&arguments)?;
        let container = self.container(name)?;
        for port in ports {
            container.await_server(port.parse()?)?;
        }
        Ok(container)
    }

    /// `docker run --detach --name NAME OPTIONS lab sleep`: a container that serves nothing.
    pub fn idle(&self, name: &str, options: &[&str]) -> Result<Container> {
        let mut arguments = vec!["run", "--detach", "--name", name];
        arguments.extend(options);
        arguments.extend([image::NAME, "/bin/sleep", "3600"]);
        self.docker(&arguments)?;
        self.container(name)
    }

    /// A container as it is now.
    pub fn container(&self, name: &str) -> Result<Container> {
        let state: Value = serde_json::from_str(&self.docker(&["container", "inspect", name])?)?;
        let state = state.get(0).cloned().context("docker inspects nothing")?;
        let pid = state
            .pointer("/State/Pid")
            .and_then(Value::as_u64)
            .unwrap_or_default();
        Ok(Container {
            name: name.to_owned(),
            network: Namespace::of_process(name, pid.try_into()?),
            state,
        })
    }
}

impl Container {
    /// Its addresses, of IPv4 and of IPv6, in this network.
    pub fn addresses(&self, network: &str) -> Vec<IpAddr> {
        let networks = self.state.pointer("/NetworkSettings/Networks");
        let endpoint = networks.and_then(|networks| networks.get(network));
        ["IPAddress", "GlobalIPv6Address"]
            .iter()
            .filter_map(|key| endpoint?.get(key)?.as_str()?.parse().ok())
            .collect()
    }

    /// Its address of IPv4 on the default bridge or, where it is on another network alone, there.
    pub fn address(&self) -> Result<IpAddr> {
        let networks = self.state.pointer("/NetworkSettings/Networks");
        let networks = networks
            .and_then(Value::as_object)
            .context("no networks are told")?;
        networks
            .keys()
            .flat_map(|network| self.addresses(network))
            .find(IpAddr::is_ipv4)
            .with_context(|| format!("{} has no address", self.name))
    }

    /// The host's ports that `docker` names for this port of it, as in `80/tcp`.
    pub fn published(&self, port: &str) -> Vec<u16> {
        let bindings = self
            .state
            .pointer("/NetworkSettings/Ports")
            .and_then(|ports| ports.get(port));
        bindings
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|binding| binding.get("HostPort")?.as_str()?.parse().ok())
            .collect()
    }

    /// Waits until its server answers from within.
    pub fn await_server(&self, port: u16) -> Result<()> {
        wait_for(&format!("{} serves port {port}", self.name), || {
            Ok(tcp::request(&self.network, ([127, 0, 0, 1], port), "up?").ok())
        })
        .map(drop)
    }
}
