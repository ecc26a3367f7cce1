//! What can be said to commands that list.

use std::time::Duration;

use clap::{Args, ValueEnum};
use ipnet::IpNet;
use netmap_common::maps::{Class, Hook, Reason};

use crate::{api::events, spec};

/// A listing without filters.
#[derive(Args, Clone, Debug, Default)]
pub struct ListArgs {
    /// Print JSON with stable keys
    #[arg(long)]
    pub json: bool,
}

/// `netmap ports`.
#[derive(Args, Clone, Debug, Default)]
pub struct PortsArgs {
    /// Print JSON with stable keys
    #[arg(long)]
    pub json: bool,
    /// Look twice, so far apart, and print what came between a second [default: 1s]
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "1s", value_parser = parse_pause)]
    pub sample: Option<Duration>,
    /// Only what leads to this container, by its name in the engine or by its address; may be given several times
    #[arg(long = "container", value_name = "NAME|IP", value_delimiter = ',')]
    pub containers: Vec<String>,
    /// Only ranges with this port, published or the container's; may be given several times
    #[arg(long = "port", value_name = "PORT", value_delimiter = ',')]
    pub ports: Vec<u16>,
    /// Only what is published at this address or leads to it, or to one in this subnet; may be given several times
    #[arg(long = "address", value_name = "IP|CIDR", value_delimiter = ',', value_parser = spec::parse_source)]
    pub addresses: Vec<IpNet>,
    /// Only what this one had published
    #[arg(long, value_name = "OWNER")]
    pub owner: Option<OwnerName>,
    /// Only what has no flow, and had none since the daemon began or since it is published
    #[arg(long)]
    pub unused: bool,
    /// Print them in this order
    #[arg(long, value_name = "FIELD", default_value = "port")]
    pub sort: PortOrder,
    /// Print only the first N
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

/// Who had a port published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OwnerName {
    /// `netmap publish`, or another program by the API
    Operator,
    /// The container engine
    Docker,
    /// The container engine, of which nobody stands for it now
    Unclaimed,
}

/// What published ports are put in order by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PortOrder {
    /// By protocol, port and address
    #[default]
    Port,
    /// By the container's address
    Container,
    /// Published last first
    Age,
    /// The most flows first
    Flows,
    /// Used last first
    LastUse,
    /// The most packets a second first, with --sample
    Packets,
    /// The most bytes a second first, with --sample
    Bytes,
    /// The most new flows a second first, with --sample
    NewFlows,
}

/// `netmap stats`.
#[derive(Args, Clone, Debug, Default)]
pub struct StatsArgs {
    /// Print JSON with stable keys; with --watch an object a line
    #[arg(long)]
    pub json: bool,
    /// Print counters that are zero too
    #[arg(long)]
    pub all: bool,
    /// Print again and again what came in a second, until Ctrl-C [default: 1s]
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "1s", value_parser = parse_pause)]
    pub watch: Option<Duration>,
    /// Stop after N times
    #[arg(long, value_name = "N", requires = "watch")]
    pub count: Option<u64>,
    /// Only this reason; may be given several times
    #[arg(long = "reason", value_name = "REASON", value_delimiter = ',', value_parser = parse_reason)]
    pub reasons: Vec<Reason>,
    /// Only this hook; may be given several times
    #[arg(long = "hook", value_name = "HOOK", value_delimiter = ',', value_parser = parse_hook)]
    pub hooks: Vec<Hook>,
    /// Only what became of packets so
    #[arg(long = "class", value_name = "CLASS", value_delimiter = ',')]
    pub classes: Vec<ClassName>,
}

/// What becomes of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClassName {
    /// Translated and sent on
    Carried,
    /// Left to the host, untouched
    Passed,
    /// Dropped
    Dropped,
}

impl From<ClassName> for Class {
    fn from(name: ClassName) -> Self {
        match name {
            ClassName::Carried => Self::Carried,
            ClassName::Passed => Self::Passed,
            ClassName::Dropped => Self::Dropped,
        }
    }
}

fn parse_hook(name: &str) -> Result<Hook, String> {
    let hook = Hook::ALL.into_iter().find(|hook| hook.name() == name);
    hook.ok_or_else(|| {
        let names: Vec<_> = Hook::ALL.iter().map(|hook| hook.name()).collect();
        format!("{name:?} is no hook; there are {}", names.join(", "))
    })
}

fn parse_reason(name: &str) -> Result<Reason, String> {
    events::reason(name).ok_or_else(|| format!("{name:?} is no reason; `netmap stats --all` lists them"))
}

/// A time as in `500ms`, `1s` or `2`, which is seconds.
fn parse_time(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse::<u32>() {
        return Ok(Duration::from_secs(seconds.into()));
    }
    humantime::parse_duration(text).map_err(|_| format!("{text:?} is not a time, as 30s, 5m or 1h"))
}

fn parse_pause(text: &str) -> Result<Duration, String> {
    const LEAST: Duration = Duration::from_millis(100);
    const MOST: Duration = Duration::from_secs(3_600);
    let pause = parse_time(text)?;
    if (LEAST..=MOST).contains(&pause) {
        Ok(pause)
    } else {
        Err(format!("{text:?} is not a time from 100ms to 1h"))
    }
}

/// A time in whole seconds.
pub(super) fn parse_seconds(text: &str) -> Result<u32, String> {
    let time = parse_time(text)?;
    u32::try_from(time.as_secs()).map_err(|_| format!("{text:?} is longer than a host runs"))
}
