//! Addresses of IPv4, and the tables that have them.

use core::net::{Ipv4Addr, SocketAddrV4};

pub(super) use crate::maps::Address;
use crate::nat::testing;

pub(super) type IpAddr = Ipv4Addr;
pub(super) type Socket = SocketAddrV4;
pub(super) type World = testing::World<Address>;

pub(super) const fn socket(address: IpAddr, port: u16) -> Socket {
    SocketAddrV4::new(address, port)
}

/// Who is where: see the scene.
pub(super) mod address {
    use super::IpAddr;

    pub(in super::super) const R: IpAddr = IpAddr::new(198, 51, 100, 7);
    /// A prefix with R in it, and somebody beside it.
    pub(in super::super) const NEAR_R: (IpAddr, u32) = (IpAddr::new(198, 51, 100, 0), 24);
    pub(in super::super) const FAR_FROM_R: IpAddr = IpAddr::new(198, 51, 101, 7);
    /// A router between the host and R.
    pub(in super::super) const ROUTER: IpAddr = IpAddr::new(203, 0, 113, 254);
    /// Somebody else outside.
    pub(in super::super) const STRANGER: IpAddr = IpAddr::new(203, 0, 113, 9);
    pub(in super::super) const H: IpAddr = IpAddr::new(192, 0, 2, 1);
    pub(in super::super) const H2: IpAddr = IpAddr::new(192, 0, 2, 2);
    /// The last of the uplink's subnet.
    pub(in super::super) const LAST: IpAddr = IpAddr::new(192, 0, 2, 255);
    pub(in super::super) const GW1: IpAddr = IpAddr::new(172, 17, 0, 1);
    pub(in super::super) const C1: IpAddr = IpAddr::new(172, 17, 0, 2);
    pub(in super::super) const C1B: IpAddr = IpAddr::new(172, 17, 0, 3);
    pub(in super::super) const TAP: IpAddr = IpAddr::new(172, 17, 0, 4);
    pub(in super::super) const GW2: IpAddr = IpAddr::new(172, 18, 0, 1);
    pub(in super::super) const C2: IpAddr = IpAddr::new(172, 18, 0, 2);
    /// How long the networks' prefixes are.
    pub(in super::super) const NETWORK: u32 = 16;
    /// Nobody's in the first network, and its last.
    pub(in super::super) const NOBODY_1: [IpAddr; 2] =
        [IpAddr::new(172, 17, 9, 9), IpAddr::new(172, 17, 255, 255)];
    /// Nobody's in the second.
    pub(in super::super) const NOBODY_2: IpAddr = IpAddr::new(172, 18, 3, 4);
    pub(in super::super) const LOOPBACK: [IpAddr; 2] = [IpAddr::LOCALHOST, IpAddr::new(127, 255, 255, 255)];
    /// What a container may not be led to.
    pub(in super::super) const NOT_ROUTABLE: [IpAddr; 6] = [
        IpAddr::new(224, 0, 0, 251),
        IpAddr::new(239, 255, 255, 250),
        IpAddr::BROADCAST,
        IpAddr::new(240, 0, 0, 1),
        IpAddr::new(169, 254, 169, 254),
        IpAddr::UNSPECIFIED,
    ];
    /// What is no source.
    pub(in super::super) const NO_HOST: [IpAddr; 3] =
        [IpAddr::UNSPECIFIED, IpAddr::new(224, 0, 0, 1), IpAddr::BROADCAST];
    /// What comes from outside and is for nobody here.
    pub(in super::super) const TRANSIT: [IpAddr; 4] =
        [STRANGER, LAST, IpAddr::BROADCAST, IpAddr::new(224, 0, 0, 251)];

    /// A container of the first network.
    pub(in super::super) fn container(number: u32) -> IpAddr {
        IpAddr::from_bits(C1.to_bits() + number)
    }
}
