//! A picture of a terminal, as SVG, out of what the terminal shows with its sequences for looks (ECMA-48, SGR).

use std::fmt::Write as _;

/// A character's place, in pixels.
const WIDTH: usize = 8;
const HEIGHT: usize = 17;
const MARGIN: usize = 10;

/// How characters look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a terminal switches each by itself")]
struct Look {
    bold: bool,
    underlined: bool,
    reversed: bool,
    red: bool,
}

impl Look {
    /// As after one parameter of a sequence; of colours only red is known.
    const fn after(self, parameter: u32) -> Self {
        match parameter {
            0 => Self {
                bold: false,
                underlined: false,
                reversed: false,
                red: false,
            },
            1 => Self { bold: true, ..self },
            4 => Self {
                underlined: true,
                ..self
            },
            7 => Self {
                reversed: true,
                ..self
            },
            22 => Self { bold: false, ..self },
            24 => Self {
                underlined: false,
                ..self
            },
            27 => Self {
                reversed: false,
                ..self
            },
            31 => Self { red: true, ..self },
            39 => Self { red: false, ..self },
            _ => self,
        }
    }
}

/// The picture of these lines, so many characters wide. Light and dark are as the reader's browser has them.
pub fn svg(screen: &str, columns: usize) -> String {
    let lines: Vec<_> = screen.trim_end().lines().collect();
    let (width, height) = (columns * WIDTH + 2 * MARGIN, lines.len() * HEIGHT + 2 * MARGIN);
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" aria-label=\"netmap top\">\n\
         <style>.p{{fill:#fff}}.t{{fill:#1b1f24}}.r{{fill:#c1121f}}.i{{fill:#fff}}.b{{font-weight:bold}}\
         text{{font:13px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;white-space:pre}}\
         @media(prefers-color-scheme:dark){{.p{{fill:#0d1117}}.t{{fill:#e6edf3}}.r{{fill:#ff7b72}}.i{{fill:#0d1117}}}}</style>\n\
         <rect class=\"p\" width=\"{width}\" height=\"{height}\" rx=\"6\"/>\n"
    );
    let mut look = Look::default();
    for (row, line) in lines.iter().enumerate() {
        let mut column = 0;
        for (style, text) in runs(line, &mut look) {
            let length = text.chars().count();
            run(&mut picture, (row, column), style, &text);
            column += length;
        }
    }
    picture.push_str("</svg>\n");
    picture
}

/// Writes characters that look the same. Writing to a string does not fail.
fn run(picture: &mut String, (row, column): (usize, usize), look: Look, text: &str) {
    let length = text.chars().count();
    let (x, y) = (MARGIN + column * WIDTH, MARGIN + row * HEIGHT);
    let width = length * WIDTH;
    if look.reversed {
        let _written = writeln!(
            picture,
            "<rect class=\"t\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{HEIGHT}\"/>"
        );
    }
    if look.underlined {
        let below = y + HEIGHT - 2;
        let _written = writeln!(
            picture,
            "<rect class=\"t\" x=\"{x}\" y=\"{below}\" width=\"{width}\" height=\"1\"/>"
        );
    }
    if text.trim().is_empty() {
        return;
    }
    let colour = match look {
        Look { reversed: true, .. } => "i",
        Look { red: true, .. } => "r",
        _ => "t",
    };
    let bold = if look.bold { " b" } else { "" };
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let base = y + HEIGHT - 4;
    let _written = writeln!(
        picture,
        "<text class=\"{colour}{bold}\" x=\"{x}\" y=\"{base}\" textLength=\"{width}\" xml:space=\"preserve\">{text}</text>"
    );
}

/// A line in pieces that look the same.
fn runs(line: &str, look: &mut Look) -> Vec<(Look, String)> {
    let mut runs: Vec<(Look, String)> = Vec::new();
    let mut pieces = line.split("\x1b[");
    let mut add = |look: Look, text: &str| {
        if !text.is_empty() {
            runs.push((look, text.to_owned()));
        }
    };
    add(*look, pieces.next().unwrap_or_default());
    for piece in pieces {
        let (parameters, text) = piece.split_once('m').unwrap_or((piece, ""));
        for parameter in parameters.split(';') {
            *look = look.after(parameter.parse().unwrap_or_default());
        }
        add(*look, text);
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_become_classes_and_signs_are_escaped() {
        let picture = svg("\x1b[1mA<B\x1b[0m c\n\x1b[7mback\x1b[39;27;31m red\x1b[m\n\n", 20);
        for part in [
            "viewBox=\"0 0 180 54\"",
            "<text class=\"t b\" x=\"10\" y=\"23\" textLength=\"24\" xml:space=\"preserve\">A&lt;B</text>",
            "<rect class=\"t\" x=\"10\" y=\"27\" width=\"32\" height=\"17\"/>",
            "<text class=\"i\" x=\"10\" y=\"40\" textLength=\"32\" xml:space=\"preserve\">back</text>",
            "<text class=\"r\" x=\"42\" y=\"40\"",
        ] {
            assert!(picture.contains(part), "{part} is missing in {picture}");
        }
        assert!(!picture.contains('\x1b'));
    }
}
