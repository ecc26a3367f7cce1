//! Draws what the model has. Only the terminal's own two colours and red are used, so that it is readable on light and dark;
//! what is marked is reversed, titles are bold.

use std::fmt::Write as _;

use ratatui::{
    Frame,
    layout::{Alignment, Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Cell, Clear, Paragraph, Row, Table, TableState, Wrap},
};

use super::{
    amount::{amount, wait},
    columns::{Column, Width, percent},
    keys,
    model::{Model, Pane},
};

/// From so many characters on there is room for more columns.
const WIDE: u16 = 100;

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const REVERSED: Style = Style::new().add_modifier(Modifier::REVERSED);

/// Draws all of it.
pub fn draw(frame: &mut Frame<'_>, model: &mut Model, has_colours: bool) {
    let alarm = if has_colours {
        Style::new().fg(Color::Red).add_modifier(Modifier::BOLD)
    } else {
        BOLD
    };
    let heading = model.heading();
    let heading_height = u16::try_from(heading.len()).unwrap_or(u16::MAX);
    let [title, traffic, flows, tabs, above, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(heading_height),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(title_line(model, alarm), title);
    frame.render_widget(traffic_line(model, alarm), traffic);
    frame.render_widget(flows_line(model, alarm), flows);
    frame.render_widget(tabs_line(model.pane), tabs);
    let heading = heading.into_iter().map(Line::from);
    frame.render_widget(Paragraph::new(heading.collect::<Vec<_>>()).style(BOLD), above);
    if model.is_text() {
        text(frame, model, body);
    } else {
        table(frame, model, body);
    }
    frame.render_widget(foot_line(model, alarm), foot);
    if model.help {
        help(frame);
    }
}

fn title_line(model: &Model, alarm: Style) -> Line<'static> {
    let mut line = vec![
        Span::styled("netmap top", BOLD),
        Span::raw(format!("  every {}", wait(model.interval))),
    ];
    line.push(match model.has_daemon {
        None => Span::raw(""),
        Some(true) => Span::raw("  daemon runs"),
        Some(false) => Span::styled("  no daemon answers", alarm),
    });
    if model.paused {
        line.push(Span::styled("  PAUSED", BOLD));
    } else if model.reading && (model.sample.is_none() || is_slow(model) || model.rows.rows.is_empty()) {
        line.push(Span::raw("  reading..."));
    }
    if let Some(sample) = &model.sample {
        if is_slow(model) {
            line.push(Span::raw(format!("  read in {}", wait(sample.took))));
        }
        if sample.share > 1 {
            line.push(Span::raw(format!("  rates by 1 flow in {}", sample.share)));
        }
    }
    Line::from(line)
}

fn is_slow(model: &Model) -> bool {
    let took = model.sample.as_ref().map_or(0, |sample| sample.took.as_millis());
    took * 2 > model.interval.as_millis()
}

/// A rate, or dots before there is one.
fn rate(model: &Model, of: impl FnOnce(&super::sample::Sample) -> u64) -> String {
    match &model.sample {
        Some(sample) if sample.since.is_some() => format!("{}/s", amount(of(sample))),
        _ => "...".to_owned(),
    }
}

fn traffic_line(model: &Model, alarm: Style) -> Line<'static> {
    let dropped = model.sample.as_ref().map_or(0, |sample| sample.dropped);
    Line::from(vec![
        Span::raw("in "),
        Span::styled(rate(model, |sample| sample.traffic.bytes_in), BOLD),
        Span::raw("   out "),
        Span::styled(rate(model, |sample| sample.traffic.bytes_out), BOLD),
        Span::raw("   packets "),
        Span::styled(rate(model, |sample| sample.traffic.packets()), BOLD),
        Span::raw("   dropped "),
        Span::styled(
            rate(model, |sample| sample.dropped),
            if dropped > 0 { alarm } else { BOLD },
        ),
    ])
}

fn flows_line(model: &Model, alarm: Style) -> Line<'static> {
    let Some(sample) = &model.sample else {
        return Line::from("reading...");
    };
    let fullest = sample
        .tables
        .iter()
        .filter(|table| table.name.starts_with("flows"));
    let fill = fullest
        .map(super::sample::TableLine::fill)
        .max()
        .unwrap_or_default();
    Line::from(vec![
        Span::raw("flows "),
        Span::styled(amount(sample.flows), BOLD),
        Span::raw("   table "),
        Span::styled(
            format!("{} full", percent(fill)),
            if fill >= 750 { alarm } else { BOLD },
        ),
        Span::raw("   new "),
        Span::styled(rate(model, |sample| sample.opened), BOLD),
        Span::raw(format!(" {}", curve(model.history.iter().copied()))),
    ])
}

/// A little curve, a character a value, the highest full.
fn curve(values: impl Iterator<Item = u64> + Clone) -> String {
    const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = values.clone().max().unwrap_or_default().max(1);
    let step = |value: u64| {
        let step = u128::from(value) * 7 / u128::from(most);
        STEPS.get(usize::try_from(step).unwrap_or_default())
    };
    values.filter_map(step).collect()
}

fn tabs_line(shown: Pane) -> Line<'static> {
    let mut line = Vec::new();
    for pane in Pane::ALL {
        let style = if pane == shown {
            REVERSED.add_modifier(Modifier::BOLD)
        } else {
            Style::new()
        };
        line.push(Span::styled(format!(" {} ", pane.title()), style));
        line.push(Span::raw(" "));
    }
    Line::from(line)
}

fn foot_line(model: &Model, alarm: Style) -> Line<'static> {
    if model.typing {
        return Line::styled(
            format!("/{}_   Enter keeps the filter, Esc drops it", model.filter),
            BOLD,
        );
    }
    if let Some(failure) = &model.failure {
        return Line::styled(failure.clone(), alarm);
    }
    let mut text = if model.is_text() {
        "Esc back   Up Down scroll   ? help   q quit".to_owned()
    } else {
        "? help   q quit   / filter   s sort   Enter inside   Esc back   Space pause".to_owned()
    };
    if !model.filter.is_empty() {
        // Writing to a string does not fail.
        let _written = write!(text, "   /{}", model.filter);
    }
    let rows = &model.rows;
    if rows.rows.len() < rows.all && !model.is_text() {
        let _written = write!(text, "   {} of {}", rows.rows.len(), rows.all);
    }
    Line::from(text)
}

fn table(frame: &mut Frame<'_>, model: &mut Model, area: Rect) {
    let is_wide = area.width >= WIDE;
    let shown: Vec<(usize, &Column)> = model
        .rows
        .columns
        .iter()
        .enumerate()
        .filter(|(_, column)| is_wide || !column.is_extra)
        .collect();
    if model.rows.rows.is_empty() {
        let why = match (&model.sample, model.rows.all) {
            (_, 0) if model.paused && model.pane != Pane::Drops => {
                "nothing was read of it yet; Space reads on"
            }
            (None, _) => "reading...",
            (Some(_), _) if model.reading && model.pane != Pane::Drops => "reading...",
            (Some(_), 0) if model.pane == Pane::Drops => "nothing was dropped; a shows other reasons",
            (Some(_), 0) => "nothing",
            (Some(_), _) => "nothing fits the filter",
        };
        frame.render_widget(Paragraph::new(why), area);
        model.page = usize::from(area.height);
        return;
    }
    let sort = model.sort();
    let header = shown.iter().map(|(_, column)| {
        let mark = match (
            column.title == sort.column && !column.title.is_empty(),
            sort.is_reversed,
        ) {
            (false, _) => "",
            (true, false) => "*",
            (true, true) => "^",
        };
        cell(column, format!("{}{mark}", column.title))
    });
    let header = Row::new(header.collect::<Vec<_>>()).style(BOLD.add_modifier(Modifier::UNDERLINED));
    let rows = model.rows.rows.iter().map(|row| {
        let cells = shown.iter().map(|(place, column)| {
            let text = row.cells.get(*place).cloned().unwrap_or_default();
            cell(column, text)
        });
        Row::new(cells.collect::<Vec<_>>())
    });
    let widths = shown.iter().map(|(_, column)| match column.width {
        Width::Text(width) | Width::Number(width) => Constraint::Length(width),
        Width::Rest(part) => Constraint::Fill(part),
    });
    let table = Table::new(rows, widths)
        .header(header)
        .column_spacing(1)
        .row_highlight_style(REVERSED);
    let mut state = TableState::default().with_selected(Some(model.index));
    // As far down as it takes to see the marked row in the middle, or all that is there.
    let height = usize::from(area.height.saturating_sub(1));
    *state.offset_mut() = model
        .index
        .saturating_sub(height / 2)
        .min(model.rows.rows.len().saturating_sub(height));
    model.page = height;
    frame.render_stateful_widget(table, area, &mut state);
}

fn cell(column: &Column, text: String) -> Cell<'static> {
    match column.width {
        Width::Number(_) => Cell::from(Line::from(text).alignment(Alignment::Right)),
        Width::Text(_) | Width::Rest(_) => Cell::from(text),
    }
}

fn text(frame: &mut Frame<'_>, model: &mut Model, area: Rect) {
    let title = Line::styled(model.title(), BOLD);
    let lines = [title, Line::from("")]
        .into_iter()
        .chain(model.meaning().into_iter().map(Line::from));
    let paragraph = Paragraph::new(lines.collect::<Vec<_>>())
        .wrap(Wrap { trim: false })
        .scroll((model.scroll, 0));
    frame.render_widget(paragraph, area);
    model.page = usize::from(area.height);
}

fn help(frame: &mut Frame<'_>) {
    let area = frame.area();
    let [_, area, _] =
        Layout::vertical([Constraint::Fill(1), Constraint::Length(20), Constraint::Fill(1)]).areas(area);
    let [_, area, _] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Length(74), Constraint::Fill(1)]).areas(area);
    let lines = keys::HELP.map(|(keys, meaning)| {
        Line::from(vec![
            Span::styled(format!("{keys:<13}"), BOLD),
            Span::raw(meaning),
        ])
    });
    frame.render_widget(Clear, area);
    let paragraph = Paragraph::new(lines.to_vec())
        .wrap(Wrap { trim: false })
        .block(Block::bordered().title(" netmap top: keys "));
    frame.render_widget(paragraph, area);
}

#[cfg(test)]
mod tests;
