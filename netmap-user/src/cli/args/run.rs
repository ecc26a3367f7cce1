//! What can be said to `netmap run`.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;

use super::Instance;
use crate::{
    config::Config,
    egress::EgressChoice,
    mappings::MappingChoice,
    options::{self, DEFAULT_ENGINE, DirectRule, InterfaceName, LogFormat, LogLevel, Timeout, XdpMode},
    outlets::Outlet,
    ownership::OwnershipChoice,
};

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
        default_missing_value = DEFAULT_ENGINE,
        env = "NETMAP_DOCKER",
        hide_env_values = true
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
    /// How much is logged: off, error, warn, info, debug, trace, or of one module as in `netmap_user::host=debug`
    /// [default: info]
    #[arg(long, value_name = "LEVEL", env = "NETMAP_LOG", hide_env_values = true)]
    pub log_level: Option<LogLevel>,
    /// How logs are written: text or json to stderr, or journald [default: journald where systemd has connected stderr
    /// with it, else text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Serve metrics over TCP too, at this address of the host, to everybody who reaches it [default: by netmap.sock only]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = options::parse_metrics)]
    pub metrics: Option<SocketAddr>,
}

impl RunArgs {
    /// The same as a file would say it.
    pub fn into_config(self, instance: Instance) -> Config {
        Config {
            uplinks: self.uplinks,
            bridges: self.bridges,
            xdp: self.xdp,
            socket: instance.socket,
            shim_socket: self.shim_socket,
            pin_dir: instance.pin_dir,
            state: instance.state,
            cgroup: self.cgroup,
            socket_hooks: self.no_socket_hooks.then_some(false),
            flow_entries: self.flow_entries,
            mark_bit: self.mark_bit,
            direct: self.direct,
            trusted: self.trusted,
            timeouts: self.timeouts,
            max_flows: self.max_flows,
            max_new_flows: self.max_new_flows,
            max_source_flows: self.max_source_flows,
            nat: self.mappings,
            docker: self.docker,
            egress: self.egress,
            publish_on: self.publish_on,
            own_addresses: self.own_addresses,
            metrics: self.metrics,
            log_level: self.log_level,
            log_format: self.log_format,
        }
    }
}
