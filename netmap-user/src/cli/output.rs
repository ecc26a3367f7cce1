//! Where commands print.

use std::{
    fmt::Display,
    io::{self, BufWriter, Write},
    time::Duration,
};

use comfy_table::{Row, Table, presets};
use serde::Serialize;

/// Long listings go out in pieces of so many bytes, as many as a pipe takes.
const BUFFER: usize = 64 << 10;

/// Standard output, buffered; flush it at the end.
pub(super) fn stdout() -> impl Write {
    BufWriter::with_capacity(BUFFER, Output(io::stdout()))
}

/// One sentence on stderr. There is nobody left to tell when that fails.
pub(super) fn complain(sentence: impl Display) {
    let _told = writeln!(io::stderr(), "netmap: {sentence}");
}

/// One line of JSON.
pub(super) fn json(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)
}

/// A table without lines.
pub(super) fn table<R: Into<Row>>(
    out: &mut impl Write,
    header: R,
    rows: impl IntoIterator<Item = R>,
) -> io::Result<()> {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(header)
        .add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    writeln!(out, "{}", table.trim_fmt())
}

/// A time for people, its two largest units.
pub(super) fn duration(seconds: u64) -> String {
    let whole = humantime::format_duration(Duration::from_secs(seconds)).to_string();
    whole.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// A rate for people: three digits or so, and k, M or G for thousands of it.
pub(super) fn rate(rate: f64) -> String {
    let units = [(1e9, "G"), (1e6, "M"), (1e3, "k")];
    let Some((size, unit)) = units.into_iter().find(|(size, _)| rate >= *size) else {
        return rounded(rate);
    };
    rounded(rate / size) + unit
}

/// One digit behind the point below 100, where it says something.
fn rounded(number: f64) -> String {
    let text = if number < 100.0 {
        format!("{number:.1}")
    } else {
        format!("{number:.0}")
    };
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// Whether the cause is that whoever reads our output has seen enough (`netmap flows | head`).
pub(super) fn is_reader_gone(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let Some(inner) = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) else {
            return false;
        };
        inner.is::<ReaderGone>()
    })
}

/// Marks an output's broken pipe, to tell it from other broken pipes.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the output")]
struct ReaderGone;

struct Output<W>(W);

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(|error| mark(&error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(|error| mark(&error))
    }
}

fn mark(error: &io::Error) -> io::Error {
    match error.kind() {
        kind @ io::ErrorKind::BrokenPipe => io::Error::new(kind, ReaderGone),
        kind => io::Error::new(kind, format!("the output cannot be written: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn only_an_output_that_nobody_reads_is_no_failure() {
        let error = json(&mut Output(Closed), &"x").unwrap_err();
        assert!(is_reader_gone(
            &anyhow::Error::from(error).context("while listing")
        ));
        let other = io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(!is_reader_gone(&other.into()));
    }

    #[test]
    fn times_have_two_units() {
        assert_eq!(duration(0), "0s");
        assert_eq!(duration(3_723), "1h 2m");
        assert_eq!(duration(90_061), "1day 1h");
    }

    #[test]
    fn rates_have_three_digits_or_so() {
        let cases = [
            (0.0, "0"),
            (2.5, "2.5"),
            (99.0, "99"),
            (123.4, "123"),
            (1_536.0, "1.5k"),
            (2e6, "2M"),
            (7.25e9, "7.2G"),
        ];
        for (number, expected) in cases {
            assert_eq!(rate(number), expected);
        }
    }

    #[test]
    fn a_table_lines_its_columns_up() {
        let mut out = Vec::new();
        table(&mut out, vec!["A", "LONG"], [vec!["1234", "5"]]).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "A     LONG\n1234  5\n");
    }
}
