//! Units: an address is no port, a second no generation.

use core::fmt;

use bytemuck::{Pod, Zeroable};

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[repr(transparent)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
        pub struct $name(pub $inner);
    };
}

unit! {
    /// A TCP or UDP port or an ICMP echo identifier, in host byte order.
    Port(u16)
}
unit! {
    /// An interface's index in the host's network namespace; 0 is none.
    IfIndex(u32)
}
unit! {
    /// Seconds of the monotonic clock (`CLOCK_MONOTONIC`, since boot).
    Seconds(u32)
}
unit! {
    /// A rule's number in the rule table; 0 is none.
    RuleId(u32)
}
unit! {
    /// Counts up whenever a rule's number gets a new meaning, so that flows of the old one are told apart.
    Generation(u32)
}

impl Seconds {
    /// Seconds from `earlier` to `self`, 0 when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

/// A transport that the NAT translates. The numbers are IANA's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Protocol {
    /// ICMP echo, of IPv6 too (RFC 4443 gives that the number 58); its identifier takes a port's place.
    Icmp = 1,
    /// TCP.
    Tcp = 6,
    /// UDP.
    Udp = 17,
}

impl Protocol {
    /// The protocol with this number, if it is one that the NAT translates.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Icmp),
            6 => Some(Self::Tcp),
            17 => Some(Self::Udp),
            _ => None,
        }
    }

    /// Its number in an IP header.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Its name in the CLI and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Icmp => "icmp",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
