//! Whether a pinned map is what this version takes it for. aya 0.14 takes every pin for what the object wants.

use std::fmt;

use aya::maps::{MapData, MapType};
use netmap_common::{
    maps::{
        Address, Address6, AllowKey, Cookie, Count, Detour, Detours, EgressPlace, Endpoint, Flow, FlowKey,
        Fragment, FragmentKey, Hop, IfIndex, Interface, Limits, Load, Local, Network, NetworkKey, Opening,
        Payer, Rate, Rule, RuleId, Settings, SharedKey, Slot, Told, Watch, capacity, name,
    },
    nat::{self, Wish},
};

use super::MapsError;

/// A map's kind and sizes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Layout {
    kind: MapType,
    key: usize,
    value: usize,
    entries: Entries,
    flags: u32,
}

/// How many entries a map holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entries {
    /// So many.
    Exactly(usize),
    /// Whatever it was made with.
    Any,
}

/// A pinned map that is not what it should be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "the pinned map {name} is {found}, but this netmap needs {expected}; `netmap down` removes it, and all flows with it"
)]
pub struct LayoutMismatch {
    /// The map.
    pub name: &'static str,
    /// What this version needs.
    pub expected: Layout,
    /// What is pinned.
    pub found: Layout,
}

/// `BPF_F_NO_PREALLOC`: entries take memory when they are made. Longest-prefix tables cannot do otherwise, the flow table
/// must not: a packet cannot wait for memory.
const NO_PREALLOC: u32 = 1;

/// `BPF_F_RDONLY_PROG`: the verifier refuses programs that write there. The kernel adds it to tables of devices by itself.
const RDONLY_PROG: u32 = 1 << 7;

impl Layout {
    /// The layout of one of the maps in [`name`]. `flows` is the size of the flow table, which is the user's choice.
    pub fn of(name: &str, flows: Entries) -> Self {
        Self::of_family::<Address>(name, flows)
            .or_else(|| Self::of_family::<Address6>(name, flows))
            .unwrap_or_else(|| Self::of_all(name))
    }

    /// The same for the maps that are there once a family.
    fn of_family<A: nat::Family>(name: &str, flows: Entries) -> Option<Self> {
        let names = A::NAMES;
        let layout = match name {
            _ if name == names.slots => Self::array::<Slot>(capacity::SLOTS).told(),
            _ if name == names.shared => Self::sparse::<SharedKey<A>, RuleId>(capacity::SHARED).told(),
            _ if name == names.rules => Self::array::<Rule<A>>(capacity::RULES).told(),
            _ if name == names.allow => Self::prefixes::<AllowKey<A>, u8>(capacity::ALLOW).told(),
            _ if name == names.flows => Self {
                entries: flows,
                flags: 0,
                ..Self::sparse::<FlowKey<A>, Flow<A>>(0)
            },
            _ if name == names.fragments => Self {
                kind: MapType::LruHash,
                flags: 0,
                ..Self::sparse::<FragmentKey<A>, Fragment>(capacity::FRAGMENTS)
            },
            _ if name == names.containers || name == names.sources => Self {
                kind: MapType::LruHash,
                flags: 0,
                ..Self::sparse::<A, Load>(capacity::LOADS)
            },
            _ if name == names.ended => Self::sparse::<Payer<A>, u64>(capacity::ENDED).told(),
            _ if name == names.openings => Self {
                kind: MapType::Queue,
                key: 0,
                entries: match flows {
                    Entries::Exactly(flows) => Entries::Exactly(openings(flows)),
                    Entries::Any => Entries::Any,
                },
                ..Self::array::<Opening<A>>(0)
            },
            _ if name == names.locals => Self::sparse::<A, Local>(capacity::LOCALS).told(),
            _ if name == names.networks => {
                Self::prefixes::<NetworkKey<A>, Network<A>>(capacity::NETWORKS).told()
            }
            _ if name == names.egress => Self::sparse::<EgressPlace, A>(capacity::EGRESS).told(),
            _ if name == names.interfaces => {
                Self::sparse::<IfIndex, Interface<A>>(capacity::INTERFACES).told()
            }
            _ if name == names.owners => Self::sparse::<A, IfIndex>(capacity::OWNERS).told(),
            _ if name == names.endpoints => Self::sparse::<A, Endpoint<A>>(capacity::ENDPOINTS).told(),
            _ if name == names.clients => Self::sparse::<Cookie, Detour<A>>(capacity::CLIENTS),
            _ if name == names.detours => Self::of_sockets::<Detours<A>>(),
            _ if name == names.hop => Self {
                kind: MapType::PerCpuArray,
                ..Self::array::<Hop<A>>(1)
            },
            _ if name == names.room => Self {
                kind: MapType::PerCpuArray,
                ..Self::array::<Wish<A>>(1)
            },
            _ => return None,
        };
        Some(layout)
    }

    /// The same for those that both families share.
    fn of_all(name: &str) -> Self {
        match name {
            name::RESERVED => Self::array::<u64>(capacity::RESERVED).told(),
            name::SETTINGS => Self::array::<Settings>(1).told(),
            name::LIMITS => Self::array::<Limits>(1).told(),
            name::HELD => Self::ring(capacity::HELD),
            name::EVENTS => Self::ring(capacity::EVENTS),
            name::WATCH => Self::array::<Watch>(1).told(),
            name::TOLD => Self {
                kind: MapType::PerCpuArray,
                ..Self::array::<Told>(1)
            },
            name::HOLDS => Self {
                kind: MapType::LruHash,
                flags: 0,
                ..Self::sparse::<IfIndex, Rate>(capacity::HOLDS)
            },
            name::MESSAGES => Self {
                kind: MapType::PerCpuArray,
                ..Self::array::<Rate>(1)
            },
            name::COUNTERS => Self {
                kind: MapType::PerCpuArray,
                ..Self::array::<Count>(capacity::COUNTERS)
            },
            name::PROBING => Self {
                kind: MapType::PerCpuArray,
                ..Self::array::<u32>(2)
            },
            name::PLACE6 => Self {
                kind: MapType::PerCpuArray,
                ..Self::array::<FlowKey<Address6>>(1)
            },
            name::TAILS | name::TAILS_XDP => Self::programs(capacity::TAILS),
            name::REDIRECTS => Self {
                kind: MapType::DevMapHash,
                key: size_of::<IfIndex>(),
                // The device, and a program that netmap has none for (`struct bpf_devmap_val`).
                value: size_of::<IfIndex>() + size_of::<u32>(),
                entries: Entries::Exactly(capacity::REDIRECTS),
                flags: RDONLY_PROG,
            },
            // The last of them, and what no other name gets past: a socket map holds descriptors.
            _ => Self {
                kind: MapType::SockMap,
                ..Self::array::<u32>(capacity::SOCKETS)
            },
        }
    }

    /// Whether `map` has it.
    pub(crate) fn check(self, name: &'static str, map: &MapData) -> Result<(), MapsError> {
        let found =
            Self::found(map).map_err(|error| MapsError::reading(name)(super::error::io_error(error)))?;
        let expected = Self {
            entries: match self.entries {
                Entries::Any => found.entries,
                entries @ Entries::Exactly(_) => entries,
            },
            ..self
        };
        if expected == found {
            return Ok(());
        }
        Err(LayoutMismatch {
            name,
            expected,
            found,
        }
        .into())
    }

    fn found(map: &MapData) -> Result<Self, aya::maps::MapError> {
        let info = map.info()?;
        Ok(Self {
            kind: info.map_type()?,
            key: info.key_size() as usize,
            value: info.value_size() as usize,
            entries: Entries::Exactly(info.max_entries() as usize),
            flags: info.map_flags(),
        })
    }

    /// Written by the daemon alone.
    const fn told(self) -> Self {
        Self {
            flags: self.flags | RDONLY_PROG,
            ..self
        }
    }

    const fn array<V>(entries: usize) -> Self {
        Self {
            kind: MapType::Array,
            key: size_of::<u32>(),
            value: size_of::<V>(),
            entries: Entries::Exactly(entries),
            flags: 0,
        }
    }

    const fn sparse<K, V>(entries: usize) -> Self {
        Self {
            kind: MapType::Hash,
            key: size_of::<K>(),
            value: size_of::<V>(),
            entries: Entries::Exactly(entries),
            flags: NO_PREALLOC,
        }
    }

    /// Its size is in bytes.
    const fn ring(bytes: usize) -> Self {
        Self {
            kind: MapType::RingBuf,
            key: 0,
            value: 0,
            entries: Entries::Exactly(bytes),
            flags: 0,
        }
    }

    /// Descriptors of programs, which the kernel keeps as it likes.
    const fn programs(entries: usize) -> Self {
        Self {
            kind: MapType::ProgramArray,
            ..Self::array::<u32>(entries)
        }
    }

    /// Kept with each socket, so there is no number of entries.
    const fn of_sockets<V>() -> Self {
        Self {
            kind: MapType::SkStorage,
            key: size_of::<i32>(),
            value: size_of::<V>(),
            entries: Entries::Exactly(0),
            flags: NO_PREALLOC,
        }
    }

    const fn prefixes<K, V>(entries: usize) -> Self {
        Self {
            kind: MapType::LpmTrie,
            // The prefix's length comes first.
            key: size_of::<u32>() + size_of::<K>(),
            value: size_of::<V>(),
            entries: Entries::Exactly(entries),
            flags: NO_PREALLOC,
        }
    }
}

/// How many openings stand beside so many flow entries.
fn openings(flows: usize) -> usize {
    let flows = u32::try_from(flows).unwrap_or(u32::MAX);
    usize::try_from(capacity::openings(flows)).unwrap_or(usize::MAX)
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            key,
            value,
            entries,
            flags,
        } = self;
        write!(f, "{kind:?}(")?;
        if let Entries::Exactly(entries) = entries {
            write!(f, "{entries} entries, ")?;
        }
        write!(
            f,
            "keys of {key} bytes, values of {value} bytes, flags {flags:#x})"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mismatch_names_the_map_and_both_layouts() {
        let error = LayoutMismatch {
            name: name::SLOTS,
            expected: Layout::of(name::SLOTS, Entries::Any),
            found: Layout::sparse::<u32, u32>(7),
        };
        assert_eq!(
            error.to_string(),
            "the pinned map SLOTS is Hash(7 entries, keys of 4 bytes, values of 4 bytes, flags 0x1), but this netmap \
             needs Array(131072 entries, keys of 4 bytes, values of 4 bytes, flags 0x80); `netmap down` removes it, and \
             all flows with it"
        );
    }

    #[test]
    fn the_size_of_a_flow_table_is_the_users_choice_in_both_families() {
        let chosen = Entries::Exactly(64);
        for map in name::ALL {
            let is_flows = map == name::FLOWS || map == name::FLOWS6;
            assert_eq!(Layout::of(map, chosen).entries == chosen, is_flows, "{map}");
        }
    }

    #[test]
    fn every_map_has_a_layout_of_its_own_kind() {
        for map in name::ALL {
            let is_sockets = Layout::of(map, Entries::Any).kind == MapType::SockMap;
            assert_eq!(is_sockets, map == name::SOCKETS, "{map}");
        }
    }
}
