//! A place in a table that is read a part at a time.

use bytemuck::Pod;

/// How far a table has been read, and what was read last. It keeps no map open, so a reader may go on days later.
#[derive(Debug)]
pub struct Cursor<K, V> {
    pub(super) keys: Vec<K>,
    pub(super) values: Vec<V>,
    /// How many of them were read.
    pub(super) filled: usize,
    /// Where the kernel goes on: a bucket's number for hash tables, a key for all others.
    pub(super) position: Vec<u8>,
    /// Room for the one after.
    pub(super) next: Vec<u8>,
    pub(super) place: Place,
}

/// Where a cursor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Before the first entry.
    Start,
    /// At its position.
    Within,
    /// Behind the last entry.
    End,
}

impl<K: Pod, V: Pod> Cursor<K, V> {
    /// At the start of any table; reads `chunk` entries at a time, at least 1.
    pub fn new(chunk: usize) -> Self {
        let chunk = chunk.max(1);
        let position = vec![0; size_of::<K>().max(size_of::<u32>())];
        Self {
            keys: vec![K::zeroed(); chunk],
            values: vec![V::zeroed(); chunk],
            filled: 0,
            next: position.clone(),
            position,
            place: Place::Start,
        }
    }

    /// What was read last.
    pub fn entries(&self) -> impl Iterator<Item = (&K, &V)> {
        self.keys.iter().zip(&self.values).take(self.filled)
    }

    /// Whether nothing follows what was read last.
    pub fn is_at_end(&self) -> bool {
        self.place == Place::End
    }

    /// Back to the start, with nothing read.
    pub fn rewind(&mut self) {
        self.place = Place::Start;
        self.filled = 0;
    }

    /// Twice the room.
    pub(super) fn grow(&mut self) {
        let room = self.keys.len() * 2;
        self.keys.resize(room, K::zeroed());
        self.values.resize(room, V::zeroed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shows_only_what_was_read() {
        let mut cursor = Cursor::<u32, u8>::new(0);
        assert_eq!(cursor.entries().count(), 0);
        cursor.grow();
        (cursor.keys, cursor.values, cursor.filled) = (vec![7, 8], vec![1, 2], 1);
        assert_eq!(cursor.entries().collect::<Vec<_>>(), [(&7, &1)]);
        cursor.place = Place::End;
        assert!(cursor.is_at_end());
        cursor.rewind();
        assert_eq!((cursor.entries().count(), cursor.is_at_end()), (0, false));
    }
}
