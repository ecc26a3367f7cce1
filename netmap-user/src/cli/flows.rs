//! `netmap flows`: what is being translated.

mod row;

use std::{collections::HashMap, io, io::Write};

use netmap_common::maps::{Address, Flow, FlowKey, Kind, Protocol, Seconds, Side};

pub use row::{Ends, FlowRow};

use super::{
    args::{FlowsArgs, Instance},
    failure::Failure,
    read::{self, Tables as _},
};

/// Prints the flows.
pub(super) fn command(args: &FlowsArgs, instance: &Instance, out: &mut impl Write) -> Result<(), Failure> {
    let tables = read::open(instance.pin_dir())?;
    let flows = Flows::pair(tables.flows()?, tables.now()).filtered(args);
    if args.json {
        flows.write_json(args.limit, out)?;
    } else {
        flows.write_table(args.limit, out)?;
    }
    Ok(())
}

/// Flows, twins put together, the one that had a packet last first.
#[derive(Debug)]
pub struct Flows {
    list: Vec<Twins>,
    entries: usize,
    now: Seconds,
}

#[derive(Debug)]
struct Twins {
    key: FlowKey,
    original: Flow,
    reply: Flow,
}

impl Twins {
    fn last_seen(&self) -> Seconds {
        self.original.last_seen.max(self.reply.last_seen)
    }
}

impl Flows {
    /// Finds each entry's twin. Entries whose twin is missing or another flow's are no flow: remains that the
    /// daemon is about to remove, or one that is just being opened.
    pub fn pair(entries: Vec<(FlowKey, Flow)>, now: Seconds) -> Self {
        // By key, because a table that changes while it is read may show an entry twice.
        let (originals, replies): (HashMap<_, _>, HashMap<_, _>) = entries
            .into_iter()
            .partition(|(_, flow)| flow.side() == Side::Original);
        let count = originals.len() + replies.len();
        let mut list: Vec<Twins> = originals
            .into_iter()
            .filter_map(|(key, original)| {
                let reply = *replies.get(&original.twin())?;
                let tied = reply.nonce == original.nonce && reply.twin() == key;
                tied.then_some(Twins { key, original, reply })
            })
            .collect();
        list.sort_unstable_by_key(|twins| (std::cmp::Reverse(twins.last_seen()), twins.key));
        Self {
            list,
            entries: count,
            now,
        }
    }

    /// Those that the arguments ask for.
    #[must_use]
    pub fn filtered(mut self, args: &FlowsArgs) -> Self {
        let protocol = args.protocol.map(|name| Protocol::from(name).number());
        let kind = args.kind.map(Kind::from);
        let address = args.address.map(Address::from);
        self.list.retain(|Twins { key, original, .. }| {
            let ends = [key.src, key.dst, original.to.src, original.to.dst];
            protocol.is_none_or(|protocol| key.protocol == protocol)
                && kind.is_none_or(|kind| original.kind() == Some(kind))
                && address.is_none_or(|address| ends.contains(&address))
        });
        self
    }

    /// Prints at most `limit` of them as `{"flows":[..],"total":N,"entries":N}`, one flow a line; `total` counts
    /// those that a limit cuts off, too, and `entries` all that the table holds.
    ///
    /// # Errors
    ///
    /// The output refuses.
    pub fn write_json(&self, limit: Option<usize>, out: &mut impl Write) -> io::Result<()> {
        write!(out, "{{\"flows\":[")?;
        for (index, row) in self.rows(limit).enumerate() {
            writeln!(out, "{}", if index == 0 { "" } else { "," })?;
            serde_json::to_writer(&mut *out, &row)?;
        }
        let (total, entries) = (self.list.len(), self.entries);
        writeln!(out, "\n],\"total\":{total},\"entries\":{entries}}}")
    }

    /// Prints at most `limit` of them, one a line. Widths are fixed, so that no line waits for the last.
    ///
    /// # Errors
    ///
    /// The output refuses.
    pub fn write_table(&self, limit: Option<usize>, out: &mut impl Write) -> io::Result<()> {
        row::write_header(out)?;
        for row in self.rows(limit) {
            row.write_line(out)?;
        }
        let (total, entries) = (self.list.len(), self.entries);
        let shown = limit.map_or(total, |limit| limit.min(total));
        writeln!(out, "{shown} of {total} flows, {entries} entries in the table")
    }

    fn rows(&self, limit: Option<usize>) -> impl Iterator<Item = FlowRow> {
        self.list
            .iter()
            .take(limit.unwrap_or(usize::MAX))
            .map(|Twins { key, original, reply }| FlowRow::new(*key, original, reply, self.now))
    }
}

#[cfg(test)]
mod tests;
