//! What is shown, and what keys change of it. No terminal here, and no table.

use std::{collections::VecDeque, time::Duration};

use netmap_common::maps::Reason;

use super::{
    columns::{Key, Names, RATE},
    keys::Action,
    meaning,
    reader::{News, is_drop},
    rows::{Rows, Sort},
    sample::{ContainerLine, FlowLine, PortLine, ReasonLine, Sample, TableLine},
    wish::{FlowOrder, Focus, Wish},
};

/// How many laps the little curve of new flows shows.
pub(super) const HISTORY: usize = 30;
/// How many flows the reader keeps.
const FLOWS: usize = 500;

/// A list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pane {
    /// Published ports.
    #[default]
    Ports,
    /// Containers.
    Containers,
    /// The busiest flows.
    Flows,
    /// What is dropped.
    Drops,
    /// How full tables are.
    Tables,
}

impl Pane {
    /// In the order of the tabs.
    pub const ALL: [Self; 5] = [
        Self::Ports,
        Self::Containers,
        Self::Flows,
        Self::Drops,
        Self::Tables,
    ];

    /// What its tab says.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Ports => "1 Ports",
            Self::Containers => "2 Containers",
            Self::Flows => "3 Flows",
            Self::Drops => "4 Drops",
            Self::Tables => "5 Tables",
        }
    }

    /// The one behind a key.
    pub fn of_digit(digit: char) -> Option<Self> {
        Self::ALL.into_iter().find(|pane| pane.title().starts_with(digit))
    }

    fn step(self, step: usize) -> Self {
        let place = Self::ALL
            .iter()
            .position(|pane| *pane == self)
            .unwrap_or_default();
        let place = (place + step) % Self::ALL.len();
        Self::ALL.get(place).copied().unwrap_or_default()
    }
}

/// What is looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    Row(Key),
    Reason(Reason),
}

/// All that the screen shows.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the screen, by itself"
)]
pub struct Model {
    /// What the last lap found.
    pub(super) sample: Option<Sample>,
    /// What containers are called.
    pub(super) names: Names,
    /// Whether a daemon runs; none until it was asked.
    pub(super) has_daemon: Option<bool>,
    /// From lap to lap.
    pub(super) interval: Duration,
    /// New flows a second, lap by lap.
    pub(super) history: VecDeque<u64>,
    /// Why there is nothing new.
    pub(super) failure: Option<String>,
    /// A lap is under way.
    pub(super) reading: bool,
    pub(super) paused: bool,
    pub(super) help: bool,
    /// The filter is being written.
    pub(super) typing: bool,
    pub(super) filter: String,
    pub(super) pane: Pane,
    pub(super) rows: Rows,
    /// Which row is marked.
    pub(super) index: usize,
    /// How many rows fit the screen, as the view knows.
    pub(super) page: usize,
    /// How far a text is scrolled.
    pub(super) scroll: u16,
    inside: Option<Inside>,
    all_reasons: bool,
    /// Of each pane, and of flows within a row.
    sorts: [Sort; 5],
    /// The marked row, once somebody has moved.
    marked: Option<Key>,
    quits: bool,
}

impl Model {
    /// Nothing has been read yet.
    pub fn new(interval: Duration) -> Self {
        let by = |column| Sort {
            column,
            is_reversed: false,
        };
        Self {
            sample: None,
            names: Names::new(),
            has_daemon: None,
            interval,
            history: VecDeque::new(),
            failure: None,
            reading: false,
            paused: false,
            help: false,
            typing: false,
            filter: String::new(),
            pane: Pane::default(),
            rows: Rows::default(),
            index: 0,
            page: 10,
            scroll: 0,
            inside: None,
            all_reasons: false,
            sorts: [by(RATE), by(RATE), by(RATE), by(RATE), by("FILL")],
            marked: None,
            quits: false,
        }
    }

    /// What the reader says.
    pub fn hear(&mut self, news: News) {
        match news {
            News::Reading => self.reading = true,
            News::Failed(sentence) => {
                self.reading = false;
                self.failure = Some(sentence);
            }
            News::Lap(sample) => {
                self.reading = false;
                self.failure = None;
                if sample.since.is_some() {
                    self.history.push_back(sample.opened);
                    if self.history.len() > HISTORY {
                        self.history.pop_front();
                    }
                }
                self.sample = Some(*sample);
            }
        }
        self.list();
    }

    /// What the daemon calls its containers, if there is one.
    pub fn learn(&mut self, names: Option<Names>) {
        self.has_daemon = Some(names.is_some());
        // Without a daemon the last names are still the best.
        if let Some(names) = names {
            self.names = names;
            self.list();
        }
    }

    /// What the reader is to look for.
    pub fn wish(&self) -> Wish {
        let mut focus = Focus::default();
        match self.inside {
            Some(Inside::Row(Key::Port(rule))) => focus.rule = Some(rule),
            Some(Inside::Row(Key::Container(address))) => focus.container = Some(address),
            _ => {}
        }
        if self.shows_flows() && !self.typing {
            let filter = self.filter.trim();
            focus.address = filter.parse().ok();
            focus.port = filter.trim_start_matches(':').parse().ok();
        }
        let order = match self.sort_of(Pane::Flows).column {
            "PKT/s" => FlowOrder::Packets,
            "TOTAL" => FlowOrder::Total,
            "AGE" => FlowOrder::Newest,
            _ => FlowOrder::Bytes,
        };
        Wish {
            flows: FLOWS,
            order,
            focus,
            paused: self.paused,
        }
    }

    /// Does what the user wants; `false` at the end.
    pub fn act(&mut self, action: Action) -> bool {
        if self.help && action != Action::Quit {
            self.help = false;
            return true;
        }
        match action {
            Action::Quit => self.quits = true,
            Action::Pane(pane) => self.go(pane),
            Action::NextPane => self.go(self.pane.step(1)),
            Action::PreviousPane => self.go(self.pane.step(Pane::ALL.len() - 1)),
            Action::Move(step) => self.step(step),
            Action::Page(pages) => {
                let page = isize::try_from(self.page.max(1)).unwrap_or(isize::MAX);
                self.step(pages.saturating_mul(page));
            }
            Action::First => self.step(isize::MIN),
            Action::Last => self.step(isize::MAX),
            Action::Enter => self.enter(),
            Action::Back => self.back(),
            Action::NextColumn => self.sort_on(1),
            Action::PreviousColumn => self.sort_on(self.rows.columns.len().saturating_sub(1)),
            Action::Reverse => {
                let sort = self.sort_mut();
                sort.is_reversed = !sort.is_reversed;
                self.list();
            }
            Action::Pause => self.paused = !self.paused,
            Action::Help => self.help = true,
            Action::AllReasons => {
                self.all_reasons = !self.all_reasons;
                self.list();
            }
            Action::Filter => self.typing = true,
            Action::Type(character) => {
                // No screen is wider.
                if self.filter.len() < 64 {
                    self.filter.push(character);
                }
                self.list();
            }
            Action::Erase => {
                self.filter.pop();
                self.list();
            }
            Action::Done => self.typing = false,
        }
        !self.quits
    }

    /// How the list is sorted.
    pub(super) fn sort(&self) -> Sort {
        self.sort_of(self.listed())
    }

    /// The reason that is looked into.
    pub(super) fn reason(&self) -> Option<&ReasonLine> {
        let Some(Inside::Reason(reason)) = self.inside else {
            return None;
        };
        let mut lines = self.sample.iter().flat_map(|sample| &sample.reasons);
        lines.find(|line| line.reason == reason)
    }

    /// What stands above the list of what is looked into; nothing where nothing is.
    pub(super) fn heading(&self) -> Vec<String> {
        let Some(sample) = &self.sample else {
            return Vec::new();
        };
        match self.inside {
            Some(Inside::Row(Key::Port(rule))) => {
                let port = sample.ports.iter().find(|port| port.key == rule);
                match port {
                    Some(port) => vec![self.port_heading(port)],
                    None => vec!["this port is no longer published".to_owned()],
                }
            }
            Some(Inside::Row(Key::Container(address))) => {
                let ports: Vec<_> = sample
                    .ports
                    .iter()
                    .filter(|port| port.container == address)
                    .map(|port| format!("  {}", self.port_heading(port)))
                    .collect();
                let named = self.names.get(&address);
                let named = named.map(|named| format!(", {} in {}", named.container, named.network));
                let mut lines = vec![format!(
                    "container {address}{}, published ports: {}",
                    named.unwrap_or_default(),
                    ports.len()
                )];
                lines.extend(ports.iter().take(4).cloned());
                if ports.len() > 4 {
                    lines.push(format!("  and {} more", ports.len() - 4));
                }
                lines
            }
            _ => Vec::new(),
        }
    }

    fn port_heading(&self, port: &PortLine) -> String {
        let who = if port.limited { "listed sources" } else { "all" };
        let by = if port.proxied { ", by the proxy" } else { "" };
        format!(
            "port {} -> {}{by}, for {who}, by {}, {} flows",
            port.published(),
            port.target(&self.names),
            port.owner,
            port.flows
        )
    }

    /// What a reason's screen says.
    pub(super) fn meaning(&self) -> Vec<String> {
        let Some(Inside::Reason(reason)) = self.inside else {
            return Vec::new();
        };
        let mut text = vec![reason.meaning().to_owned(), String::new()];
        for paragraph in meaning::of(reason) {
            text.extend([paragraph, String::new()]);
        }
        for hook in self.reason().iter().flat_map(|line| &line.hooks) {
            text.push(format!(
                "{}: {} packets, {}/s now",
                hook.hook.name(),
                hook.total,
                hook.packets
            ));
        }
        text.push(String::new());
        text.push(format!(
            "Packet by packet: netmap monitor --reason {}",
            reason.name()
        ));
        text
    }

    /// Whether a text is shown instead of a list.
    pub(super) fn is_text(&self) -> bool {
        matches!(self.inside, Some(Inside::Reason(_)))
    }

    /// What the title of a text is.
    pub(super) fn title(&self) -> &'static str {
        match self.inside {
            Some(Inside::Reason(reason)) => reason.name(),
            _ => "",
        }
    }

    /// The list that is shown: flows where a row is looked into.
    fn listed(&self) -> Pane {
        match self.inside {
            Some(Inside::Row(_)) => Pane::Flows,
            _ => self.pane,
        }
    }

    fn shows_flows(&self) -> bool {
        self.listed() == Pane::Flows
    }

    fn sort_of(&self, pane: Pane) -> Sort {
        let [ports, containers, flows, drops, tables] = self.sorts;
        match pane {
            Pane::Ports => ports,
            Pane::Containers => containers,
            Pane::Flows => flows,
            Pane::Drops => drops,
            Pane::Tables => tables,
        }
    }

    fn sort_mut(&mut self) -> &mut Sort {
        let pane = self.listed();
        let [ports, containers, flows, drops, tables] = &mut self.sorts;
        match pane {
            Pane::Ports => ports,
            Pane::Containers => containers,
            Pane::Flows => flows,
            Pane::Drops => drops,
            Pane::Tables => tables,
        }
    }

    fn sort_on(&mut self, step: usize) {
        let columns = self.rows.columns;
        if columns.is_empty() {
            return;
        }
        let now = self.sort().column;
        let place = columns.iter().position(|column| column.title == now);
        let next = (place.unwrap_or_default() + step) % columns.len();
        if let Some(column) = columns.get(next) {
            self.sort_mut().column = column.title;
        }
        self.list();
    }

    fn go(&mut self, pane: Pane) {
        if self.pane != pane || self.inside.is_some() {
            self.filter.clear();
        }
        (self.pane, self.inside) = (pane, None);
        self.unmark();
        self.list();
    }

    fn enter(&mut self) {
        let Some(row) = self.rows.rows.get(self.index) else {
            return;
        };
        self.inside = match row.key {
            key @ (Key::Port(_) | Key::Container(_)) => Some(Inside::Row(key)),
            Key::Reason(reason) => Some(Inside::Reason(reason)),
            Key::Flow(..) | Key::Table(_) => return,
        };
        self.filter.clear();
        self.unmark();
        if self.shows_flows()
            && let Some(sample) = &mut self.sample
        {
            // These are all flows' busiest; the next lap has this row's.
            let (inside, flows) = (self.inside, &mut sample.busiest);
            flows.retain(|flow| belongs(flow, inside));
            self.reading = !self.paused;
        }
        self.list();
    }

    fn back(&mut self) {
        if self.typing {
            self.typing = false;
            self.filter.clear();
        } else if let Some(inside) = self.inside.take() {
            self.filter.clear();
            self.scroll = 0;
            self.marked = Some(match inside {
                Inside::Row(key) => key,
                Inside::Reason(reason) => Key::Reason(reason),
            });
        } else {
            self.filter.clear();
        }
        self.list();
    }

    fn unmark(&mut self) {
        (self.marked, self.index, self.scroll) = (None, 0, 0);
    }

    fn step(&mut self, step: isize) {
        if self.is_text() {
            let scroll = isize::from(i16::try_from(self.scroll).unwrap_or(i16::MAX)).saturating_add(step);
            self.scroll = u16::try_from(scroll.clamp(0, 200)).unwrap_or(0);
            return;
        }
        let last = self.rows.rows.len().saturating_sub(1);
        self.index = self.index.saturating_add_signed(step).min(last);
        self.marked = self.rows.rows.get(self.index).map(|row| row.key);
    }

    /// Makes the rows anew; the marked one stays marked wherever it has come to.
    fn list(&mut self) {
        self.rows = self.list_of(self.listed());
        let found = self.marked.and_then(|key| self.rows.find(key));
        self.index = found
            .unwrap_or(self.index)
            .min(self.rows.rows.len().saturating_sub(1));
    }

    /// The rows of a pane.
    pub fn list_of(&self, pane: Pane) -> Rows {
        let (sort, filter, names) = (self.sort_of(pane), self.filter.trim(), &self.names);
        let empty = Sample::default();
        let sample = self.sample.as_ref().unwrap_or(&empty);
        match pane {
            Pane::Ports => Rows::of::<PortLine>(&sample.ports, sort, filter, names),
            Pane::Containers => Rows::of::<ContainerLine>(&sample.containers, sort, filter, names),
            Pane::Flows => {
                let inside = self.inside;
                let flows = sample.busiest.iter().filter(|flow| belongs(flow, inside));
                Rows::of::<FlowLine>(flows, sort, filter, names)
            }
            Pane::Drops => {
                let reasons = sample.reasons.iter();
                let reasons = reasons.filter(|line| self.all_reasons || is_drop(line.reason));
                Rows::of::<ReasonLine>(reasons, sort, filter, names)
            }
            Pane::Tables => Rows::of::<TableLine>(&sample.tables, sort, filter, names),
        }
    }
}

/// Whether a flow is one of what is looked into. The reader chooses; this is for flows that it found before it knew.
fn belongs(flow: &FlowLine, inside: Option<Inside>) -> bool {
    match inside {
        Some(Inside::Row(Key::Port(rule))) => flow.rule == Some(rule),
        Some(Inside::Row(Key::Container(address))) => {
            let ends = [flow.original, flow.translated];
            ends.iter().any(|ends| ends.src == address || ends.dst == address)
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests;
