//! Where packets can be sent: interfaces, networks and containers, as the daemon learns them from netlink.

use bytemuck::{Pod, Zeroable};

use super::{Address, IfIndex, Ip};

/// What an interface is to netmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// Leads to the outside.
    Uplink = 1,
    /// The host end of a container's interface, a port of a managed bridge.
    Port = 2,
    /// A managed bridge.
    Bridge = 3,
}

/// How a packet leaves a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Way {
    /// `bpf_redirect_peer`: into the network namespace behind a veth.
    Peer = 1,
    /// `bpf_redirect_neigh`: out of an interface, the kernel filling in the link-layer addresses. Towards the wire,
    /// and through the bridge to ports without a peer elsewhere (tap devices, veths that stay in the host).
    Neigh = 2,
    /// The host's own stack forwards: the destination is rewritten where the packet comes in, the source where it
    /// leaves by an uplink. The only mixture that neither martian checks nor conntrack break.
    Stack = 3,
}

impl Way {
    /// The way with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Peer),
            2 => Some(Self::Neigh),
            3 => Some(Self::Stack),
            _ => None,
        }
    }

    /// Its name in the CLI and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Neigh => "neigh",
            Self::Stack => "stack",
        }
    }
}

/// An interface that carries a hook.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interface<A: Ip = Address> {
    /// [`Role`] number.
    pub role: u8,
    /// [`Way`] number by which packets reach what is behind it.
    pub way: u8,
    /// [`Interface::ISOLATED`], [`Interface::TRUSTED`], [`Interface::CLOSED`], [`Interface::KNOWN`].
    pub flags: u8,
    /// Zero.
    pub pad: u8,
    /// Where that way leads: the port itself for [`Way::Peer`], the bridge for [`Way::Neigh`], the uplink itself.
    pub out: IfIndex,
    /// The bridge of a port, itself for a bridge, 0 for an uplink.
    pub bridge: IfIndex,
    /// Uplink: the address that masquerading takes, 0 when it has none. Port and bridge: the bridge's first address.
    pub address: A,
}

impl Interface {
    /// The bridge port is isolated (`IFLA_BRPORT_ISOLATED`): its neighbours cannot answer it directly.
    pub const ISOLATED: u8 = 1;
}

impl<A: Ip> Interface<A> {
    /// The uplink is one that bridges may trust ([`Network::DIRECT_TRUSTED`]).
    pub const TRUSTED: u8 = 2;
    /// The uplink is one by which nobody reaches what is published (`--publish-on`), except at addresses that are open by
    /// themselves ([`Local::CLOSED`]).
    pub const CLOSED: u8 = 4;
    /// The addresses behind the port are known (`OWNERS` has them): from others nobody there may send.
    pub const KNOWN: u8 = 8;
}

/// An address of this host.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Local {
    /// An interface that has it.
    pub interface: IfIndex,
    /// [`Local::CLOSED`].
    pub flags: u32,
}

impl From<IfIndex> for Local {
    /// An open one.
    fn from(interface: IfIndex) -> Self {
        Self { interface, flags: 0 }
    }
}

impl Local {
    /// What is published is reached at it by open uplinks only ([`Interface::CLOSED`]).
    pub const CLOSED: u32 = 1;

    /// Whether it is.
    pub const fn is_closed(self) -> bool {
        self.flags & Self::CLOSED != 0
    }
}

impl<A: Ip> Network<A> {
    /// Packets from outside may go straight to containers' addresses.
    pub const DIRECT: u32 = 1;
    /// The same for those by a trusted uplink.
    pub const DIRECT_TRUSTED: u32 = 2;
}

/// A subnet behind a managed bridge.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Network<A: Ip = Address> {
    /// The bridge.
    pub bridge: IfIndex,
    /// The bridge's address in this subnet.
    pub gateway: A,
    /// [`Network::DIRECT`] or [`Network::DIRECT_TRUSTED`], [`Network::MAPPINGS`], [`Network::INTERNAL`], [`Network::PLAIN`], and
    /// what [`Network::egress`] gives.
    pub flags: u32,
}

impl<A: Ip> Network<A> {
    /// A container keeps its port towards everybody, and everybody may send to it there (endpoint-independent mapping and
    /// filtering, RFC 4787, 4.1 and 5).
    pub const MAPPINGS: u32 = 4;
    /// Its containers speak with each other and with the host, with nobody else.
    pub const INTERNAL: u32 = 8;
    /// What leaves it keeps its source: the host's stack forwards it.
    pub const PLAIN: u32 = 16;

    /// Whether its containers speak with each other and the host only.
    pub const fn is_internal(&self) -> bool {
        self.flags & Self::INTERNAL != 0
    }

    /// Whether what leaves it keeps its source.
    pub const fn is_plain(&self) -> bool {
        self.flags & Self::PLAIN != 0
    }

    /// Whether its containers have mappings.
    pub const fn has_mappings(&self) -> bool {
        self.flags & Self::MAPPINGS != 0
    }

    /// Where the number of egress places stands in the flags.
    const EGRESS: u32 = 16;

    /// The flag that says that its containers leave by addresses of their own, of which there are places for so many.
    pub const fn egress(places: u16) -> u32 {
        (places as u32) << Self::EGRESS
    }

    /// How many places there are ([`EgressPlace`]); 0 where containers leave by the uplink's address.
    pub const fn egress_places(&self) -> u32 {
        self.flags >> Self::EGRESS
    }
}

/// Key of the addresses of this host that what is behind a bridge leaves by, in place of the uplink's. A container has one
/// of the places. One that the table has nothing for is that of an address that the host does not have (yet).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct EgressPlace {
    /// The bridge.
    pub bridge: IfIndex,
    /// From 0 on.
    pub number: u32,
}

/// Key of the networks' longest-prefix map, network byte order.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NetworkKey<A: Ip = Address>(pub A::Octets);

/// The key of a prefix, as user space reads and writes it: the kernel wants the prefix's length in front.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NetworkPrefix<A: Ip = Address> {
    /// Bits of the prefix.
    pub length: u32,
    /// The key.
    pub key: NetworkKey<A>,
}

impl<A: Ip> From<A> for NetworkKey<A> {
    #[inline(always)]
    fn from(address: A) -> Self {
        Self(address.octets())
    }
}

/// How to reach a published container.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoint<A: Ip = Address> {
    /// Where [`Endpoint::way`] leads, see [`Interface::out`]; 0 for [`Way::Stack`].
    pub out: IfIndex,
    /// The bridge it is on, 0 for [`Way::Stack`].
    pub bridge: IfIndex,
    /// The bridge's address in its network: the source of what must not keep its own.
    pub gateway: A,
    /// [`Way`] number.
    pub way: u8,
    /// [`Interface::ISOLATED`] of its port.
    pub flags: u8,
    /// Zero.
    pub pad: [u8; 2],
}

/// How a frame gets to a container without the kernel's help.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hop<A: Ip = Address> {
    /// The port that it leaves by; 0 for none.
    pub out: IfIndex,
    /// The container's address.
    pub to: A,
    /// The frame's link-layer addresses: destination and source.
    pub link: [[u8; 6]; 2],
}
