//! Flows as listings and events tell of them, and which of them are asked for. Stable: other programs read it.

mod choice;

use std::{borrow::Cow, fmt, net::IpAddr};

use netmap_common::{
    maps::{Flow, FlowKey, Ip, Kind, Protocol, RuleId, Seconds, Way},
    nat::state_name,
};
use serde::{Deserialize, Serialize};

pub(crate) use self::choice::containers;
pub use self::choice::{Choice, FlowFilter, STATES};
use crate::binding::Bracketed;

/// One flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowRow {
    /// `tcp`, `udp` or `icmp`.
    pub protocol: Cow<'static, str>,
    /// Why it is translated.
    pub kind: Cow<'static, str>,
    /// How its packets go on: `peer`, `neigh` or `stack`.
    pub way: Cow<'static, str>,
    /// What it has come to.
    pub state: Cow<'static, str>,
    /// The packet that opened it, as it came.
    pub original: Ends,
    /// The same, as it went on.
    pub translated: Ends,
    /// Since it was opened.
    pub age_seconds: u32,
    /// Since its last packet, in either direction.
    pub idle_seconds: u32,
    /// Packets in the direction of the first.
    pub packets_original: u64,
    /// Bytes in the direction of the first, at layer 3.
    pub bytes_original: u64,
    /// Packets in the other direction.
    pub packets_reply: u64,
    /// Bytes in the other direction, at layer 3.
    pub bytes_reply: u64,
    /// The rule that opened it.
    pub rule: Option<u32>,
}

/// Where a packet comes from and goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ends {
    /// Source address.
    pub src: IpAddr,
    /// Source port, or the identifier of an ICMP echo request.
    pub sport: u16,
    /// Destination address.
    pub dst: IpAddr,
    /// Destination port, or the identifier of an ICMP echo reply.
    pub dport: u16,
}

/// `POST /v1/flows/close`: forgets flows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CloseRequest {
    /// Which. One that does not restrict is refused without [`CloseRequest::all`].
    pub filter: FlowFilter,
    /// Every flow may be meant.
    pub all: bool,
}

/// Answer to that, when the whole table has been gone over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// How many flows were forgotten.
    pub closed: u64,
}

const UNKNOWN: &str = "unknown";

impl FlowRow {
    /// The flow of two twins, the original one found under `key`.
    pub fn new<A: Ip>(key: FlowKey<A>, original: &Flow<A>, reply: &Flow<A>, now: Seconds) -> Self {
        let name = |name: Option<&'static str>| Cow::Borrowed(name.unwrap_or(UNKNOWN));
        Self {
            protocol: name(Protocol::from_number(key.protocol).map(Protocol::name)),
            kind: name(original.kind().map(Kind::name)),
            way: name(original.way().map(Way::name)),
            state: Cow::Borrowed(state_name(original, reply)),
            original: key.into(),
            translated: original.to.into(),
            age_seconds: now.since(original.created).0,
            idle_seconds: now.since(last_seen(original, reply)).0,
            packets_original: original.packets,
            bytes_original: original.bytes,
            packets_reply: reply.packets,
            bytes_reply: reply.bytes,
            rule: (original.rule != RuleId::default()).then_some(original.rule.0),
        }
    }
}

/// When a flow had its last packet, in either direction.
pub fn last_seen<A: Ip>(original: &Flow<A>, reply: &Flow<A>) -> Seconds {
    original.last_seen.max(reply.last_seen)
}

impl<A: Ip> From<FlowKey<A>> for Ends {
    fn from(key: FlowKey<A>) -> Self {
        Self {
            src: key.src.into(),
            sport: key.src_port.0,
            dst: key.dst.into(),
            dport: key.dst_port.0,
        }
    }
}

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (src, dst) = (Bracketed(self.src), Bracketed(self.dst));
        write!(f, "{src}:{}->{dst}:{}", self.sport, self.dport)
    }
}
