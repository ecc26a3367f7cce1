//! What `netmap run` is given, flags and configuration file together, checked.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use netmap_common::{
    maps::{Reason, Seconds},
    nat::{LifetimeClass, Lifetimes},
};
use serde::Deserialize;

use crate::{api::events, egress::Egress, mappings::Mappings, outlets::Outlets, ownership::Ownership};

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
}

/// Who outside may go straight to containers' own addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Direct {
    /// In the order given: the last one that is about a bridge counts.
    pub rules: Vec<DirectRule>,
    /// Uplinks that bridges may trust.
    pub trusted: Vec<InterfaceName>,
}

impl Direct {
    /// Who may go to containers of this bridge.
    pub fn mode_of(&self, bridge: &str) -> DirectMode {
        self.said_of(bridge).unwrap_or_default()
    }

    /// The same, if anything was said of it.
    pub fn said_of(&self, bridge: &str) -> Option<DirectMode> {
        let is_about = |rule: &&DirectRule| rule.bridge.as_ref().is_none_or(|name| name.as_str() == bridge);
        self.rules.iter().rev().find(is_about).map(|rule| rule.mode)
    }

    /// Whether bridges may trust this uplink.
    pub fn trusts(&self, uplink: &str) -> bool {
        self.trusted.iter().any(|name| name.as_str() == uplink)
    }
}

/// Who outside may go straight to the containers of one bridge, or of all, as in `br0=allow`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct DirectRule {
    /// The bridge; none for all.
    pub bridge: Option<InterfaceName>,
    /// Who.
    pub mode: DirectMode,
}

/// Who outside may go straight to containers, the fewest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum DirectMode {
    /// Nobody.
    #[default]
    Deny,
    /// Who comes by a trusted uplink.
    Trusted,
    /// Everybody.
    Allow,
}

impl DirectMode {
    /// Its name on the command line and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Trusted => "trusted",
            Self::Allow => "allow",
        }
    }
}

impl std::str::FromStr for DirectRule {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let (bridge, mode) = match text.split_once('=') {
            Some((bridge, mode)) => (Some(bridge.parse()?), mode),
            None => (None, text),
        };
        let mode = match mode {
            "deny" => DirectMode::Deny,
            "trusted" => DirectMode::Trusted,
            "allow" => DirectMode::Allow,
            _ => return Err(OptionError::BadDirect(text.to_owned())),
        };
        Ok(Self { bridge, mode })
    }
}

impl TryFrom<String> for DirectRule {
    type Error = OptionError;

    fn try_from(text: String) -> Result<Self, OptionError> {
        text.parse()
    }
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
        }
    }
}

/// Whether uplinks run native XDP before TC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XdpMode {
    /// Where it can gain something: at network cards whose drivers have it.
    #[default]
    Auto,
    /// Everywhere, or netmap does not start.
    Native,
    /// Never.
    Off,
}

/// An option's value that is refused, a sentence each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// No mode at all.
    #[error("{0:?} is not an XDP mode; use auto, native or off")]
    UnknownXdp(String),
    /// No name that the kernel would take.
    #[error("{0:?} is not an interface name; names have 1 to 15 characters without slash, colon and space")]
    BadInterface(String),
    /// Nothing that packets are dropped or left for.
    #[error(
        "{0:?} is no reason that packets are dropped or left to the host for; `netmap stats --all` names those"
    )]
    UnknownReason(String),
    /// Too many, too few, or no number.
    #[error("{0:?} is not a number of flow entries; give {MIN_FLOW_ENTRIES} to {MAX_FLOW_ENTRIES}")]
    BadFlowEntries(String),
    /// Nobody, everybody, or trusted ones.
    #[error(
        "{0:?} does not say who may go straight to containers; use deny, allow, trusted, or BRIDGE=allow"
    )]
    BadDirect(String),
    /// Neither an interface nor an address.
    #[error("{0:?} is no place to publish on; give an uplink, an address or a subnet of this host")]
    BadOutlet(String),
    /// Neither on nor off.
    #[error(
        "{0:?} does not say whether containers are held to their own addresses; use on, off, or BRIDGE=off"
    )]
    BadOwnership(String),
    /// No class of flows.
    #[error(
        "{0:?} is no kind of flow; use {kinds}",
        kinds = LifetimeClass::ALL.map(LifetimeClass::name).join(", ")
    )]
    UnknownTimeout(String),
    /// No number of seconds.
    #[error(
        "{0:?} is not a timeout; give a kind of flow and seconds up to {MAX_TIMEOUT}, as in udp-answered=300"
    )]
    BadTimeout(String),
    /// Too short.
    #[error("{name} may not be {given}: at least {least} seconds ({why})")]
    ShortTimeout {
        /// Of these flows.
        name: &'static str,
        /// What was asked for.
        given: u32,
        /// What would be taken.
        least: u32,
        /// Who says so.
        why: &'static str,
    },
    /// No way to map ports.
    #[error(
        "{0:?} is no way to map ports; use eim (one port towards everybody) or edm (one for each destination)"
    )]
    UnknownMapping(String),
    /// No address, or one that nobody outside could answer.
    #[error(
        "{0:?} is no address to leave by; give one of this host that others can answer, as in 192.0.2.7 or br0=2001:db8::7"
    )]
    BadEgress(String),
    /// No address with a port.
    #[error(
        "{0:?} is no place to serve metrics at; give an address and a port, as in 127.0.0.1:9469 or [::1]:9469"
    )]
    BadMetrics(String),
    /// No bit of 32.
    #[error("{0:?} is not a bit of the packet mark; give 0 to 31")]
    BadMarkBit(String),
}

impl std::str::FromStr for XdpMode {
    type Err = OptionError;

    fn from_str(mode: &str) -> Result<Self, OptionError> {
        match mode {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            "native" => Ok(Self::Native),
            _ => Err(OptionError::UnknownXdp(mode.to_owned())),
        }
    }
}

/// The longest timeout, a year.
pub const MAX_TIMEOUT: u32 = 31_536_000;

/// How long flows of one kind may idle, as in `udp-answered=300`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout(LifetimeClass, Seconds);

impl Timeout {
    /// A kind's name and seconds.
    ///
    /// # Errors
    ///
    /// There is no such kind, no such number, or it is less than RFCs allow.
    pub fn new(kind: &str, seconds: &str) -> Result<Self, OptionError> {
        let class = LifetimeClass::ALL.into_iter().find(|class| class.name() == kind);
        let class = class.ok_or_else(|| OptionError::UnknownTimeout(kind.to_owned()))?;
        let given = seconds.parse().ok().filter(|seconds| *seconds <= MAX_TIMEOUT);
        let given = given.ok_or_else(|| OptionError::BadTimeout(format!("{kind}={seconds}")))?;
        let (Seconds(least), why) = class.floor();
        if given < least {
            let name = class.name();
            return Err(OptionError::ShortTimeout {
                name,
                given,
                least,
                why,
            });
        }
        Ok(Self(class, Seconds(given)))
    }
}

impl std::str::FromStr for Timeout {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let (kind, seconds) = text
            .split_once('=')
            .ok_or_else(|| OptionError::BadTimeout(text.to_owned()))?;
        Self::new(kind, seconds)
    }
}

/// The default lifetimes, and these in their place; the last of a kind counts.
pub fn lifetimes(timeouts: impl IntoIterator<Item = Timeout>) -> Lifetimes {
    let mut lifetimes = Lifetimes::default();
    for Timeout(class, seconds) in timeouts {
        lifetimes.set(class, seconds);
    }
    lifetimes
}

/// The name of a network interface, one that the kernel would take (`dev_valid_name`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct InterfaceName(String);

impl InterfaceName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for InterfaceName {
    type Err = OptionError;

    fn from_str(name: &str) -> Result<Self, OptionError> {
        let valid = (1..=15).contains(&name.len())
            && name != "."
            && name != ".."
            && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace());
        if !valid {
            return Err(OptionError::BadInterface(name.to_owned()));
        }
        Ok(Self(name.to_owned()))
    }
}

impl TryFrom<String> for InterfaceName {
    type Error = OptionError;

    fn try_from(name: String) -> Result<Self, OptionError> {
        name.parse()
    }
}

impl std::fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A number of flow entries.
///
/// # Errors
///
/// No number from [`MIN_FLOW_ENTRIES`] to [`MAX_FLOW_ENTRIES`].
pub fn parse_flow_entries(text: &str) -> Result<u32, OptionError> {
    text.parse()
        .ok()
        .filter(|entries| (MIN_FLOW_ENTRIES..=MAX_FLOW_ENTRIES).contains(entries))
        .ok_or_else(|| OptionError::BadFlowEntries(text.to_owned()))
}

/// A reason by its name.
///
/// # Errors
///
/// There is none of that name, or packets with it are not told.
pub fn parse_reason(text: &str) -> Result<Reason, OptionError> {
    events::reason(text)
        .filter(|reason| events::is_told(*reason))
        .ok_or_else(|| OptionError::UnknownReason(text.to_owned()))
}

/// Where metrics are served.
///
/// # Errors
///
/// No address with a port, or port 0, which nobody would find.
pub fn parse_metrics(text: &str) -> Result<SocketAddr, OptionError> {
    text.parse()
        .ok()
        .filter(|address: &SocketAddr| address.port() != 0)
        .ok_or_else(|| OptionError::BadMetrics(text.to_owned()))
}

/// The number of a mark's bit.
///
/// # Errors
///
/// No number from 0 to 31.
pub fn parse_mark_bit(text: &str) -> Result<u8, OptionError> {
    text.parse()
        .ok()
        .filter(|bit| *bit < 32)
        .ok_or_else(|| OptionError::BadMarkBit(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generic_xdp_is_no_mode() {
        assert_eq!("auto".parse(), Ok(XdpMode::Auto));
        assert_eq!("native".parse(), Ok(XdpMode::Native));
        assert_eq!("off".parse(), Ok(XdpMode::Off));
        assert_eq!(
            "generic".parse::<XdpMode>(),
            Err(OptionError::UnknownXdp("generic".into()))
        );
    }

    #[test]
    fn proxies_come_in_beside_the_api() {
        let mut options = RunOptions::default();
        assert_eq!(options.shim_socket(), Path::new("/run/netmap/docker-proxy.sock"));
        options.socket = "/run/other.sock".into();
        assert_eq!(options.shim_socket(), Path::new("/run/other.docker-proxy.sock"));
        options.shim_socket = Some("/run/x".into());
        assert_eq!(options.shim_socket(), Path::new("/run/x"));
    }

    #[test]
    fn names_that_the_kernel_would_not_take_are_refused() {
        assert_eq!(
            "br-0123456789ab".parse::<InterfaceName>().unwrap().as_str(),
            "br-0123456789ab"
        );
        for name in ["", "sixteen-letters-", "a/b", "a b", "eth0:1", ".", ".."] {
            assert_eq!(
                name.parse::<InterfaceName>(),
                Err(OptionError::BadInterface(name.into()))
            );
        }
    }

    #[test]
    fn the_last_word_about_a_bridge_counts() {
        let direct = Direct {
            rules: ["br0=deny", "trusted", "br1=allow"]
                .map(|text| text.parse().unwrap())
                .into(),
            trusted: vec!["eth0".parse().unwrap()],
        };
        let modes = ["br0", "br1", "br2"].map(|bridge| direct.mode_of(bridge));
        assert_eq!(
            modes,
            [DirectMode::Trusted, DirectMode::Allow, DirectMode::Trusted]
        );
        assert!(direct.trusts("eth0") && !direct.trusts("eth1"));
        assert_eq!(Direct::default().mode_of("br0"), DirectMode::Deny);
        assert!("br0=perhaps".parse::<DirectRule>().is_err() && "=allow".parse::<DirectRule>().is_err());
    }

    #[test]
    fn a_timeout_below_what_an_rfc_wants_is_refused_with_its_words() {
        let refused = |text: &str| text.parse::<Timeout>().unwrap_err().to_string();
        assert_eq!(
            refused("tcp-established=3600"),
            "tcp-established may not be 3600: at least 7440 seconds (RFC 5382, REQ-5: not less than 2 hours 4 minutes)"
        );
        assert!(refused("udp-answered=119").contains("RFC 4787, REQ-5"));
        assert!(refused("icmp-echo=59").contains("RFC 5508, REQ-2"));
        assert!(refused("udp=300").starts_with("\"udp\" is no kind of flow; use tcp-established, tcp-"));
        for text in [
            "udp-answered",
            "udp-answered=",
            "udp-answered=5m",
            "udp-answered=31536001",
        ] {
            assert!(refused(text).contains("is not a timeout"), "{text}");
        }
        let given = ["tcp-established=7440", "udp-answered=200", "udp-answered=120"];
        let given = lifetimes(given.map(|text| text.parse().unwrap()));
        assert_eq!(given.of_class(LifetimeClass::TcpEstablished), Seconds(7_440));
        assert_eq!(given.of_class(LifetimeClass::UdpAnswered), Seconds(120));
        assert_eq!(given.of_class(LifetimeClass::IcmpEcho), Seconds(60));
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        assert_eq!(parse_flow_entries("262144"), Ok(262_144));
        assert!(parse_flow_entries("63").is_err());
        assert!(parse_flow_entries("16777217").is_err());
        assert_eq!(parse_mark_bit("31"), Ok(31));
        assert_eq!(parse_mark_bit("32"), Err(OptionError::BadMarkBit("32".into())));
        assert_eq!(RunOptions::default().mark(), 1 << 27);
    }
}
