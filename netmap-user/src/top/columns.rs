//! What stands in which column of which list.

use std::{collections::HashMap, net::IpAddr};

use netmap_common::maps::Reason;

use super::{
    amount::{amount, time},
    sample::{ContainerLine, FlowLine, PortLine, ReasonLine, RuleKey, TableLine, Traffic},
};
use crate::{
    api::{flows::Ends, types::NamedAddress},
    binding::Bracketed,
};

/// What containers are called, by address.
pub type Names = HashMap<IpAddr, NamedAddress>;

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// What stands above it.
    pub title: &'static str,
    /// How wide.
    pub width: Width,
    /// Only where there is room for more than 80 characters.
    pub is_extra: bool,
}

/// How wide a column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// So many characters, a text.
    Text(u16),
    /// So many characters, a number, to the right.
    Number(u16),
    /// A part of what the others leave.
    Rest(u16),
}

/// What a row is, however the list is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A rule.
    Port(RuleKey),
    /// A container.
    Container(IpAddr),
    /// A flow.
    Flow(&'static str, Ends),
    /// A reason.
    Reason(Reason),
    /// A table.
    Table(&'static str),
}

/// A row of a list.
pub trait Line {
    /// Its columns.
    const COLUMNS: &'static [Column];
    /// What it is.
    fn key(&self) -> Key;
    /// Its place among equals, before the key.
    fn place(&self) -> u64 {
        0
    }
    /// What a column is sorted by, the largest first; 0 in columns of text, which go by place and key.
    fn value(&self, column: &str) -> u64;
    /// What stands in a column.
    fn text(&self, column: &str, names: &Names) -> String;
}

const fn text(title: &'static str, width: u16) -> Column {
    Column {
        title,
        width: Width::Text(width),
        is_extra: false,
    }
}

const fn number(title: &'static str, width: u16) -> Column {
    Column {
        title,
        width: Width::Number(width),
        is_extra: false,
    }
}

const fn rest(title: &'static str, part: u16) -> Column {
    Column {
        title,
        width: Width::Rest(part),
        is_extra: false,
    }
}

const fn extra(column: Column) -> Column {
    Column {
        is_extra: true,
        ..column
    }
}

/// The column that lists are sorted by at first.
pub(super) const RATE: &str = "RATE";

impl Line for PortLine {
    const COLUMNS: &'static [Column] = &[
        rest("PUBLISHED", 4),
        rest("CONTAINER", 3),
        number(RATE, 7),
        number("IN/s", 7),
        number("OUT/s", 7),
        extra(number("PKT/s", 7)),
        number("FLOWS", 6),
        number("NEW/s", 6),
        extra(text("OWNER", 9)),
    ];

    fn key(&self) -> Key {
        Key::Port(self.key)
    }

    fn place(&self) -> u64 {
        self.ports.0.into()
    }

    fn value(&self, column: &str) -> u64 {
        match column {
            "FLOWS" => self.flows,
            "NEW/s" => self.opened,
            column => rate(self.traffic, column),
        }
    }

    fn text(&self, column: &str, names: &Names) -> String {
        match column {
            "PUBLISHED" => self.published(),
            "CONTAINER" => self.target(names),
            "OWNER" => self.owner.to_owned(),
            // What the proxy carries is in no flow table.
            RATE if self.proxied => "proxy".to_owned(),
            _ if self.proxied => "-".to_owned(),
            column => amount(self.value(column)),
        }
    }
}

impl PortLine {
    /// `0.0.0.0:8080/tcp`.
    pub fn published(&self) -> String {
        format!("{}:{}/{}", Bracketed(self.host), span(self.ports), self.protocol)
    }

    /// `web:80`, or the address where it has no name.
    pub fn target(&self, names: &Names) -> String {
        let ports = span(self.container_ports);
        match names.get(&self.container) {
            Some(named) => format!("{}:{ports}", named.container),
            None => format!("{}:{ports}", Bracketed(self.container)),
        }
    }
}

fn span((first, last): (u16, u16)) -> String {
    if first == last {
        first.to_string()
    } else {
        format!("{first}-{last}")
    }
}

fn rate(traffic: Traffic, column: &str) -> u64 {
    match column {
        RATE => traffic.bytes(),
        "IN/s" => traffic.bytes_in,
        "OUT/s" => traffic.bytes_out,
        "PKT/s" => traffic.packets(),
        _ => 0,
    }
}

impl Line for ContainerLine {
    const COLUMNS: &'static [Column] = &[
        rest("ADDRESS", 3),
        rest("NAME", 3),
        extra(rest("NETWORK", 2)),
        number(RATE, 7),
        number("IN/s", 7),
        number("OUT/s", 7),
        extra(number("PKT/s", 7)),
        number("FLOWS", 6),
        number("NEW/s", 6),
        number("PORTS", 5),
    ];

    fn key(&self) -> Key {
        Key::Container(self.address)
    }

    fn value(&self, column: &str) -> u64 {
        match column {
            "FLOWS" => self.flows,
            "NEW/s" => self.opened,
            "PORTS" => self.ports as u64,
            column => rate(self.traffic, column),
        }
    }

    fn text(&self, column: &str, names: &Names) -> String {
        let named = |part: fn(&NamedAddress) -> &String| names.get(&self.address).map(part).cloned();
        match column {
            "ADDRESS" => self.address.to_string(),
            "NAME" => named(|named| &named.container).unwrap_or_default(),
            "NETWORK" => named(|named| &named.network).unwrap_or_default(),
            column => amount(self.value(column)),
        }
    }
}

impl Line for FlowLine {
    const COLUMNS: &'static [Column] = &[
        text("PROTO", 5),
        rest("FROM", 1),
        rest("TO", 1),
        number(RATE, 7),
        extra(number("IN/s", 7)),
        extra(number("OUT/s", 7)),
        number("PKT/s", 7),
        extra(number("TOTAL", 7)),
        number("AGE", 6),
        text("STATE", 11),
        extra(text("KIND", 9)),
        extra(rest("BECOMES", 2)),
    ];

    fn key(&self) -> Key {
        Key::Flow(self.protocol, self.original)
    }

    fn value(&self, column: &str) -> u64 {
        match column {
            "TOTAL" => self.bytes,
            // The youngest first.
            "AGE" => u64::from(u32::MAX - self.age),
            column => rate(self.traffic, column),
        }
    }

    fn text(&self, column: &str, _: &Names) -> String {
        let Ends {
            src,
            sport,
            dst,
            dport,
        } = self.original;
        match column {
            "PROTO" => self.protocol.to_owned(),
            "FROM" => format!("{}:{sport}", Bracketed(src)),
            "TO" => format!("{}:{dport}", Bracketed(dst)),
            "STATE" => self.state.to_owned(),
            "KIND" => self.kind.to_owned(),
            "AGE" => time(self.age),
            "BECOMES" => {
                let Ends {
                    src,
                    sport,
                    dst,
                    dport,
                } = self.translated;
                format!("{}:{sport}->{}:{dport}", Bracketed(src), Bracketed(dst))
            }
            column => amount(self.value(column)),
        }
    }
}

impl Line for ReasonLine {
    const COLUMNS: &'static [Column] = &[
        text("REASON", 19),
        text("CLASS", 7),
        number(RATE, 8),
        extra(number("B/s", 7)),
        number("TOTAL", 7),
        extra(text("HOOKS", 20)),
        rest("MEANING", 1),
    ];

    fn key(&self) -> Key {
        Key::Reason(self.reason)
    }

    fn value(&self, column: &str) -> u64 {
        match column {
            RATE => self.packets(),
            "B/s" => self.bytes(),
            "TOTAL" => self.total(),
            _ => 0,
        }
    }

    fn text(&self, column: &str, _: &Names) -> String {
        match column {
            "REASON" => self.reason.name().to_owned(),
            "CLASS" => self.reason.class().name().to_owned(),
            "MEANING" => self.reason.meaning().to_owned(),
            "HOOKS" => {
                let hooks: Vec<_> = self.hooks.iter().map(|count| count.hook.name()).collect();
                hooks.join(" ")
            }
            RATE => format!("{}/s", amount(self.packets())),
            column => amount(self.value(column)),
        }
    }
}

impl Line for TableLine {
    const COLUMNS: &'static [Column] = &[
        text("TABLE", 12),
        number("ENTRIES", 8),
        number("ROOM", 8),
        number("FILL", 7),
        rest("", 1),
    ];

    fn key(&self) -> Key {
        Key::Table(self.name)
    }

    fn value(&self, column: &str) -> u64 {
        match column {
            "ENTRIES" => self.entries,
            "ROOM" => self.capacity,
            "FILL" => self.fill(),
            _ => 0,
        }
    }

    fn text(&self, column: &str, _: &Names) -> String {
        /// How long the bar of a full table is.
        const BAR: u64 = 30;
        match column {
            "TABLE" => self.name.to_owned(),
            "ENTRIES" => self.entries.to_string(),
            "ROOM" => self.capacity.to_string(),
            "FILL" => percent(self.fill()),
            _ => {
                "|".repeat(usize::try_from((self.fill() * BAR).div_ceil(1_000).min(BAR)).unwrap_or_default())
            }
        }
    }
}

/// Of thousandths.
pub(super) fn percent(fill: u64) -> String {
    format!("{}.{}%", fill / 10, fill % 10)
}
