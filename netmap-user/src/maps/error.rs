//! What can go wrong with a map.

use std::{
    io,
    path::{Path, PathBuf},
};

use aya::maps::MapError;

use super::LayoutMismatch;

/// Why a map could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum MapsError {
    /// Nothing is pinned.
    #[error("netmap is not loaded: there is no {}; start it with `netmap run`", .0.display())]
    NotLoaded(PathBuf),
    /// No right to open it.
    #[error("{} may be opened by root only", .0.display())]
    Denied(PathBuf),
    /// Pinned by another version.
    #[error(transparent)]
    Layout(#[from] LayoutMismatch),
    /// No more room.
    #[error("the table {map} is full")]
    Full {
        /// The map.
        map: &'static str,
    },
    /// Something else.
    #[error("the table {map} cannot be {operation}: {source}")]
    Io {
        /// The map.
        map: &'static str,
        /// `opened`, `read`, `written`.
        operation: &'static str,
        /// What bpf(2) fails with.
        source: io::Error,
    },
}

impl MapsError {
    pub(crate) fn opening(path: &Path, map: &'static str, error: MapError) -> Self {
        let source = io_error(error);
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::NotLoaded(path.to_owned()),
            io::ErrorKind::PermissionDenied => Self::Denied(path.to_owned()),
            _ => Self::Io {
                map,
                operation: "opened",
                source,
            },
        }
    }

    pub(super) fn reading(map: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io {
            map,
            operation: "read",
            source,
        }
    }

    pub(crate) fn writing(map: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| match source.raw_os_error() {
            // E2BIG is a hash table's answer, ENOSPC a longest-prefix table's.
            Some(libc::E2BIG | libc::ENOSPC) => Self::Full { map },
            _ => Self::Io {
                map,
                operation: "written",
                source,
            },
        }
    }
}

/// The system's error inside aya's; `NotFound` for a key that is not there.
pub(super) fn io_error(error: MapError) -> io::Error {
    match error {
        MapError::SyscallError(error) => error.io_error,
        MapError::IoError(error) => error,
        MapError::KeyNotFound | MapError::ElementNotFound => io::Error::from(io::ErrorKind::NotFound),
        error => io::Error::other(error),
    }
}

/// Whether a key was not there.
pub(super) fn is_missing(error: &MapError) -> bool {
    match error {
        MapError::KeyNotFound | MapError::ElementNotFound => true,
        MapError::SyscallError(error) => error.io_error.raw_os_error() == Some(libc::ENOENT),
        _ => false,
    }
}
