//! Who may go straight to containers' own addresses.

use std::collections::{BTreeMap, BTreeSet};

use netmap_common::maps::{IfIndex, Interface, Network};

use crate::{
    host::NamedInterface,
    maps::Family,
    options::{Direct, DirectMode},
};

/// The user's wish, in numbers of interfaces.
#[derive(Clone, Debug, Default)]
pub(super) struct Openings {
    /// Bridges whose containers may be reached, and by whom.
    bridges: BTreeMap<IfIndex, DirectMode>,
    trusted: BTreeSet<IfIndex>,
}

impl Openings {
    /// What the wish means of the interfaces that are there.
    pub(super) fn of(direct: &Direct, interfaces: &BTreeMap<IfIndex, NamedInterface>) -> Self {
        let mode = |interface: &NamedInterface| direct.mode_of(&interface.name);
        Self {
            bridges: interfaces
                .iter()
                .map(|(index, interface)| (*index, mode(interface)))
                .collect(),
            trusted: interfaces
                .iter()
                .filter(|(_, interface)| direct.trusts(&interface.name))
                .map(|(index, _)| *index)
                .collect(),
        }
    }

    /// Whether anybody may go straight to what is behind a bridge.
    pub(super) fn has(&self, bridge: IfIndex) -> bool {
        self.mode(bridge) != DirectMode::Deny
    }

    /// Networks as packets are to see them.
    pub(super) fn networks<A: Family>(
        &self,
        networks: &BTreeMap<A::Net, Network<A>>,
    ) -> BTreeMap<A::Net, Network<A>> {
        let open = |network: &Network<A>| Network {
            flags: network.flags
                | match self.mode(network.bridge) {
                    DirectMode::Deny => 0,
                    DirectMode::Trusted => Network::<A>::DIRECT_TRUSTED,
                    DirectMode::Allow => Network::<A>::DIRECT,
                },
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

    fn mode(&self, bridge: IfIndex) -> DirectMode {
        self.bridges.get(&bridge).copied().unwrap_or_default()
    }
}
