//! Arrays.

use std::io;

use aya::maps::{Array, IterableMap as _, Map, MapData};
use bytemuck::Pod;

use super::{MapsError, Pins, error::io_error};
use crate::sys::{Batch, Raw};

/// How many cells are read or written at a time.
const CHUNK: usize = 16_384;

/// An array of `V`, whose cells are all there from the beginning, zeroed.
pub struct Cells<V: Pod> {
    name: &'static str,
    map: Array<MapData, Raw<V>>,
}

impl<V: Pod> Cells<V> {
    pub(super) fn open(pins: &Pins, name: &'static str) -> Result<Self, MapsError> {
        let map = super::open(pins, name, Map::Array)?;
        let map = Array::try_from(map).map_err(|error| MapsError::opening(&pins.map(name), name, error))?;
        Ok(Self { name, map })
    }

    /// How many cells there are.
    pub fn len(&self) -> u32 {
        self.map.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value at `index`.
    ///
    /// # Errors
    ///
    /// `index` beyond the end, or what bpf(2) fails with.
    pub fn get(&self, index: u32) -> Result<V, MapsError> {
        let Raw(value) = self
            .map
            .get(&index, 0)
            .map_err(|error| MapsError::reading(self.name)(io_error(error)))?;
        Ok(value)
    }

    /// Sets the value at `index`.
    ///
    /// # Errors
    ///
    /// `index` beyond the end, or what bpf(2) fails with.
    pub fn set(&mut self, index: u32, value: V) -> Result<(), MapsError> {
        self.map
            .set(index, Raw(value), 0)
            .map_err(|error| MapsError::writing(self.name)(io_error(error)))
    }

    /// Sets the cells from `first` on to `values`, in few system calls.
    ///
    /// # Errors
    ///
    /// Cells beyond the end (nothing is written then), or what bpf(2) fails with.
    pub fn write(&mut self, first: u32, values: &[V]) -> Result<(), MapsError> {
        let writing = MapsError::writing(self.name);
        let end = first as usize + values.len();
        if end > self.len() as usize {
            return Err(writing(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("it has {} cells, not {end}", self.len()),
            )));
        }
        let indexes: Vec<u32> = (first..).take(values.len()).collect();
        let batch = Batch::<u32, V>::new(self.map.map()).map_err(&writing)?;
        batch.update(&indexes, values).map_err(&writing)
    }

    /// Shows every cell in order.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn for_each(&self, mut visit: impl FnMut(u32, &V)) -> Result<(), MapsError> {
        Batch::<u32, V>::new(self.map.map())
            .and_then(|batch| batch.for_each(CHUNK, |index, value| visit(*index, value)))
            .map_err(MapsError::reading(self.name))?;
        Ok(())
    }

    /// Every cell in order.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn all(&self) -> Result<Vec<V>, MapsError> {
        let mut values = Vec::with_capacity(self.len() as usize);
        self.for_each(|_, value| values.push(*value))?;
        Ok(values)
    }
}
