//! What entries had counted, in bounded memory.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// How many entries are remembered: 8 to 14 MB. The flow tables of a host that has not asked for larger ones have no more.
pub(super) const MOST: usize = 1 << 18;

/// Packets and bytes that an entry had counted.
pub(super) type Total = (u64, u64);

/// What is known of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// It had counted so much.
    Known(Total),
    /// It was not there.
    New,
    /// It would not have been remembered: others stand for it.
    NotChosen,
}

/// Entries by a hash of what they are. Beyond [`MOST`], only those whose hash ends with so many zeros that they find room: which
/// entries these are is chance, and the same next time.
#[derive(Debug)]
pub(super) struct Remembered {
    most: usize,
    /// How many bits of a hash must be zero.
    zeros: u32,
    totals: HashMap<u64, Total, BuildHasherDefault<Hashed>>,
}

impl Remembered {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            zeros: 0,
            totals: HashMap::default(),
        }
    }

    /// Remembers an entry, or does not, and forgets others where there are too many.
    pub(super) fn add(&mut self, hash: u64, total: Total) {
        if !has_zeros(hash, self.zeros) {
            return;
        }
        self.totals.insert(hash, total);
        while self.totals.len() > self.most {
            self.zeros += 1;
            let zeros = self.zeros;
            self.totals.retain(|hash, _| has_zeros(*hash, zeros));
        }
    }

    /// What the entry had counted.
    pub(super) fn before(&self, hash: u64) -> Before {
        if !has_zeros(hash, self.zeros) {
            return Before::NotChosen;
        }
        self.totals
            .get(&hash)
            .map_or(Before::New, |total| Before::Known(*total))
    }

    /// For how many entries one that is remembered stands.
    pub(super) fn weight(&self) -> u64 {
        1_u64.checked_shl(self.zeros).unwrap_or(u64::MAX)
    }
}

const fn has_zeros(hash: u64, zeros: u32) -> bool {
    hash.trailing_zeros() >= zeros
}

/// Keys that are hashes already.
#[derive(Debug, Default)]
pub(super) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        // The lowest bits are what entries are chosen by, and the table looks at them.
        self.0.rotate_right(32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spreads numbers over all bits.
    fn hash(number: u64) -> u64 {
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ mixed >> 31
    }

    #[test]
    fn it_never_holds_more_than_it_may_and_what_it_holds_stands_for_all() {
        const ENTRIES: u64 = 100_000;
        let mut remembered = Remembered::new(1_024);
        for number in 0..ENTRIES {
            remembered.add(hash(number), (number, 0));
            assert!(remembered.totals.len() <= 1_024);
        }
        let known = (0..ENTRIES).filter(|number| remembered.before(hash(*number)) != Before::NotChosen);
        let estimated = known.count() as u64 * remembered.weight();
        assert!(estimated.abs_diff(ENTRIES) < ENTRIES / 5, "{estimated}");
        // What is chosen is remembered, every one.
        let mut all = (0..ENTRIES).map(|number| (number, remembered.before(hash(number))));
        assert!(
            all.all(|(number, before)| matches!(before, Before::NotChosen)
                || before == Before::Known((number, 0)))
        );
    }

    #[test]
    fn where_all_find_room_each_stands_for_itself() {
        let mut remembered = Remembered::new(4);
        for number in 0..4 {
            remembered.add(hash(number), (number, 7));
        }
        assert_eq!(remembered.weight(), 1);
        assert_eq!(remembered.before(hash(3)), Before::Known((3, 7)));
        assert_eq!(remembered.before(hash(4)), Before::New);
    }
}
