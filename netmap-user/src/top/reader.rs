//! Reads the pinned tables, lap after lap, in a thread of its own.

use std::{
    collections::HashMap,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use netmap_common::maps::{Count, Hook, Protocol, Reason, Rule, RuleId, Seconds, capacity};
use tokio::sync::mpsc::Sender;

use super::{
    memory::Memory,
    sample::{
        ContainerLine, FlowLine, HookCount, PortLine, ReasonLine, RuleKey, Sample, TableLine, Traffic,
        per_second,
    },
    walk::{Entry, Kept, Sum, Walk},
    wish::Wish,
};
use crate::{
    maps::{self, Family, FamilyMaps, FlowCursor, Maps, MapsError},
    publish::Owner,
};

/// How many flow entries are read at a time: 320 KiB, of IPv6 512.
const CHUNK: usize = 4096;

/// What the reader says.
#[derive(Debug)]
pub enum News {
    /// A lap begins.
    Reading,
    /// What it has found.
    Lap(Box<Sample>),
    /// The tables cannot be read, and why; the next lap tries again.
    Failed(String),
}

/// What a reader knows of the lap before.
pub struct Reader {
    pin_dir: PathBuf,
    memory: Memory,
    counters: HashMap<(Hook, Reason), Count>,
    before: Option<(Instant, Seconds)>,
    /// Of the last whole seconds.
    opened: u64,
}

impl Reader {
    /// Of the tables that are pinned there. Nothing is read yet.
    pub fn new(pin_dir: &Path) -> Self {
        Self {
            pin_dir: pin_dir.to_owned(),
            memory: Memory::default(),
            counters: HashMap::new(),
            before: None,
            opened: 0,
        }
    }

    /// Reads once. The tables are opened anew each time: `netmap down` may have been, and another `netmap run`.
    ///
    /// # Errors
    ///
    /// Nothing is pinned, or the tables cannot be read.
    pub fn lap(&mut self, wish: &Wish) -> Result<Sample, MapsError> {
        let maps = Maps::open(&self.pin_dir)?;
        let (start, now) = (Instant::now(), maps::now());
        let before = self.before.map(|(_, seconds)| seconds);
        let since = self.before.map(|(instant, _)| start - instant);
        let mut walk = Walk::new(&mut self.memory, wish, before, now);
        read(&maps.v4, &mut walk)?;
        read(&maps.v6, &mut walk)?;
        let whole = Duration::from_secs(before.map_or(0, |before| now.since(before).0).into());
        // Flows are stamped with whole seconds: a lap within one has no new ones yet.
        let whole = (!whole.is_zero()).then_some(whole);
        let mut busiest = Vec::new();
        for entry in walk.take_busiest() {
            busiest.extend(flow(&maps, &walk, entry, since)?);
        }
        let rate = |traffic| rate_of(traffic, since);
        let opened = |sum: &Sum| per_second(sum.opened, whole);
        let mut tables = Vec::new();
        let [entries, entries6] = walk.entries;
        let mut ports = Vec::new();
        for is_v6 in [false, true] {
            let found = if is_v6 {
                tables_of(&maps.v6, NAMES6, entries6, &mut tables)?;
                port_lines(maps.v6.rules.live()?, is_v6, now)
            } else {
                tables_of(&maps.v4, NAMES, entries, &mut tables)?;
                port_lines(maps.v4.rules.live()?, is_v6, now)
            };
            let rules = if is_v6 { "rules6" } else { "rules" };
            tables.push(table(rules, found.len(), capacity::RULES - 1));
            ports.extend(found);
        }
        let mut containers: HashMap<IpAddr, (Sum, usize)> = HashMap::new();
        for (address, sum) in &walk.containers {
            containers.insert(*address, (*sum, 0));
        }
        for port in &mut ports {
            containers.entry(port.container).or_default().1 += 1;
            if let Some(sum) = walk.rules.get(&port.key) {
                (port.traffic, port.flows, port.opened) = (rate(sum.traffic), sum.flows, opened(sum));
            }
        }
        if whole.is_some() {
            self.opened = opened(&walk.all);
        }
        let (traffic, flows) = (rate(walk.all.traffic), walk.all.flows);
        let containers = containers
            .into_iter()
            .map(|(address, (sum, ports))| ContainerLine {
                address,
                traffic: rate(sum.traffic),
                flows: sum.flows,
                opened: opened(&sum),
                ports,
            });
        let containers = containers.collect();
        let reasons = self.reasons(maps.counters.all()?, since);
        let dropped = reasons.iter().filter(|line| is_drop(line.reason));
        let dropped = dropped.map(ReasonLine::packets).sum();
        let share = self.memory.share();
        self.memory.end_lap(now);
        if whole.is_some() || before.is_none() {
            self.before = Some((start, now));
        } else if let Some((instant, _)) = &mut self.before {
            *instant = start;
        }
        Ok(Sample {
            since,
            took: start.elapsed(),
            share,
            traffic,
            flows,
            opened: self.opened,
            dropped,
            ports,
            containers,
            busiest,
            reasons,
            tables,
        })
    }

    fn reasons(&mut self, counters: Vec<(Hook, Reason, Count)>, since: Option<Duration>) -> Vec<ReasonLine> {
        let mut lines: Vec<ReasonLine> = Vec::new();
        for (hook, reason, count) in counters {
            let before = self.counters.insert((hook, reason), count).unwrap_or_default();
            if count == Count::default() {
                continue;
            }
            let count = HookCount {
                hook,
                packets: per_second(count.packets.saturating_sub(before.packets), since),
                bytes: per_second(count.bytes.saturating_sub(before.bytes), since),
                total: count.packets,
            };
            match lines.iter_mut().find(|line| line.reason == reason) {
                Some(line) => line.hooks.push(count),
                None => lines.push(ReasonLine {
                    reason,
                    hooks: vec![count],
                }),
            }
        }
        lines
    }
}

pub(super) const fn is_drop(reason: Reason) -> bool {
    matches!(reason.class(), netmap_common::maps::Class::Dropped)
}

/// Reads lap after lap, and tells; until nobody listens. It rests at least as long as a lap took: there may be a
/// million flows.
pub fn run(
    mut reader: Reader,
    mut wish: Wish,
    interval: Duration,
    wishes: &Receiver<Wish>,
    news: &Sender<News>,
) {
    /// The second lap, the first with rates, need not be late.
    const FIRST: Duration = Duration::from_secs(1);
    let mut rest = FIRST.min(interval);
    loop {
        if !wish.paused {
            let start = Instant::now();
            if news.blocking_send(News::Reading).is_err() {
                return;
            }
            let found = match reader.lap(&wish) {
                Ok(sample) => News::Lap(Box::new(sample)),
                Err(error) => News::Failed(error.to_string()),
            };
            if news.blocking_send(found).is_err() {
                return;
            }
            let took = start.elapsed();
            rest = rest.saturating_sub(took).max(took);
        }
        let mut waits = rest;
        rest = interval;
        let end = Instant::now() + waits;
        loop {
            match wishes.recv_timeout(if wish.paused {
                Duration::from_secs(3_600)
            } else {
                waits
            }) {
                Ok(new) => {
                    // Other flows are wanted at once, the rest when it is time.
                    let is_other = new.focus != wish.focus || new.order != wish.order;
                    let goes_on = wish.paused && !new.paused;
                    wish = new;
                    if is_other || goes_on {
                        break;
                    }
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return,
            }
            waits = end.saturating_duration_since(Instant::now());
        }
    }
}

fn read<A: Family + Kept>(maps: &FamilyMaps<A>, walk: &mut Walk<'_>) -> Result<(), MapsError> {
    let mut cursor = FlowCursor::new(CHUNK);
    while maps.flows.read(&mut cursor)? {
        for (key, flow) in cursor.entries() {
            walk.see(key, flow);
        }
    }
    Ok(())
}

fn flow(
    maps: &Maps,
    walk: &Walk<'_>,
    entry: Entry,
    since: Option<Duration>,
) -> Result<Option<FlowLine>, MapsError> {
    let found = match entry {
        Entry::V4(key, flow) => {
            let twin = maps.v4.flows.get(&flow.twin())?;
            walk.flow(&key, &flow, |_| twin)
        }
        Entry::V6(key, flow) => {
            let twin = maps.v6.flows.get(&flow.twin())?;
            walk.flow(&key, &flow, |_| twin)
        }
    };
    Ok(found.map(|flow| FlowLine {
        traffic: rate_of(flow.traffic, since),
        ..flow
    }))
}

fn rate_of(traffic: Traffic, since: Option<Duration>) -> Traffic {
    let rate = |count| per_second(count, since);
    Traffic {
        bytes_in: rate(traffic.bytes_in),
        bytes_out: rate(traffic.bytes_out),
        packets_in: rate(traffic.packets_in),
        packets_out: rate(traffic.packets_out),
    }
}

const NAMES: [&str; 5] = ["flows", "allow", "endpoints", "interfaces", "addresses"];
const NAMES6: [&str; 5] = ["flows6", "allow6", "endpoints6", "interfaces6", "addresses6"];

/// All but the rules, which are read anyhow, as are the flows' entries.
fn tables_of<A: Family>(
    maps: &FamilyMaps<A>,
    [flows, allow, endpoints, interfaces, addresses]: [&'static str; 5],
    entries: u64,
    into: &mut Vec<TableLine>,
) -> Result<(), MapsError> {
    into.push(TableLine {
        name: flows,
        entries,
        capacity: maps.flows.capacity()?.into(),
    });
    into.extend([
        table(allow, maps.allow.all()?.len(), capacity::ALLOW),
        table(endpoints, maps.endpoints.all()?.len(), capacity::ENDPOINTS),
        table(interfaces, maps.interfaces.all()?.len(), capacity::INTERFACES),
        table(addresses, maps.locals.all()?.len(), capacity::LOCALS),
    ]);
    Ok(())
}

const fn table(name: &'static str, entries: usize, capacity: usize) -> TableLine {
    TableLine {
        name,
        entries: entries as u64,
        capacity: capacity as u64,
    }
}

fn port_lines<A: Family>(rules: Vec<(RuleId, Rule<A>)>, is_v6: bool, now: Seconds) -> Vec<PortLine> {
    let rules = rules.into_iter().filter(|(_, rule)| rule.is_live());
    let lines = rules.map(|(id, rule)| {
        let (host, target): (IpAddr, IpAddr) = (rule.host.into(), rule.target.into());
        let container = target.to_canonical();
        let last = rule.target_port_of(rule.last_port()).unwrap_or(rule.target_port);
        PortLine {
            key: RuleKey {
                is_v6,
                rule: id.0,
                generation: rule.generation.0,
            },
            protocol: Protocol::from_number(rule.protocol).map_or("unknown", Protocol::name),
            host,
            ports: (rule.host_port.0, rule.last_port().0),
            container,
            container_ports: (rule.target_port.0, last.0),
            proxied: host.is_ipv4() != container.is_ipv4(),
            owner: Owner::of(rule.flags).name(),
            limited: rule.has_allow_list(),
            age: now.since(rule.since).0,
            traffic: Traffic::default(),
            flows: 0,
            opened: 0,
        }
    });
    lines.collect()
}
