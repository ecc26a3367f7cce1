//! Which program goes where.

use aya::programs::TcAttachType;
use netmap_common::maps::{IfIndex, Role, program};
use nix::{
    errno::Errno,
    net::if_::{if_indextoname, if_nametoindex},
};

use super::DataplaneError;

/// Which packets of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Those that come in.
    Ingress,
    /// Those that leave.
    Egress,
}

impl Direction {
    /// Its name in the CLI and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

impl From<Direction> for TcAttachType {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Ingress => Self::Ingress,
            Direction::Egress => Self::Egress,
        }
    }
}

/// A program at an interface.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TcHook {
    pub(super) program: &'static str,
    pub(super) direction: Direction,
    pub(super) role: Role,
}

impl TcHook {
    /// Every hook; those of one role stand together.
    pub(super) const ALL: &'static [Self] = &[
        Self::new(program::UPLINK_IN, Direction::Ingress, Role::Uplink),
        Self::new(program::UPLINK_OUT, Direction::Egress, Role::Uplink),
        Self::new(program::PORT_IN, Direction::Ingress, Role::Port),
        Self::new(program::BRIDGE_IN, Direction::Ingress, Role::Bridge),
    ];

    const fn new(program: &'static str, direction: Direction, role: Role) -> Self {
        Self {
            program,
            direction,
            role,
        }
    }

    /// The hooks of an interface in this role.
    pub(super) fn of(role: Role) -> Vec<&'static Self> {
        Self::ALL.iter().filter(|hook| hook.role == role).collect()
    }

    /// The hook that runs this program.
    pub(super) fn named(program: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|hook| hook.program == program)
    }
}

/// The number that the interface has at this moment, if there is one of that name.
pub fn interface_index(name: &str) -> Option<IfIndex> {
    if_nametoindex(name).ok().map(IfIndex)
}

/// The interface's name at this moment.
///
/// # Errors
///
/// [`DataplaneError::Missing`] when there is no such interface.
pub fn interface_name(interface: IfIndex) -> Result<String, DataplaneError> {
    match if_indextoname(interface.0) {
        // nix 0.31 takes the null pointer of "no such index" for success.
        Ok(name) if name.is_empty() => Err(DataplaneError::Missing { interface }),
        Ok(name) => Ok(name.to_string_lossy().into_owned()),
        Err(Errno::ENXIO | Errno::ENODEV) => Err(DataplaneError::Missing { interface }),
        Err(error) => Err(DataplaneError::Interfaces(error.into())),
    }
}
