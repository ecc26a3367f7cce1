//! What the container engine says, applied: the difference to what was applied before.

use std::{collections::BTreeSet, net::IpAddr, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use netmap_common::maps::{Address, IfIndex, Interface, Network, Role};
use tracing::{info, warn};

use super::Daemon;
use crate::{
    api::types::{EngineNames, EngineStatus, NamedAddress},
    binding::Binding,
    docker::{Bridge, Engine, Gateway, GatewayMode, Picture},
    host::Host,
    maps::{Family, FamilyMaps, Maps},
    options::InterfaceName,
};

/// How long an engine that is there may keep the start waiting for its first word.
const PATIENCE: Duration = Duration::from_secs(2);

/// The engine, and what was applied of it.
#[derive(Default)]
pub(super) struct Followed {
    engine: Option<Engine>,
    /// Nothing before it has answered for the first time.
    picture: Option<Arc<Picture>>,
    /// What it publishes and netmap does not, a sentence each.
    refused: BTreeSet<String>,
}

impl Followed {
    /// Follows the engine at `socket`, if there is to be one. Until it answers for the first time, what a former daemon
    /// managed is what it has.
    pub(super) async fn start(socket: Option<&Path>) -> Self {
        let Some(socket) = socket else {
            return Self::default();
        };
        let mut engine = Engine::follow(socket);
        let picture = engine.first(PATIENCE).await;
        for note in picture.iter().flat_map(|picture| &picture.notes) {
            warn!("{note}");
        }
        Self {
            engine: Some(engine),
            picture,
            refused: BTreeSet::new(),
        }
    }

    /// Waits for another picture. Cancel safe.
    pub(super) async fn changed(&mut self) -> Arc<Picture> {
        match &mut self.engine {
            Some(engine) => engine.changed().await,
            None => std::future::pending().await,
        }
    }

    /// Whether there is to be an engine at all.
    pub(super) const fn is_wanted(&self) -> bool {
        self.engine.is_some()
    }

    /// How it is, if there is to be one.
    pub(super) fn status(&self) -> Option<EngineStatus> {
        let engine = self.engine.as_ref()?;
        let picture = self.picture.as_deref();
        Some(EngineStatus {
            socket: engine.socket().display().to_string(),
            answers: engine.answers(),
            networks: picture.map_or(0, |picture| picture.bridges.len()),
            addresses: picture.map_or(0, |picture| picture.names.len()),
            ports: picture.map_or(0, |picture| picture.bindings.len()),
        })
    }

    /// Its bridges; before it has answered, all that a former daemon managed: to let go of one that is the engine's would
    /// end its flows.
    pub(super) fn bridges(&self, host: &Host, maps: &Maps) -> anyhow::Result<Vec<Bridge>> {
        if let Some(picture) = &self.picture {
            return Ok(picture.bridges.clone());
        }
        adopted(host, maps).context("what a former netmap managed cannot be read")
    }
}

impl Daemon {
    /// Takes the engine's word for its networks and containers.
    pub(super) fn take_engine(&mut self, picture: &Arc<Picture>) {
        let known = self
            .engine
            .picture
            .replace(Arc::clone(picture))
            .unwrap_or_default();
        let names = self.names();
        self.watchers.resolve(&names);
        for note in picture.notes.difference(&known.notes) {
            warn!("{note}");
        }
        if !self.topology.has_engine(&picture.bridges) {
            log_bridges(&known, picture);
            self.manage(picture.bridges.clone());
            if let Err(error) = self.follow_host() {
                warn!("tables cannot be brought up to date, trying again: {error:#}");
            }
        }
        self.confirm_listed(&picture.bindings);
    }

    /// Publishes what the engine publishes, if it has answered already.
    pub(super) fn confirm_engine(&mut self) {
        if let Some(picture) = self.engine.picture.clone() {
            self.confirm_listed(&picture.bindings);
        }
    }

    fn confirm_listed(&mut self, listed: &[Binding]) {
        let refused = self.confirm(listed).into_iter();
        let refused: BTreeSet<String> = refused
            .map(|(binding, why)| format!("docker's {binding} is not published: {why:#}"))
            .collect();
        for sentence in refused.difference(&self.engine.refused) {
            warn!("{sentence}");
        }
        self.engine.refused = refused;
    }

    /// Has these bridges managed from now on, beside those that the user named.
    pub(super) fn manage(&mut self, bridges: Vec<Bridge>) {
        let mut egress = self.host.egress().clone();
        for bridge in self.topology.engine() {
            egress.learn(bridge.interface.as_str(), Vec::new());
        }
        for Bridge {
            interface, v4, v6, ..
        } in &bridges
        {
            egress.learn(
                interface.as_str(),
                [v4, v6]
                    .into_iter()
                    .flat_map(|gateway| gateway.addresses.clone())
                    .collect(),
            );
        }
        self.host.set_egress(egress);
        let names = bridges.iter().map(|bridge| bridge.interface.to_string());
        self.host.set_engine_bridges(names.collect());
        self.topology.set_engine(bridges);
    }

    /// What the engine's containers are called.
    pub(super) fn names(&self) -> EngineNames {
        let names = self.engine.picture.iter().flat_map(|picture| &picture.names);
        EngineNames {
            names: names
                .map(|(address, name)| NamedAddress {
                    address: *address,
                    container: name.container.clone(),
                    network: name.network.clone(),
                })
                .collect(),
        }
    }
}

fn log_bridges(known: &Picture, picture: &Picture) {
    let names = |picture: &Picture| -> BTreeSet<String> {
        let bridges = picture.bridges.iter();
        bridges
            .map(|bridge| format!("{} ({})", bridge.network, bridge.interface))
            .collect()
    };
    let (before, now) = (names(known), names(picture));
    for network in now.difference(&before) {
        info!("managing the engine's network {network}");
    }
    for network in before.difference(&now) {
        info!("the engine's network {network} is gone");
    }
}

/// The bridges in the maps, as if an engine had told of them.
fn adopted(host: &Host, maps: &Maps) -> anyhow::Result<Vec<Bridge>> {
    let links = &host.snapshot().links;
    let interfaces = maps.v4.interfaces.all()?;
    let trusted: Vec<InterfaceName> = interfaces
        .iter()
        .filter(|(_, interface)| interface.flags & Interface::<Address>::TRUSTED != 0)
        .filter_map(|(index, _)| links.get(index)?.name.parse().ok())
        .collect();
    let mut bridges = Vec::new();
    for (index, interface) in interfaces {
        let name = links.get(&index).and_then(|link| link.name.parse().ok());
        let Some(name) = name.filter(|_| interface.role == Role::Bridge as u8) else {
            continue;
        };
        let (v4, v6) = (flags(&maps.v4, index)?, flags(&maps.v6, index)?);
        let mut bridge = bridge(name, v4, v6, &trusted);
        bridge.v4.addresses = egress(&maps.v4, index)?;
        bridge.v6.addresses = egress(&maps.v6, index)?;
        bridges.push(bridge);
    }
    Ok(bridges)
}

/// The flags of the networks behind a bridge.
fn flags<A: Family>(maps: &FamilyMaps<A>, bridge: IfIndex) -> anyhow::Result<u32> {
    let networks = maps.networks.all()?;
    let mut networks = networks.values().filter(|network| network.bridge == bridge);
    Ok(networks.next().map_or(0, |network| network.flags))
}

/// The addresses that what is behind a bridge leaves by.
fn egress<A: Family>(maps: &FamilyMaps<A>, bridge: IfIndex) -> anyhow::Result<Vec<IpAddr>> {
    let mut places = maps.egress.all()?;
    places.retain(|(place, _)| place.bridge == bridge);
    places.sort_unstable();
    let addresses: BTreeSet<IpAddr> = places.into_iter().map(|(_, address)| address.into()).collect();
    Ok(addresses.into_iter().collect())
}

fn bridge(interface: InterfaceName, v4: u32, v6: u32, trusted: &[InterfaceName]) -> Bridge {
    type Flags = Network<Address>;
    let gateway = |flags: u32| Gateway {
        masquerades: flags & Flags::PLAIN == 0,
        mode: if flags & Flags::DIRECT != 0 {
            GatewayMode::NatUnprotected
        } else {
            GatewayMode::Nat
        },
        addresses: Vec::new(),
    };
    let is_trusting = (v4 | v6) & Flags::DIRECT_TRUSTED != 0;
    Bridge {
        network: interface.to_string(),
        interface,
        internal: (v4 | v6) & Flags::INTERNAL != 0,
        trusted: if is_trusting { trusted.to_vec() } else { Vec::new() },
        v4: gateway(v4),
        v6: gateway(v6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Flags = Network<Address>;

    #[test]
    fn what_a_former_daemon_managed_is_read_from_the_flags() {
        let name: InterfaceName = "br0".parse().unwrap();
        let trusted = ["eth0".parse().unwrap()];
        let found = bridge(
            name.clone(),
            Flags::PLAIN | Flags::DIRECT,
            Flags::MAPPINGS,
            &trusted,
        );
        assert!(!found.v4.masquerades && found.v6.masquerades && !found.internal);
        assert_eq!(
            (found.v4.mode, found.v6.mode),
            (GatewayMode::NatUnprotected, GatewayMode::Nat)
        );
        assert!(found.trusted.is_empty());
        let found = bridge(name, Flags::INTERNAL, Flags::DIRECT_TRUSTED, &trusted);
        assert!(found.internal && found.trusted == trusted);
    }
}
