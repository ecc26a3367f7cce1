//! What `netmap run` is given, flags and configuration file together, checked.

mod direct;
mod error;
mod interface;
mod log;
mod number;
mod timeout;
mod xdp;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use netmap_common::nat::Lifetimes;

pub use self::{
    direct::{Direct, DirectMode, DirectRule},
    error::OptionError,
    interface::InterfaceName,
    log::{LogFormat, LogLevel, LogOptions},
    number::{parse_flow_entries, parse_mark_bit, parse_metrics, parse_reason},
    timeout::{MAX_TIMEOUT, Timeout, lifetimes, timeout_of},
    xdp::XdpMode,
};
use crate::{egress::Egress, mappings::Mappings, outlets::Outlets, ownership::Ownership};

/// Where the daemon listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/netmap/netmap.sock";

/// Where the daemon listens for the engine's proxies if it listens at [`DEFAULT_SOCKET`], unless told otherwise.
pub const DEFAULT_SHIM_SOCKET: &str = netmap_docker_proxy::DEFAULT_SOCKET;

/// Where programs and maps are pinned unless told otherwise.
pub const DEFAULT_PIN_DIR: &str = "/sys/fs/bpf/netmap";

/// Where what outlives a reboot is kept unless told otherwise.
pub const DEFAULT_STATE: &str = "/var/lib/netmap";

/// Where a container engine listens unless told otherwise.
pub const DEFAULT_ENGINE: &str = "/var/run/docker.sock";

/// The bit of `skb->mark` that tells netmap's later hooks that a packet is done, unless told otherwise.
///
/// kube-proxy takes bits 14 and 15, Tailscale 16 to 23.
pub const DEFAULT_MARK_BIT: u8 = 27;

/// The fewest flow entries that make sense, two a flow.
pub const MIN_FLOW_ENTRIES: u32 = 64;

/// The most flow entries: the tables are allocated beforehand, at this size 2 GiB for IPv4 and 3 GiB for IPv6.
pub const MAX_FLOW_ENTRIES: u32 = 1 << 24;

/// Everything that the daemon needs to know when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOptions {
    /// Interfaces to the outside; empty for every one with a default route.
    pub uplinks: Vec<InterfaceName>,
    /// Bridges whose ports are containers.
    pub bridges: Vec<InterfaceName>,
    /// Whether uplinks may be carried by XDP.
    pub xdp: XdpMode,
    /// Where the API listens.
    pub socket: PathBuf,
    /// Where the engine's proxies come in; none for a place beside the API's.
    pub shim_socket: Option<PathBuf>,
    /// Where programs and maps are pinned, a folder of a bpffs.
    pub pin_dir: PathBuf,
    /// Where what outlives a reboot is kept, a directory.
    pub state: PathBuf,
    /// The cgroup whose processes go straight to containers and may not bind published ports; none for the root of the
    /// cgroup2 hierarchy.
    pub cgroup: Option<PathBuf>,
    /// Whether the host's own processes go straight to containers where they ask for a published port; else the proxy
    /// serves them.
    pub socket_hooks: bool,
    /// Entries of each family's flow table, two a flow; none for as many as the tables have that are pinned, else
    /// [`netmap_common::maps::capacity::FLOWS`].
    pub flow_entries: Option<u32>,
    /// Number of the mark's bit, 0 to 31.
    pub mark_bit: u8,
    /// How much anybody may take.
    pub shares: Shares,
    /// How long flows may idle.
    pub lifetimes: Lifetimes,
    /// How ports of containers become ports of this host.
    pub mappings: Mappings,
    /// By which of this host's addresses they leave.
    pub egress: Egress,
    /// Who may go straight to containers' addresses.
    pub direct: Direct,
    /// The socket of the container engine that is followed.
    pub docker: Option<PathBuf>,
    /// Where what is published is reached from outside.
    pub outlets: Outlets,
    /// Behind which bridges containers may send from their own addresses only.
    pub ownership: Ownership,
    /// Where metrics are served over TCP, beside the API's socket; none for nowhere.
    pub metrics: Option<SocketAddr>,
    /// How much is logged, and how.
    pub log: LogOptions,
}

/// How much of the flow table one address may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// Flows at once of one container; 0 for any number, none for half of the table.
    pub container_flows: Option<u32>,
    /// New flows a second of one container; 0 for any number, which is what none means.
    pub container_rate: Option<u32>,
    /// Flows at once of one client outside to published ports; 0 for any number, none for a quarter of the table.
    pub source_flows: Option<u32>,
}

/// Where a daemon whose API is at `socket` listens for the engine's proxies unless told otherwise: beside it, so that
/// several daemons do not meet.
pub fn shim_socket_beside(socket: &Path) -> PathBuf {
    if socket == Path::new(DEFAULT_SOCKET) {
        return DEFAULT_SHIM_SOCKET.into();
    }
    socket.with_extension("docker-proxy.sock")
}

impl RunOptions {
    /// Where the engine's proxies come in.
    pub fn shim_socket(&self) -> PathBuf {
        let beside = || shim_socket_beside(&self.socket);
        self.shim_socket.clone().unwrap_or_else(beside)
    }

    /// `new`, less what takes a new start: that stays as it is here.
    #[must_use]
    pub fn reloaded(&self, new: Self) -> Self {
        let old = self.clone();
        Self {
            xdp: old.xdp,
            socket: old.socket,
            shim_socket: old.shim_socket,
            pin_dir: old.pin_dir,
            state: old.state,
            cgroup: old.cgroup,
            socket_hooks: old.socket_hooks,
            flow_entries: old.flow_entries,
            mark_bit: old.mark_bit,
            docker: old.docker,
            metrics: old.metrics,
            log: LogOptions {
                level: new.log.level,
                format: old.log.format,
            },
            ..new
        }
    }

    /// The mark's bit as a mask.
    pub const fn mark(&self) -> u32 {
        1 << (self.mark_bit & 31)
    }
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            uplinks: Vec::new(),
            bridges: Vec::new(),
            xdp: XdpMode::default(),
            socket: DEFAULT_SOCKET.into(),
            shim_socket: None,
            pin_dir: DEFAULT_PIN_DIR.into(),
            state: DEFAULT_STATE.into(),
            cgroup: None,
            socket_hooks: true,
            flow_entries: None,
            mark_bit: DEFAULT_MARK_BIT,
            shares: Shares::default(),
            lifetimes: Lifetimes::default(),
            mappings: Mappings::default(),
            egress: Egress::default(),
            direct: Direct::default(),
            docker: None,
            outlets: Outlets::default(),
            ownership: Ownership::default(),
            metrics: None,
            log: LogOptions::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_come_in_beside_the_api() {
        let mut options = RunOptions::default();
        assert_eq!(options.shim_socket(), Path::new("/run/netmap/docker-proxy.sock"));
        options.socket = "/run/other.sock".into();
        assert_eq!(options.shim_socket(), Path::new("/run/other.docker-proxy.sock"));
        options.shim_socket = Some("/run/x".into());
        assert_eq!(options.shim_socket(), Path::new("/run/x"));
        assert_eq!(options.mark(), 1 << 27);
    }
}
