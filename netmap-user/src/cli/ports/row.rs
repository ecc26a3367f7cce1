//! One published range, as it is listed.

use std::{
    io::{self, Write},
    net::IpAddr,
};

use ipnet::IpNet;
use netmap_common::maps::{Generation, RuleId};
use serde::Serialize;

use crate::{
    binding::{Bracketed, nobody},
    cli::output,
    rates::{Opener, Rate},
};

/// One published range of one family.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PortRow {
    /// The published address; 0.0.0.0 stands for every IPv4 address of this host, `::` for every IPv6 address.
    pub host: IpAddr,
    /// First published port.
    pub port: u16,
    /// Last published port.
    pub end: u16,
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// The container's address.
    pub container: IpAddr,
    /// First port in the container.
    pub container_port: u16,
    /// Last port in the container.
    pub container_end: u16,
    /// Sources that may connect; empty for everybody. The unspecified address alone (0.0.0.0/32, `::/128`) stands for
    /// nobody: the allow-list has sources of the other family only.
    pub allow: Vec<IpNet>,
    /// The rule's number among those of its family.
    pub rule: u32,
    /// Its generation.
    pub generation: u32,
    /// For how long it has been published.
    pub age_seconds: u32,
    /// Flows that it opened and that are still there.
    pub flows: u64,
    /// Since the last packet of its flows: of those that are there, and of those that the daemon has ended since it began. None
    /// where neither knows of one.
    pub idle_seconds: Option<u32>,
    /// What comes in a second, where that was asked for and the proxy does not carry it.
    #[serde(flatten)]
    pub rates: Option<PortRates>,
    /// The socket proxy carries all of it: the container's address is of the other family.
    pub proxied: bool,
    /// Who had it published: `operator`, `docker`, or `docker (unclaimed)` when neither a proxy of docker's nor its API
    /// stands for it at the moment.
    pub owner: &'static str,
    /// What the container engine calls the container. The daemon knows, where it follows one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_name: Option<String>,
    /// The engine's network in which the container has the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
}

/// What comes in a second, on average over the time between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct PortRates {
    /// Packets of both directions.
    pub packets_per_second: f64,
    /// Their bytes, at layer 3.
    pub bytes_per_second: f64,
    /// New flows.
    pub new_flows_per_second: f64,
}

impl From<Rate> for PortRates {
    fn from(rate: Rate) -> Self {
        Self {
            packets_per_second: rate.packets,
            bytes_per_second: rate.bytes,
            new_flows_per_second: rate.flows,
        }
    }
}

impl PortRow {
    /// The rule as flows name it.
    pub(super) fn opener(&self) -> Opener {
        Opener {
            is_ipv6: self.host.is_ipv6(),
            rule: RuleId(self.rule),
            generation: Generation(self.generation),
        }
    }
}

/// How long was looked for rates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sampled {
    /// Seconds between the two looks.
    pub sample_seconds: f64,
    /// Whether rates are reckoned from a part of the flows, for there are too many to remember.
    pub is_estimate: bool,
}

/// Prints rows as a table or as `{"ports":[..]}`, with how they were sampled.
///
/// # Errors
///
/// The output refuses.
pub fn render(
    rows: &[PortRow],
    sampled: Option<Sampled>,
    json: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    #[derive(Serialize)]
    struct Listing<'rows> {
        ports: &'rows [PortRow],
        #[serde(flatten)]
        sampled: Option<Sampled>,
    }
    if json {
        return output::json(out, &Listing { ports: rows, sampled });
    }
    let has_names = rows.iter().any(|row| row.container_name.is_some());
    let names = ["NAME", "NETWORK"].iter().filter(|_| has_names);
    let rates = ["PACKETS/S", "BYTES/S", "NEW/S"]
        .iter()
        .filter(|_| sampled.is_some());
    output::table(
        out,
        [
            "PUBLISHED",
            "CONTAINER",
            "BY",
            "OWNER",
            "ALLOW",
            "AGE",
            "USED",
            "FLOWS",
        ]
        .iter()
        .chain(rates)
        .chain(names)
        .map(|title| (*title).to_owned())
        .collect(),
        rows.iter().map(|row| {
            let mut cells = vec![
                format!(
                    "{}:{}/{}",
                    Bracketed(row.host),
                    span(row.port, row.end),
                    row.protocol
                ),
                format!(
                    "{}:{}",
                    Bracketed(row.container),
                    span(row.container_port, row.container_end)
                ),
                if row.proxied { "proxy" } else { "ebpf" }.to_owned(),
                row.owner.to_owned(),
                sources(row),
                output::duration(row.age_seconds.into()),
                used(row),
                row.flows.to_string(),
            ];
            if sampled.is_some() {
                cells.extend(rate_cells(row.rates));
            }
            if has_names {
                cells
                    .extend([&row.container_name, &row.network].map(|name| name.clone().unwrap_or_default()));
            }
            cells
        }),
    )
}

fn span(first: u16, last: u16) -> String {
    if first == last {
        first.to_string()
    } else {
        format!("{first}-{last}")
    }
}

fn sources(row: &PortRow) -> String {
    if row.allow.is_empty() {
        return "all".to_owned();
    }
    if row.allow == [nobody(row.host)] {
        return "nobody".to_owned();
    }
    let allow: Vec<_> = row.allow.iter().map(ToString::to_string).collect();
    allow.join(",")
}

/// How long ago it was used, as far as anybody knows.
fn used(row: &PortRow) -> String {
    row.idle_seconds.map_or_else(
        || "-".to_owned(),
        |idle| format!("{} ago", output::duration(idle.into())),
    )
}

fn rate_cells(rates: Option<PortRates>) -> [String; 3] {
    let Some(PortRates {
        packets_per_second,
        bytes_per_second,
        new_flows_per_second,
    }) = rates
    else {
        return ["-"; 3].map(str::to_owned);
    };
    [packets_per_second, bytes_per_second, new_flows_per_second].map(output::rate)
}
