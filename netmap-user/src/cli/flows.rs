//! `netmap flows`: what is being translated.
//!
//! The tables, one a family, may hold millions and change while they are read, so a flow is printed as soon as its entry
//! of the original direction is read, and memory does not grow with them. Only `--limit` has an order, and keeps what it
//! prints.

mod latest;
mod row;

use std::{
    io::{self, Write},
    net::IpAddr,
};

use netmap_common::maps::{Address, Address6, Flow, FlowKey, Kind, Protocol, Seconds, Side};

pub use row::{Ends, FlowRow};

use self::latest::{Latest, Turn};
use super::{
    args::{FlowsArgs, Instance},
    failure::Failure,
    read::{self, Entries, Tables as _},
};
use crate::maps::Family;

/// Prints the flows.
pub(super) fn command(args: &FlowsArgs, instance: &Instance, out: &mut impl Write) -> Result<(), Failure> {
    let tables = read::open(instance.pin_dir())?;
    list(&tables, tables.now(), args, out)?;
    Ok(())
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
    args: &FlowsArgs,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let listing = Listing { tables, now, args };
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
            row.write_line(out)
        })?;
        writeln!(out, "{shown} of {flows} flows, {entries} entries in the table")?;
        Ok(())
    }

    /// Without a limit the rows are in no order.
    fn each_row(&self, mut visit: impl FnMut(FlowRow) -> io::Result<()>) -> anyhow::Result<Totals> {
        let Some(limit) = self.args.limit else {
            return self.each_flow(&mut |_, row| Ok(visit(row)?));
        };
        let mut latest = Latest::new(limit);
        let totals = self.each_flow(&mut |turn, row| {
            latest.add(turn, row);
            Ok(())
        })?;
        latest.into_rows().try_for_each(visit)?;
        Ok(totals)
    }

    fn each_flow(
        &self,
        visit: &mut dyn FnMut(Turn, FlowRow) -> anyhow::Result<()>,
    ) -> anyhow::Result<Totals> {
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
        visit: &mut dyn FnMut(Turn, FlowRow) -> anyhow::Result<()>,
    ) -> anyhow::Result<()>
    where
        T: Entries<A>,
    {
        let choice = Choice::new(self.args);
        self.tables
            .each_entry(&mut |key: &FlowKey<A>, original: &Flow<A>| {
                totals.entries += 1;
                if original.side() != Side::Original || !choice.includes(key, original) {
                    return Ok(());
                }
                let reply = self.tables.entry(&original.twin())?;
                let Some(reply) = reply.filter(|reply| reply.nonce == original.nonce && reply.twin() == *key)
                else {
                    return Ok(());
                };
                totals.flows += 1;
                let row = FlowRow::new(*key, original, &reply, self.now);
                visit(Turn::new(key, original, &reply), row)
            })
    }
}

/// Which flows are asked for.
struct Choice {
    protocol: Option<u8>,
    kind: Option<Kind>,
    address: Option<IpAddr>,
}

impl Choice {
    fn new(args: &FlowsArgs) -> Self {
        Self {
            protocol: args.protocol.map(|name| Protocol::from(name).number()),
            kind: args.kind.map(Kind::from),
            address: args.address,
        }
    }

    fn includes<A: Family>(&self, key: &FlowKey<A>, original: &Flow<A>) -> bool {
        let ends = [key.src, key.dst, original.to.src, original.to.dst];
        let is_at = |address: IpAddr| A::from_ip(address).is_some_and(|address| ends.contains(&address));
        self.protocol.is_none_or(|protocol| key.protocol == protocol)
            && self.kind.is_none_or(|kind| original.kind() == Some(kind))
            && self.address.is_none_or(is_at)
    }
}

#[cfg(test)]
mod tests;
