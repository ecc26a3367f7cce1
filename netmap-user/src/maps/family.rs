//! The maps that are there once an address family.

use std::fmt::{Debug, Display};

use ipnet::{Ipv4Net, Ipv6Net};
use netmap_common::maps::{
    Address, Address6, Cookie, Detour, Endpoint, IfIndex, Interface, Ip, RuleId, SharedKey,
};

use super::{Allow, DetourStorage, Flows, Loads, MapsError, Networks, Pins, Rules, Slots, Table};

/// An address family with its subnets.
pub trait Family: Ip {
    /// A subnet, or any range of addresses with one prefix.
    type Net: Subnet<Address = Self>;
}

/// A subnet of either family.
pub trait Subnet: Copy + Ord + Debug + Display {
    /// Its addresses.
    type Address: Ip;

    /// The subnet that `address` lies in, with a prefix of so many bits; `None` for more bits than an address has.
    fn around(address: Self::Address, bits: u8) -> Option<Self>;

    /// Its first address.
    fn first(self) -> Self::Address;

    /// Length of its prefix in bits.
    fn bits(self) -> u8;
}

impl Family for Address {
    type Net = Ipv4Net;
}

impl Family for Address6 {
    type Net = Ipv6Net;
}

impl Subnet for Ipv4Net {
    type Address = Address;

    fn around(address: Address, bits: u8) -> Option<Self> {
        Self::new(address.into(), bits).ok().map(|net| net.trunc())
    }

    fn first(self) -> Address {
        self.network().into()
    }

    fn bits(self) -> u8 {
        self.prefix_len()
    }
}

impl Subnet for Ipv6Net {
    type Address = Address6;

    fn around(address: Address6, bits: u8) -> Option<Self> {
        Self::new(address.into(), bits).ok().map(|net| net.trunc())
    }

    fn first(self) -> Address6 {
        self.network().into()
    }

    fn bits(self) -> u8 {
        self.prefix_len()
    }
}

/// One family's maps.
pub struct FamilyMaps<A: Family> {
    /// What each port is.
    pub slots: Slots,
    /// Ports that several host addresses publish.
    pub shared: Table<SharedKey<A>, RuleId>,
    /// The published ranges.
    pub rules: Rules<A>,
    /// Sources that may connect to rules with an allow-list.
    pub allow: Allow<A>,
    /// What is being translated.
    pub flows: Flows<A>,
    /// Whose flows these are, in numbers.
    pub loads: Loads<A>,
    /// This host's addresses, and the interface that has each.
    pub locals: Table<A, IfIndex>,
    /// Subnets behind managed bridges.
    pub networks: Networks<A>,
    /// Interfaces with a hook.
    pub interfaces: Table<IfIndex, Interface<A>>,
    /// How to reach each published container.
    pub endpoints: Table<A, Endpoint<A>>,
    /// Which sockets of this host go straight to a container.
    pub detours: DetourStorage,
    /// Connected UDP sockets among them, and some that are closed since.
    pub clients: Table<Cookie, Detour<A>>,
}

impl<A: Family> FamilyMaps<A> {
    pub(super) fn open(pins: &Pins) -> Result<Self, MapsError> {
        let names = A::NAMES;
        Ok(Self {
            slots: Slots::open(pins, names.slots)?,
            shared: Table::open(pins, names.shared)?,
            rules: Rules::open(pins)?,
            allow: Allow::open(pins)?,
            flows: Flows::open(pins)?,
            loads: Loads::open(pins)?,
            locals: Table::open(pins, names.locals)?,
            networks: Networks::open(pins)?,
            interfaces: Table::open(pins, names.interfaces)?,
            endpoints: Table::open(pins, names.endpoints)?,
            detours: DetourStorage::open(pins, names.detours)?,
            clients: Table::open(pins, names.clients)?,
        })
    }
}
