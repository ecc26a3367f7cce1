//! What `POST /v1/watch` answers with: events, a line of JSON each, for as long as the client listens. Stable: other
//! programs read it. `docs/troubleshooting.md` has every key.

use std::net::IpAddr;

use ipnet::IpNet;
use netmap_common::maps::{Class, Reason};
use serde::{Deserialize, Serialize};

pub use super::flows::Ends;
use super::{flows::FlowRow, types::Attachment};
use crate::binding::Binding;

/// Which events are wanted. What is empty does not restrict; of what is not, one of each must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WatchRequest {
    /// Dropped packets alone.
    pub drops: bool,
    /// Packets with these reasons alone.
    pub reasons: Vec<String>,
    /// Packets left to the host for everyday reasons too ([`is_everyday`]).
    pub all: bool,
    /// Ports of either end, before or after translation, or published.
    pub ports: Vec<u16>,
    /// Addresses of either end, or subnets that one of them is in.
    pub addresses: Vec<IpNet>,
    /// Containers, by an address or by the engine's name.
    pub containers: Vec<String>,
    /// Interfaces by name.
    pub interfaces: Vec<String>,
    /// Packets with their bytes ([`Packet::frame`]).
    pub frames: bool,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in UTC (RFC 3339, microseconds).
    pub time: String,
    /// What.
    #[serde(flatten)]
    pub what: Happening,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Happening {
    /// The first line: from now on nothing is left out.
    Watching(Watching),
    /// A packet was dropped.
    PacketDropped(Packet),
    /// A packet was left to the host, untouched.
    PacketPassed(Packet),
    /// A flow was opened.
    FlowOpened(FlowOpened),
    /// A flow was taken from the table.
    FlowClosed(FlowRow),
    /// A rule is in force.
    RulePublished(Rule),
    /// A rule no longer is.
    RuleUnpublished(Rule),
    /// The place of a published container is known, or another than before.
    EndpointFound(Endpoint),
    /// The place of a published container is not known any more.
    EndpointLost(Endpoint),
    /// A program was attached.
    Attached(Attachment),
    /// A program is attached no more.
    Detached(Attachment),
    /// There were more events than could be told.
    Missed(Missed),
}

/// See [`Happening::Watching`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watching {
    /// The daemon's version.
    pub version: String,
}

/// A packet that was not translated. What cannot be read of it is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packet {
    /// Why.
    pub reason: String,
    /// The hook that saw it.
    pub hook: String,
    /// Its interface.
    pub interface: String,
    /// `tcp`, `udp`, `icmp`, or the number of another.
    pub protocol: Option<String>,
    /// Source address.
    pub src: Option<IpAddr>,
    /// Source port, or the identifier of an ICMP echo request.
    pub sport: Option<u16>,
    /// Destination address.
    pub dst: Option<IpAddr>,
    /// Destination port, or the identifier of an ICMP echo reply.
    pub dport: Option<u16>,
    /// Its length with its header of layer 2, in bytes.
    pub length: u32,
    /// Its first bytes in hexadecimal digits, where they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<String>,
}

/// A flow as it begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowOpened {
    /// `tcp`, `udp` or `icmp`.
    pub protocol: String,
    /// Why it is translated.
    pub kind: String,
    /// Where its first packet came in.
    pub interface: String,
    /// Where packets of its direction go on; none by the host's stack.
    pub out: Option<String>,
    /// The first packet as it came.
    pub original: Ends,
    /// The same as it went on.
    pub translated: Ends,
}

/// What is published, as `netmap ports --json` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The host's address.
    pub host: IpAddr,
    /// The first published port.
    pub port: u16,
    /// The last one.
    pub end: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The container's address.
    pub container: IpAddr,
    /// Its port for the first.
    pub container_port: u16,
    /// Its port for the last.
    pub container_end: u16,
    /// Sources that may connect; empty for everybody.
    pub allow: Vec<IpNet>,
}

/// The place of a published container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The container's address.
    pub address: IpAddr,
    /// How packets reach it: `peer`, `neigh` or `stack`.
    pub way: String,
    /// Where that leads; none by the host's stack.
    pub interface: Option<String>,
}

/// See [`Happening::Missed`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// How many, of this watcher's and of others' that it might not have been told.
    pub count: u64,
}

impl Happening {
    /// The same without a packet's bytes.
    pub fn forget_frame(&mut self) {
        if let Self::PacketDropped(packet) | Self::PacketPassed(packet) = self {
            packet.frame = None;
        }
    }

    /// Whether something has happened, and not to the watching alone.
    pub const fn counts(&self) -> bool {
        !matches!(self, Self::Watching(_) | Self::Missed(_))
    }
}

/// Whether so many packets are left to the host for this that they are told only where they are asked for: the host's own
/// traffic, which a watcher by SSH is a part of, and what is told elsewhere.
pub const fn is_everyday(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::NotIp
            | Reason::Vlan
            | Reason::OtherIcmp
            | Reason::NotRoutable
            | Reason::ToHost
            | Reason::OnLink
            | Reason::FromHost
            | Reason::StackFlow
            | Reason::Transit
            | Reason::LeftToTc
            | Reason::NotMasqueraded
    )
}

/// Whether packets with this reason can be told at all: what is carried is not, nor what an earlier hook has seen, nor what
/// sockets of this host do.
pub const fn is_told(reason: Reason) -> bool {
    !matches!(reason.class(), Class::Carried)
        && !matches!(reason, Reason::Done | Reason::NoProxy | Reason::PortHeld)
}

/// The reason of this name.
pub fn reason(name: &str) -> Option<Reason> {
    Reason::ALL.iter().copied().find(|reason| reason.name() == name)
}

impl From<&Binding> for Rule {
    fn from(binding: &Binding) -> Self {
        let published = &binding.published;
        Self {
            host: published.host,
            port: published.ports.first(),
            end: published.ports.last(),
            protocol: published.transport.name().to_owned(),
            container: binding.target,
            container_port: binding.target_ports.first(),
            container_end: binding.target_ports.last(),
            allow: binding.allow.clone(),
        }
    }
}

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
