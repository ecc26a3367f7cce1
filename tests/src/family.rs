//! The lab's machines by either family's address, for promises that hold for both.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::{ipv6, topology};

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6, in labs made with [`Options::ipv6`](crate::Options).
    V6,
}

/// Something in the lab that has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The remote host.
    Remote,
    /// Its second address, in labs made with [`Options::second_remote`](crate::Options).
    Remote2,
    /// The host, on its uplink.
    Host,
    /// The host's own loopback address.
    Localhost,
    /// The first bridge.
    Gateway1,
    /// The second bridge.
    Gateway2,
    /// The container behind published ports.
    C1,
    /// Its neighbour.
    C1b,
    /// The container on the second bridge.
    C2,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// Its address of `place`.
    pub const fn address(self, place: Place) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(match place {
                Place::Remote => topology::REMOTE,
                Place::Remote2 => topology::REMOTE2,
                Place::Host => topology::HOST,
                Place::Localhost => Ipv4Addr::LOCALHOST,
                Place::Gateway1 => topology::GATEWAY1,
                Place::Gateway2 => topology::GATEWAY2,
                Place::C1 => topology::C1,
                Place::C1b => topology::C1B,
                Place::C2 => topology::C2,
            }),
            Self::V6 => IpAddr::V6(match place {
                Place::Remote => ipv6::REMOTE,
                Place::Remote2 => ipv6::REMOTE2,
                Place::Host => ipv6::HOST,
                Place::Localhost => Ipv6Addr::LOCALHOST,
                Place::Gateway1 => ipv6::GATEWAY1,
                Place::Gateway2 => ipv6::GATEWAY2,
                Place::C1 => ipv6::C1,
                Place::C1b => ipv6::C1B,
                Place::C2 => ipv6::C2,
            }),
        }
    }

    /// A port there.
    pub const fn at(self, place: Place, port: u16) -> SocketAddr {
        SocketAddr::new(self.address(place), port)
    }
}
