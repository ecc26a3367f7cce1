//! What netlink said about the host's network namespace, reduced to what decides where packets go.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use netmap_common::maps::{Address, Address6, IfIndex};

use super::addressing::Addressing;

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, byte) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { ":" };
            write!(f, "{separator}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a link is, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// The loopback interface.
    Loopback,
    /// A bridge (`IFLA_INFO_KIND` "bridge").
    Bridge,
    /// One end of a veth pair.
    Veth(Peer),
    /// Anything else: hardware, tap, vlan, ...
    Other,
}

/// Where the other end of a veth pair is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// In this namespace: packets cannot be redirected to it with `bpf_redirect_peer`.
    Here(IfIndex),
    /// In another namespace (`IFLA_LINK_NETNSID` is present).
    Elsewhere,
}

/// A network namespace, by the number that this one has for it (`IFLA_LINK_NETNSID`). A number that is free again is given
/// to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespaceId(pub i32);

/// The addresses in a namespace, on whatever interface, verified or not: the kernel takes any of them as a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inhabitants {
    /// Of IPv4.
    pub v4: BTreeSet<Address>,
    /// Of IPv6.
    pub v6: BTreeSet<Address6>,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: LinkKind,
    /// The bridge, bond or VRF that it belongs to.
    pub master: Option<IfIndex>,
    /// `IFF_UP`: switched on.
    pub up: bool,
    /// `IFF_RUNNING`: switched on and with a carrier.
    pub running: bool,
    /// `IFLA_BRPORT_ISOLATED`: an isolated port of its bridge.
    pub isolated: bool,
    /// Largest layer 3 packet, in bytes.
    pub mtu: u32,
    /// Its own link-layer address, if it is an Ethernet-like interface.
    pub mac: Option<Mac>,
    /// The kernel's name of what it is (`IFLA_INFO_KIND`), none for hardware.
    pub type_name: Option<String>,
    /// The bus of the device that it is the driver of (`IFLA_PARENT_DEV_BUS_NAME`).
    pub bus: Option<String>,
    /// The interface that this VLAN is on.
    pub vlan_of: Option<IfIndex>,
    /// Where the other end of a veth pair is, as far as the kernel has told.
    pub namespace: Option<NamespaceId>,
}

/// Key of a bridge's forwarding table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Station {
    /// The bridge.
    pub bridge: IfIndex,
    /// The station's address.
    pub mac: Mac,
    /// The VLAN in which it was seen, 0 without VLAN filtering.
    pub vlan: u16,
}

/// Everything that netlink said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Every interface.
    pub links: BTreeMap<IfIndex, Link>,
    /// What it said of IPv4.
    pub v4: Addressing<Address>,
    /// What it said of IPv6.
    pub v6: Addressing<Address6>,
    /// Ports by which bridges reach stations. The bridges' own addresses are not among them.
    pub stations: BTreeMap<Station, IfIndex>,
    /// Devices that take frames from XDP.
    pub takers: BTreeSet<IfIndex>,
    /// Who lives in the namespaces behind ports.
    pub inhabitants: BTreeMap<NamespaceId, Inhabitants>,
}

impl Snapshot {
    /// The interface with this name.
    pub fn link_named(&self, name: &str) -> Option<(IfIndex, &Link)> {
        self.links
            .iter()
            .find(|(_, link)| link.name == name)
            .map(|(index, link)| (*index, link))
    }

    /// The port by which `bridge` reaches `mac`, if the bridge knows it and the port is still its own.
    pub fn port_of(&self, bridge: IfIndex, mac: Mac) -> Option<IfIndex> {
        let first = Station { bridge, mac, vlan: 0 };
        let last = Station {
            bridge,
            mac,
            vlan: u16::MAX,
        };
        self.stations
            .range(first..=last)
            .map(|(_, port)| *port)
            .find(|port| self.is_port_of(*port, bridge))
    }

    /// Whether `port` exists and belongs to `bridge`.
    pub fn is_port_of(&self, port: IfIndex, bridge: IfIndex) -> bool {
        self.links
            .get(&port)
            .is_some_and(|link| link.master == Some(bridge))
    }

    /// Where default routes lead: IPv4's first, of each family's the preferred one first.
    pub fn default_hops(&self) -> impl Iterator<Item = IfIndex> {
        let v4 = self.v4.hops_by_metric().map(|(_, hop)| hop.out);
        v4.chain(self.v6.hops_by_metric().map(|(_, hop)| hop.out))
    }
}
