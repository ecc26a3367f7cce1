//! One flow, as it is printed.

use std::{fmt, io, io::Write, net::Ipv4Addr};

use netmap_common::{
    maps::{Flow, FlowKey, Kind, Protocol, RuleId, Seconds, Way},
    nat::state_name,
};
use serde::Serialize;

use crate::cli::output;

/// One flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FlowRow {
    /// `tcp`, `udp` or `icmp`.
    pub protocol: &'static str,
    /// Why it is translated.
    pub kind: &'static str,
    /// How its packets go on.
    pub way: &'static str,
    /// What it has come to.
    pub state: &'static str,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Ends {
    /// Source address.
    pub src: Ipv4Addr,
    /// Source port, or the identifier of an ICMP echo request.
    pub sport: u16,
    /// Destination address.
    pub dst: Ipv4Addr,
    /// Destination port, or the identifier of an ICMP echo reply.
    pub dport: u16,
}

const UNKNOWN: &str = "unknown";

impl FlowRow {
    /// The flow of two twins, the original one found under `key`.
    pub fn new(key: FlowKey, original: &Flow, reply: &Flow, now: Seconds) -> Self {
        Self {
            protocol: Protocol::from_number(key.protocol).map_or(UNKNOWN, Protocol::name),
            kind: original.kind().map_or(UNKNOWN, Kind::name),
            way: original.way().map_or(UNKNOWN, Way::name),
            state: state_name(original, reply),
            original: key.into(),
            translated: original.to.into(),
            age_seconds: now.since(original.created).0,
            idle_seconds: now.since(original.last_seen.max(reply.last_seen)).0,
            packets_original: original.packets,
            bytes_original: original.bytes,
            packets_reply: reply.packets,
            bytes_reply: reply.bytes,
            rule: (original.rule != RuleId::default()).then_some(original.rule.0),
        }
    }

    /// One line of the table.
    pub(super) fn write_line(&self, out: &mut impl Write) -> io::Result<()> {
        Line {
            protocol: self.protocol,
            kind: self.kind,
            state: self.state,
            original: &self.original.to_string(),
            translated: &self.translated.to_string(),
            way: self.way,
            idle: &output::duration(self.idle_seconds.into()),
            packets: &format!("{}/{}", self.packets_original, self.packets_reply),
            bytes: &format!("{}/{}", self.bytes_original, self.bytes_reply),
        }
        .write(out)
    }
}

/// The line above the table.
pub(super) fn write_header(out: &mut impl Write) -> io::Result<()> {
    Line {
        protocol: "PROTO",
        kind: "KIND",
        state: "STATE",
        original: "ORIGINAL",
        translated: "TRANSLATED",
        way: "WAY",
        idle: "IDLE",
        packets: "PACKETS",
        bytes: "BYTES",
    }
    .write(out)
}

struct Line<'text> {
    protocol: &'text str,
    kind: &'text str,
    state: &'text str,
    original: &'text str,
    translated: &'text str,
    way: &'text str,
    idle: &'text str,
    packets: &'text str,
    bytes: &'text str,
}

impl Line<'_> {
    /// 43 characters hold any two addresses with ports but the longest.
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Self {
            protocol,
            kind,
            state,
            original,
            translated,
            way,
            idle,
            packets,
            bytes,
        } = self;
        writeln!(
            out,
            "{protocol:<5}  {kind:<9}  {state:<11}  {original:<43}  {translated:<43}  {way:<5}  {idle:<8}  \
             {packets:<15}  {bytes}"
        )
    }
}

impl From<FlowKey> for Ends {
    fn from(key: FlowKey) -> Self {
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
        write!(f, "{}:{}->{}:{}", self.src, self.sport, self.dst, self.dport)
    }
}
