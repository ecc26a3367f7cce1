//! A list as it is shown: filtered, sorted, and no longer than anybody reads.

use std::cmp::Reverse;

use super::columns::{Column, Key, Line, Names};

/// Rows that are made at most. The filter and the order are over all.
const MOST: usize = 500;

/// How a list is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// By the column with this title.
    pub column: &'static str,
    /// The smallest first.
    pub is_reversed: bool,
}

/// A list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// What its columns are.
    pub columns: &'static [Column],
    /// The rows, the first ones of all that fit the filter.
    pub rows: Vec<Row>,
    /// How many fit.
    pub fitting: usize,
    /// How many there are.
    pub all: usize,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What it is.
    pub key: Key,
    /// A text a column.
    pub cells: Vec<String>,
}

impl Rows {
    /// Of these lines. The filter is any part of any column, in either case.
    pub fn of<'lines, L: Line + 'lines>(
        lines: impl IntoIterator<Item = &'lines L>,
        sort: Sort,
        filter: &str,
        names: &Names,
    ) -> Self {
        let filter = filter.to_lowercase();
        let mut all = 0;
        let mut fitting: Vec<&L> = Vec::new();
        for line in lines {
            all += 1;
            if filter.is_empty() || fits(line, &filter, names) {
                fitting.push(line);
            }
        }
        let order = |line: &&L| (Reverse(line.value(sort.column)), line.place(), line.key());
        fitting.sort_by_cached_key(order);
        if sort.is_reversed {
            fitting.reverse();
        }
        let row = |line: &&L| Row {
            key: line.key(),
            cells: L::COLUMNS
                .iter()
                .map(|column| line.text(column.title, names))
                .collect(),
        };
        Self {
            columns: L::COLUMNS,
            rows: fitting.iter().take(MOST).map(row).collect(),
            fitting: fitting.len(),
            all,
        }
    }

    /// Where the row is that is this.
    pub fn find(&self, key: Key) -> Option<usize> {
        self.rows.iter().position(|row| row.key == key)
    }
}

fn fits<L: Line>(line: &L, filter: &str, names: &Names) -> bool {
    let has = |text: String| text.to_lowercase().contains(filter);
    L::COLUMNS
        .iter()
        .any(|column| has(line.text(column.title, names)))
}
