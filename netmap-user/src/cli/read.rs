//! What the read-only commands read: the pinned maps, without the daemon.

mod bridge;
mod pinned;

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use ipnet::{Ipv4Net, Ipv6Net};
use netmap_common::maps::{Address, Address6, Count, Flow, FlowKey, Hook, Reason, Rule, RuleId, Seconds};
use serde::Serialize;

pub use self::bridge::Bridge;
use crate::{
    api::types::Attachment,
    maps::{Family, Maps, MapsError},
};

/// The kernel's tables, as a snapshot that may be torn: packets go on while it is read.
pub trait Tables: Entries<Address> + Entries<Address6> {
    /// Every live rule of IPv4.
    fn rules(&self) -> anyhow::Result<Vec<(RuleId, Rule)>>;
    /// Every live rule of IPv6.
    fn rules6(&self) -> anyhow::Result<Vec<(RuleId, Rule<Address6>)>>;
    /// Every allowed source of every rule of IPv4.
    fn allow(&self) -> anyhow::Result<Vec<(RuleId, Ipv4Net)>>;
    /// Every allowed source of every rule of IPv6.
    fn allow6(&self) -> anyhow::Result<Vec<(RuleId, Ipv6Net)>>;
    /// Every counter, summed up over the CPUs, also those that are zero.
    fn counters(&self) -> anyhow::Result<Vec<(Hook, Reason, Count)>>;
    /// How full the tables are, for `netmap status`.
    fn usage(&self) -> anyhow::Result<Vec<TableUse>>;
    /// Every uplink.
    fn uplinks(&self) -> anyhow::Result<Vec<Uplink>>;
    /// Every managed bridge that has a subnet.
    fn bridges(&self) -> anyhow::Result<Vec<Bridge>>;
    /// Every program that is attached.
    fn attachments(&self) -> anyhow::Result<Vec<Attachment>>;
    /// Now, on the clock that rules and flows are stamped with.
    fn now(&self) -> Seconds;
}

/// What is done with an entry of a flow table; an error ends the walk.
pub type Visit<'walk, A> = dyn FnMut(&FlowKey<A>, &Flow<A>) -> anyhow::Result<()> + 'walk;

/// One family's flow table, which may be too large to be held.
pub trait Entries<A: Family> {
    /// Shows every entry, two a flow, in no order and none twice, until `visit` fails.
    fn each_entry(&self, visit: &mut Visit<'_, A>) -> anyhow::Result<()>;
    /// The entry at a key.
    fn entry(&self, key: &FlowKey<A>) -> anyhow::Result<Option<Flow<A>>>;
}

/// An uplink with the addresses that containers have outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Uplink {
    /// The uplink.
    pub interface: String,
    /// Its address of IPv4; without one, IPv4 is not carried there.
    pub ipv4: Option<IpAddr>,
    /// Its address of IPv6; without one, IPv6 is not carried there.
    pub ipv6: Option<IpAddr>,
}

/// How full a table is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableUse {
    /// Its name in the CLI and in JSON.
    #[serde(skip)]
    pub name: &'static str,
    /// Entries in use.
    pub entries: u64,
    /// How many there may be.
    pub capacity: u64,
}

/// Why there is nothing to read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Nothing is pinned there.
    #[error("netmap is not attached (nothing is pinned in {}); start it with `netmap run`", .0.display())]
    NotAttached(PathBuf),
    /// The pins are not for this user.
    #[error("you may not read the pins in {}; run as root", .0.display())]
    Permission(PathBuf),
    /// Anything else.
    #[error("the pins in {} cannot be read: {}", .0.display(), .1)]
    Other(PathBuf, MapsError),
}

impl ReadError {
    fn new(pin_dir: &Path, error: MapsError) -> Self {
        let pin_dir = pin_dir.to_owned();
        match error {
            MapsError::NotLoaded(_) => Self::NotAttached(pin_dir),
            MapsError::Denied(_) => Self::Permission(pin_dir),
            error => Self::Other(pin_dir, error),
        }
    }
}

/// Opens the tables that are pinned in `pin_dir`.
///
/// # Errors
///
/// Nothing is pinned there, or this user may not read it.
pub fn open(pin_dir: &Path) -> Result<impl Tables, ReadError> {
    pinned::Pinned::open(pin_dir).map_err(|error| ReadError::new(pin_dir, error))
}

/// The handles themselves of what is pinned in `pin_dir`, for who asks the tables as packets do.
///
/// # Errors
///
/// Nothing is pinned there, or this user may not read it.
pub(super) fn maps(pin_dir: &Path) -> Result<Maps, ReadError> {
    Maps::open(pin_dir).map_err(|error| ReadError::new(pin_dir, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(pin_dir: &Path) -> ReadError {
        match open(pin_dir) {
            Ok(_) => panic!("opened"),
            Err(error) => error,
        }
    }

    #[test]
    fn pins_that_are_not_there_are_no_riddle() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("netmap");
        let error = refused(&missing);
        assert_eq!(
            error.to_string(),
            format!(
                "netmap is not attached (nothing is pinned in {}); start it with `netmap run`",
                missing.display()
            )
        );
        assert!(matches!(refused(folder.path()), ReadError::NotAttached(_)));
    }

    #[test]
    fn what_else_can_go_wrong_is_a_sentence() {
        let text = |error| ReadError::new(Path::new("/pins"), error).to_string();
        assert_eq!(
            text(MapsError::Denied("/pins/v2/maps/RULES".into())),
            "you may not read the pins in /pins; run as root"
        );
        assert_eq!(
            text(MapsError::Full { map: "RULES" }),
            "the pins in /pins cannot be read: the table RULES is full"
        );
    }
}
