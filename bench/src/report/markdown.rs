//! Tables for people.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use super::{Report, machine::Machine, targets};
use crate::{
    backend::Backend,
    figures::{Figures, Measure, Metric, Summary},
};

/// What ratios are taken against, where it took part.
const REFERENCE: Backend = Backend::IptNft;

/// The whole of results.md.
pub(super) fn document(report: &Report<'_>, machine: &Machine, plots: &[String]) -> String {
    let mut text = format!(
        "# Results\n\n\
         Made by `cargo xtask bench` on {} from revision {}, {} rounds in {} minutes; README.md in this folder says how \
         it measures and how to read it.\n\
         Machine: {}, {} cores, Linux {}.\n\n\
         A cell is: median [least..greatest] xratio of the medians against {}, where more than 1 is better. Differences \
         below 10 % mean nothing.\n\n",
        machine.date,
        machine.revision,
        report.rounds,
        report.took.as_secs().div_ceil(60),
        machine.processor,
        machine.cores,
        machine.kernel,
        REFERENCE.name(),
    );
    for note in report.notes.iter().chain(report.failures) {
        // Writing to a string does not fail.
        let _written = writeln!(text, "- {note}");
    }
    text.push_str(&targets::table(report.figures));
    for plot in plots {
        let _written = write!(text, "\n![{plot}]({plot})\n");
    }
    text.push_str(&tables(report.figures));
    text
}

/// A table a measure, series and metric: a row a backend, a column a variant.
pub(super) fn tables(figures: &Figures) -> String {
    type Table<'figures> = BTreeMap<&'figures str, &'figures BTreeMap<Backend, Vec<f64>>>;
    let mut tables: BTreeMap<(Measure, &str, Metric), Table<'_>> = BTreeMap::new();
    for (place, backends) in figures.iter() {
        tables
            .entry((place.measure, place.series, place.metric))
            .or_default()
            .insert(&place.column, backends);
    }
    let mut text = String::new();
    for ((measure, series, metric), columns) in tables {
        let _written = write!(
            text,
            "\n### {}: {series}: {}\n\n| |",
            measure.name(),
            metric.title()
        );
        for column in columns.keys() {
            let _written = write!(text, " {} |", column.trim_start());
        }
        text.push_str("\n|---|");
        text.push_str(&"---|".repeat(columns.len()));
        let rows: BTreeSet<_> = columns.values().flat_map(|backends| backends.keys()).collect();
        for backend in rows {
            let _written = write!(text, "\n| {} |", backend.name());
            for backends in columns.values() {
                let _written = write!(text, " {} |", cell(metric, *backend, backends));
            }
        }
        text.push('\n');
    }
    text
}

fn cell(metric: Metric, backend: Backend, backends: &BTreeMap<Backend, Vec<f64>>) -> String {
    let Some(summary) = backends.get(&backend).and_then(|samples| Summary::of(samples)) else {
        return "-".to_owned();
    };
    let Summary { median, min, max, n } = summary;
    let mut text = number(median);
    if n > 1 {
        let _written = write!(text, " [{}..{}] n={n}", number(min), number(max));
    }
    let reference = backends.get(&REFERENCE).and_then(|samples| Summary::of(samples));
    if let Some(reference) = reference.filter(|_| !metric.is_quality()) {
        let ratio = ratio(metric, median, reference.median);
        let _written = write!(text, " **x{ratio:.2}**");
    }
    text
}

/// How much better one is than another, more than 1 being better.
pub(super) fn ratio(metric: Metric, one: f64, other: f64) -> f64 {
    if metric.is_gain() {
        one / other
    } else {
        other / one
    }
}

/// With three digits that count.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Place;

    fn figures() -> Figures {
        let mut figures = Figures::default();
        for (backend, values) in [
            (Backend::IptNft, [400.0, 500.0, 450.0]),
            (Backend::Netmap, [1100.0, 900.0, 1000.0]),
        ] {
            for value in values {
                let place = Place {
                    measure: Measure::Udp,
                    series: "to a published port",
                    metric: Metric::Kpps,
                    column: "1 flow".into(),
                };
                figures.add(place, backend, value);
            }
        }
        figures
    }

    #[test]
    fn a_cell_has_median_spread_count_and_ratio() {
        let text = tables(&figures());
        assert!(
            text.contains("### udp: to a published port: packets, thousands a second"),
            "{text}"
        );
        assert!(
            text.contains("| netmap | 1000 [900..1100] n=3 **x2.22** |"),
            "{text}"
        );
        assert!(
            text.contains("| ipt-nft | 450 [400..500] n=3 **x1.00** |"),
            "{text}"
        );
    }

    #[test]
    fn of_costs_less_is_better() {
        assert!((ratio(Metric::NsPerPacket, 500.0, 1000.0) - 2.0).abs() < 1e-9);
        assert!((ratio(Metric::Kpps, 500.0, 1000.0) - 0.5).abs() < 1e-9);
    }
}
