//! Text for a terminal: lines of spans with a tone each, broken to a width.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};

use crate::replay::text::shown;

/// What a span means. Colours only repeat what the words say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Strong,
    Faint,
    Good,
    Bad,
    Wait,
}

impl Tone {
    /// The terminal's code for it.
    fn code(self) -> &'static str {
        match self {
            Tone::Plain => "",
            Tone::Strong => "1",
            Tone::Faint => "2",
            Tone::Good => "32",
            Tone::Bad => "1;31",
            Tone::Wait => "33",
        }
    }
}

/// A line, from left to right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Line(Vec<(Tone, String)>);

impl Line {
    /// With something more at its end. Characters that a terminal would obey are escaped.
    #[must_use]
    pub(crate) fn with(mut self, tone: Tone, text: impl AsRef<str>) -> Line {
        self.0.push((tone, shown(text.as_ref().as_bytes(), usize::MAX)));
        self
    }

    /// With plain text at its end.
    #[must_use]
    pub(crate) fn and(self, text: impl AsRef<str>) -> Line {
        self.with(Tone::Plain, text)
    }

    /// Filled with blanks up to a column.
    #[must_use]
    pub(crate) fn to(mut self, column: usize) -> Line {
        let missing = column.saturating_sub(self.width());
        if missing > 0 {
            self.0.push((Tone::Plain, " ".repeat(missing)));
        }
        self
    }

    /// Columns taken, one for each character.
    pub(crate) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| text.chars().count()).sum()
    }

    /// What is written, cut to a width.
    pub(crate) fn text(&self, width: usize, color: bool) -> String {
        let mut out = String::new();
        let mut left = width;
        let cut = self.width() > width;
        for (tone, text) in &self.0 {
            let room = if cut { left.saturating_sub(1) } else { left };
            let part: String = text.chars().take(room).collect();
            left -= part.chars().count();
            let paint = color && !tone.code().is_empty() && !part.trim().is_empty();
            if paint {
                let _ = write!(out, "\x1b[{}m{part}\x1b[0m", tone.code());
            } else {
                out += &part;
            }
        }
        if cut {
            out.push('…');
        }
        out.truncate(out.trim_end().len());
        out
    }
}

/// Lines, and the width they are made for.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    width: usize,
    /// Columns of the terminal, if there is one.
    cut: usize,
    lines: Vec<Line>,
}

/// Where nothing says how wide a page is.
const WIDTH: u16 = 80;

/// Lines longer than this are hard to read.
const WIDTH_MAX: u16 = 110;

impl Page {
    /// An empty one, for a terminal of so many columns.
    pub(crate) fn new(columns: Option<u16>) -> Page {
        let width = columns.unwrap_or(WIDTH).clamp(40, WIDTH_MAX);
        let cut = columns.map_or(usize::MAX, usize::from);
        Page { width: usize::from(width), cut, lines: Vec::new() }
    }

    pub(crate) fn push(&mut self, line: Line) {
        self.lines.push(line);
    }

    /// A line with nothing on it.
    pub(crate) fn gap(&mut self) {
        self.lines.push(Line::default());
    }

    /// Text broken at blanks; its first line begins behind `head`, the others below it.
    pub(crate) fn paragraph(&mut self, head: Line, tone: Tone, text: &str) {
        let indent = head.width();
        let text = shown(text.as_bytes(), usize::MAX);
        let mut line = head;
        let mut words = String::new();
        let mut column = indent;
        for word in text.split_whitespace() {
            let length = word.chars().count();
            if !words.is_empty() && column + 1 + length > self.width {
                self.lines.push(line.with(tone, &words));
                line = Line::default().to(indent);
                words.clear();
                column = indent;
            }
            if !words.is_empty() {
                words.push(' ');
                column += 1;
            }
            words += word;
            column += length;
        }
        self.lines.push(line.with(tone, &words));
    }

    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// All of it. What does not fit into a terminal is cut: broken lines of a table are
    /// harder to read.
    pub(crate) fn text(&self, color: bool) -> String {
        let mut out = String::new();
        for line in &self.lines {
            out += &line.text(self.cut, color);
            out.push('\n');
        }
        out
    }
}

/// Whether a person looks.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Columns of the terminal that stdout is, if it is one.
pub(crate) fn columns() -> Option<u16> {
    is_terminal().then(terminal_size::terminal_size).flatten().map(|(width, _)| width.0)
}

/// Whether stdout is to be coloured.
pub(crate) fn color() -> bool {
    is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|value| value != "dumb")
}

/// `10 %`, `0.05 %`, `33.33 %`.
pub(crate) fn percent(value: f64) -> String {
    let text = format!("{value:.2}");
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Minutes of a plan: `90 s`, `30 min`, `4 h`, `1 h 30 min`.
pub(crate) fn minutes(value: f64) -> String {
    let seconds = (value.max(0.0) * 60.0).round() as u64;
    let (days, hours, minutes, rest) =
        (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let mut parts = Vec::new();
    for (number, unit) in [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")] {
        if number > 0 {
            parts.push(format!("{number} {unit}"));
        }
    }
    parts.truncate(2);
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_name_two_units_at_most_and_no_zeros() {
        for (value, expected) in [
            (0.0, "0 s"),
            (0.5, "30 s"),
            (1.5, "1 min 30 s"),
            (30.0, "30 min"),
            (240.0, "4 h"),
            (90.0, "1 h 30 min"),
            (1440.0, "1 d"),
            (1500.5, "1 d 1 h"),
            (-3.0, "0 s"),
        ] {
            assert_eq!(minutes(value), expected, "{value}");
        }
    }

    #[test]
    fn percents_have_no_zeros_at_their_end() {
        for (value, expected) in
            [(0.0, "0 %"), (0.05, "0.05 %"), (10.0, "10 %"), (100.0, "100 %"), (33.333, "33.33 %")]
        {
            assert_eq!(percent(value), expected);
        }
    }

    #[test]
    fn a_line_is_cut_where_the_terminal_ends() {
        let line = Line::default().and("ab").with(Tone::Bad, "cdé");
        assert_eq!(line.text(5, false), "abcdé");
        assert_eq!(line.text(4, false), "abc…");
        assert_eq!(line.text(4, true), "ab\x1b[1;31mc\x1b[0m…");
        assert_eq!(line.text(1, true), "…");
    }

    #[test]
    fn paragraphs_are_broken_at_blanks_and_hang() {
        let mut page = Page::new(Some(40));
        page.paragraph(Line::default().and("Why  "), Tone::Plain, &"word ".repeat(12));
        assert_eq!(
            page.text(false),
            "Why  word word word word word word word\n     word word word word word\n"
        );
    }

    #[test]
    fn nothing_a_server_says_is_obeyed() {
        let mut page = Page::new(None);
        page.push(Line::default().and("\x1b[2J"));
        page.paragraph(Line::default(), Tone::Bad, "\x1b]0;x\x07 \u{202e}");
        assert_eq!(page.text(false), "\\x1b[2J\n\\x1b]0;x\\x07 \\u{202e}\n");
    }
}
