//! `netmap stats`: what became of packets, and why.

mod watch;

use std::{io, io::Write};

use netmap_common::maps::{Class, Count, Hook, Reason};
use serde::Serialize;

use super::{
    args::{Instance, StatsArgs},
    failure::Failure,
    output,
    read::{self, Tables as _},
};

/// One counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CounterRow {
    /// The hook that counted.
    pub hook: &'static str,
    /// Why.
    pub reason: &'static str,
    /// `carried`, `passed` or `dropped`.
    pub class: &'static str,
    /// Packets; connections and datagrams for the socket hook.
    pub packets: u64,
    /// Bytes at layer 3.
    pub bytes: u64,
    /// The reason in a sentence, for people.
    #[serde(skip)]
    pub meaning: &'static str,
}

/// Prints the counters, or what they count from now on.
pub(super) fn command(args: &StatsArgs, instance: &Instance, out: &mut impl Write) -> Result<(), Failure> {
    let tables = read::open(instance.pin_dir())?;
    if let Some(pause) = args.watch {
        return watch::command(args, pause, || tables.counters(), out);
    }
    let chosen = chosen(tables.counters()?, args);
    render(&rows(chosen, args.all), args.json, out)?;
    Ok(())
}

/// The counters that are asked for, zero or not.
fn chosen(counters: Vec<(Hook, Reason, Count)>, args: &StatsArgs) -> Vec<(Hook, Reason, Count)> {
    let is_of = |class: Class| args.classes.iter().any(|name| Class::from(*name) == class);
    let is_chosen = |hook: &Hook, reason: &Reason| {
        (args.hooks.is_empty() || args.hooks.contains(hook))
            && (args.reasons.is_empty() || args.reasons.contains(reason))
            && (args.classes.is_empty() || is_of(reason.class()))
    };
    let counters = counters.into_iter();
    counters
        .filter(|(hook, reason, _)| is_chosen(hook, reason))
        .collect()
}

/// The counters that are not zero, or all of them, by hook and reason.
pub fn rows(mut counters: Vec<(Hook, Reason, Count)>, all: bool) -> Vec<CounterRow> {
    counters.sort_by_key(|(hook, reason, _)| (*hook, *reason));
    counters
        .into_iter()
        .filter(|(_, _, count)| all || *count != Count::default())
        .map(|(hook, reason, count)| CounterRow {
            hook: hook.name(),
            reason: reason.name(),
            class: reason.class().name(),
            packets: count.packets,
            bytes: count.bytes,
            meaning: reason.meaning(),
        })
        .collect()
}

/// Prints rows as a table or as `{"counters":[..]}`.
///
/// # Errors
///
/// The output refuses.
pub fn render(rows: &[CounterRow], json: bool, out: &mut impl Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Listing<'rows> {
        counters: &'rows [CounterRow],
    }
    if json {
        return output::json(out, &Listing { counters: rows });
    }
    output::table(
        out,
        ["HOOK", "CLASS", "REASON", "PACKETS", "BYTES", "MEANING"]
            .map(str::to_owned)
            .to_vec(),
        rows.iter().map(|row| {
            vec![
                row.hook.to_owned(),
                row.class.to_owned(),
                row.reason.to_owned(),
                row.packets.to_string(),
                row.bytes.to_string(),
                row.meaning.to_owned(),
            ]
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::{super::sample::Sample, *};

    fn rendered(all: bool, json: bool) -> String {
        let mut out = Vec::new();
        render(&rows(Sample.counters().unwrap(), all), json, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_has_every_key_of_counters_that_counted() {
        let expected = concat!(
            r#"{"counters":["#,
            r#"{"hook":"uplink-in","reason":"published-in","class":"carried","packets":10,"bytes":1000},"#,
            r#"{"hook":"uplink-in","reason":"not-allowed","class":"dropped","packets":1,"bytes":60},"#,
            r#"{"hook":"socket","reason":"proxied","class":"carried","packets":2,"bytes":0}"#,
            "]}\n"
        );
        assert_eq!(rendered(false, true), expected);
    }

    #[test]
    fn all_includes_the_zeros() {
        assert!(
            rendered(true, true).contains(
                r#"{"hook":"port-in","reason":"egress-out","class":"carried","packets":0,"bytes":0}"#
            )
        );
        assert!(!rendered(false, true).contains("egress-out"));
    }

    #[test]
    fn people_get_the_meaning() {
        let text = rendered(false, false);
        let line = text.lines().find(|line| line.contains("not-allowed")).unwrap();
        assert!(
            line.ends_with("The source is not in the rule's allow-list."),
            "{line}"
        );
    }

    #[test]
    fn filters_of_one_kind_widen_and_of_several_narrow() {
        use crate::cli::args::ClassName;
        let names = |args: &StatsArgs| -> Vec<&str> {
            let rows = rows(chosen(Sample.counters().unwrap(), args), false);
            rows.iter().map(|row| row.reason).collect()
        };
        let args = StatsArgs {
            hooks: vec![Hook::UplinkIn],
            ..StatsArgs::default()
        };
        assert_eq!(names(&args), ["published-in", "not-allowed"]);
        let args = StatsArgs {
            classes: vec![ClassName::Carried],
            ..args
        };
        assert_eq!(names(&args), ["published-in"]);
        let args = StatsArgs {
            reasons: vec![Reason::NotAllowed, Reason::Proxied],
            ..StatsArgs::default()
        };
        assert_eq!(names(&args), ["not-allowed", "proxied"]);
    }
}
