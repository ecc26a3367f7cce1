//! Published rules: one a range, found by one array access a port.

use bytemuck::{Pod, Zeroable};

use super::{Address, Generation, Ip, Port, Protocol, RuleId};

/// One published range: `length` ports of one host address (or of any) to as many ports of one container.
///
/// The daemon is the only writer. It fills a rule before any slot names it, and clears the slots and bumps the
/// generation before it uses the number again.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule<A: Ip = Address> {
    /// The published address of this host; [`Ip::ANY`] stands for every one.
    pub host: A,
    /// The container's address. In a rule of IPv6 it may be an IPv4-mapped one: then the proxy carries everything.
    pub target: A,
    /// First published port.
    pub host_port: Port,
    /// First port in the container.
    pub target_port: Port,
    /// How many ports, at least 1.
    pub length: u16,
    /// [`Protocol`] number, 6 or 17.
    pub protocol: u8,
    /// [`Rule::LIVE`], [`Rule::ALLOW_LIST`], [`Rule::YIELDS`], [`Rule::ENGINE`], [`Rule::UNCLAIMED`].
    pub flags: u8,
    /// Flows of another generation of this number are re-decided at their next packet.
    pub generation: Generation,
    /// When it was published.
    pub since: super::Seconds,
}

impl Rule {
    /// The rule is published; without it the number is free.
    pub const LIVE: u8 = 1;
    /// Only sources in the allow-list may open a flow.
    pub const ALLOW_LIST: u8 = 2;
    /// Another program of this host has one of the ports: what reaches the host itself is that program's.
    pub const YIELDS: u8 = 4;
    /// A container engine had it published. The engine binds its ports itself, before it asks: sockets alone keep them.
    pub const ENGINE: u8 = 8;
    /// Nobody of that engine stands for it at the moment.
    pub const UNCLAIMED: u8 = 16;
    /// Up to so many ports, a rule's ports are kept from other programs by bound sockets; more by the bind hooks.
    pub const MOST_SOCKETS: u16 = 64;
}

impl<A: Ip> Rule<A> {
    /// Whether it is published.
    pub const fn is_live(&self) -> bool {
        self.flags & Rule::LIVE != 0
    }

    /// Whether sources are limited to an allow-list.
    pub const fn has_allow_list(&self) -> bool {
        self.flags & Rule::ALLOW_LIST != 0
    }

    /// Whether the socket hooks leave its ports to another program.
    pub const fn yields(&self) -> bool {
        self.flags & Rule::YIELDS != 0
    }

    /// Whether a container engine had it published.
    pub const fn is_of_engine(&self) -> bool {
        self.flags & Rule::ENGINE != 0
    }

    /// The last published port.
    pub const fn last_port(&self) -> Port {
        Port(self.host_port.0.saturating_add(self.length.saturating_sub(1)))
    }

    /// The container's port behind a published one, if the rule covers it.
    pub const fn target_port_of(&self, port: Port) -> Option<Port> {
        let Some(offset) = port.0.checked_sub(self.host_port.0) else {
            return None;
        };
        if offset >= self.length {
            return None;
        }
        match self.target_port.0.checked_add(offset) {
            Some(port) => Some(Port(port)),
            None => None,
        }
    }
}

/// What stands in a port's slot.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Slot(pub u32);

impl Slot {
    /// Nothing is published at this port.
    pub const EMPTY: Self = Self(0);
    /// Several host addresses publish this port: ask the table of shared ports.
    pub const SHARED: Self = Self(u32::MAX);
}

impl From<RuleId> for Slot {
    fn from(rule: RuleId) -> Self {
        Self(rule.0)
    }
}

/// Where a port's slot and its reserved bit stand.
#[derive(Clone, Copy, Debug)]
pub struct PortSlots;

impl PortSlots {
    /// Index into the slots, none for protocols without ports.
    pub const fn index(protocol: Protocol, port: Port) -> Option<u32> {
        match protocol {
            Protocol::Tcp => Some(port.0 as u32),
            Protocol::Udp => Some(65_536 + port.0 as u32),
            Protocol::Icmp => None,
        }
    }

    /// Index into the words of reserved ports, and the port's bit there.
    pub const fn word(protocol: Protocol, port: Port) -> Option<(u32, u64)> {
        match Self::index(protocol, port) {
            Some(index) => Some((index / 64, 1 << (index % 64))),
            None => None,
        }
    }
}

/// Key of the table of ports that several host addresses publish.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SharedKey<A: Ip = Address> {
    /// The published address.
    pub host: A,
    /// The published port.
    pub port: Port,
    /// [`Protocol`] number.
    pub protocol: u8,
    /// Zero.
    pub pad: u8,
}

/// Key of the allow-lists: a prefix of 32 bits for the rule and 0 to [`Ip::BITS`] for the source. Big-endian.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AllowKey<A: Ip = Address> {
    /// The rule's number, big-endian.
    pub rule: [u8; 4],
    /// The source address, network byte order.
    pub source: A::Octets,
}

/// The key of a prefix, as user space reads and writes it: the kernel wants the prefix's length in front.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AllowPrefix<A: Ip = Address> {
    /// 32 bits for the rule, and those of the source's prefix.
    pub length: u32,
    /// The key.
    pub key: AllowKey<A>,
}

impl<A: Ip> AllowKey<A> {
    /// The key of one source address (a prefix's address with its length plus 32 names a prefix).
    #[inline(always)]
    pub fn new(rule: RuleId, source: A) -> Self {
        Self {
            rule: rule.0.to_be_bytes(),
            source: source.octets(),
        }
    }
}
