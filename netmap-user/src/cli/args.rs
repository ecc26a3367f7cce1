//! What can be written on the command line.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use netmap_common::maps::{Kind, Protocol, Reason};

use super::help;
use crate::{
    binding::HostPorts,
    egress::EgressChoice,
    mappings::MappingChoice,
    options::{
        self, DEFAULT_ENGINE, DEFAULT_PIN_DIR, DEFAULT_SOCKET, DEFAULT_STATE, DirectRule, InterfaceName,
        Timeout, XdpMode,
    },
    outlets::Outlet,
    ownership::OwnershipChoice,
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
    /// Where what outlives a reboot is kept, a directory [default: /var/lib/netmap]
    #[arg(
        long,
        value_name = "DIR",
        global = true,
        env = "NETMAP_STATE",
        hide_env_values = true
    )]
    pub state: Option<PathBuf>,
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

    /// The state directory.
    pub fn state(&self) -> &Path {
        self.state.as_deref().unwrap_or(Path::new(DEFAULT_STATE))
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Attach to uplinks and bridges, and serve until stopped
    #[command(long_about = help::RUN, after_help = help::RUN_EXAMPLES)]
    Run(Box<RunArgs>),
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
    /// Tell what happens as it happens: packets dropped or left to the host, flows, rules, containers
    #[command(long_about = help::MONITOR, after_help = help::MONITOR_EXAMPLES)]
    Monitor(MonitorArgs),
    /// Tell what runs, what is attached and how full the tables are
    #[command(long_about = help::STATUS, after_help = help::STATUS_EXAMPLES)]
    Status(ListArgs),
    /// Make Docker publish its ports by netmap, or by itself again
    #[command(long_about = help::DOCKER, after_help = help::DOCKER_EXAMPLES)]
    Docker(DockerArgs),
    /// Look for what would break netmap on this host, and say what mends it
    #[command(long_about = help::DOCTOR, after_help = help::DOCTOR_EXAMPLES)]
    Doctor(DoctorArgs),
    /// Stop the daemon, detach everything and remove all pins
    #[command(long_about = help::DOWN, after_help = help::DOWN_EXAMPLES)]
    Down(DownArgs),
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
    /// Follow the container engine behind this socket: its networks are managed as they come and go, beside the bridges of
    /// --bridge and no others, and what its containers publish is published [default without SOCKET: /var/run/docker.sock]
    #[arg(
        long,
        value_name = "SOCKET",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = DEFAULT_ENGINE
    )]
    pub docker: Option<PathBuf>,
    /// Where docker's proxies, netmap-docker-proxy, come in [default: docker-proxy.sock beside netmap.sock]
    #[arg(long, value_name = "PATH", env = "NETMAP_SHIM_SOCKET", hide_env_values = true)]
    pub shim_socket: Option<PathBuf>,
    /// Native XDP before TC at uplinks: auto (network cards whose drivers have it), native (every uplink, or netmap does
    /// not start) or off [default: auto]
    #[arg(long, value_name = "MODE")]
    pub xdp: Option<XdpMode>,
    /// The cgroup whose processes go straight to containers and may not bind published ports [default: the root of the
    /// cgroup2 hierarchy]
    #[arg(long, value_name = "DIR")]
    pub cgroup: Option<PathBuf>,
    /// Carry this host's own connections to published ports by the socket proxy only
    #[arg(long)]
    pub no_socket_hooks: bool,
    /// Size of either family's flow table, two entries a flow [default: 262144, or as it is already]
    #[arg(long, value_name = "N", value_parser = options::parse_flow_entries)]
    pub flow_entries: Option<u32>,
    /// The bit of the packet mark that netmap may use, 0 to 31 [default: 27]
    #[arg(long, value_name = "N", value_parser = options::parse_mark_bit)]
    pub mark_bit: Option<u8>,
    /// Address of this host that containers leave by in place of the uplink's, all or those of one bridge; of several each
    /// container has one
    #[arg(long, value_name = "[BRIDGE=]ADDRESS", value_delimiter = ',')]
    pub egress: Vec<EgressChoice>,
    /// Who outside may go straight to containers' own addresses: deny, allow, trusted (by --trusted uplinks only), or the same
    /// of one bridge; may be given several times, the last one about a bridge counts [default: deny]
    #[arg(long, value_name = "[BRIDGE=]MODE")]
    pub direct: Vec<DirectRule>,
    /// Uplink that --direct trusted means; may be given several times
    #[arg(long, value_name = "IF")]
    pub trusted: Vec<InterfaceName>,
    /// Where what is published is reached from outside: by this uplink, at this address of the host or at those in this
    /// subnet, also where more is asked for; may be given several times [default: everywhere]
    #[arg(long = "publish-on", value_name = "IF|ADDRESS|CIDR", value_delimiter = ',')]
    pub publish_on: Vec<Outlet>,
    /// Whether a container may send from its own addresses only: on or off, of one bridge or of all others; may be given
    /// several times [default: on]
    #[arg(long, value_name = "[BRIDGE=]on|off", value_delimiter = ',')]
    pub own_addresses: Vec<OwnershipChoice>,
    /// How long flows of a kind may idle, in seconds; may be given several times. Kinds: tcp-established, tcp-transitory,
    /// tcp-opening-from-outside, udp-answered, udp-unanswered, udp-unanswered-from-outside, icmp-echo. Less than the RFCs
    /// want is refused
    #[arg(long = "timeout", value_name = "KIND=SECONDS", value_delimiter = ',')]
    pub timeouts: Vec<Timeout>,
    /// Flows that one container may have at once; 0 for any number [default: half of the flow table's]
    #[arg(long, value_name = "N")]
    pub max_flows: Option<u32>,
    /// Flows that one container may open in a second; 0 for any number [default: 0]
    #[arg(long, value_name = "N")]
    pub max_new_flows: Option<u32>,
    /// Flows that one client outside may have to published ports at once; 0 for any number [default: a quarter of the flow
    /// table's]
    #[arg(long, value_name = "N")]
    pub max_source_flows: Option<u32>,
    /// How containers' ports become this host's: edm, one for each destination, where only who was asked may answer; or eim,
    /// one towards everybody, where everybody may send. Of one bridge or of all others; may be given several times
    /// [default: edm]
    #[arg(long = "nat", value_name = "[BRIDGE=]MAPPING", value_delimiter = ',')]
    pub mappings: Vec<MappingChoice>,
}

/// `netmap publish`.
#[derive(Args, Debug)]
pub struct PublishArgs {
    /// What to publish, in the words of the command line.
    #[arg(
        value_name = "SPEC",
        help = "[HOSTIP:]PORT[-END]:CPORT[-CEND][/tcp|udp]",
        required_unless_present = "file",
        requires = "target"
    )]
    pub spec: Option<PublishSpec>,
    /// The container's address; may be given twice, one of IPv4 and one of IPv6
    #[arg(
        id = "target",
        long = "to",
        value_name = "CONTAINER_IP",
        value_parser = spec::parse_target,
        value_delimiter = ',',
        requires = "spec"
    )]
    pub targets: Vec<IpAddr>,
    /// Let only these sources connect, of either family; may be given several times
    #[arg(long, value_name = "CIDR", value_parser = spec::parse_source, value_delimiter = ',', requires = "spec")]
    pub allow: Vec<IpNet>,
    /// Many at once.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["spec", "target", "allow"],
        help = "Publish all that a file lists, or nothing: SPEC CONTAINER_IP[,CONTAINER_IP] [CIDR,..] a line; - reads from stdin"
    )]
    pub file: Option<PathBuf>,
}

/// `netmap unpublish`.
#[derive(Args, Debug)]
pub struct UnpublishArgs {
    /// What to take back, in the words of the command line.
    #[arg(
        value_name = "SPEC",
        help = "[HOSTIP:]PORT[-END][/tcp|udp]",
        required_unless_present = "file"
    )]
    pub published: Option<HostPorts>,
    /// Take back all that a file lists, or nothing: a SPEC a line; - reads from stdin
    #[arg(long, value_name = "FILE", conflicts_with = "published")]
    pub file: Option<PathBuf>,
}

/// `netmap docker`.
#[derive(Args, Debug)]
pub struct DockerArgs {
    /// What to do with its settings.
    #[command(subcommand)]
    pub command: DockerCommand,
}

/// What can be done with Docker's settings.
#[derive(Debug, Subcommand)]
pub enum DockerCommand {
    /// Write the settings by which Docker publishes by netmap; all others stay
    Install(DockerWriteArgs),
    /// Bring back the settings that were there before
    Remove(DockerWriteArgs),
    /// Tell what is set, what runs and what has to be restarted
    Status(DockerStatusArgs),
}

/// Where Docker's settings are.
#[derive(Args, Clone, Debug, Default)]
pub struct DockerPlaces {
    /// Docker's settings [default: /etc/docker/daemon.json]
    #[arg(long, value_name = "PATH")]
    pub daemon_json: Option<PathBuf>,
    /// netmap's docker-proxy [default: netmap-docker-proxy beside netmap]
    #[arg(long, value_name = "PATH")]
    pub proxy_path: Option<PathBuf>,
    /// The folder of systemd's units [default: /etc/systemd/system, if it is there]
    #[arg(long, value_name = "DIR")]
    pub systemd_dir: Option<PathBuf>,
}

/// `netmap docker install` and `netmap docker remove`.
#[derive(Args, Clone, Debug, Default)]
pub struct DockerWriteArgs {
    /// Where.
    #[command(flatten)]
    pub places: DockerPlaces,
    /// Print what would be written, and write nothing
    #[arg(long)]
    pub print: bool,
}

/// `netmap docker status`.
#[derive(Args, Clone, Debug, Default)]
pub struct DockerStatusArgs {
    /// Where.
    #[command(flatten)]
    pub places: DockerPlaces,
    /// Print JSON with stable keys
    #[arg(long)]
    pub json: bool,
}

/// `netmap doctor`.
#[derive(Args, Clone, Debug, Default)]
pub struct DoctorArgs {
    /// Print JSON with stable keys
    #[arg(long)]
    pub json: bool,
    /// Say nothing of this kind of finding; may be given several times
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub ignore: Vec<String>,
    /// Docker's settings [default: /etc/docker/daemon.json]
    #[arg(long, value_name = "PATH")]
    pub daemon_json: Option<PathBuf>,
}

/// `netmap down`.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct DownArgs {
    /// Leave what is published in the state directory: the next `netmap run` publishes it again
    #[arg(long)]
    pub keep_published: bool,
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

#[cfg(test)]
mod tests;
