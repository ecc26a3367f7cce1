//! Where a packet comes in: by its source, unless somebody says otherwise.

use netmap_common::{
    maps::{FlowKey, Hook, IfIndex, Protocol, Role},
    nat::Env as _,
};

use super::{Question, answer::Source, family::Family, naming::name, routes, world::World};
use crate::options::InterfaceName;

/// Where a packet comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// A process of this host sends it.
    Host,
    /// At an interface with a hook.
    At(Hook, IfIndex),
    /// At one that has none.
    Unmanaged(IfIndex),
}

/// Why nobody can tell where a packet comes in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArrivalError {
    /// `--from` names none.
    #[error("there is no interface '{0}' here; --from takes one, or 'host' for a process of this host")]
    NoInterface(String),
    /// No uplink to assume.
    #[error("netmap has no uplink, so that {0} can come by none; name an interface with --from")]
    NoUplink(std::net::IpAddr),
}

/// Where it comes in, and how that is known.
pub(super) fn find<A: Family>(
    world: &World<'_, A>,
    question: &Question,
    from: Option<&str>,
) -> anyhow::Result<(Arrival, String)> {
    let source = A::of(question.from.ip());
    match from {
        Some("host") => return Ok((Arrival::Host, "as --from says".to_owned())),
        Some(named) => return Ok((at(world, named)?, "as --from says".to_owned())),
        None => {}
    }
    if source.is_loopback() || source == A::ANY || world.is_local(source) {
        return Ok((Arrival::Host, "its source is this host's own".to_owned()));
    }
    if let Some(port) = world.owner(source) {
        let why = "the port that alone may have this source".to_owned();
        return Ok((Arrival::At(Hook::PortIn, port), why));
    }
    if let Some(network) = world.network(source) {
        let ports = world.tables().interfaces.all()?;
        let behind = |interface: &netmap_common::maps::Interface<A>| {
            interface.role == Role::Port as u8 && interface.bridge == network.bridge
        };
        let mut ports = ports.iter().filter(|(_, interface)| behind(interface));
        return Ok(match (ports.next(), ports.next()) {
            (Some((port, _)), None) => (
                Arrival::At(Hook::PortIn, *port),
                "the one port of the source's bridge".to_owned(),
            ),
            _ => (
                Arrival::At(Hook::BridgeIn, network.bridge),
                "the source's bridge, for no container is known to have this address; --from names another"
                    .to_owned(),
            ),
        });
    }
    uplink(world, source, question)
}

/// By the uplink that answers would go by, or else by the first.
fn uplink<A: Family>(
    world: &World<'_, A>,
    source: A,
    question: &Question,
) -> anyhow::Result<(Arrival, String)> {
    let mut uplinks: Vec<_> = world.tables().interfaces.all()?;
    uplinks.retain(|(_, interface)| interface.role == Role::Uplink as u8);
    uplinks.sort_unstable_by_key(|(index, _)| *index);
    let Some((first, _)) = uplinks.first() else {
        anyhow::bail!(ArrivalError::NoUplink(question.from.ip()));
    };
    let back = FlowKey {
        dst: source,
        ..FlowKey::default()
    };
    let found = match world.routes().ask(&back, None)? {
        routes::Answer::Out(out) => uplinks.iter().find(|(index, _)| *index == out),
        routes::Answer::Local | routes::Answer::Nowhere => None,
    };
    Ok(match found {
        Some((index, _)) => (
            Arrival::At(Hook::UplinkIn, *index),
            "the uplink towards the source".to_owned(),
        ),
        None => (
            Arrival::At(Hook::UplinkIn, *first),
            "an uplink, for no route leads to the source; --from names another".to_owned(),
        ),
    })
}

fn at<A: Family>(world: &World<'_, A>, named: &str) -> anyhow::Result<Arrival> {
    let unknown = || ArrivalError::NoInterface(named.to_owned());
    let interface: InterfaceName = named.parse().map_err(|_| unknown())?;
    let index = nix::net::if_::if_nametoindex(interface.as_str()).map_err(|_| unknown())?;
    let index = IfIndex(index);
    Ok(match world.interface(index).map(|interface| interface.role) {
        Some(role) if role == Role::Uplink as u8 => Arrival::At(Hook::UplinkIn, index),
        Some(role) if role == Role::Port as u8 => Arrival::At(Hook::PortIn, index),
        Some(_) => Arrival::At(Hook::BridgeIn, index),
        None => Arrival::Unmanaged(index),
    })
}

impl Arrival {
    /// For JSON.
    pub(super) fn row(self) -> Source {
        let (interface, role) = match self {
            Self::Host => (None, "host"),
            Self::At(Hook::UplinkIn | Hook::UplinkOut | Hook::UplinkXdp, index) => (Some(index), "uplink"),
            Self::At(Hook::PortIn, index) => (Some(index), "port"),
            Self::At(_, index) => (Some(index), "bridge"),
            Self::Unmanaged(index) => (Some(index), "unmanaged"),
        };
        Source {
            interface: interface.map(name),
            role,
        }
    }
}

/// Whether a transport has ports.
pub(super) const fn has_ports(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Tcp | Protocol::Udp)
}
