//! One flow, as it is printed for people.

use std::{fmt, io, io::Write};

use crate::{api::flows::FlowRow, cli::output};

/// One line of the table.
pub(super) fn write_line(row: &FlowRow, out: &mut impl Write) -> io::Result<()> {
    let mut line = Line::default();
    line.word(0, &row.protocol);
    line.word(1, &row.kind);
    line.word(2, &row.state);
    line.cell(3, format_args!("{}", row.original));
    line.cell(4, format_args!("{}", row.translated));
    line.word(5, &row.way);
    line.word(6, &output::duration(row.idle_seconds.into()));
    line.cell(7, format_args!("{}/{}", row.packets_original, row.packets_reply));
    line.cell(8, format_args!("{}/{}", row.bytes_original, row.bytes_reply));
    line.write(out)
}

/// The line above the table.
pub(super) fn write_header(out: &mut impl Write) -> io::Result<()> {
    let mut line = Line::default();
    let names = [
        "PROTO",
        "KIND",
        "STATE",
        "ORIGINAL",
        "TRANSLATED",
        "WAY",
        "IDLE",
        "PACKETS",
        "BYTES",
    ];
    for (column, name) in names.into_iter().enumerate() {
        line.word(column, name);
    }
    line.write(out)
}

/// Where columns begin. 43 characters hold any two addresses of IPv4 with ports but the longest; what is longer, as of
/// IPv6, moves the rest.
const COLUMNS: [usize; 9] = [0, 7, 18, 31, 76, 121, 128, 138, 155];

/// A line of the table, made from left to right without a text a cell: there may be millions.
struct Line(String);

impl Default for Line {
    fn default() -> Self {
        Self(String::with_capacity(256))
    }
}

impl Line {
    fn word(&mut self, column: usize, word: &str) {
        self.begin(column);
        self.0.push_str(word);
    }

    fn cell(&mut self, column: usize, text: fmt::Arguments<'_>) {
        self.begin(column);
        // Writing to a string does not fail.
        let _written = fmt::Write::write_fmt(&mut self.0, text);
    }

    fn begin(&mut self, column: usize) {
        const BLANKS: &str = "                                                ";
        let start = COLUMNS.get(column).copied().unwrap_or_default();
        let least = if column == 0 { 0 } else { 2 };
        let blanks = start.saturating_sub(self.0.len()).max(least);
        self.0.push_str(BLANKS.get(..blanks).unwrap_or(BLANKS));
    }

    fn write(mut self, out: &mut impl Write) -> io::Result<()> {
        self.0.push('\n');
        out.write_all(self.0.as_bytes())
    }
}
