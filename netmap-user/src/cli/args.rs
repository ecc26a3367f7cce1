//! What can be written on the command line.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use ipnet::Ipv4Net;
use netmap_common::maps::{Kind, Protocol};

use super::help;
use crate::{
    binding::Published,
    options::{self, DEFAULT_PIN_DIR, DEFAULT_SOCKET, InterfaceName, XdpMode},
    spec::{self, PublishSpec},
};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "netmap", version, about = help::ABOUT, long_about = help::LONG_ABOUT, after_help = help::OVERVIEW)]
pub struct Cli {
    /// Which netmap is meant.
    #[command(flatten)]
    pub instance: Instance,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Which netmap is meant: several can run, one a network namespace.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Which netmap (several can run, one a network namespace)")]
pub struct Instance {
    /// Where the daemon listens [default: /run/netmap/netmap.sock]
    #[arg(
        long,
        value_name = "PATH",
        global = true,
        env = "NETMAP_SOCKET",
        hide_env_values = true
    )]
    pub socket: Option<PathBuf>,
    /// Where programs and maps are pinned, a folder of a bpffs [default: /sys/fs/bpf/netmap]
    #[arg(
        long,
        value_name = "DIR",
        global = true,
        env = "NETMAP_PIN_DIR",
        hide_env_values = true
    )]
    pub pin_dir: Option<PathBuf>,
}

impl Instance {
    /// The daemon's socket.
    pub fn socket(&self) -> &Path {
        self.socket.as_deref().unwrap_or(Path::new(DEFAULT_SOCKET))
    }

    /// The folder of the pins.
    pub fn pin_dir(&self) -> &Path {
        self.pin_dir.as_deref().unwrap_or(Path::new(DEFAULT_PIN_DIR))
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Attach to uplinks and bridges, and serve until stopped
    #[command(long_about = help::RUN, after_help = help::RUN_EXAMPLES)]
    Run(RunArgs),
    /// Publish ports of this host to a container
    #[command(long_about = help::PUBLISH, after_help = help::PUBLISH_EXAMPLES)]
    Publish(PublishArgs),
    /// Take published ports back
    #[command(long_about = help::UNPUBLISH, after_help = help::UNPUBLISH_EXAMPLES)]
    Unpublish(UnpublishArgs),
    /// List what is published
    #[command(long_about = help::PORTS, after_help = help::PORTS_EXAMPLES)]
    Ports(ListArgs),
    /// List what is being translated
    #[command(long_about = help::FLOWS, after_help = help::FLOWS_EXAMPLES)]
    Flows(FlowsArgs),
    /// Count what became of packets, and why
    #[command(long_about = help::STATS, after_help = help::STATS_EXAMPLES)]
    Stats(StatsArgs),
    /// Tell what runs, what is attached and how full the tables are
    #[command(long_about = help::STATUS, after_help = help::STATUS_EXAMPLES)]
    Status(ListArgs),
    /// Stop the daemon, detach everything and remove all pins
    #[command(long_about = help::DOWN, after_help = help::DOWN_EXAMPLES)]
    Down,
}

/// `netmap run`. A flag wins over the configuration file.
#[derive(Args, Debug, Default)]
pub struct RunArgs {
    /// Configuration file, TOML
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Interface to the outside; may be given several times [default: every one with a default route]
    #[arg(long = "uplink", value_name = "IF")]
    pub uplinks: Vec<InterfaceName>,
    /// Bridge whose ports are containers; may be given several times
    #[arg(long = "bridge", value_name = "IF")]
    pub bridges: Vec<InterfaceName>,
    /// Whether uplinks may be carried by XDP: auto or off [default: auto]
    #[arg(long, value_name = "MODE")]
    pub xdp: Option<XdpMode>,
    /// The cgroup whose processes may not bind published ports [default: the root of the cgroup2 hierarchy]
    #[arg(long, value_name = "DIR")]
    pub cgroup: Option<PathBuf>,
    /// Size of the flow table, two entries a flow [default: 262144]
    #[arg(long, value_name = "N", value_parser = options::parse_flow_entries)]
    pub flow_entries: Option<u32>,
    /// The bit of the packet mark that netmap may use, 0 to 31 [default: 27]
    #[arg(long, value_name = "N", value_parser = options::parse_mark_bit)]
    pub mark_bit: Option<u8>,
}

/// `netmap publish`.
#[derive(Args, Debug)]
pub struct PublishArgs {
    /// [HOSTIP:]PORT[-END]:CPORT[-CEND][/tcp|udp]
    #[arg(value_name = "SPEC")]
    pub spec: PublishSpec,
    /// The container's address
    #[arg(long = "to", value_name = "CONTAINER_IP", value_parser = spec::parse_target)]
    pub target: Ipv4Addr,
    /// Let only these sources connect; may be given several times
    #[arg(long, value_name = "CIDR", value_parser = spec::parse_source, value_delimiter = ',')]
    pub allow: Vec<Ipv4Net>,
}

/// `netmap unpublish`.
#[derive(Args, Debug)]
pub struct UnpublishArgs {
    /// [HOSTIP:]PORT[-END][/tcp|udp]
    #[arg(value_name = "SPEC")]
    pub published: Published,
}

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
    /// Print only the N flows that had a packet last
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
    pub address: Option<Ipv4Addr>,
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
}

impl From<KindName> for Kind {
    fn from(name: KindName) -> Self {
        match name {
            KindName::Published => Self::Published,
            KindName::Egress => Self::Egress,
            KindName::Hairpin => Self::Hairpin,
            KindName::OwnPort => Self::OwnPort,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, error::ErrorKind};

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_teaches_by_example() {
        for command in Cli::command().get_subcommands() {
            let examples = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let name = command.get_name();
            assert!(examples.contains(&format!("netmap {name}")), "{name}");
            assert!(command.get_long_about().is_some(), "{name}");
        }
    }

    #[test]
    fn publish_reads_its_target_and_sources() {
        let cli = parse(
            "netmap publish 127.0.0.1:53:5353/udp --to 172.30.1.2 --allow 10.0.0.1/8,192.0.2.7 --allow 0.0.0.0/0",
        );
        let Command::Publish(args) = cli.unwrap().command else {
            panic!("another command");
        };
        let binding = args.spec.bind(args.target, args.allow).unwrap();
        assert_eq!(binding.to_string(), "127.0.0.1:53->172.30.1.2:5353/udp");
        let allow: Vec<_> = binding.allow.iter().map(ToString::to_string).collect();
        assert_eq!(allow, ["10.0.0.0/8", "192.0.2.7/32", "0.0.0.0/0"]);
    }

    #[test]
    fn the_instance_is_named_before_or_behind_the_command() {
        for line in [
            "netmap --socket /a --pin-dir /b ports",
            "netmap ports --pin-dir /b --socket /a",
        ] {
            let instance = parse(line).unwrap().instance;
            assert_eq!(instance.socket(), Path::new("/a"));
            assert_eq!(instance.pin_dir(), Path::new("/b"));
        }
    }

    #[test]
    fn refusals_of_values_keep_their_sentence() {
        for (line, sentence) in [
            (
                "netmap publish 80:80/sctp --to 172.30.1.2",
                "\"sctp\" is not a protocol that netmap publishes; use tcp or udp",
            ),
            (
                "netmap publish 80:80 --to 127.0.0.1",
                "127.0.0.1 is a loopback address, which cannot be reached inside a container; give the address of its interface",
            ),
            (
                "netmap run --xdp native",
                "native XDP is not there yet: this version of netmap carries uplinks by TC; use auto or off",
            ),
            (
                "netmap run --mark-bit 32",
                "\"32\" is not a bit of the packet mark; give 0 to 31",
            ),
            ("netmap flows --address web", "\"web\" is not an IPv4 address"),
            (
                "netmap unpublish 70000",
                "port 70000 is out of range; ports are 1 to 65535",
            ),
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ValueValidation);
            assert_eq!(error.exit_code(), 2);
            let source = std::error::Error::source(&error).unwrap();
            assert_eq!(source.to_string(), sentence);
        }
    }

    #[test]
    fn what_is_missing_or_unknown_is_wrong_usage() {
        for line in [
            "netmap",
            "netmap publish 80:80",
            "netmap publish --to 172.30.1.2",
            "netmap ports --yaml",
            "netmap flows --limit many",
            "netmap flows --kind nat",
            "netmap explode",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
        assert_eq!(parse("netmap help publish").unwrap_err().exit_code(), 0);
        assert_eq!(parse("netmap --version").unwrap_err().exit_code(), 0);
    }
}
