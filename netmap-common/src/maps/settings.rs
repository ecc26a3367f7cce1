//! Settings that may change while programs run. What never changes is a constant of the object instead.

use bytemuck::{Pod, Zeroable};

use super::Port;

/// A range of ports, both ends included; empty when `first > last`, and when it is all zero, as settings are that
/// nobody has written yet (there is no port 0).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct PortRange {
    /// First port.
    pub first: Port,
    /// Last port, included.
    pub last: Port,
}

impl PortRange {
    /// How many ports it has.
    pub const fn len(self) -> u32 {
        if self.is_empty() {
            0
        } else {
            self.last.0 as u32 - self.first.0 as u32 + 1
        }
    }

    /// Whether it has none.
    pub const fn is_empty(self) -> bool {
        self.first.0 > self.last.0 || self.last.0 == 0
    }

    /// Whether `port` lies in it.
    pub const fn contains(self, port: Port) -> bool {
        !self.is_empty() && self.first.0 <= port.0 && port.0 <= self.last.0
    }
}

/// Settings, written by the daemon.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Settings {
    /// The host's network namespace (`SO_NETNS_COOKIE`): socket hooks act on no other.
    pub netns_cookie: u64,
    /// Keys the choice of source ports, so that they cannot be guessed (RFC 6056, 3.3.3). Random, made once.
    pub secret: [u64; 2],
    /// Source ports for masquerading below and above the host's own ephemeral range (`ip_local_port_range`).
    pub pool: [PortRange; 2],
    /// The mark (`SO_MARK`) of the daemon's own sockets, which may bind published ports.
    pub socket_mark: u32,
    /// [`Settings::MAPPINGS`].
    pub flags: u32,
}

impl Settings {
    /// There may be networks whose mappings do not depend on whom they talk to
    /// ([`Network::MAPPINGS`](super::Network::MAPPINGS)): without the flag, nothing is looked up for them.
    pub const MAPPINGS: u32 = 1;

    /// Whether ports may belong to mappings.
    pub const fn has_mappings(&self) -> bool {
        self.flags & Self::MAPPINGS != 0
    }
}
