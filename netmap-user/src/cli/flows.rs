//! `netmap flows`: what is being translated.
//!
//! The table may hold millions and changes while it is read, so a flow is printed as soon as its entry of the original
//! direction is read, and memory does not grow with the table. Only `--limit` has an order, and keeps what it prints.

mod latest;
mod row;

use std::{io, io::Write};

use netmap_common::maps::{Address, Flow, FlowKey, Kind, Protocol, Seconds, Side};

pub use row::{Ends, FlowRow};

use self::latest::Latest;
use super::{
    args::{FlowsArgs, Instance},
    failure::Failure,
    read::{self, Entries, Tables as _},
};

/// Prints the flows.
pub(super) fn command(args: &FlowsArgs, instance: &Instance, out: &mut impl Write) -> Result<(), Failure> {
    let tables = read::open(instance.pin_dir())?;
    list(&tables, tables.now(), args, out)?;
    Ok(())
}

/// Prints flows of this table as the arguments want it: as a table, or as `{"flows":[..],"total":N,"entries":N}`, one
/// flow a line. `total` counts those that a limit cuts off, too, and `entries` all that the table holds.
///
/// # Errors
///
/// The table cannot be read, or the output refuses.
pub fn list(
    table: &impl Entries,
    now: Seconds,
    args: &FlowsArgs,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let listing = Listing { table, now, args };
    if args.json {
        listing.write_json(out)
    } else {
        listing.write_table(out)
    }
}

/// Both entries of a flow.
#[derive(Clone, Copy, Debug)]
struct Twins {
    key: FlowKey,
    original: Flow,
    reply: Flow,
}

/// How many there were.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    /// Flows that the arguments ask for.
    flows: usize,
    /// Entries of the table.
    entries: usize,
}

struct Listing<'table, T> {
    table: &'table T,
    now: Seconds,
    args: &'table FlowsArgs,
}

impl<T: Entries> Listing<'_, T> {
    fn write_json(&self, out: &mut impl Write) -> anyhow::Result<()> {
        write!(out, "{{\"flows\":[")?;
        let mut is_first = true;
        let Totals { flows, entries } = self.each_row(|row| {
            writeln!(out, "{}", if is_first { "" } else { "," })?;
            is_first = false;
            Ok(serde_json::to_writer(&mut *out, &row)?)
        })?;
        writeln!(out, "\n],\"total\":{flows},\"entries\":{entries}}}")?;
        Ok(())
    }

    /// Widths are fixed, so that no line waits for the last.
    fn write_table(&self, out: &mut impl Write) -> anyhow::Result<()> {
        row::write_header(out)?;
        let mut shown = 0;
        let Totals { flows, entries } = self.each_row(|row| {
            shown += 1;
            row.write_line(out)
        })?;
        writeln!(out, "{shown} of {flows} flows, {entries} entries in the table")?;
        Ok(())
    }

    /// Without a limit the rows are in no order.
    fn each_row(&self, mut visit: impl FnMut(FlowRow) -> io::Result<()>) -> anyhow::Result<Totals> {
        let mut show = |twins: &Twins| -> anyhow::Result<()> {
            Ok(visit(FlowRow::new(
                twins.key,
                &twins.original,
                &twins.reply,
                self.now,
            ))?)
        };
        let Some(limit) = self.args.limit else {
            return self.each_flow(show);
        };
        let mut latest = Latest::new(limit);
        let totals = self.each_flow(|twins| {
            latest.add(*twins);
            Ok(())
        })?;
        latest.iter().try_for_each(&mut show)?;
        Ok(totals)
    }

    /// Finds each original entry's twin. One whose twin is missing or another flow's is no flow: remains that the daemon
    /// is about to remove, or one that ends while it is read.
    fn each_flow(&self, mut visit: impl FnMut(&Twins) -> anyhow::Result<()>) -> anyhow::Result<Totals> {
        let choice = Choice::new(self.args);
        let mut totals = Totals::default();
        self.table.each_entry(&mut |key, original| {
            totals.entries += 1;
            if original.side() != Side::Original || !choice.includes(key, original) {
                return Ok(());
            }
            let reply = self.table.entry(&original.twin())?;
            let Some(reply) = reply.filter(|reply| reply.nonce == original.nonce && reply.twin() == *key)
            else {
                return Ok(());
            };
            totals.flows += 1;
            visit(&Twins {
                key: *key,
                original: *original,
                reply,
            })
        })?;
        Ok(totals)
    }
}

/// Which flows are asked for.
struct Choice {
    protocol: Option<u8>,
    kind: Option<Kind>,
    address: Option<Address>,
}

impl Choice {
    fn new(args: &FlowsArgs) -> Self {
        Self {
            protocol: args.protocol.map(|name| Protocol::from(name).number()),
            kind: args.kind.map(Kind::from),
            address: args.address.map(Address::from),
        }
    }

    fn includes(&self, key: &FlowKey, original: &Flow) -> bool {
        let ends = [key.src, key.dst, original.to.src, original.to.dst];
        self.protocol.is_none_or(|protocol| key.protocol == protocol)
            && self.kind.is_none_or(|kind| original.kind() == Some(kind))
            && self.address.is_none_or(|address| ends.contains(&address))
    }
}

#[cfg(test)]
mod tests;
