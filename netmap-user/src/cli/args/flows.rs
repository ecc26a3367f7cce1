//! What can be said to `netmap flows`.

use clap::{Args, Subcommand, ValueEnum};
use ipnet::IpNet;
use netmap_common::maps::{Kind, Protocol};

use super::listing;
use crate::{
    api::flows::{FlowFilter, STATES},
    options::InterfaceName,
    spec,
};

/// `netmap flows`.
#[derive(Args, Clone, Debug, Default)]
#[command(args_conflicts_with_subcommands = true)]
pub struct FlowsArgs {
    /// What to do with them but listing them.
    #[command(subcommand)]
    pub command: Option<FlowsCommand>,
    /// Print JSON with stable keys
    #[arg(long)]
    pub json: bool,
    /// Print only the first N flows of the order, without --sort those that had a packet last
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Print them in this order, 1000 of them without --limit
    #[arg(long, value_name = "FIELD")]
    pub sort: Option<FlowOrder>,
    /// The other way round
    #[arg(long)]
    pub reverse: bool,
    /// Which.
    #[command(flatten)]
    pub filter: FlowFilterArgs,
}

/// What else can be done with flows.
#[derive(Clone, Debug, Subcommand)]
pub enum FlowsCommand {
    /// Forget flows: what they carry stops
    #[command(long_about = super::help::FLOWS_CLOSE, after_help = super::help::FLOWS_CLOSE_EXAMPLES)]
    Close(CloseArgs),
}

/// `netmap flows close`.
#[derive(Args, Clone, Debug, Default)]
pub struct CloseArgs {
    /// Print JSON with stable keys
    #[arg(long)]
    pub json: bool,
    /// Close every flow, where no filter is given
    #[arg(long)]
    pub all: bool,
    /// Which.
    #[command(flatten)]
    pub filter: FlowFilterArgs,
}

/// Which flows.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which flows (of one filter any value, of several filters all)")]
pub struct FlowFilterArgs {
    /// Of this protocol
    #[arg(long = "protocol", value_name = "PROTOCOL", value_delimiter = ',')]
    pub protocols: Vec<ProtocolName>,
    /// Of this kind
    #[arg(long = "kind", value_name = "KIND", value_delimiter = ',')]
    pub kinds: Vec<KindName>,
    /// In this state
    #[arg(long = "flow-state", value_name = "STATE", value_delimiter = ',', value_parser = STATES)]
    pub states: Vec<String>,
    /// With this address on either side, before or after translation, or one in this subnet
    #[arg(long = "address", value_name = "IP|CIDR", value_delimiter = ',', value_parser = spec::parse_source)]
    pub addresses: Vec<IpNet>,
    /// With this port on either side, before or after translation
    #[arg(long = "port", value_name = "PORT", value_delimiter = ',')]
    pub ports: Vec<u16>,
    /// Opened by this address, or by one in this subnet
    #[arg(long = "client", value_name = "IP|CIDR", value_delimiter = ',', value_parser = spec::parse_source)]
    pub clients: Vec<IpNet>,
    /// Of this container, by its name in the engine or by its address
    #[arg(long = "container", value_name = "NAME|IP", value_delimiter = ',')]
    pub containers: Vec<String>,
    /// That come in or go on by this interface, as far as the flow knows it
    #[arg(long = "interface", value_name = "IF", value_delimiter = ',')]
    pub interfaces: Vec<InterfaceName>,
    /// Without a packet for so long at least, as in 30s or 5m
    #[arg(long, value_name = "TIME", value_parser = listing::parse_seconds)]
    pub idle: Option<u32>,
    /// Opened so long ago at least, as in 1h
    #[arg(long, value_name = "TIME", value_parser = listing::parse_seconds)]
    pub age: Option<u32>,
    /// With so many bytes at least, both directions together
    #[arg(long, value_name = "N")]
    pub bytes: Option<u64>,
}

impl FlowFilterArgs {
    /// The same as the daemon takes it.
    pub fn filter(&self) -> FlowFilter {
        let protocols = self.protocols.iter().map(|name| Protocol::from(*name).name());
        let kinds = self.kinds.iter().map(|name| Kind::from(*name).name());
        FlowFilter {
            protocols: protocols.map(str::to_owned).collect(),
            kinds: kinds.map(str::to_owned).collect(),
            states: self.states.clone(),
            addresses: self.addresses.clone(),
            ports: self.ports.clone(),
            clients: self.clients.clone(),
            containers: self.containers.clone(),
            interfaces: self.interfaces.iter().map(ToString::to_string).collect(),
            min_idle_seconds: self.idle,
            min_age_seconds: self.age,
            min_bytes: self.bytes,
        }
    }
}

/// What flows are put in order by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum FlowOrder {
    /// The one that had a packet last first
    #[default]
    Idle,
    /// The oldest first
    Age,
    /// The most first, both directions together
    Bytes,
    /// The most first, both directions together
    Packets,
    /// By the address that opened it
    Client,
    /// By the container's address
    Container,
    /// By the port that was asked
    Port,
    /// By the protocol's number
    Protocol,
    /// Published ones first
    Kind,
    /// Those that open first
    State,
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
    /// From outside straight to a container, where its bridge is open
    Direct,
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
            KindName::Direct => Self::Direct,
            KindName::Mapping => Self::Mapping,
            KindName::Mapped => Self::Mapped,
        }
    }
}
