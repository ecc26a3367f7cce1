//! Bringing a table to what is wanted.

use std::collections::BTreeMap;

/// What it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Entries that were not there.
    pub inserted: usize,
    /// Entries that had another value.
    pub updated: usize,
    /// Entries that were not wanted.
    pub removed: usize,
}

impl Changes {
    /// Whether the table was as wanted.
    pub const fn is_empty(self) -> bool {
        self.inserted + self.updated + self.removed == 0
    }
}

/// What turns `actual` into `desired`: entries to write, then keys to remove, so that nothing wanted is ever missing.
pub(super) fn difference<K: Ord + Copy, V: PartialEq + Copy>(
    actual: &BTreeMap<K, V>,
    desired: &BTreeMap<K, V>,
) -> (Vec<(K, V)>, Vec<K>, Changes) {
    let mut changes = Changes::default();
    let mut write = Vec::new();
    for (key, value) in desired {
        match actual.get(key) {
            Some(found) if found == value => continue,
            Some(_) => changes.updated += 1,
            None => changes.inserted += 1,
        }
        write.push((*key, *value));
    }
    let remove: Vec<K> = actual
        .keys()
        .filter(|key| !desired.contains_key(key))
        .copied()
        .collect();
    changes.removed = remove.len();
    (write, remove, changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_touched() {
        let actual = BTreeMap::from([(1, 'a'), (2, 'b'), (3, 'c')]);
        let desired = BTreeMap::from([(1, 'a'), (2, 'x'), (4, 'd')]);
        let (write, remove, changes) = difference(&actual, &desired);
        assert_eq!(write, [(2, 'x'), (4, 'd')]);
        assert_eq!(remove, [3]);
        assert_eq!(
            changes,
            Changes {
                inserted: 1,
                updated: 1,
                removed: 1
            }
        );
        assert!(difference(&actual, &actual).2.is_empty());
    }
}
