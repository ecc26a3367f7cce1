//! `netmap stats --watch`: what counters count in a second.

use std::{
    io::{self, IsTerminal as _, Write},
    time::Duration,
};

use netmap_common::maps::{Count, Hook, Reason};
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use super::{CounterRow, chosen, rows};
use crate::{
    cli::{args::StatsArgs, failure::Failure, output},
    rates::{Counts, a_second},
    sys::monotonic_time,
};

/// Clears the terminal from its first line on.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// What came between two looks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Block {
    /// How far they were apart.
    seconds: f64,
    /// The counters that have moved, or all that were asked for.
    counters: Vec<RateRow>,
}

/// One counter's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct RateRow {
    /// What it has counted in that time.
    #[serde(flatten)]
    row: CounterRow,
    /// Packets a second.
    packets_per_second: f64,
    /// Bytes a second.
    bytes_per_second: f64,
}

impl Block {
    /// What is new in `now`.
    fn new(before: &Counts, now: &Counts, args: &StatsArgs) -> Self {
        let since = now.since(before);
        let counters = since.counts.iter();
        let counters = counters.map(|((hook, reason), count)| (*hook, *reason, *count));
        let rows = rows(chosen(counters.collect(), args), args.all);
        Self {
            seconds: since.time.as_secs_f64(),
            counters: rows
                .into_iter()
                .map(|row| RateRow {
                    packets_per_second: a_second(row.packets, since.time),
                    bytes_per_second: a_second(row.bytes, since.time),
                    row,
                })
                .collect(),
        }
    }
}

/// Prints a block each time that `pause` has passed, until Ctrl-C or until there were as many as were asked for.
pub(super) fn command(
    args: &StatsArgs,
    pause: Duration,
    read: impl Fn() -> anyhow::Result<Vec<(Hook, Reason, Count)>>,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(follow(args, pause, read, out))?)
}

async fn follow(
    args: &StatsArgs,
    pause: Duration,
    read: impl Fn() -> anyhow::Result<Vec<(Hook, Reason, Count)>>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let is_terminal = io::stdout().is_terminal();
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut before = Counts::new(monotonic_time(), read()?);
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        tokio::select! {
            _ = ticks.tick() => {}
            stopped = tokio::signal::ctrl_c() => {
                stopped?;
                return Ok(());
            }
        }
        let now = Counts::new(monotonic_time(), read()?);
        let block = Block::new(&before, &now, args);
        if is_terminal && !args.json {
            write!(out, "{CLEAR}")?;
        }
        render(&block, args.json, out)?;
        out.flush()?;
        before = now;
        left -= 1;
    }
    Ok(())
}

/// Prints a block for people, with an empty line behind it, or as a line of JSON.
fn render(block: &Block, json: bool, out: &mut impl Write) -> io::Result<()> {
    if json {
        return output::json(out, block);
    }
    output::table(
        out,
        ["HOOK", "CLASS", "REASON", "PACKETS/S", "BYTES/S", "MEANING"]
            .map(str::to_owned)
            .to_vec(),
        block.counters.iter().map(|rate| {
            vec![
                rate.row.hook.to_owned(),
                rate.row.class.to_owned(),
                rate.row.reason.to_owned(),
                output::rate(rate.packets_per_second),
                output::rate(rate.bytes_per_second),
                rate.row.meaning.to_owned(),
            ]
        }),
    )?;
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(seconds: u64, packets: u64) -> Counts {
        let count = |packets| Count {
            packets,
            bytes: 100 * packets,
        };
        Counts::new(
            Duration::from_secs(seconds),
            [
                (Hook::PortIn, Reason::EgressOut, count(7)),
                (Hook::UplinkIn, Reason::PublishedIn, count(packets)),
            ],
        )
    }

    #[test]
    fn only_what_moved_is_told_with_its_rates() {
        let args = StatsArgs::default();
        let block = Block::new(&counts(1, 10), &counts(3, 20), &args);
        let mut out = Vec::new();
        render(&block, true, &mut out).unwrap();
        let expected = concat!(
            r#"{"seconds":2.0,"counters":[{"hook":"uplink-in","reason":"published-in","class":"carried","#,
            r#""packets":10,"bytes":1000,"packets_per_second":5.0,"bytes_per_second":500.0}]}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        let all = StatsArgs { all: true, ..args };
        assert_eq!(Block::new(&counts(1, 10), &counts(3, 10), &all).counters.len(), 2);
    }

    #[test]
    fn it_stops_when_it_has_told_as_much_as_it_should() {
        let args = StatsArgs {
            count: Some(2),
            json: true,
            ..StatsArgs::default()
        };
        let mut out = Vec::new();
        command(&args, Duration::from_millis(1), || Ok(Vec::new()), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert!(text.ends_with("\"counters\":[]}\n"), "{text}");
    }
}
