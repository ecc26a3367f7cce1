//! Hash tables.

use std::collections::BTreeMap;

use aya::maps::{HashMap, IterableMap as _, Map, MapData};
use bytemuck::Pod;

use super::{
    Changes, MapsError, Pins,
    changes::difference,
    error::{io_error, is_missing},
};
use crate::sys::{Batch, Cursor, Raw};

/// How many entries are read at a time: some 300 KiB of the largest kind.
const CHUNK: usize = 4096;

/// A hash table from `K` to `V`.
pub struct Table<K: Pod, V: Pod> {
    name: &'static str,
    map: HashMap<MapData, Raw<K>, Raw<V>>,
}

impl<K: Pod, V: Pod> Table<K, V> {
    pub(super) fn open(pins: &Pins, name: &'static str) -> Result<Self, MapsError> {
        let map = super::open(pins, name, Map::HashMap)?;
        let map = HashMap::try_from(map).map_err(|error| MapsError::opening(&pins.map(name), name, error))?;
        Ok(Self { name, map })
    }

    /// The same where the least used entry makes room.
    pub(super) fn open_lru(pins: &Pins, name: &'static str) -> Result<Self, MapsError> {
        let map = super::open(pins, name, Map::LruHashMap)?;
        let map = HashMap::try_from(map).map_err(|error| MapsError::opening(&pins.map(name), name, error))?;
        Ok(Self { name, map })
    }

    /// The value at `key`.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn get(&self, key: &K) -> Result<Option<V>, MapsError> {
        match self.map.get(&Raw(*key), 0) {
            Ok(Raw(value)) => Ok(Some(value)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(MapsError::reading(self.name)(io_error(error))),
        }
    }

    /// Sets the value at `key`.
    ///
    /// # Errors
    ///
    /// [`MapsError::Full`], or what bpf(2) fails with.
    pub fn insert(&mut self, key: K, value: V) -> Result<(), MapsError> {
        self.map
            .insert(Raw(key), Raw(value), 0)
            .map_err(|error| MapsError::writing(self.name)(io_error(error)))
    }

    /// Removes `key`, and says whether it was there.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn remove(&mut self, key: &K) -> Result<bool, MapsError> {
        match self.map.remove(&Raw(*key)) {
            Ok(()) => Ok(true),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(MapsError::writing(self.name)(io_error(error))),
        }
    }

    /// Removes all of `keys` in few system calls, and says how many were there.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn remove_all(&mut self, keys: &[K]) -> Result<usize, MapsError> {
        self.batch()
            .and_then(|batch| batch.delete(keys))
            .map_err(MapsError::writing(self.name))
    }

    /// Shows every entry, in no order and with bounded memory. Returns how many there were.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn for_each(&self, visit: impl FnMut(&K, &V)) -> Result<usize, MapsError> {
        self.batch()
            .and_then(|batch| batch.for_each(CHUNK, visit))
            .map_err(MapsError::reading(self.name))
    }

    /// Reads on from where `cursor` is, and says whether it could, see [`Batch::read`].
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn read(&self, cursor: &mut Cursor<K, V>) -> Result<bool, MapsError> {
        self.batch()
            .and_then(|batch| batch.read(cursor))
            .map_err(MapsError::reading(self.name))
    }

    /// Sets every `keys[i]` to `values[i]` in one system call.
    ///
    /// # Errors
    ///
    /// [`MapsError::Full`], or what bpf(2) fails with; what came before stays.
    pub fn insert_all(&mut self, keys: &[K], values: &[V]) -> Result<(), MapsError> {
        self.batch()
            .and_then(|batch| batch.update(keys, values))
            .map_err(MapsError::writing(self.name))
    }

    /// Every entry, in no order.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn all(&self) -> Result<Vec<(K, V)>, MapsError> {
        let mut entries = Vec::new();
        self.for_each(|key, value| entries.push((*key, *value)))?;
        Ok(entries)
    }

    /// How many entries there are, by reading them all.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn count(&self) -> Result<usize, MapsError> {
        self.for_each(|_, _| {})
    }

    /// How many entries there is room for.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn capacity(&self) -> Result<u32, MapsError> {
        let info = self
            .map
            .map()
            .info()
            .map_err(|error| MapsError::reading(self.name)(io_error(error)))?;
        Ok(info.max_entries())
    }

    fn batch(&self) -> std::io::Result<Batch<'_, K, V>> {
        Batch::new(self.map.map())
    }
}

impl<K: Pod + Ord, V: Pod + PartialEq> Table<K, V> {
    /// Makes the table hold `desired` and nothing else: writes what is new or different, then removes the rest.
    ///
    /// # Errors
    ///
    /// [`MapsError::Full`], or what bpf(2) fails with. What was done before stays; calling again goes on.
    pub fn replace(&mut self, desired: &BTreeMap<K, V>) -> Result<Changes, MapsError> {
        let actual = self.all()?.into_iter().collect();
        let (write, remove, changes) = difference(&actual, desired);
        for (key, value) in write {
            self.insert(key, value)?;
        }
        self.remove_all(&remove)?;
        Ok(changes)
    }
}
