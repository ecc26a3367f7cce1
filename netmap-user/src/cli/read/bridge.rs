//! Managed bridges, as packets find them in the tables.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use netmap_common::maps::{Flow, FlowKey, IfIndex, Kind, Network, Side};
use serde::Serialize;

use crate::{
    maps::{Family, FamilyMaps, Maps, Subnet as _},
    options::DirectMode,
};

/// A managed bridge that has a subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bridge {
    /// The bridge.
    pub interface: String,
    /// How its containers' ports become this host's: `eim` or `edm`, as in `--nat`.
    pub nat: &'static str,
    /// Ports that are one towards everybody; 0 with `edm`.
    pub mappings: u64,
    /// Who outside may go straight to its containers: `deny`, `trusted` or `allow`, as in `--direct`.
    pub direct: &'static str,
    /// The addresses that its containers leave by, where not by the uplink's.
    pub egress: Vec<IpAddr>,
    /// Families that are to leave by an address which this host does not have, so that nothing leaves: `ipv4`, `ipv6`.
    pub egress_missing: Vec<&'static str>,
    /// Its containers reach nobody but each other and this host, as an engine's internal network has it.
    pub internal: bool,
    /// Families that are not masqueraded: its containers leave with their own addresses: `ipv4`, `ipv6`.
    pub not_masqueraded: Vec<&'static str>,
}

/// What one family's table of networks says of a bridge.
#[derive(Default)]
struct Found {
    has_mappings: bool,
    direct: DirectMode,
    mappings: u64,
    egress: Vec<IpAddr>,
    missing: Vec<&'static str>,
    is_internal: bool,
    plain: Vec<&'static str>,
}

/// Every bridge, by its name as `name` has it.
pub(super) fn all(maps: &Maps, name: impl Fn(IfIndex) -> String) -> anyhow::Result<Vec<Bridge>> {
    let mut found = BTreeMap::new();
    look(&maps.v4, "ipv4", &mut found)?;
    look(&maps.v6, "ipv6", &mut found)?;
    let mut bridges: Vec<_> = found
        .into_iter()
        .map(|(index, found)| Bridge {
            interface: name(index),
            nat: if found.has_mappings { "eim" } else { "edm" },
            mappings: found.mappings,
            direct: found.direct.name(),
            egress: found.egress,
            egress_missing: found.missing,
            internal: found.is_internal,
            not_masqueraded: found.plain,
        })
        .collect();
    bridges.sort_unstable_by(|one, other| one.interface.cmp(&other.interface));
    Ok(bridges)
}

fn look<A: Family>(
    maps: &FamilyMaps<A>,
    family: &'static str,
    found: &mut BTreeMap<IfIndex, Found>,
) -> anyhow::Result<()> {
    let networks = maps.networks.all()?;
    let places: BTreeMap<_, _> = maps.egress.all()?.into_iter().collect();
    let mut wanting = BTreeSet::new();
    for network in networks.values() {
        let bridge = found.entry(network.bridge).or_default();
        bridge.has_mappings |= network.has_mappings();
        // The families may differ: the wider opening is the one to know of.
        bridge.direct = bridge.direct.max(direct(network));
        bridge.is_internal |= network.is_internal();
        if network.is_plain() && !bridge.plain.contains(&family) {
            bridge.plain.push(family);
        }
        if network.egress_places() > 0 {
            wanting.insert(network.bridge);
        }
    }
    for index in wanting {
        let own = places.iter().filter(|(place, _)| place.bridge == index);
        let mut own: Vec<IpAddr> = own.map(|(_, address)| (*address).into()).collect();
        // A place whose address is away has its neighbour's.
        own.sort_unstable();
        own.dedup();
        let bridge = found.entry(index).or_default();
        if own.is_empty() {
            bridge.missing.push(family);
        }
        bridge.egress.extend(own);
    }
    // Only there the flow table has to be read.
    if networks.values().any(Network::has_mappings) {
        maps.flows.for_each_flow(|key, flow| {
            if is_mapping(flow)
                && let Some(bridge) = bridge_of(&networks, key)
                && let Some(found) = found.get_mut(&bridge)
            {
                found.mappings += 1;
            }
        })?;
    }
    Ok(())
}

fn direct<A: Family>(network: &Network<A>) -> DirectMode {
    if network.flags & Network::<A>::DIRECT != 0 {
        DirectMode::Allow
    } else if network.flags & Network::<A>::DIRECT_TRUSTED != 0 {
        DirectMode::Trusted
    } else {
        DirectMode::Deny
    }
}

/// Of a mapping's two entries the container's.
fn is_mapping<A: Family>(flow: &Flow<A>) -> bool {
    flow.kind() == Some(Kind::Mapping) && flow.side() == Side::Original
}

/// The bridge of the smallest subnet that the container is in.
fn bridge_of<A: Family>(networks: &BTreeMap<A::Net, Network<A>>, key: &FlowKey<A>) -> Option<IfIndex> {
    let around = networks.iter().filter(|(subnet, _)| subnet.contains(key.src));
    let smallest = around.max_by_key(|(subnet, _)| subnet.bits());
    smallest.map(|(_, network)| network.bridge)
}
