//! One data plane a pin folder.

use std::{fs::File, os::unix::fs::MetadataExt as _, path::Path};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use super::{DataplaneError, bpffs};

/// A lock on a folder (flock(2)), which the kernel gives back when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    _folder: Flock<File>,
}

impl Lock {
    /// Makes the folder if need be and locks it.
    pub(super) fn make(folder: &Path) -> Result<Self, DataplaneError> {
        loop {
            bpffs::make_dir(folder)?;
            // Not there any more, or another by now: `netmap down` was faster.
            if let Some(lock) = Self::take(folder)? {
                return Ok(lock);
            }
        }
    }

    /// Locks the folder; `None` when there is none.
    pub(super) fn take(folder: &Path) -> Result<Option<Self>, DataplaneError> {
        let file = match File::open(folder) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                return Err(DataplaneError::out_of_reach(folder));
            }
            Err(error) => return Err(DataplaneError::pin(folder, "read")(error)),
        };
        let locked = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => locked,
            Err((_, Errno::EWOULDBLOCK)) => return Err(DataplaneError::Running(folder.to_owned())),
            Err((_, error)) => return Err(DataplaneError::pin(folder, "locked")(error.into())),
        };
        let ours = locked.metadata().map_err(DataplaneError::pin(folder, "read"))?;
        let is_still_there = std::fs::metadata(folder).is_ok_and(|found| found.ino() == ours.ino());
        Ok(is_still_there.then_some(Self { _folder: locked }))
    }
}
