//! `netmap top`: what is carried now, and by whom.

use std::{
    env,
    io::{self, IsTerminal as _, Write},
    thread,
};

use anyhow::bail;
use serde::Serialize;

use super::{
    args::{Instance, TopArgs},
    failure::Failure,
    output, publish as publish_command, read,
};
use crate::api::flows::Ends;
use crate::top::{
    amount,
    columns::{Line as _, Names},
    model::{Model, Pane},
    reader::{News, Reader},
    run,
    sample::{Sample, Traffic},
};

/// Shows it until somebody ends it, or prints it once.
pub(super) fn command(args: &TopArgs, instance: &Instance, out: &mut impl Write) -> Result<(), Failure> {
    // For its sentence where there is nothing to read.
    drop(read::open(instance.pin_dir())?);
    if args.once {
        return Ok(once(args, instance, out)?);
    }
    Ok(show(args, instance)?)
}

fn show(args: &TopArgs, instance: &Instance) -> anyhow::Result<()> {
    if !io::stdout().is_terminal() {
        bail!("netmap top draws on a terminal, and this is none; --once prints it once");
    }
    let is_unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run::run(run::Show {
        pin_dir: instance.pin_dir().to_owned(),
        socket: instance.socket().to_owned(),
        interval: args.interval,
        has_colours: !is_unwanted,
    }))
}

fn once(args: &TopArgs, instance: &Instance, out: &mut impl Write) -> anyhow::Result<()> {
    let wish = Model::new(args.interval).wish();
    let mut reader = Reader::new(instance.pin_dir());
    reader.lap(&wish)?;
    thread::sleep(args.interval);
    let sample = reader.lap(&wish)?;
    let names = async { Ok(run::names(instance.socket()).await) };
    let names = publish_command::wait(names)?.ok().flatten().unwrap_or_default();
    if args.json {
        output::json(out, &Snapshot::new(sample, &names, args.limit))?;
    } else {
        print(sample, names, args, out)?;
    }
    Ok(())
}

/// The lists one below the other, as the screen has them.
fn print(sample: Sample, names: Names, args: &TopArgs, out: &mut impl Write) -> io::Result<()> {
    let rate = |count| format!("{}/s", amount(count));
    writeln!(
        out,
        "in {}   out {}   packets {}   dropped {}   flows {}   new {}",
        rate(sample.traffic.bytes_in),
        rate(sample.traffic.bytes_out),
        rate(sample.traffic.packets()),
        rate(sample.dropped),
        sample.flows,
        rate(sample.opened),
    )?;
    if sample.share > 1 {
        writeln!(out, "rates by 1 flow in {}", sample.share)?;
    }
    let mut model = Model::new(args.interval);
    model.learn(Some(names));
    model.hear(News::Lap(Box::new(sample)));
    for pane in Pane::ALL {
        let rows = model.list_of(pane);
        let (_, title) = pane.title().split_once(' ').unwrap_or_default();
        writeln!(out)?;
        let shown = rows.rows.len().min(args.limit);
        if shown < rows.fitting {
            writeln!(out, "{title}: {shown} of {}", rows.fitting)?;
        } else {
            writeln!(out, "{title}: {shown}")?;
        }
        if shown == 0 {
            continue;
        }
        output::table(
            out,
            rows.columns
                .iter()
                .map(|column| column.title.to_owned())
                .collect::<Vec<_>>(),
            rows.rows.into_iter().take(args.limit).map(|row| row.cells),
        )?;
    }
    Ok(())
}

/// What `--once --json` prints. Rates are by the second.
#[derive(Serialize)]
struct Snapshot {
    interval_seconds: f64,
    /// Rates are those of one flow in so many, times that.
    rates_by_one_in: u64,
    #[serde(flatten)]
    traffic: Traffic,
    dropped_rate: u64,
    flows: u64,
    new_flows_rate: u64,
    ports: Vec<PortRow>,
    containers: Vec<ContainerRow>,
    flows_busiest: Vec<FlowRow>,
    reasons: Vec<ReasonRow>,
    tables: Vec<TableRow>,
}

#[derive(Serialize)]
struct PortRow {
    published: String,
    container: String,
    container_name: Option<String>,
    rule: u32,
    owner: &'static str,
    proxied: bool,
    #[serde(flatten)]
    traffic: Traffic,
    flows: u64,
    new_flows_rate: u64,
}

#[derive(Serialize)]
struct ContainerRow {
    address: String,
    container_name: Option<String>,
    network: Option<String>,
    ports: usize,
    #[serde(flatten)]
    traffic: Traffic,
    flows: u64,
    new_flows_rate: u64,
}

#[derive(Serialize)]
struct FlowRow {
    protocol: &'static str,
    kind: &'static str,
    state: &'static str,
    original: Ends,
    translated: Ends,
    #[serde(flatten)]
    traffic: Traffic,
    bytes: u64,
    age_seconds: u32,
    idle_seconds: u32,
    rule: Option<u32>,
}

#[derive(Serialize)]
struct ReasonRow {
    reason: &'static str,
    class: &'static str,
    hook: &'static str,
    packets_rate: u64,
    bytes_rate: u64,
    packets: u64,
}

#[derive(Serialize)]
struct TableRow {
    table: &'static str,
    entries: u64,
    capacity: u64,
}

impl Snapshot {
    /// The busiest `limit` of each list, and every reason and table.
    fn new(mut sample: Sample, names: &Names, limit: usize) -> Self {
        sample
            .ports
            .sort_by_key(|port| (std::cmp::Reverse(port.traffic.bytes()), port.place(), port.key));
        sample
            .containers
            .sort_by_key(|container| (std::cmp::Reverse(container.traffic.bytes()), container.address));
        let name = |address| names.get(address).map(|named| named.container.clone());
        Self {
            interval_seconds: sample.since.unwrap_or_default().as_secs_f64(),
            rates_by_one_in: sample.share,
            traffic: sample.traffic,
            dropped_rate: sample.dropped,
            flows: sample.flows,
            new_flows_rate: sample.opened,
            ports: (sample.ports.iter().take(limit))
                .map(|port| PortRow {
                    published: port.published(),
                    container: port.target(&Names::new()),
                    container_name: name(&port.container),
                    rule: port.key.rule,
                    owner: port.owner,
                    proxied: port.proxied,
                    traffic: port.traffic,
                    flows: port.flows,
                    new_flows_rate: port.opened,
                })
                .collect(),
            containers: (sample.containers.iter().take(limit))
                .map(|container| ContainerRow {
                    address: container.address.to_string(),
                    container_name: name(&container.address),
                    network: names.get(&container.address).map(|named| named.network.clone()),
                    ports: container.ports,
                    traffic: container.traffic,
                    flows: container.flows,
                    new_flows_rate: container.opened,
                })
                .collect(),
            flows_busiest: (sample.busiest.iter().take(limit))
                .map(|flow| FlowRow {
                    protocol: flow.protocol,
                    kind: flow.kind,
                    state: flow.state,
                    original: flow.original,
                    translated: flow.translated,
                    traffic: flow.traffic,
                    bytes: flow.bytes,
                    age_seconds: flow.age,
                    idle_seconds: flow.idle,
                    rule: flow.rule.map(|rule| rule.rule),
                })
                .collect(),
            reasons: (sample.reasons.iter())
                .flat_map(|line| {
                    line.hooks.iter().map(|count| ReasonRow {
                        reason: line.reason.name(),
                        class: line.reason.class().name(),
                        hook: count.hook.name(),
                        packets_rate: count.packets,
                        bytes_rate: count.bytes,
                        packets: count.total,
                    })
                })
                .collect(),
            tables: (sample.tables.iter())
                .map(|table| TableRow {
                    table: table.name,
                    entries: table.entries,
                    capacity: table.capacity,
                })
                .collect(),
        }
    }
}
