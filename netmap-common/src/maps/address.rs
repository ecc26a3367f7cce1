//! Addresses of both families, and what the tables and the NAT need to know of one.

use core::{
    fmt::{self, Debug, Display},
    hash::Hash,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use bytemuck::{Pod, Zeroable};

use super::name::Names;

/// An address of either family: all tables are there once for each.
pub trait Ip: Pod + Default + Ord + Hash + Debug + Display + Into<IpAddr> {
    /// The address in network byte order, as keys of longest-prefix maps have it.
    type Octets: Pod + Default + Eq + Hash + Debug + AsRef<[u8]>;

    /// The unspecified address: "any address of this host" in a rule.
    const ANY: Self;

    /// How many bits an address has.
    const BITS: u32;

    /// The names of the family's maps.
    const NAMES: Names;

    /// The address as four 32-bit numbers, an IPv4 address in the last.
    fn words(self) -> [u32; 4];

    /// The same number in network byte order, as kernel structures want it.
    #[must_use]
    fn to_be(self) -> Self;

    /// The address in network byte order.
    fn octets(self) -> Self::Octets;

    /// The address that is so in network byte order.
    fn from_octets(octets: Self::Octets) -> Self;

    /// Whether it is a loopback address, which must never be seen on a wire.
    fn is_loopback(self) -> bool;

    /// Whether it is a group's, or reserved.
    fn is_multicast_or_reserved(self) -> bool;

    /// Whether routers must not forward it.
    fn is_link_local(self) -> bool;

    /// Whether it is what a host says that has no address yet.
    fn is_nobody(self) -> bool;

    /// Whether it is an IPv4 address inside an IPv6 one.
    fn is_mapped(self) -> bool {
        false
    }
}

/// An IPv4 address, as the number it is in host byte order.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct Address(pub u32);

/// An IPv6 address as four numbers in host byte order, the most significant first.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct Address6(pub [u32; 4]);

impl Address {
    /// 0.0.0.0.
    pub const ANY: Self = Self(0);

    /// Whether it is in 127.0.0.0/8, which must never be seen on a wire (RFC 1122, 3.2.1.3 g).
    pub const fn is_loopback(self) -> bool {
        self.0 >> 24 == 127
    }

    /// Whether it is a multicast group (224.0.0.0/4), limited broadcast or reserved (240.0.0.0/4).
    pub const fn is_multicast_or_reserved(self) -> bool {
        self.0 >> 29 == 0b111
    }

    /// Whether it is in 169.254.0.0/16, which routers must not forward (RFC 3927, 2.7).
    pub const fn is_link_local(self) -> bool {
        self.0 >> 16 == 0xa9fe
    }
}

impl Address6 {
    /// The unspecified address.
    pub const ANY: Self = Self([0; 4]);

    /// The IPv4-mapped address `::ffff:a.b.c.d` (RFC 4291, 2.5.5.2).
    pub const fn mapped(address: Address) -> Self {
        Self([0, 0, 0xffff, address.0])
    }

    /// The IPv4 address that is mapped into it.
    pub const fn to_mapped(self) -> Option<Address> {
        match self.0 {
            [0, 0, 0xffff, address] => Some(Address(address)),
            _ => None,
        }
    }
}

impl Ip for Address {
    type Octets = [u8; 4];

    const ANY: Self = Self::ANY;
    const BITS: u32 = 32;
    const NAMES: Names = Names::V4;

    #[inline(always)]
    fn words(self) -> [u32; 4] {
        [0, 0, 0, self.0]
    }

    #[inline(always)]
    fn to_be(self) -> Self {
        Self(self.0.to_be())
    }

    #[inline(always)]
    fn octets(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }

    #[inline(always)]
    fn from_octets(octets: [u8; 4]) -> Self {
        Self(u32::from_be_bytes(octets))
    }

    #[inline(always)]
    fn is_loopback(self) -> bool {
        self.is_loopback()
    }

    #[inline(always)]
    fn is_multicast_or_reserved(self) -> bool {
        self.is_multicast_or_reserved()
    }

    #[inline(always)]
    fn is_link_local(self) -> bool {
        self.is_link_local()
    }

    /// `0.0.0.0/8` (RFC 6890, 2.2.2).
    #[inline(always)]
    fn is_nobody(self) -> bool {
        self.0 >> 24 == 0
    }
}

impl Ip for Address6 {
    type Octets = [u8; 16];

    const ANY: Self = Self::ANY;
    const BITS: u32 = 128;
    const NAMES: Names = Names::V6;

    #[inline(always)]
    fn words(self) -> [u32; 4] {
        self.0
    }

    #[inline(always)]
    fn to_be(self) -> Self {
        Self(self.0.map(u32::to_be))
    }

    #[inline(always)]
    fn octets(self) -> [u8; 16] {
        bytemuck::cast(self.0.map(u32::to_be))
    }

    #[inline(always)]
    fn from_octets(octets: [u8; 16]) -> Self {
        Self(bytemuck::cast::<[u8; 16], [u32; 4]>(octets).map(u32::from_be))
    }

    /// `::1`, and the loopback addresses of IPv4 in disguise (RFC 4291, 2.5.3 and 2.5.5.2).
    #[inline(always)]
    fn is_loopback(self) -> bool {
        match self.0 {
            [0, 0, 0, 1] => true,
            [0, 0, 0xffff, address] => Address(address).is_loopback(),
            _ => false,
        }
    }

    /// `ff00::/8` (RFC 4291, 2.7). What else is not unicast has no name of its own.
    #[inline(always)]
    fn is_multicast_or_reserved(self) -> bool {
        let [first, ..] = self.0;
        first >> 24 == 0xff
    }

    /// `fe80::/10` (RFC 4291, 2.5.6).
    #[inline(always)]
    fn is_link_local(self) -> bool {
        let [first, ..] = self.0;
        first >> 22 == 0xfe80 >> 6
    }

    /// `::` (RFC 4291, 2.5.2).
    #[inline(always)]
    fn is_nobody(self) -> bool {
        self == Self::ANY
    }

    #[inline(always)]
    fn is_mapped(self) -> bool {
        self.to_mapped().is_some()
    }
}

impl From<Ipv4Addr> for Address {
    fn from(address: Ipv4Addr) -> Self {
        Self(address.to_bits())
    }
}

impl From<Address> for Ipv4Addr {
    fn from(address: Address) -> Self {
        Self::from_bits(address.0)
    }
}

impl From<Address> for IpAddr {
    fn from(address: Address) -> Self {
        Self::V4(address.into())
    }
}

impl From<Ipv6Addr> for Address6 {
    fn from(address: Ipv6Addr) -> Self {
        Self::from_octets(address.octets())
    }
}

impl From<Address6> for Ipv6Addr {
    fn from(address: Address6) -> Self {
        Self::from(address.octets())
    }
}

impl From<Address6> for IpAddr {
    fn from(address: Address6) -> Self {
        Self::V6(address.into())
    }
}

impl Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&Ipv4Addr::from(*self), f)
    }
}

impl Display for Address6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&Ipv6Addr::from(*self), f)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString as _;

    use super::*;

    fn six(text: &str) -> Address6 {
        Address6::from(text.parse::<Ipv6Addr>().unwrap())
    }

    #[test]
    fn an_ipv6_address_reads_and_prints_as_it_was_written() {
        for text in ["::", "::1", "2001:db8::5:1", "fe80::1", "::ffff:10.0.0.1"] {
            assert_eq!(six(text).to_string(), text);
        }
        assert_eq!(six("2001:db8::1").0, [0x2001_0db8, 0, 0, 1]);
        assert_eq!(six("2001:db8::1").octets()[..4], [0x20, 0x01, 0x0d, 0xb8]);
    }

    #[test]
    fn the_kinds_of_ipv6_addresses_are_told_apart() {
        assert!(six("::1").is_loopback() && six("::ffff:127.0.0.1").is_loopback());
        assert!(!six("::2").is_loopback() && !six("::ffff:10.0.0.1").is_loopback());
        assert!(
            six("fe80::1").is_link_local()
                && six("febf::1").is_link_local()
                && !six("fec0::1").is_link_local()
        );
        assert!(six("ff02::1").is_multicast_or_reserved() && !six("fd00::1").is_multicast_or_reserved());
        assert_eq!(six("::ffff:10.0.0.1").to_mapped(), Some(Address(0x0a00_0001)));
        assert_eq!(six("::10.0.0.1").to_mapped(), None);
    }
}
