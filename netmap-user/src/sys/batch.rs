//! Many entries of a BPF map in one system call (Linux 5.6), which aya 0.14 lacks.
//!
//! Reading entry by entry costs two calls each, and starts over when another deletes the key it stands at. Batches
//! are some seven times faster, and on a hash table go bucket by bucket, so that they end and show no entry twice.

use std::{
    io,
    marker::PhantomData,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd},
};

use aya::maps::{MapData, MapType};
use aya_obj::generated::{bpf_attr__bindgen_ty_3, bpf_cmd};
use bytemuck::Pod;

use super::{
    bpf::{bpf, zeroed_attr},
    cursor::{Cursor, Place},
};

/// A map seen as a table of `K` and `V`.
#[derive(Debug)]
pub struct Batch<'map, K, V> {
    map: BorrowedFd<'map>,
    entries: PhantomData<(K, V)>,
}

/// A bucket holds a handful of entries; one that holds this many is no hash table.
const LARGEST_CHUNK: usize = 1 << 20;
/// How often a read is tried: enough to grow to the largest chunk, and to outlast others that hold a lock.
const TRIES: usize = 64;

impl<'map, K: Pod, V: Pod> Batch<'map, K, V> {
    /// `map` as a table of `K` and `V`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when its keys or values have another size or are one per CPU.
    pub fn new(map: &'map MapData) -> io::Result<Self> {
        let info = map.info().map_err(io::Error::other)?;
        let per_cpu = matches!(
            info.map_type().map_err(io::Error::other)?,
            MapType::PerCpuArray
                | MapType::PerCpuHash
                | MapType::LruPerCpuHash
                | MapType::PerCpuCgroupStorage
        );
        if per_cpu
            || info.key_size() as usize != size_of::<K>()
            || info.value_size() as usize != size_of::<V>()
        {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the map's entries have another layout",
            ));
        }
        Ok(Self {
            map: map.fd().as_fd(),
            entries: PhantomData,
        })
    }

    /// Shows every entry to `visit`, reading `chunk` (at least 1) of them at a time. Returns how many there were.
    ///
    /// On a hash table each entry that is there all the time is shown once; one that comes or goes meanwhile may be.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with; `EPERM` without `CAP_BPF`.
    pub fn for_each(&self, chunk: usize, mut visit: impl FnMut(&K, &V)) -> io::Result<usize> {
        let mut cursor = Cursor::new(chunk);
        let mut total = 0;
        while self.read(&mut cursor)? {
            cursor.entries().for_each(|(key, value)| visit(key, value));
            total += cursor.filled;
        }
        Ok(total)
    }

    /// Reads what follows what `cursor` has read last, and says whether it could: behind the end it reads nothing, and
    /// the next call begins anew. What was read may be empty, and is more than the cursor had room for where a bucket
    /// needs that.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with; `EPERM` without `CAP_BPF`. The cursor is at the start then.
    pub fn read(&self, cursor: &mut Cursor<K, V>) -> io::Result<bool> {
        if cursor.is_at_end() {
            cursor.rewind();
            return Ok(false);
        }
        for _ in 0..TRIES {
            match self.read_once(cursor) {
                Ok(()) => return Ok(true),
                // A bucket does not fit.
                Err(libc::ENOSPC) if cursor.keys.len() < LARGEST_CHUNK => cursor.grow(),
                // A signal, or a bucket's lock that cannot be had now.
                Err(libc::EINTR | libc::EAGAIN | libc::EBUSY | libc::EDEADLK | libc::ETIMEDOUT) => {}
                Err(error) => {
                    cursor.rewind();
                    return Err(io::Error::from_raw_os_error(error));
                }
            }
        }
        cursor.rewind();
        Err(io::ErrorKind::ResourceBusy.into())
    }

    fn read_once(&self, cursor: &mut Cursor<K, V>) -> Result<(), i32> {
        let begun = cursor.place == Place::Within;
        let mut attr = zeroed_attr();
        attr.batch = bpf_attr__bindgen_ty_3 {
            in_batch: if begun { address(&cursor.position) } else { 0 },
            out_batch: address_mut(&mut cursor.next),
            keys: address_mut(&mut cursor.keys),
            values: address_mut(&mut cursor.values),
            count: length(&cursor.keys),
            map_fd: self.number(),
            elem_flags: 0,
            flags: 0,
        };
        // SAFETY: `keys` and `values` hold `count` entries of the map's own sizes (checked in `new`), both positions
        // a key or a `u32`, whichever is larger.
        let result = unsafe { bpf(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut attr) };
        // SAFETY: the variant that was written above, of which the kernel has changed the count only.
        let count = unsafe { attr.batch.count } as usize;
        let error = result
            .err()
            .map(|error| error.raw_os_error().unwrap_or(libc::EIO));
        cursor.filled = 0;
        match error {
            None => cursor.place = Place::Within,
            Some(libc::ENOENT) => cursor.place = Place::End,
            // A lock that could not be had ends a call before its bucket: what came before is read all the same.
            Some(libc::EBUSY | libc::EDEADLK | libc::ETIMEDOUT)
                if (1..cursor.keys.len()).contains(&count) =>
            {
                cursor.place = Place::Within;
            }
            Some(error) => return Err(error),
        }
        cursor.filled = count.min(cursor.keys.len());
        std::mem::swap(&mut cursor.position, &mut cursor.next);
        Ok(())
    }

    /// Writes every `keys[i]`, `values[i]`, over what is there.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with, `E2BIG` for a full table. What came before in `keys` stays written.
    pub fn update(&self, keys: &[K], values: &[V]) -> io::Result<()> {
        if keys.len() != values.len() {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        if keys.is_empty() {
            return Ok(());
        }
        let mut attr = zeroed_attr();
        attr.batch = bpf_attr__bindgen_ty_3 {
            in_batch: 0,
            out_batch: 0,
            keys: address(keys),
            values: address(values),
            count: length(keys),
            map_fd: self.number(),
            elem_flags: 0,
            flags: 0,
        };
        // SAFETY: `keys` and `values` hold `count` entries of the map's own sizes (checked in `new`), and are only read.
        unsafe { bpf(bpf_cmd::BPF_MAP_UPDATE_BATCH, &mut attr) }?;
        Ok(())
    }

    /// Deletes every key that is there, and returns how many were.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with. What came before in `keys` stays deleted.
    pub fn delete(&self, mut keys: &[K]) -> io::Result<usize> {
        let mut deleted = 0;
        while !keys.is_empty() {
            let mut attr = zeroed_attr();
            attr.batch = bpf_attr__bindgen_ty_3 {
                in_batch: 0,
                out_batch: 0,
                keys: address(keys),
                values: 0,
                count: length(keys),
                map_fd: self.number(),
                elem_flags: 0,
                flags: 0,
            };
            // SAFETY: `keys` holds `count` keys of the map's own size (checked in `new`), and is only read.
            let result = unsafe { bpf(bpf_cmd::BPF_MAP_DELETE_BATCH, &mut attr) };
            // SAFETY: the variant that was written above, of which the kernel has changed the count only.
            let count = (unsafe { attr.batch.count } as usize).min(keys.len());
            match result {
                Ok(_) => return Ok(deleted + count),
                // It stops at a key that is not there, having deleted `count` before it.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                    deleted += count;
                    keys = keys.get(count + 1..).unwrap_or_default();
                }
                Err(error) => return Err(error),
            }
        }
        Ok(deleted)
    }

    fn number(&self) -> u32 {
        self.map.as_raw_fd().cast_unsigned()
    }
}

fn address<T>(slice: &[T]) -> u64 {
    slice.as_ptr() as u64
}

fn address_mut<T>(slice: &mut [T]) -> u64 {
    slice.as_mut_ptr() as u64
}

/// The kernel counts in 32 bits; what lies beyond is not handed over.
fn length<T>(slice: &[T]) -> u32 {
    u32::try_from(slice.len()).unwrap_or(u32::MAX)
}
