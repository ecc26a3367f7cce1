//! Subnets behind managed bridges.

use std::{collections::BTreeMap, net::Ipv4Addr};

use aya::maps::{IterableMap as _, LpmTrie, Map, MapData, lpm_trie::Key};
use bytemuck::{Pod, Zeroable};
use ipnet::Ipv4Net;
use netmap_common::maps::{Network, NetworkKey, name};

use super::{Changes, MapsError, Pins, changes::difference, error::io_error};
use crate::sys::{Batch, Raw};

const CHUNK: usize = 1024;

/// The longest-prefix table of subnets.
pub struct Networks(LpmTrie<MapData, Raw<NetworkKey>, Raw<Network>>);

/// A key as the kernel has it.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Prefix {
    length: u32,
    key: NetworkKey,
}

impl Networks {
    pub(super) fn open(pins: &Pins) -> Result<Self, MapsError> {
        let map = super::open(pins, name::NETWORKS, Map::LpmTrie)?;
        let map = LpmTrie::try_from(map)
            .map_err(|error| MapsError::opening(&pins.map(name::NETWORKS), name::NETWORKS, error))?;
        Ok(Self(map))
    }

    /// Every subnet.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn all(&self) -> Result<BTreeMap<Ipv4Net, Network>, MapsError> {
        let mut networks = BTreeMap::new();
        Batch::<Prefix, Network>::new(self.0.map())
            .and_then(|batch| {
                batch.for_each(CHUNK, |prefix, network| {
                    let NetworkKey(address) = prefix.key;
                    if let Ok(bits) = u8::try_from(prefix.length)
                        && let Ok(subnet) = Ipv4Net::new(Ipv4Addr::from(address), bits)
                    {
                        networks.insert(subnet, *network);
                    }
                })
            })
            .map_err(MapsError::reading(name::NETWORKS))?;
        Ok(networks)
    }

    /// Makes the table hold `desired` and nothing else: writes what is new or different, then removes the rest.
    /// Bits of a subnet behind its prefix are ignored.
    ///
    /// # Errors
    ///
    /// [`MapsError::Full`], or what bpf(2) fails with. What was done before stays; calling again goes on.
    pub fn replace(&mut self, desired: &BTreeMap<Ipv4Net, Network>) -> Result<Changes, MapsError> {
        let desired = desired
            .iter()
            .map(|(subnet, network)| (subnet.trunc(), *network))
            .collect();
        let (write, remove, changes) = difference(&self.all()?, &desired);
        let writing = |error| MapsError::writing(name::NETWORKS)(io_error(error));
        for (subnet, network) in write {
            self.0.insert(&key(subnet), Raw(network), 0).map_err(writing)?;
        }
        for subnet in remove {
            self.0.remove(&key(subnet)).map_err(writing)?;
        }
        Ok(changes)
    }
}

fn key(subnet: Ipv4Net) -> Key<Raw<NetworkKey>> {
    Key::new(
        u32::from(subnet.prefix_len()),
        Raw(NetworkKey(subnet.network().octets())),
    )
}
