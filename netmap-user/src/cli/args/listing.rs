//! What can be said to commands that list.

use std::net::IpAddr;

use clap::{Args, ValueEnum};
use netmap_common::maps::{Kind, Protocol};

use crate::spec;

/// A listing without filters.
#[derive(Args, Clone, Debug, Default)]
pub struct ListArgs {
    /// Print JSON with stable keys
    #[arg(long)]
    pub json: bool,
}

/// `netmap flows`.
#[derive(Args, Clone, Debug, Default)]
pub struct FlowsArgs {
    /// Print JSON with stable keys
    #[arg(long)]
    pub json: bool,
    /// Print only the N flows that had a packet last, the last one first
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Only flows of this protocol
    #[arg(long, value_name = "PROTOCOL")]
    pub protocol: Option<ProtocolName>,
    /// Only flows of this kind
    #[arg(long, value_name = "KIND")]
    pub kind: Option<KindName>,
    /// Only flows that have this address on either side, before or after translation
    #[arg(long, value_name = "IP", value_parser = spec::parse_address)]
    pub address: Option<IpAddr>,
}

/// `netmap stats`.
#[derive(Args, Clone, Debug, Default)]
pub struct StatsArgs {
    /// Print JSON with stable keys
    #[arg(long)]
    pub json: bool,
    /// Print counters that are zero too
    #[arg(long)]
    pub all: bool,
}

/// A protocol that flows have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProtocolName {
    /// TCP
    Tcp,
    /// UDP
    Udp,
    /// ICMP echo
    Icmp,
}

impl From<ProtocolName> for Protocol {
    fn from(name: ProtocolName) -> Self {
        match name {
            ProtocolName::Tcp => Self::Tcp,
            ProtocolName::Udp => Self::Udp,
            ProtocolName::Icmp => Self::Icmp,
        }
    }
}

/// Why a flow is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KindName {
    /// From outside to a published port
    Published,
    /// From a container to the outside
    Egress,
    /// From a container to another container's published port
    Hairpin,
    /// From a container to its own published port
    OwnPort,
    /// A container's port that is one outside towards everybody
    Mapping,
    /// From outside to such a port
    Mapped,
}

impl From<KindName> for Kind {
    fn from(name: KindName) -> Self {
        match name {
            KindName::Published => Self::Published,
            KindName::Egress => Self::Egress,
            KindName::Hairpin => Self::Hairpin,
            KindName::OwnPort => Self::OwnPort,
            KindName::Mapping => Self::Mapping,
            KindName::Mapped => Self::Mapped,
        }
    }
}
