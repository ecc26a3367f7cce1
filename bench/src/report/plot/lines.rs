//! Lines over the number of published ports, both axes logarithmic.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{super::markdown::number, Chart, colour, head, size};
use crate::backend::Backend;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 600.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 340.0;

/// Places a value between two ends by its logarithm.
struct Axis {
    low: f64,
    high: f64,
    begin: f64,
    end: f64,
}

/// The whole file.
pub(super) fn draw(chart: &Chart<'_>) -> String {
    let sizes = || chart.columns.keys().filter_map(|column| size(column));
    let values = || {
        let backends = chart.columns.values().flat_map(|backends| backends.values());
        backends.map(|summary| summary.median)
    };
    let across = Axis::over(sizes(), LEFT, RIGHT);
    let up = Axis::over(values(), BOTTOM, TOP);
    let mut body = format!(
        "<path d=\"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}\" fill=\"none\" stroke=\"#888\"/>\n\
         <text x=\"{RIGHT}\" y=\"{}\" text-anchor=\"end\" fill=\"#444\">published ports</text>\n",
        BOTTOM + 34.0
    );
    for size in sizes() {
        // Writing to a string does not fail.
        let _written = writeln!(
            body,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{size}</text>",
            across.place(size),
            BOTTOM + 18.0
        );
    }
    for value in up.decades() {
        let y = up.place(value);
        let _written = writeln!(
            body,
            "<path d=\"M{LEFT} {y:.1}H{RIGHT}\" stroke=\"#ddd\"/>\n\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            number(value)
        );
    }
    let mut lines: BTreeMap<Backend, Vec<(f64, f64, f64)>> = BTreeMap::new();
    for (column, backends) in &chart.columns {
        for (backend, summary) in backends {
            let Some(size) = size(column) else { continue };
            let point = (across.place(size), up.place(summary.median), summary.median);
            lines.entry(*backend).or_default().push(point);
        }
    }
    for (backend, points) in lines {
        let path: Vec<_> = points.iter().map(|(x, y, _)| format!("{x:.1},{y:.1}")).collect();
        let Some((x, y, value)) = points.last() else {
            continue;
        };
        let _written = writeln!(
            body,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{} {}</text>",
            path.join(" "),
            x + 6.0,
            y + 4.0,
            backend.name(),
            number(*value),
            colour = colour(backend),
        );
    }
    head(WIDTH, HEIGHT, &chart.title) + &body + "</svg>\n"
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, begin: f64, end: f64) -> Self {
        let (low, high) = values
            .filter(|value| *value > 0.0)
            .fold((f64::MAX, f64::MIN_POSITIVE), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        Self {
            low: low.min(high).log10(),
            high: high.log10(),
            begin,
            end,
        }
    }

    fn place(&self, value: f64) -> f64 {
        let extent = (self.high - self.low).max(0.1);
        let part = (value.max(f64::MIN_POSITIVE).log10() - self.low) / extent;
        self.begin + part * (self.end - self.begin)
    }

    /// Powers of ten in between.
    fn decades(&self) -> impl Iterator<Item = f64> {
        (-3..9_i32)
            .map(|power| 10_f64.powi(power))
            .filter(|value| (self.low..=self.high).contains(&value.log10()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Summary;

    #[test]
    fn a_backend_is_one_line_through_its_columns() {
        let mut chart = Chart {
            title: "new flows".into(),
            ..Chart::default()
        };
        for (column, value) in [("      4", 600.0), ("  60000", 6.0)] {
            let summary = Summary::of(&[value]).unwrap();
            chart.columns.insert(column, [(Backend::Netmap, summary)].into());
        }
        let svg = draw(&chart);
        assert!(svg.contains("points=\"70.0,40.0 600.0,340.0\""), "{svg}");
        assert!(svg.contains(">netmap 6.00</text>"), "{svg}");
    }
}
