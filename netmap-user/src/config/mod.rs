//! What `netmap run` goes by: its configuration file below its flags, and where each setting came from.
//!
//! [`Config`] is what one of the two says. [`Source`] knows both, reads the file as often as it is asked to, and makes
//! [`Effective`] settings of them.

mod file;
mod key;
mod nearest;
mod presence;
mod setting;

use std::path::PathBuf;

pub use self::{
    file::{Config, ConfigError},
    key::{Applies, KEYS, Key},
    presence::absences,
    setting::{Change, Effective, Origin, Setting},
};

/// Where the file is that the unit and the package name.
pub const DEFAULT_PATH: &str = "/etc/netmap/netmap.toml";

/// Where settings come from, as often as they are asked for.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The file; none where netmap was started without.
    pub file: Option<PathBuf>,
    /// What the flags say. They do not change.
    pub flags: Config,
}

impl Source {
    /// What file and flags say now.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or says something that is refused.
    pub fn read(&self) -> Result<Effective, ConfigError> {
        let file = match &self.file {
            Some(path) => Config::read(path)?,
            None => Config::default(),
        };
        Ok(Effective::of(&file, &self.flags))
    }
}
