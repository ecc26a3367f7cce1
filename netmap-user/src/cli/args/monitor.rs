//! What can be said to `netmap monitor`.

use std::path::PathBuf;

use clap::Args;
use ipnet::IpNet;
use netmap_common::maps::Reason;

use crate::{
    options::{self, InterfaceName},
    spec,
};

/// `netmap monitor`.
#[derive(Args, Clone, Debug, Default)]
pub struct MonitorArgs {
    /// Print JSON with stable keys, a line an event
    #[arg(long)]
    pub json: bool,
    /// Only packets that are dropped
    #[arg(long)]
    pub drops: bool,
    /// Only packets with this reason, as `netmap stats` names it; may be given several times
    #[arg(long = "reason", value_name = "REASON", value_delimiter = ',', value_parser = options::parse_reason)]
    pub reasons: Vec<Reason>,
    /// Packets left to the host for everyday reasons too, as the host's own traffic
    #[arg(long)]
    pub all: bool,
    /// Only what has this port at either end, before or after translation, or published; may be given several times
    #[arg(long = "port", value_name = "PORT", value_delimiter = ',')]
    pub ports: Vec<u16>,
    /// Only what has this address, or one in this subnet, at either end; may be given several times
    #[arg(long = "address", value_name = "IP|CIDR", value_delimiter = ',', value_parser = spec::parse_source)]
    pub addresses: Vec<IpNet>,
    /// Only what is about this container, by its name in the engine or by its address; may be given several times
    #[arg(long = "container", value_name = "NAME|IP", value_delimiter = ',')]
    pub containers: Vec<String>,
    /// Only what comes in or goes on by this interface; may be given several times
    #[arg(long = "interface", value_name = "IF", value_delimiter = ',')]
    pub interfaces: Vec<InterfaceName>,
    /// Write dropped packets to this file too, for Wireshark, each with its reason as comment (pcapng)
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
    /// Stop after N events
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
}
