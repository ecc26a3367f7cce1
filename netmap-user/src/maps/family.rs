//! The maps that are there once an address family.

use std::{
    fmt::{Debug, Display},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netmap_common::maps::{
    Address, Address6, Cookie, Detour, EgressPlace, Endpoint, Fragment, FragmentKey, IfIndex, Interface, Ip,
    Local, RuleId, SharedKey,
};

use super::{Allow, DetourStorage, Flows, Loads, MapsError, Networks, Pins, Rules, Slots, Table};

/// An address family with its subnets.
pub trait Family: Ip {
    /// A subnet, or any range of addresses with one prefix.
    type Net: Subnet<Address = Self>;

    /// The address, if it is of this family.
    fn from_ip(address: IpAddr) -> Option<Self>;

    /// `container` as a rule of this family has it for its target: one of IPv4 has a place in IPv6's tables too.
    fn target(container: IpAddr) -> Option<Self> {
        Self::from_ip(container)
    }
}

/// A subnet of either family.
pub trait Subnet: Copy + Default + Ord + Debug + Display + Into<IpNet> {
    /// Its addresses.
    type Address: Ip;

    /// `net`, if it is of this family.
    fn of(net: IpNet) -> Option<Self>;

    /// The subnet that `address` lies in, with a prefix of so many bits; `None` for more bits than an address has.
    fn around(address: Self::Address, bits: u8) -> Option<Self>;

    /// Its first address.
    fn first(self) -> Self::Address;

    /// Length of its prefix in bits.
    fn bits(self) -> u8;

    /// Whether `address` lies in it.
    fn contains(self, address: Self::Address) -> bool;
}

impl Family for Address {
    type Net = Ipv4Net;

    fn from_ip(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(address) => Some(address.into()),
            IpAddr::V6(_) => None,
        }
    }
}

impl Family for Address6 {
    type Net = Ipv6Net;

    fn from_ip(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V6(address) => Some(address.into()),
            IpAddr::V4(_) => None,
        }
    }

    fn target(container: IpAddr) -> Option<Self> {
        match container {
            IpAddr::V4(address) => Some(Self::mapped(address.into())),
            IpAddr::V6(address) => Some(address.into()),
        }
    }
}

impl Subnet for Ipv4Net {
    type Address = Address;

    fn of(net: IpNet) -> Option<Self> {
        match net {
            IpNet::V4(net) => Some(net),
            IpNet::V6(_) => None,
        }
    }

    fn contains(self, address: Address) -> bool {
        Self::contains(&self, &Ipv4Addr::from(address))
    }

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

    fn of(net: IpNet) -> Option<Self> {
        match net {
            IpNet::V4(_) => None,
            IpNet::V6(net) => Some(net),
        }
    }

    fn contains(self, address: Address6) -> bool {
        Self::contains(&self, &Ipv6Addr::from(address))
    }

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
    /// Datagrams that come in pieces.
    pub fragments: Table<FragmentKey<A>, Fragment>,
    /// Whose flows these are, in numbers.
    pub loads: Loads<A>,
    /// This host's addresses, the interface that has each, and how it is reached.
    pub locals: Table<A, Local>,
    /// Subnets behind managed bridges.
    pub networks: Networks<A>,
    /// The addresses that containers leave by, where not by the uplink's.
    pub egress: Table<EgressPlace, A>,
    /// Interfaces with a hook.
    pub interfaces: Table<IfIndex, Interface<A>>,
    /// Containers' addresses, and the port that each is behind.
    pub owners: Table<A, IfIndex>,
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
            fragments: Table::open_lru(pins, names.fragments)?,
            loads: Loads::open(pins)?,
            locals: Table::open(pins, names.locals)?,
            networks: Networks::open(pins)?,
            egress: Table::open(pins, names.egress)?,
            interfaces: Table::open(pins, names.interfaces)?,
            owners: Table::open(pins, names.owners)?,
            endpoints: Table::open(pins, names.endpoints)?,
            detours: DetourStorage::open(pins, names.detours)?,
            clients: Table::open(pins, names.clients)?,
        })
    }
}
