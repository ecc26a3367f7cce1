//! `netmap flows`: what is being translated.
//!
//! The tables, one a family, may hold millions and change while they are read, so a flow is printed as soon as its entry
//! of the original direction is read, and memory does not grow with them. Only `--limit` and `--sort` have an order, and keep what
//! they print.

mod close;
mod ranked;
mod row;

use std::io::{self, Write};

use netmap_common::maps::{Address, Address6, Flow, FlowKey, IfIndex, Seconds, Side};

pub use crate::api::flows::{Ends, FlowRow};

use self::ranked::{Ranked, Turn};
use super::{
    args::{FlowOrder, FlowsArgs, FlowsCommand, Instance},
    failure::Failure,
    names,
    read::{self, Entries, Tables as _},
};
use crate::{
    api::{flows::Choice, types::EngineNames},
    dataplane,
    maps::Family,
};

/// How many are printed with an order and without a limit.
const MOST: usize = 1_000;

/// Prints the flows, or has the daemon close some.
pub(super) fn command(args: &FlowsArgs, instance: &Instance, out: &mut impl Write) -> Result<(), Failure> {
    if let Some(FlowsCommand::Close(args)) = &args.command {
        return close::command(args, instance, out);
    }
    let tables = read::open(instance.pin_dir())?;
    let filter = args.filter.filter();
    let names = if filter.has_names() {
        names::of_containers(instance.socket())?
    } else {
        EngineNames::default()
    };
    let choice =
        Choice::new(&filter, &names, index).map_err(|error| Failure::usage(anyhow::anyhow!(error)))?;
    list(&tables, tables.now(), (args, &choice), out)?;
    Ok(())
}

/// An interface of this network namespace by its name.
fn index(name: &str) -> Option<IfIndex> {
    dataplane::interface_index(name)
}

/// Prints flows of these tables as the arguments want it: as a table, or as `{"flows":[..],"total":N,"entries":N}`, one
/// flow a line, IPv4's first. `total` counts those that a limit cuts off, too, and `entries` all that the tables hold.
///
/// # Errors
///
/// A table cannot be read, or the output refuses.
pub fn list(
    tables: &(impl Entries<Address> + Entries<Address6>),
    now: Seconds,
    (args, choice): (&FlowsArgs, &Choice),
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let listing = Listing {
        tables,
        now,
        args,
        choice,
    };
    if args.json {
        listing.write_json(out)
    } else {
        listing.write_table(out)
    }
}

/// How many there were.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    /// Flows that the arguments ask for.
    flows: usize,
    /// Entries of the tables.
    entries: usize,
}

struct Listing<'tables, T> {
    tables: &'tables T,
    now: Seconds,
    args: &'tables FlowsArgs,
    choice: &'tables Choice,
}

impl<T: Entries<Address> + Entries<Address6>> Listing<'_, T> {
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
            row::write_line(&row, out)
        })?;
        writeln!(out, "{shown} of {flows} flows, {entries} entries in the table")?;
        Ok(())
    }

    /// Without a limit or an order the rows are in none.
    fn each_row(&self, mut visit: impl FnMut(FlowRow) -> io::Result<()>) -> anyhow::Result<Totals> {
        let (order, limit) = match (self.args.sort, self.args.limit) {
            (None, None) => {
                return self.each_flow(&mut |found| Ok(visit(found.row(self.now))?));
            }
            (order, limit) => (order.unwrap_or_default(), limit.unwrap_or(MOST)),
        };
        let mut ranked = Ranked::new(limit);
        let totals = self.each_flow(&mut |found| {
            let turn = found.turn(order);
            let turn = if self.args.reverse { turn.reversed() } else { turn };
            ranked.add(turn, || found.row(self.now));
            Ok(())
        })?;
        ranked.into_rows().try_for_each(visit)?;
        Ok(totals)
    }

    fn each_flow(&self, visit: &mut dyn FnMut(&dyn Found) -> anyhow::Result<()>) -> anyhow::Result<Totals> {
        let mut totals = Totals::default();
        self.each_of_family::<Address>(&mut totals, visit)?;
        self.each_of_family::<Address6>(&mut totals, visit)?;
        Ok(totals)
    }

    /// Finds each original entry's twin. One whose twin is missing or another flow's is no flow: remains that the daemon
    /// is about to remove, or one that ends while it is read.
    fn each_of_family<A: Family>(
        &self,
        totals: &mut Totals,
        visit: &mut dyn FnMut(&dyn Found) -> anyhow::Result<()>,
    ) -> anyhow::Result<()>
    where
        T: Entries<A>,
    {
        self.tables
            .each_entry(&mut |key: &FlowKey<A>, original: &Flow<A>| {
                totals.entries += 1;
                if original.side() != Side::Original || !self.choice.may_include(key, original, self.now) {
                    return Ok(());
                }
                let reply = self.tables.entry(&original.twin())?;
                let Some(reply) = reply.filter(|reply| reply.nonce == original.nonce && reply.twin() == *key)
                else {
                    return Ok(());
                };
                if !self.choice.includes(key, original, &reply, self.now) {
                    return Ok(());
                }
                totals.flows += 1;
                visit(&(*key, *original, reply))
            })
    }
}

/// A flow of either family.
trait Found {
    fn turn(&self, order: FlowOrder) -> Turn;
    fn row(&self, now: Seconds) -> FlowRow;
}

impl<A: Family> Found for (FlowKey<A>, Flow<A>, Flow<A>) {
    fn turn(&self, order: FlowOrder) -> Turn {
        let (key, original, reply) = self;
        Turn::new(order, key, original, reply)
    }

    fn row(&self, now: Seconds) -> FlowRow {
        let (key, original, reply) = self;
        FlowRow::new(*key, original, reply, now)
    }
}

#[cfg(test)]
mod tests;
