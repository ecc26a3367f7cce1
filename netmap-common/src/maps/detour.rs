//! Detours: the host's own sockets that talk to a container where they asked for a published port.

use bytemuck::{Pod, Zeroable};

use super::{Address, Ip, Port};

/// An address and a port.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq)]
pub struct Place<A: Ip = Address> {
    /// The address.
    pub address: A,
    /// The port; 0 in a place that is none.
    pub port: Port,
    /// Zero.
    pub pad: u16,
}

impl<A: Ip> Place<A> {
    /// This port of this address.
    pub const fn new(address: A, port: Port) -> Self {
        Self {
            address,
            port,
            pad: 0,
        }
    }
}

/// By one comparison: of several, the verifier would follow each outcome.
impl<A: Ip> PartialEq for Place<A> {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        let [own1, own2, own3, own4] = self.address.words();
        let [other1, other2, other3, other4] = other.address.words();
        let ports = u32::from(self.port.0 ^ other.port.0);
        ((own1 ^ other1) | (own2 ^ other2) | (own3 ^ other3) | (own4 ^ other4) | ports) == 0
    }
}

/// What a socket asked for, and what it got instead.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detour<A: Ip = Address> {
    /// The published address and port, which the socket is shown as its peer's.
    pub origin: Place<A>,
    /// The container's.
    pub target: Place<A>,
}

impl<A: Ip> Detour<A> {
    /// Room for one.
    pub const NONE: Self = Self {
        origin: Place::new(A::ANY, Port(0)),
        target: Place::new(A::ANY, Port(0)),
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detours<A: Ip = Address>(pub [Detour<A>; ROOM]);

/// How many a socket can have; what goes beyond is served by the proxy.
pub const ROOM: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detours_of_a_socket_are_two_cache_lines() {
        assert_eq!(size_of::<Detours>(), 128);
    }
}
