//! What outlives a reboot: the operator's published ports, in a file of the state directory (`--state`).
//!
//! What is pinned is the record as long as the kernel runs, and what is in the file gives way to it. The file is for the next
//! kernel. It is JSON with a version, replaced as a whole: a new one is written beside it, synced, and renamed over it. What
//! cannot be read is never overwritten but kept aside, and nothing of it is taken.
//!
//! An engine's ports are not in it: engines publish their own again when they start, often to other addresses.

mod document;

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use crate::binding::Binding;

/// The file's name in the state directory.
pub const FILE: &str = "published.json";

/// The longest file that is read, in bytes: all rules that there can be, with their allow-lists, take less.
const LONGEST: u64 = 64 << 20;

/// How many names are tried for a file that is kept aside.
const MOST_ASIDE: usize = 1_000;

/// Why the state is not read or not written, a sentence each.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be made, or not be used.
    #[error("the state directory {} cannot be used: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else writes there.
    #[error("another netmap runs with the state directory {}; give each its own with --state", .0.display())]
    Busy(PathBuf),
    /// The file says what cannot be taken.
    #[error("{} {why}; {}", path.display(), kept_as(kept.as_deref()))]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong, as in "is of version 7".
        why: String,
        /// Where it is now; none where it could not be renamed.
        kept: Option<PathBuf>,
    },
    /// The file cannot be written.
    #[error("{} cannot be written: {source}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The state directory of one daemon.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    lock: Option<Flock<File>>,
    is_busy: bool,
    /// What is in the file, once that is known.
    known: Option<Vec<u8>>,
}

impl State {
    /// The state in `path`, which is made and locked when it is first used.
    pub const fn new(path: PathBuf) -> Self {
        Self {
            path,
            lock: None,
            is_busy: false,
            known: None,
        }
    }

    /// What was published when it was last written, all of it checked; nothing where there is no file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or says what makes no sense: then it has been renamed, for somebody to look at, and what is
    /// written next takes its place. Or there is no directory to be had.
    pub fn read(&mut self) -> Result<Vec<Binding>, StateError> {
        self.enter()?;
        let read = self.bytes().and_then(|bytes| {
            let bindings = document::parse(&bytes)?;
            Ok((bytes, bindings))
        });
        match read {
            Ok((bytes, bindings)) => {
                self.known = Some(bytes);
                Ok(bindings)
            }
            Err(why) => {
                self.known = Some(Vec::new());
                Err(StateError::Unusable {
                    path: self.file(),
                    why,
                    kept: self.put_aside(),
                })
            }
        }
    }

    /// Writes down that this is published, if anything else is written there, and says whether it was so.
    ///
    /// # Errors
    ///
    /// What the file system says; the file is as it was then.
    pub fn write(&mut self, bindings: &mut dyn Iterator<Item = &Binding>) -> Result<bool, StateError> {
        let bytes = document::compose(bindings);
        // Nothing is as good as no file.
        let nothing = || document::compose(&mut std::iter::empty());
        let is_there = |known: &Vec<u8>| *known == bytes || known.is_empty() && bytes == nothing();
        if self.known.as_ref().is_some_and(is_there) {
            return Ok(false);
        }
        self.enter()?;
        if self.known.is_none() && self.file().exists() {
            // The directory was not there when it was to be read: this is not ours to overwrite.
            self.put_aside();
        }
        replace(&self.path, &bytes).map_err(|source| StateError::Unwritable {
            path: self.file(),
            source,
        })?;
        self.known = Some(bytes);
        Ok(true)
    }

    fn file(&self) -> PathBuf {
        self.path.join(FILE)
    }

    /// Makes and locks the directory.
    fn enter(&mut self) -> Result<(), StateError> {
        if self.lock.is_some() {
            return Ok(());
        }
        if self.is_busy {
            // What is written there is the other's, also when that has gone.
            return Err(StateError::Busy(self.path.clone()));
        }
        let unusable = |source| StateError::Directory {
            path: self.path.clone(),
            source,
        };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.path);
        let folder = made.and_then(|()| File::open(&self.path)).map_err(unusable)?;
        match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => {
                self.lock = Some(lock);
                Ok(())
            }
            Err((_, Errno::EWOULDBLOCK)) => {
                self.is_busy = true;
                Err(StateError::Busy(self.path.clone()))
            }
            Err((_, error)) => Err(unusable(error.into())),
        }
    }

    /// What is in the file, nothing where there is none; or what is wrong with it.
    fn bytes(&self) -> Result<Vec<u8>, String> {
        let unreadable = |error: io::Error| format!("cannot be read: {error}");
        // Nothing is waited for, as one that opens a FIFO would.
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(self.file());
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unreadable(error)),
        };
        let about = file.metadata().map_err(unreadable)?;
        if !about.is_file() {
            return Err("is no file".to_owned());
        }
        if about.len() > LONGEST {
            return Err(format!("has {} bytes, more than netmap writes", about.len()));
        }
        let mut bytes = Vec::new();
        file.take(LONGEST).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.is_empty() {
            return Err("is empty".to_owned());
        }
        Ok(bytes)
    }

    /// Gives the file a name that nothing has, and says which.
    fn put_aside(&self) -> Option<PathBuf> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let names = (now.as_secs()..).map(|number| self.path.join(format!("{FILE}.bad-{number}")));
        let aside = names.take(MOST_ASIDE).find(|path| {
            fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        })?;
        fs::rename(self.file(), &aside).ok().map(|()| aside)
    }
}

/// Removes what is written in the state directory `path`; what was kept aside there stays. Says whether there was anything.
///
/// # Errors
///
/// What the file system says.
pub fn forget(path: &Path) -> Result<bool, StateError> {
    let file = path.join(FILE);
    match fs::remove_file(&file) {
        Ok(()) => Ok(true),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(false)
        }
        Err(source) => Err(StateError::Unwritable { path: file, source }),
    }
}

/// Puts a file with these bytes in the place of the old one: a crash at any moment leaves the one or the other.
fn replace(folder: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = folder.join(format!("{FILE}.new"));
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(&new)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&new, folder.join(FILE)));
    if let Err(error) = written {
        // It may be what fills the disk.
        let _gone = fs::remove_file(&new);
        return Err(error);
    }
    File::open(folder)?.sync_all()
}

fn kept_as(kept: Option<&Path>) -> String {
    match kept {
        Some(path) => format!("it is kept as {}", path.display()),
        None => "it stays as it is until something is published".to_owned(),
    }
}

#[cfg(test)]
mod tests;
