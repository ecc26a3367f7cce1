//! Subnets behind managed bridges.

use std::collections::BTreeMap;

use aya::maps::{IterableMap as _, LpmTrie, Map, MapData, lpm_trie::Key};
use netmap_common::maps::{Network, NetworkKey, NetworkPrefix};

use super::{Changes, Family, MapsError, Pins, Subnet as _, changes::difference, error::io_error};
use crate::sys::{Batch, Raw};

const CHUNK: usize = 1024;

/// The longest-prefix table of subnets.
pub struct Networks<A: Family>(LpmTrie<MapData, Raw<NetworkKey<A>>, Raw<Network<A>>>);

impl<A: Family> Networks<A> {
    pub(super) fn open(pins: &Pins) -> Result<Self, MapsError> {
        let map = super::open(pins, A::NAMES.networks, Map::LpmTrie)?;
        let map = LpmTrie::try_from(map)
            .map_err(|error| MapsError::opening(&pins.map(A::NAMES.networks), A::NAMES.networks, error))?;
        Ok(Self(map))
    }

    /// Every subnet.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn all(&self) -> Result<BTreeMap<A::Net, Network<A>>, MapsError> {
        let mut networks = BTreeMap::new();
        Batch::<NetworkPrefix<A>, Network<A>>::new(self.0.map())
            .and_then(|batch| {
                batch.for_each(CHUNK, |prefix, network| {
                    let NetworkKey(address) = prefix.key;
                    if let Ok(bits) = u8::try_from(prefix.length)
                        && let Some(subnet) = A::Net::around(A::from_octets(address), bits)
                    {
                        networks.insert(subnet, *network);
                    }
                })
            })
            .map_err(MapsError::reading(A::NAMES.networks))?;
        Ok(networks)
    }

    /// Makes the table hold `desired` and nothing else: writes what is new or different, then removes the rest.
    /// Bits of a subnet behind its prefix are ignored.
    ///
    /// # Errors
    ///
    /// [`MapsError::Full`], or what bpf(2) fails with. What was done before stays; calling again goes on.
    pub fn replace(&mut self, desired: &BTreeMap<A::Net, Network<A>>) -> Result<Changes, MapsError> {
        let desired = desired
            .iter()
            .filter_map(|(subnet, network)| Some((A::Net::around(subnet.first(), subnet.bits())?, *network)))
            .collect();
        let (write, remove, changes) = difference(&self.all()?, &desired);
        let writing = |error| MapsError::writing(A::NAMES.networks)(io_error(error));
        for (subnet, network) in write {
            self.0
                .insert(&key::<A>(subnet), Raw(network), 0)
                .map_err(writing)?;
        }
        for subnet in remove {
            self.0.remove(&key::<A>(subnet)).map_err(writing)?;
        }
        Ok(changes)
    }
}

fn key<A: Family>(subnet: A::Net) -> Key<Raw<NetworkKey<A>>> {
    Key::new(u32::from(subnet.bits()), Raw(NetworkKey::from(subnet.first())))
}
