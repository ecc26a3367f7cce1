//! Requests and answers of the API. Stable: other programs speak it.

use serde::{Deserialize, Serialize};

use crate::{
    binding::{Binding, HostPorts},
    config::{Change, Setting},
    dataplane,
};

/// `POST /v1/publish`: all of them or none.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishRequest {
    /// What to publish, each in the family of its host address: `0.0.0.0` stands for every IPv4 address of the host,
    /// `::` for every IPv6 address.
    pub bindings: Vec<Binding>,
}

/// `POST /v1/unpublish`: all of them or none.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnpublishRequest {
    /// What to take back. Without a host address, what is published on `0.0.0.0`, on `::`, or on both.
    pub published: Vec<HostPorts>,
}

/// Answer to a request that was carried out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Done {
    /// Things that the user should know, a sentence each.
    pub warnings: Vec<String>,
}

/// Answer to a request that was refused; nothing has changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// One sentence that says why.
    pub error: String,
}

/// `GET /v1/status`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// Version of the daemon.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// Every hook that it holds.
    pub attachments: Vec<Attachment>,
    /// How each uplink runs XDP.
    #[serde(default)]
    pub xdp: Vec<UplinkXdp>,
    /// How much is left of the lifetimes of flows that are no established connections, in hundredths: less than 100 where
    /// the flow table is nearly full.
    #[serde(default = "whole")]
    pub lifetimes_percent: u32,
    /// Interfaces that were asked for and are not there.
    pub missing_interfaces: Vec<String>,
    /// Published containers whose place is not known: the proxy serves them.
    pub unresolved_containers: Vec<std::net::IpAddr>,
    /// The container engine that is followed, with `--docker`.
    #[serde(default)]
    pub engine: Option<EngineStatus>,
    /// Why the configuration file as it is now is not what counts, if that is so.
    #[serde(default)]
    pub config_pending: Option<String>,
}

/// A container engine, as it last was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineStatus {
    /// Its socket.
    pub socket: String,
    /// Whether it answers.
    pub answers: bool,
    /// How many bridges its networks have.
    pub networks: usize,
    /// How many addresses its containers have.
    pub addresses: usize,
    /// How many ports it publishes, each by each address of this host.
    pub ports: usize,
}

/// `GET /v1/names`: what the container engine calls its containers; nothing without `--docker`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineNames {
    /// Each address once.
    pub names: Vec<NamedAddress>,
}

/// A container in one of its networks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedAddress {
    /// Its address there.
    pub address: std::net::IpAddr,
    /// The container's name.
    pub container: String,
    /// The network's.
    pub network: String,
}

/// `GET /v1/uses`: when what is published was last used by flows that have ended since the daemon began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleUses {
    /// Each rule once.
    pub uses: Vec<RuleUse>,
}

/// A rule's last use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleUse {
    /// Whether it is one of IPv6's.
    pub ipv6: bool,
    /// Its number among those of its family.
    pub rule: u32,
    /// Its generation. The same number with another is another rule.
    pub generation: u32,
    /// Since the last packet of those flows.
    pub idle_seconds: u32,
}

/// What a daemon means that says nothing of lifetimes.
const fn whole() -> u32 {
    100
}

/// `GET /v1/config`: everything that counts, and who says so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigReport {
    /// Whether it is a daemon's word.
    pub running: bool,
    /// The file, if there is one.
    pub file: Option<String>,
    /// Every key of it.
    pub settings: Vec<Setting>,
    /// Why the file as it is now is not what counts, if that is so.
    pub pending: Option<String>,
}

/// `POST /v1/reload`, when the file was not refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// What counts from now on.
    pub changed: Vec<Change>,
    /// What the file says and only a new start brings about. The old values count.
    pub needs_restart: Vec<Change>,
    /// Things that the user should know, a sentence each.
    pub warnings: Vec<String>,
}

/// How an uplink runs XDP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UplinkXdp {
    /// The uplink.
    pub interface: String,
    /// As the kernel tells: `native` or `off`.
    pub mode: String,
    /// Why it is off; none without a daemon to ask.
    pub reason: Option<String>,
}

/// One program at one hook.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attachment {
    /// The interface; `netns` and a path for the socket hooks.
    pub interface: String,
    /// `uplink`, `port`, `bridge`, `netns`, `cgroup`.
    pub role: String,
    /// `ingress`, `egress`, `xdp`, `sk_lookup`, `bind4`, `bind6`, `connect4`, `connect6`, `sendmsg4`, `sendmsg6`,
    /// `recvmsg4`, `recvmsg6`, `getpeername4`, `getpeername6`.
    pub hook: String,
    /// `tcx`, `clsact`, `link`; for `xdp` what the kernel tells: `native`, or `off` when it was taken away.
    pub mode: String,
}

impl From<&dataplane::Attachment> for Attachment {
    fn from(attachment: &dataplane::Attachment) -> Self {
        Self {
            interface: attachment.place.interface(),
            role: attachment.place.role().to_owned(),
            hook: attachment.place.hook().to_owned(),
            mode: attachment.mode.name().to_owned(),
        }
    }
}
