//! Sources that may connect to rules with an allow-list.

use std::collections::BTreeSet;

use aya::maps::{IterableMap as _, LpmTrie, Map, MapData, lpm_trie::Key};
use netmap_common::maps::{AllowKey, AllowPrefix, RuleId};

use super::{
    Changes, Family, MapsError, Pins, Subnet as _,
    error::{io_error, is_missing},
};
use crate::sys::{Batch, Raw};

const CHUNK: usize = 4096;
/// A rule's number is part of the prefix, whole.
const RULE_BITS: u32 = 32;

/// The allow-lists of all rules, as prefixes of rule and source.
pub struct Allow<A: Family>(LpmTrie<MapData, Raw<AllowKey<A>>, u8>);

impl<A: Family> Allow<A> {
    pub(super) fn open(pins: &Pins) -> Result<Self, MapsError> {
        let map = super::open(pins, A::NAMES.allow, Map::LpmTrie)?;
        let map = LpmTrie::try_from(map)
            .map_err(|error| MapsError::opening(&pins.map(A::NAMES.allow), A::NAMES.allow, error))?;
        Ok(Self(map))
    }

    /// Lets `sources` connect to a rule.
    ///
    /// # Errors
    ///
    /// [`MapsError::Full`], or what bpf(2) fails with.
    pub fn insert(&mut self, rule: RuleId, sources: A::Net) -> Result<(), MapsError> {
        self.0
            .insert(&key::<A>(rule, sources), 1, 0)
            .map_err(|error| MapsError::writing(A::NAMES.allow)(io_error(error)))
    }

    /// Takes `sources` from a rule's list, and says whether they were there.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn remove(&mut self, rule: RuleId, sources: A::Net) -> Result<bool, MapsError> {
        match self.0.remove(&key::<A>(rule, sources)) {
            Ok(()) => Ok(true),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(MapsError::writing(A::NAMES.allow)(io_error(error))),
        }
    }

    /// Every entry.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn all(&self) -> Result<BTreeSet<(RuleId, A::Net)>, MapsError> {
        let mut entries = BTreeSet::new();
        Batch::<AllowPrefix<A>, u8>::new(self.0.map())
            .and_then(|batch| {
                batch.for_each(CHUNK, |prefix, _| {
                    let bits = prefix.length.saturating_sub(RULE_BITS);
                    let source = A::from_octets(prefix.key.source);
                    if let Ok(bits) = u8::try_from(bits)
                        && let Some(sources) = A::Net::around(source, bits)
                    {
                        entries.insert((RuleId(u32::from_be_bytes(prefix.key.rule)), sources));
                    }
                })
            })
            .map_err(MapsError::reading(A::NAMES.allow))?;
        Ok(entries)
    }

    /// The list of one rule.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn of(&self, rule: RuleId) -> Result<BTreeSet<A::Net>, MapsError> {
        let all = self.all()?;
        Ok(all
            .into_iter()
            .filter(|(id, _)| *id == rule)
            .map(|(_, sources)| sources)
            .collect())
    }

    /// Makes the lists `desired` and nothing else: inserts, then removes.
    ///
    /// # Errors
    ///
    /// [`MapsError::Full`], or what bpf(2) fails with. What was done before stays; calling again goes on.
    pub fn replace(&mut self, desired: &BTreeSet<(RuleId, A::Net)>) -> Result<Changes, MapsError> {
        let actual = self.all()?;
        let mut changes = Changes::default();
        for (rule, sources) in desired.difference(&actual) {
            self.insert(*rule, *sources)?;
            changes.inserted += 1;
        }
        for (rule, sources) in actual.difference(desired) {
            self.remove(*rule, *sources)?;
            changes.removed += 1;
        }
        Ok(changes)
    }
}

fn key<A: Family>(rule: RuleId, sources: A::Net) -> Key<Raw<AllowKey<A>>> {
    Key::new(
        RULE_BITS + u32::from(sources.bits()),
        Raw(AllowKey::new(rule, sources.first())),
    )
}
