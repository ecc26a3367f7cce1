//! `netmap ports`: what is published.

mod row;
mod selection;

use std::{
    collections::{BTreeMap, HashMap},
    io::Write,
    net::IpAddr,
    thread,
};

use netmap_common::maps::{
    Address, Address6, Flow, FlowKey, Generation, Protocol, Rule, RuleId, Seconds, Side,
};

pub use self::row::{PortRates, PortRow, Sampled, render};
use self::selection::Selection;
use super::{
    args::{Instance, PortsArgs},
    failure::Failure,
    names,
    read::{self, Entries, Tables},
};
use crate::{
    api::types::{EngineNames, NamedAddress, RuleUses},
    maps::Family,
    publish::{self, Owner},
    rates::{Lap, Meter, Opener, Rates},
    sys::monotonic_time,
};

/// Prints what is published.
pub(super) fn command(args: &PortsArgs, instance: &Instance, out: &mut impl Write) -> Result<(), Failure> {
    let tables = read::open(instance.pin_dir())?;
    let has_names = args.containers.iter().any(|name| name.parse::<IpAddr>().is_err());
    let names = if has_names {
        names::of_containers(instance.socket())?
    } else {
        names::known(instance.socket())
    };
    let selection = Selection::new(args, &names).map_err(|error| Failure::usage(anyhow::anyhow!(error)))?;
    let (mut rows, sampled) = match args.sample {
        None => (rows(&tables)?, None),
        Some(pause) => {
            let mut meter = Meter::default();
            look(&tables, &mut meter)?;
            thread::sleep(pause);
            let (rows, rates) = look(&tables, &mut meter)?;
            (rows, sampled(&rates))
        }
    };
    remember(&mut rows, &names::uses(instance.socket()));
    name(&mut rows, names);
    selection.apply(&mut rows);
    render(&rows, sampled, args.json, out)?;
    Ok(())
}

fn name(rows: &mut [PortRow], names: EngineNames) {
    let names = names.names.into_iter();
    let names: HashMap<IpAddr, NamedAddress> = names.map(|named| (named.address, named)).collect();
    for row in rows {
        if let Some(named) = names.get(&row.container) {
            row.container_name = Some(named.container.clone());
            row.network = Some(named.network.clone());
        }
    }
}

/// What the daemon knows of flows that have ended.
fn remember(rows: &mut [PortRow], uses: &RuleUses) {
    let uses: HashMap<Opener, u32> = uses
        .uses
        .iter()
        .map(|last| {
            let opener = Opener {
                is_ipv6: last.ipv6,
                rule: RuleId(last.rule),
                generation: Generation(last.generation),
            };
            (opener, last.idle_seconds)
        })
        .collect();
    for row in rows {
        let ended = uses.get(&row.opener()).copied();
        row.idle_seconds = row.idle_seconds.into_iter().chain(ended).min();
    }
}

/// What is published, by protocol, port and address.
///
/// # Errors
///
/// A table cannot be read.
pub fn rows(tables: &impl Tables) -> anyhow::Result<Vec<PortRow>> {
    let used = survey(tables, None)?;
    rows_of(tables, &used)
}

/// The same, with what came in a second since `meter` last looked.
///
/// # Errors
///
/// A table cannot be read.
pub fn look(tables: &impl Tables, meter: &mut Meter) -> anyhow::Result<(Vec<PortRow>, Rates)> {
    let mut lap = meter.look(monotonic_time());
    let used = survey(tables, Some(&mut lap))?;
    let rates = lap.end();
    let mut rows = rows_of(tables, &used)?;
    if let Some(time) = rates.time {
        for row in rows.iter_mut().filter(|row| !row.proxied) {
            let gain = rates.rules.get(&row.opener()).copied().unwrap_or_default();
            row.rates = Some(gain.a_second(time).into());
        }
    }
    Ok((rows, rates))
}

fn sampled(rates: &Rates) -> Option<Sampled> {
    rates.time.map(|time| Sampled {
        sample_seconds: time.as_secs_f64(),
        is_estimate: rates.is_estimate,
    })
}

fn rows_of(tables: &impl Tables, used: &HashMap<Opener, Used>) -> anyhow::Result<Vec<PortRow>> {
    let now = tables.now();
    let mut rows = family_rows(tables.rules()?, tables.allow()?, used, now);
    rows.extend(family_rows(tables.rules6()?, tables.allow6()?, used, now));
    rows.sort_by_key(|row| (row.protocol, row.port, row.host));
    Ok(rows)
}

fn family_rows<A: Family>(
    rules: Vec<(RuleId, Rule<A>)>,
    allow: Vec<(RuleId, A::Net)>,
    used: &HashMap<Opener, Used>,
    now: Seconds,
) -> Vec<PortRow> {
    let mut sources: BTreeMap<RuleId, Vec<A::Net>> = BTreeMap::new();
    for (rule, source) in allow {
        sources.entry(rule).or_default().push(source);
    }
    rules
        .into_iter()
        .filter(|(_, rule)| rule.is_live())
        .map(|(id, rule)| {
            let mut sources = sources.remove(&id).unwrap_or_default();
            sources.sort_unstable();
            let (host, target): (IpAddr, IpAddr) = (rule.host.into(), rule.target.into());
            let container = target.to_canonical();
            let used = used.get(&Opener::new::<A>(id, rule.generation));
            let used = used.copied().unwrap_or_default();
            PortRow {
                host,
                port: rule.host_port.0,
                end: rule.last_port().0,
                protocol: Protocol::from_number(rule.protocol).map_or("unknown", Protocol::name),
                container,
                container_port: rule.target_port.0,
                container_end: last_target_port(&rule),
                allow: publish::allow_of(&rule, &sources),
                rule: id.0,
                generation: rule.generation.0,
                age_seconds: now.since(rule.since).0,
                flows: used.flows,
                idle_seconds: used.seen.map(|seen| now.since(seen).0),
                rates: None,
                proxied: host.is_ipv4() != container.is_ipv4(),
                owner: Owner::of(rule.flags).name(),
                container_name: None,
                network: None,
            }
        })
        .collect()
}

/// What flows say of the rule that opened them.
#[derive(Clone, Copy, Debug, Default)]
struct Used {
    flows: u64,
    /// The last packet of any.
    seen: Option<Seconds>,
}

/// Goes over both flow tables once, also for rates.
fn survey(tables: &impl Tables, mut lap: Option<&mut Lap<'_>>) -> anyhow::Result<HashMap<Opener, Used>> {
    let mut used = HashMap::new();
    Entries::<Address>::each_entry(tables, &mut |key, flow| {
        see(&mut used, lap.as_deref_mut(), key, flow);
        Ok(())
    })?;
    Entries::<Address6>::each_entry(tables, &mut |key, flow| {
        see(&mut used, lap.as_deref_mut(), key, flow);
        Ok(())
    })?;
    Ok(used)
}

fn see<A: Family>(
    used: &mut HashMap<Opener, Used>,
    lap: Option<&mut Lap<'_>>,
    key: &FlowKey<A>,
    flow: &Flow<A>,
) {
    if let Some(lap) = lap {
        lap.see(key, flow);
    }
    let Some(opener) = Opener::of(flow) else {
        return;
    };
    let used = used.entry(opener).or_default();
    used.flows += u64::from(flow.side() == Side::Original);
    // The half of the answers may have had no packet.
    used.seen = used.seen.max((flow.packets > 0).then_some(flow.last_seen));
}

fn last_target_port<A: Family>(rule: &Rule<A>) -> u16 {
    rule.target_port_of(rule.last_port())
        .unwrap_or(rule.target_port)
        .0
}

#[cfg(test)]
mod tests;
