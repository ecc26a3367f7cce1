//! The engine's answers, as far as they matter: what is not named here is ignored, and anything may be null or missing.
//!
//! Field names are those of the Engine API 1.41 (Docker 20.10) to 1.52 (29).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// `null` means what a missing field means.
fn or_default<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or_default())
}

/// Of `GET /info`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Info {
    /// `name=rootless` among them.
    #[serde(deserialize_with = "or_default")]
    pub(super) security_options: Vec<String>,
    /// The engine's part in a swarm.
    #[serde(deserialize_with = "or_default")]
    pub(super) swarm: Swarm,
}

/// Of an engine's swarm.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Swarm {
    /// `active`, `inactive` and others.
    #[serde(deserialize_with = "or_default")]
    pub(super) local_node_state: String,
}

/// Of `GET /networks`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Network {
    /// 64 hexadecimal digits.
    #[serde(deserialize_with = "or_default")]
    pub(super) id: String,
    /// As users call it.
    #[serde(deserialize_with = "or_default")]
    pub(super) name: String,
    /// `bridge`, `host`, `null`, `macvlan`, `overlay`, ..
    #[serde(deserialize_with = "or_default")]
    pub(super) driver: String,
    /// Its containers do not reach the outside.
    #[serde(deserialize_with = "or_default")]
    pub(super) internal: bool,
    /// What the driver was told.
    #[serde(deserialize_with = "or_default")]
    pub(super) options: BTreeMap<String, String>,
}

/// Of `GET /containers/json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Listed {
    /// 64 hexadecimal digits.
    #[serde(deserialize_with = "or_default")]
    pub(super) id: String,
}

/// Of `GET /containers/{id}/json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Container {
    /// 64 hexadecimal digits.
    #[serde(deserialize_with = "or_default")]
    pub(super) id: String,
    /// With a slash in front.
    #[serde(deserialize_with = "or_default")]
    pub(super) name: String,
    /// Where it is.
    #[serde(deserialize_with = "or_default")]
    pub(super) network_settings: NetworkSettings,
}

/// Of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct NetworkSettings {
    /// `80/tcp` and where that is published; null where it is exposed only.
    #[serde(deserialize_with = "or_default")]
    pub(super) ports: BTreeMap<String, Option<Vec<PortBinding>>>,
    /// By the networks' names.
    #[serde(deserialize_with = "or_default")]
    pub(super) networks: BTreeMap<String, Option<Endpoint>>,
}

/// Where one port is published.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct PortBinding {
    /// The host's address; empty for any of IPv4.
    #[serde(deserialize_with = "or_default")]
    pub(super) host_ip: String,
    /// The host's port; empty where nothing is translated, for the network is routed.
    #[serde(deserialize_with = "or_default")]
    pub(super) host_port: String,
}

/// A container's place in a network. Addresses are empty while it does not run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Endpoint {
    /// The network's.
    #[serde(rename = "NetworkID", deserialize_with = "or_default")]
    pub(super) network_id: String,
    /// Its address.
    #[serde(rename = "IPAddress", deserialize_with = "or_default")]
    pub(super) ip_address: String,
    /// The way out, if this network has one.
    #[serde(deserialize_with = "or_default")]
    pub(super) gateway: String,
    /// Its address of IPv6.
    #[serde(rename = "GlobalIPv6Address", deserialize_with = "or_default")]
    pub(super) global_ipv6_address: String,
    /// The way out of IPv6.
    #[serde(rename = "IPv6Gateway", deserialize_with = "or_default")]
    pub(super) ipv6_gateway: String,
    /// The network with the highest has the default route (28.0 and later).
    #[serde(deserialize_with = "or_default")]
    pub(super) gw_priority: i64,
}

/// A line of `GET /events`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Event {
    /// `container`, `network`, `daemon`.
    #[serde(rename = "Type", deserialize_with = "or_default")]
    pub(super) kind: String,
    /// What became of it.
    #[serde(rename = "Action", deserialize_with = "or_default")]
    pub(super) action: String,
    /// Whose it is.
    #[serde(rename = "Actor", deserialize_with = "or_default")]
    pub(super) actor: Actor,
}

/// What an event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Actor {
    /// A container's or a network's.
    #[serde(rename = "ID", deserialize_with = "or_default")]
    pub(super) id: String,
    /// A network's event names its container here.
    #[serde(rename = "Attributes", deserialize_with = "or_default")]
    pub(super) attributes: Attributes,
}

/// More of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Attributes {
    /// The container that a network's event is about.
    #[serde(deserialize_with = "or_default")]
    pub(super) container: String,
}
