//! Bars, a group a column, with whiskers from the least to the greatest sample.

use std::fmt::Write as _;

use super::{super::markdown::number, Chart, colour, head};

const WIDTH: f64 = 720.0;
/// Where bars begin, right of the names.
const LEFT: f64 = 110.0;
/// Left of the numbers.
const RIGHT: f64 = 640.0;
const BAR: f64 = 16.0;

/// The whole file.
pub(super) fn draw(chart: &Chart<'_>) -> String {
    let rows: usize = chart.columns.values().map(|backends| backends.len() + 2).sum();
    let most = chart
        .columns
        .values()
        .flat_map(|backends| backends.values())
        .map(|summary| summary.max)
        .fold(f64::MIN_POSITIVE, f64::max);
    let scale = (RIGHT - LEFT) / most;
    let mut y = 36.0;
    let mut body = String::new();
    for (column, backends) in &chart.columns {
        // Writing to a string does not fail.
        let _written = writeln!(
            body,
            "<text x=\"10\" y=\"{}\" fill=\"#444\">{}</text>",
            y + 12.0,
            column.trim_start()
        );
        y += BAR + 2.0;
        for (backend, summary) in backends {
            let (width, middle) = (summary.median * scale, y + BAR / 2.0);
            let (least, greatest) = (LEFT + summary.min * scale, LEFT + summary.max * scale);
            let _written = writeln!(
                body,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n\
                 <rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{}\" fill=\"{}\"/>\n\
                 <path d=\"M{least:.1} {middle:.1}H{greatest:.1}\" stroke=\"black\"/>\n\
                 <text x=\"{:.1}\" y=\"{}\">{}</text>",
                LEFT - 6.0,
                y + 12.0,
                backend.name(),
                BAR - 3.0,
                colour(*backend),
                greatest + 6.0,
                y + 12.0,
                number(summary.median),
            );
            y += BAR;
        }
        y += BAR / 2.0;
    }
    let height = 60.0 + BAR * f64::from(u32::try_from(rows).unwrap_or(u32::MAX));
    head(WIDTH, height, &chart.title) + &body + "</svg>\n"
}
