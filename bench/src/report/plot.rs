//! Plots as SVG: bars for backends side by side, lines where figures depend on the number of published ports.

mod bars;
mod lines;

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Result;

use crate::{
    backend::Backend,
    figures::{Figures, Measure, Metric, Summary},
};

/// One plot: a value for each column and backend.
#[derive(Debug, Default)]
struct Chart<'figures> {
    title: String,
    columns: BTreeMap<&'figures str, BTreeMap<Backend, Summary>>,
}

/// Writes a plot for each table that tells a result; their names.
pub(super) fn write(figures: &Figures, folder: &Path) -> Result<Vec<String>> {
    let mut charts: BTreeMap<(Measure, &str, Metric), Chart<'_>> = BTreeMap::new();
    for (place, backends) in figures.iter() {
        if !place.metric.is_plotted() {
            continue;
        }
        let chart = charts
            .entry((place.measure, place.series, place.metric))
            .or_default();
        chart.title = format!("{}: {}", place.series, place.metric.title());
        for (backend, samples) in backends {
            if let Some(summary) = Summary::of(samples) {
                chart
                    .columns
                    .entry(&place.column)
                    .or_default()
                    .insert(*backend, summary);
            }
        }
    }
    let mut names = Vec::new();
    for ((measure, series, metric), chart) in charts {
        let is_line = measure == Measure::Ports && chart.columns.keys().all(|column| size(column).is_some());
        let svg = if is_line {
            lines::draw(&chart)
        } else {
            bars::draw(&chart)
        };
        let name = format!("{}.svg", slug(&format!("{} {series} {metric:?}", measure.name())));
        fs::write(folder.join(&name), svg)?;
        names.push(name);
    }
    Ok(names)
}

/// The number that a column's name is.
fn size(column: &str) -> Option<f64> {
    column.trim_start().parse().ok()
}

/// Lower case letters and digits, joined by dashes.
fn slug(text: &str) -> String {
    let words: Vec<_> = text
        .split(|char: char| !char.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    words.join("-")
}

/// A backend's colour, the same in every plot.
const fn colour(backend: Backend) -> &'static str {
    match backend {
        Backend::Route => "#9aa0a6",
        Backend::IptNft => "#c5221f",
        Backend::IptLegacy => "#e8710a",
        Backend::NftMap => "#f9ab00",
        Backend::Proxy => "#8430ce",
        Backend::Netmap => "#137333",
        Backend::NetmapProxy => "#12b5cb",
        Backend::NetmapXdp => "#1a73e8",
    }
}

/// The beginning of a file of this size.
fn head(width: f64, height: f64, title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"20\" font-size=\"14\" font-weight=\"bold\">{title}</text>\n"
    )
}
