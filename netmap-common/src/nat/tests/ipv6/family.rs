//! Addresses of IPv6, and the tables that have them.

use core::net::{Ipv6Addr, SocketAddrV6};

pub(super) use crate::maps::Address6 as Address;
use crate::nat::testing;

pub(super) type IpAddr = Ipv6Addr;
pub(super) type Socket = SocketAddrV6;
pub(super) type World = testing::World<Address>;

pub(super) const fn socket(address: IpAddr, port: u16) -> Socket {
    SocketAddrV6::new(address, port, 0, 0)
}

/// Who is where: see the scene.
pub(super) mod address {
    use super::IpAddr;

    /// A host of a network outside, `2001:db8:net::/64`.
    const fn outside(net: u16, host: u16) -> IpAddr {
        IpAddr::new(0x2001, 0xdb8, net, 0, 0, 0, 0, host)
    }

    /// A host of a network of containers, `fd00:net::/64`.
    const fn inside(net: u16, host: u16) -> IpAddr {
        IpAddr::new(0xfd00, net, 0, 0, 0, 0, 0, host)
    }

    pub(in super::super) const R: IpAddr = outside(0x100, 7);
    /// A prefix with R in it, and somebody beside it.
    pub(in super::super) const NEAR_R: (IpAddr, u32) = (outside(0x100, 0), 48);
    pub(in super::super) const FAR_FROM_R: IpAddr = outside(0x101, 7);
    /// A router between the host and R.
    pub(in super::super) const ROUTER: IpAddr = outside(0x113, 254);
    /// Somebody else outside.
    pub(in super::super) const STRANGER: IpAddr = outside(0x113, 9);
    pub(in super::super) const H: IpAddr = outside(2, 1);
    pub(in super::super) const H2: IpAddr = outside(2, 2);
    /// The last of the uplink's subnet.
    pub(in super::super) const LAST: IpAddr =
        IpAddr::new(0x2001, 0xdb8, 2, 0, 0xffff, 0xffff, 0xffff, 0xffff);
    pub(in super::super) const GW1: IpAddr = inside(0x17, 1);
    pub(in super::super) const C1: IpAddr = inside(0x17, 2);
    pub(in super::super) const C1B: IpAddr = inside(0x17, 3);
    pub(in super::super) const TAP: IpAddr = inside(0x17, 4);
    pub(in super::super) const GW2: IpAddr = inside(0x18, 1);
    pub(in super::super) const C2: IpAddr = inside(0x18, 2);
    /// How long the networks' prefixes are.
    pub(in super::super) const NETWORK: u32 = 64;
    /// Nobody's in the first network, and its last.
    pub(in super::super) const NOBODY_1: [IpAddr; 2] = [
        inside(0x17, 0x99),
        IpAddr::new(0xfd00, 0x17, 0, 0, 0xffff, 0xffff, 0xffff, 0xffff),
    ];
    /// Nobody's in the second.
    pub(in super::super) const NOBODY_2: IpAddr = IpAddr::new(0xfd00, 0x18, 0, 0, 7, 0, 3, 4);
    pub(in super::super) const LOOPBACK: [IpAddr; 2] =
        [IpAddr::LOCALHOST, IpAddr::new(0, 0, 0, 0, 0, 0xffff, 0x7f01, 2)];
    /// What a container may not be led to.
    pub(in super::super) const NOT_ROUTABLE: [IpAddr; 6] = [
        IpAddr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb),
        IpAddr::new(0xff05, 0, 0, 0, 0, 0, 0, 2),
        IpAddr::new(0xff0e, 0, 0, 0, 0, 0, 0, 2),
        IpAddr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1),
        IpAddr::new(0xfebf, 0, 0, 0, 0, 0, 0, 1),
        IpAddr::UNSPECIFIED,
    ];
    /// What is no source.
    pub(in super::super) const NO_HOST: [IpAddr; 2] =
        [IpAddr::UNSPECIFIED, IpAddr::new(0xff0e, 0, 0, 0, 0, 0, 0, 1)];
    /// What comes from outside and is for nobody here.
    pub(in super::super) const TRANSIT: [IpAddr; 4] = [
        STRANGER,
        LAST,
        IpAddr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb),
        IpAddr::new(0xff0e, 0, 0, 0, 0, 0, 0, 2),
    ];

    /// A container of the first network.
    pub(in super::super) fn container(number: u32) -> IpAddr {
        IpAddr::from_bits(C1.to_bits() + u128::from(number))
    }
}
