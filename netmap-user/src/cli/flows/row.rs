//! One flow, as it is printed.

use std::{fmt, io, io::Write, net::IpAddr};

use netmap_common::{
    maps::{Flow, FlowKey, Ip, Kind, Protocol, RuleId, Seconds, Way},
    nat::state_name,
};
use serde::Serialize;

use crate::{binding::Bracketed, cli::output};

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
    pub src: IpAddr,
    /// Source port, or the identifier of an ICMP echo request.
    pub sport: u16,
    /// Destination address.
    pub dst: IpAddr,
    /// Destination port, or the identifier of an ICMP echo reply.
    pub dport: u16,
}

const UNKNOWN: &str = "unknown";

impl FlowRow {
    /// The flow of two twins, the original one found under `key`.
    pub fn new<A: Ip>(key: FlowKey<A>, original: &Flow<A>, reply: &Flow<A>, now: Seconds) -> Self {
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
        let mut line = Line::default();
        line.word(0, self.protocol);
        line.word(1, self.kind);
        line.word(2, self.state);
        line.cell(3, format_args!("{}", self.original));
        line.cell(4, format_args!("{}", self.translated));
        line.word(5, self.way);
        line.word(6, &output::duration(self.idle_seconds.into()));
        line.cell(
            7,
            format_args!("{}/{}", self.packets_original, self.packets_reply),
        );
        line.cell(8, format_args!("{}/{}", self.bytes_original, self.bytes_reply));
        line.write(out)
    }
}

/// The line above the table.
pub(super) fn write_header(out: &mut impl Write) -> io::Result<()> {
    let mut line = Line::default();
    let names = [
        "PROTO",
        "KIND",
        "STATE",
        "ORIGINAL",
        "TRANSLATED",
        "WAY",
        "IDLE",
        "PACKETS",
        "BYTES",
    ];
    for (column, name) in names.into_iter().enumerate() {
        line.word(column, name);
    }
    line.write(out)
}

/// Where columns begin. 43 characters hold any two addresses of IPv4 with ports but the longest; what is longer, as of
/// IPv6, moves the rest.
const COLUMNS: [usize; 9] = [0, 7, 18, 31, 76, 121, 128, 138, 155];

/// A line of the table, made from left to right without a text a cell: there may be millions.
struct Line(String);

impl Default for Line {
    fn default() -> Self {
        Self(String::with_capacity(256))
    }
}

impl Line {
    fn word(&mut self, column: usize, word: &str) {
        self.begin(column);
        self.0.push_str(word);
    }

    fn cell(&mut self, column: usize, text: fmt::Arguments<'_>) {
        self.begin(column);
        // Writing to a string does not fail.
        let _written = fmt::Write::write_fmt(&mut self.0, text);
    }

    fn begin(&mut self, column: usize) {
        const BLANKS: &str = "                                                ";
        let start = COLUMNS.get(column).copied().unwrap_or_default();
        let least = if column == 0 { 0 } else { 2 };
        let blanks = start.saturating_sub(self.0.len()).max(least);
        self.0.push_str(BLANKS.get(..blanks).unwrap_or(BLANKS));
    }

    fn write(mut self, out: &mut impl Write) -> io::Result<()> {
        self.0.push('\n');
        out.write_all(self.0.as_bytes())
    }
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
