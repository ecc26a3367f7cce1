//! From the engine's answers to what netmap wants to know of it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use super::{
    network::{Bridge, GatewayMode},
    types::{self, Container, Endpoint, PortBinding},
};
use crate::{
    binding::{Binding, PortSpan, Published, Transport},
    spec,
};

/// Everything that matters of an engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// Its bridges, in the order of their interfaces' names.
    pub bridges: Vec<Bridge>,
    /// What its containers publish, in order.
    pub bindings: Vec<Binding>,
    /// What its containers are called, by address.
    pub names: BTreeMap<IpAddr, Name>,
    /// What the user should know, a sentence each.
    pub notes: BTreeSet<String>,
}

/// What an address is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// The container.
    pub container: String,
    /// The network in which it has the address.
    pub network: String,
}

/// An answer that contradicts itself or the engine's API, a sentence each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// An option's value that no engine takes.
    #[error("the engine's network {network:?} has {value:?} for its {name}")]
    Option {
        /// The network.
        network: String,
        /// The option.
        name: String,
        /// Its value.
        value: String,
    },
    /// No address, port or protocol.
    #[error("the engine's container {container:?} has {value:?} for {what}")]
    Value {
        /// The container.
        container: String,
        /// What it should be.
        what: &'static str,
        /// What it is.
        value: String,
    },
}

/// What the engine knows, as it was last told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// By their numbers.
    pub(super) networks: BTreeMap<String, types::Network>,
    /// By their numbers: those that may have addresses.
    pub(super) containers: BTreeMap<String, Container>,
    /// The engine itself.
    pub(super) info: types::Info,
}

impl Known {
    /// The whole picture.
    ///
    /// # Errors
    ///
    /// Something makes no sense, and then perhaps nothing does.
    pub(super) fn picture(&self) -> Result<Picture, ModelError> {
        let mut picture = Picture::default();
        self.note_engine(&mut picture.notes);
        for network in self.networks.values() {
            picture.bridges.extend(Bridge::of(network)?);
        }
        picture
            .bridges
            .sort_by(|one, other| one.interface.cmp(&other.interface));
        for bridge in &picture.bridges {
            note_bridge(bridge, &mut picture.notes);
        }
        for container in self.containers.values() {
            let places = self.places(container)?;
            for place in &places {
                for address in [place.v4, place.v6].into_iter().flatten() {
                    picture.names.insert(address, place.name(container));
                }
            }
            for (port, bindings) in &container.network_settings.ports {
                for binding in bindings.iter().flatten() {
                    let found = published(container, port, binding, &places, &mut picture.notes)?;
                    picture.bindings.extend(found);
                }
            }
        }
        picture.bindings.sort_by_key(|binding| binding.published);
        picture.bindings.dedup();
        Ok(picture)
    }

    fn note_engine(&self, notes: &mut BTreeSet<String>) {
        let is_rootless = |option: &String| option.split(',').any(|part| part == "name=rootless");
        if self.info.security_options.iter().any(is_rootless) {
            notes.insert(
                "the engine runs rootless: its networks are in a namespace of their own, where netmap is not"
                    .to_owned(),
            );
        }
        if self.info.swarm.local_node_state == "active" {
            notes.insert(
                "the engine is part of a swarm: services' ports are published by its own routing mesh"
                    .to_owned(),
            );
        }
    }

    /// Where a container is, in the order in which its networks would have the default route (libnetwork's
    /// `Endpoint.Less`): the highest priority, none that is internal, the most families, the first by name.
    fn places<'known>(&'known self, container: &'known Container) -> Result<Vec<Place<'known>>, ModelError> {
        let mut places = Vec::new();
        for (name, endpoint) in &container.network_settings.networks {
            let Some(endpoint) = endpoint else { continue };
            let internal = self
                .networks
                .get(&endpoint.network_id)
                .is_some_and(|network| network.internal);
            places.push(Place::new(container, name, endpoint, internal)?);
        }
        places.sort_by_key(|place| {
            let families = usize::from(place.has_gateway4) + usize::from(place.has_gateway6);
            (
                Reverse(place.priority),
                place.network == "docker_gwbridge",
                place.internal,
                Reverse(families),
                place.network,
            )
        });
        Ok(places)
    }
}

/// A container in one of its networks.
#[derive(Clone, Copy, Debug)]
struct Place<'known> {
    network: &'known str,
    priority: i64,
    internal: bool,
    v4: Option<IpAddr>,
    v6: Option<IpAddr>,
    has_gateway4: bool,
    has_gateway6: bool,
}

impl<'known> Place<'known> {
    fn new(
        container: &Container,
        network: &'known str,
        endpoint: &Endpoint,
        internal: bool,
    ) -> Result<Self, ModelError> {
        let v4 = parse::<Ipv4Addr>(container, "an IPv4 address", &endpoint.ip_address)?;
        let v6 = parse::<Ipv6Addr>(container, "an IPv6 address", &endpoint.global_ipv6_address)?;
        Ok(Self {
            network,
            priority: endpoint.gw_priority,
            internal,
            v4: v4.map(Into::into),
            v6: v6.map(Into::into),
            has_gateway4: !endpoint.gateway.is_empty(),
            has_gateway6: !endpoint.ipv6_gateway.is_empty(),
        })
    }

    fn name(&self, container: &Container) -> Name {
        Name {
            container: container.name.trim_start_matches('/').to_owned(),
            network: self.network.to_owned(),
        }
    }
}

/// What a container's port is published as, if netmap is the one to do it.
fn published(
    container: &Container,
    port: &str,
    binding: &PortBinding,
    places: &[Place<'_>],
    notes: &mut BTreeSet<String>,
) -> Result<Option<Binding>, ModelError> {
    let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    let number = parse_port(container, "a port", number)?;
    let transport = match protocol {
        "tcp" => Transport::Tcp,
        "udp" => Transport::Udp,
        "sctp" => {
            notes.insert(format!(
                "{} publishes a port of SCTP, which netmap does not carry",
                container.name.trim_start_matches('/')
            ));
            return Ok(None);
        }
        other => return Err(bad(container, "a protocol", other)),
    };
    // A routed network's port: reached at the container's own address.
    if binding.host_port.is_empty() {
        return Ok(None);
    }
    let host = parse::<IpAddr>(container, "a host address", &binding.host_ip)?;
    let host = host.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    let host_port = parse_port(container, "a host port", &binding.host_port)?;
    let first4 = places
        .iter()
        .find(|place| place.has_gateway4 && place.v4.is_some());
    let first6 = places
        .iter()
        .find(|place| place.has_gateway6 && place.v6.is_some());
    let v4 = first4.and_then(|place| place.v4);
    let v6 = first6.and_then(|place| place.v6);
    // From IPv6 to a container without is the proxy's; the other way round nobody can.
    let Some(target) = (if host.is_ipv4() { v4 } else { v6.or(v4) }) else {
        return Ok(None);
    };
    let span = |port| PortSpan::new(port, port).map_err(|_| bad(container, "a port", &port.to_string()));
    let binding = Binding {
        published: Published {
            host,
            ports: span(host_port)?,
            transport,
        },
        target,
        target_ports: span(number)?,
        allow: Vec::new(),
    };
    if let Err(why) = spec::check(&binding) {
        notes.insert(format!("{binding} of the engine is not published: {why}"));
        return Ok(None);
    }
    Ok(Some(binding))
}

fn note_bridge(bridge: &Bridge, notes: &mut BTreeSet<String>) {
    let Bridge {
        network,
        interface,
        v4,
        v6,
        ..
    } = bridge;
    if [v4.mode, v6.mode].contains(&GatewayMode::Routed) {
        notes.insert(format!(
            "the network {network} is routed: nobody outside reaches its containers without --direct {interface}=allow"
        ));
    }
}

/// An address, if there is one.
fn parse<A: FromStr>(container: &Container, what: &'static str, text: &str) -> Result<Option<A>, ModelError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| bad(container, what, text))
}

fn parse_port(container: &Container, what: &'static str, text: &str) -> Result<u16, ModelError> {
    let port = text.parse().ok().filter(|port| *port != 0);
    port.ok_or_else(|| bad(container, what, text))
}

fn bad(container: &Container, what: &'static str, value: &str) -> ModelError {
    ModelError::Value {
        container: container.name.chars().take(64).collect(),
        what,
        value: value.chars().take(64).collect(),
    }
}

#[cfg(test)]
mod tests;
