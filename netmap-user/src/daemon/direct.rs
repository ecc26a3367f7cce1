//! What may cross a bridge: who goes straight to containers' own addresses, and how containers leave.

use std::collections::{BTreeMap, BTreeSet};

use netmap_common::maps::{IfIndex, Interface, Network};

use crate::{
    docker::{Bridge, Gateway, GatewayMode},
    host::NamedInterface,
    maps::Family,
    options::{Direct, DirectMode},
};

/// The user's wish and the engine's, in numbers of interfaces.
#[derive(Clone, Debug, Default)]
pub(super) struct Openings {
    bridges: BTreeMap<IfIndex, Opening>,
    trusted: BTreeSet<IfIndex>,
}

/// How one bridge is open, to either family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Opening {
    is_internal: bool,
    v4: Side,
    v6: Side,
}

/// How it is to one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Side {
    /// Who may go straight to containers.
    mode: DirectMode,
    /// Containers leave with their own addresses.
    is_plain: bool,
}

impl Openings {
    /// What both wishes mean of the interfaces that are there. What the user says of a bridge goes before what the engine
    /// does.
    pub(super) fn of(
        direct: &Direct,
        engine: &[Bridge],
        interfaces: &BTreeMap<IfIndex, NamedInterface>,
    ) -> Self {
        let opening = |interface: &NamedInterface| {
            let said = direct.said_of(&interface.name);
            let mut bridges = engine.iter();
            let Some(bridge) = bridges.find(|bridge| bridge.interface.as_str() == interface.name) else {
                let side = Side {
                    mode: said.unwrap_or_default(),
                    is_plain: false,
                };
                return Opening {
                    is_internal: false,
                    v4: side,
                    v6: side,
                };
            };
            Opening {
                is_internal: bridge.internal,
                v4: side(bridge, &bridge.v4, said),
                v6: side(bridge, &bridge.v6, said),
            }
        };
        Self {
            bridges: interfaces
                .iter()
                .map(|(index, interface)| (*index, opening(interface)))
                .collect(),
            trusted: interfaces
                .iter()
                .filter(|(_, interface)| is_trusted(direct, engine, &interface.name))
                .map(|(index, _)| *index)
                .collect(),
        }
    }

    /// Whether anybody may go straight to what is behind a bridge.
    pub(super) fn has<A: Family>(&self, bridge: IfIndex) -> bool {
        self.opening(bridge).side::<A>().mode != DirectMode::Deny
    }

    /// Networks as packets are to see them.
    pub(super) fn networks<A: Family>(
        &self,
        networks: &BTreeMap<A::Net, Network<A>>,
    ) -> BTreeMap<A::Net, Network<A>> {
        let open = |network: &Network<A>| Network {
            flags: network.flags | self.opening(network.bridge).flags::<A>(),
            ..*network
        };
        networks
            .iter()
            .map(|(subnet, network)| (*subnet, open(network)))
            .collect()
    }

    /// Interfaces as packets are to see them.
    pub(super) fn interfaces<A: Family>(
        &self,
        interfaces: &BTreeMap<IfIndex, Interface<A>>,
    ) -> BTreeMap<IfIndex, Interface<A>> {
        let mut interfaces = interfaces.clone();
        for (index, interface) in &mut interfaces {
            if self.trusted.contains(index) {
                interface.flags |= Interface::<A>::TRUSTED;
            }
        }
        interfaces
    }

    fn opening(&self, bridge: IfIndex) -> Opening {
        self.bridges.get(&bridge).copied().unwrap_or_default()
    }
}

impl Opening {
    const fn side<A: Family>(self) -> Side {
        if A::BITS == 32 { self.v4 } else { self.v6 }
    }

    /// As [`Network::flags`] has it.
    fn flags<A: Family>(self) -> u32 {
        let side = self.side::<A>();
        let mode = match side.mode {
            DirectMode::Deny => 0,
            DirectMode::Trusted => Network::<A>::DIRECT_TRUSTED,
            DirectMode::Allow => Network::<A>::DIRECT,
        };
        let internal = if self.is_internal {
            Network::<A>::INTERNAL
        } else {
            0
        };
        let plain = if side.is_plain { Network::<A>::PLAIN } else { 0 };
        mode | internal | plain
    }
}

fn side(bridge: &Bridge, gateway: &Gateway, said: Option<DirectMode>) -> Side {
    let wished = match gateway.mode {
        _ if bridge.internal => DirectMode::Deny,
        GatewayMode::NatUnprotected => DirectMode::Allow,
        _ if !bridge.trusted.is_empty() => DirectMode::Trusted,
        GatewayMode::Nat | GatewayMode::Routed | GatewayMode::Isolated => DirectMode::Deny,
    };
    Side {
        mode: said.unwrap_or(wished),
        is_plain: !gateway.masquerades,
    }
}

/// Whether bridges may trust an interface. There is one list for all bridges: where the user has one that means something,
/// it is that, else what all of the engine's bridges that trust anybody trust.
fn is_trusted(direct: &Direct, engine: &[Bridge], interface: &str) -> bool {
    let is_users = direct.rules.iter().any(|rule| rule.mode == DirectMode::Trusted);
    let mut trusting = engine
        .iter()
        .filter(|bridge| !bridge.trusted.is_empty())
        .peekable();
    if is_users || trusting.peek().is_none() {
        return direct.trusts(interface);
    }
    trusting.all(|bridge| bridge.trusted.iter().any(|name| name.as_str() == interface))
}

#[cfg(test)]
mod tests {
    use netmap_common::maps::{Address, Address6, Role};

    use super::*;

    type Flags = Network<Address>;

    const UPLINK: IfIndex = IfIndex(2);
    const BR0: IfIndex = IfIndex(3);
    const BR1: IfIndex = IfIndex(4);

    fn interfaces() -> BTreeMap<IfIndex, NamedInterface> {
        let named = |name: &str, role| NamedInterface {
            name: name.to_owned(),
            role,
        };
        [
            (UPLINK, named("eth0", Role::Uplink)),
            (BR0, named("br0", Role::Bridge)),
            (BR1, named("br1", Role::Bridge)),
        ]
        .into()
    }

    fn bridge(name: &str) -> Bridge {
        Bridge {
            interface: name.parse().unwrap(),
            network: name.to_owned(),
            internal: false,
            trusted: Vec::new(),
            v4: Gateway::default(),
            v6: Gateway::default(),
        }
    }

    fn flags(direct: &Direct, engine: &[Bridge]) -> [u32; 3] {
        let openings = Openings::of(direct, engine, &interfaces());
        [
            openings.opening(BR0).flags::<Address>(),
            openings.opening(BR0).flags::<Address6>(),
            openings.opening(BR1).flags::<Address>(),
        ]
    }

    #[test]
    fn the_families_of_an_engines_network_are_open_each_for_itself() {
        let gateway = |mode, masquerades| Gateway {
            masquerades,
            mode,
            addresses: Vec::new(),
        };
        let engine = [
            Bridge {
                v4: gateway(GatewayMode::NatUnprotected, true),
                v6: gateway(GatewayMode::Routed, false),
                ..bridge("br0")
            },
            Bridge {
                internal: true,
                ..bridge("br1")
            },
        ];
        assert_eq!(
            flags(&Direct::default(), &engine),
            [Flags::DIRECT, Flags::PLAIN, Flags::INTERNAL]
        );
        let direct = Direct {
            rules: vec!["br0=deny".parse().unwrap(), "br1=allow".parse().unwrap()],
            trusted: Vec::new(),
        };
        assert_eq!(
            flags(&direct, &engine),
            [0, Flags::PLAIN, Flags::INTERNAL | Flags::DIRECT],
            "the user goes first"
        );
    }

    #[test]
    fn an_engines_trusted_interfaces_are_those_that_all_its_networks_trust() {
        let trusting = |name: &str, trusted: &[&str]| Bridge {
            trusted: trusted.iter().map(|name| name.parse().unwrap()).collect(),
            ..bridge(name)
        };
        let is_trusted = |direct: &Direct, engine: &[Bridge]| {
            Openings::of(direct, engine, &interfaces())
                .trusted
                .contains(&UPLINK)
        };
        let one = [trusting("br0", &["eth0"]), bridge("br1")];
        assert!(is_trusted(&Direct::default(), &one));
        assert_eq!(
            flags(&Direct::default(), &one)[0],
            Network::<Address>::DIRECT_TRUSTED
        );
        let apart = [trusting("br0", &["eth0"]), trusting("br1", &["eth1"])];
        assert!(!is_trusted(&Direct::default(), &apart));
        let users = Direct {
            rules: vec!["trusted".parse().unwrap()],
            trusted: vec!["eth1".parse().unwrap()],
        };
        assert!(!is_trusted(&users, &one));
    }
}
