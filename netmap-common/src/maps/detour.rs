//! Detours: the host's own sockets that talk to a container where they asked for a published port.

use bytemuck::{Pod, Zeroable};

use super::{Address, Port};

/// An address and a port.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, Eq, Pod, Zeroable)]
pub struct Place {
    /// The address.
    pub address: Address,
    /// The port; 0 in a place that is none.
    pub port: Port,
    /// Zero.
    pub pad: u16,
}

impl Place {
    /// This port of this address.
    pub const fn new(address: Address, port: Port) -> Self {
        Self {
            address,
            port,
            pad: 0,
        }
    }
}

/// As one word: of three comparisons, the verifier would follow each outcome.
impl PartialEq for Place {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        bytemuck::cast::<Self, u64>(*self) == bytemuck::cast::<Self, u64>(*other)
    }
}

/// What a socket asked for, and what it got instead.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Detour {
    /// The published address and port, which the socket is shown as its peer's.
    pub origin: Place,
    /// The container's.
    pub target: Place,
}

impl Detour {
    /// Room for one.
    pub const NONE: Self = Self {
        origin: Place::new(Address::ANY, Port(0)),
        target: Place::new(Address::ANY, Port(0)),
    };
}

/// A number that the kernel gives to one socket alone (`SO_COOKIE`).
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct Cookie(pub u64);

/// The detours of one socket, kept by the kernel with the socket: one for a connected socket, one for each published
/// port that an unconnected one sends to. No two have the same target, or answers could not be told apart.
///
/// Written under the socket's lock, which the kernel holds while the socket hooks run.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Detours(pub [Detour; Detours::ROOM]);

impl Detours {
    /// How many a socket can have; what goes beyond is served by the proxy.
    pub const ROOM: usize = 8;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detours_of_a_socket_are_two_cache_lines() {
        assert_eq!(size_of::<Detours>(), 128);
    }
}
