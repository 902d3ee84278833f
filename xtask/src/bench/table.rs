//! The figures as a table: on a terminal, and in the README.

use std::fmt::Write as _;

/// What a figure may be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limit {
    /// A peer: nothing is promised of it.
    None,
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
}

/// One figure beside its limit.
#[derive(Debug)]
pub(crate) struct Row {
    what: String,
    value: f64,
    unit: String,
    limit: Limit,
}

impl Row {
    pub(crate) fn new(what: impl Into<String>, value: f64, unit: &str, limit: Limit) -> Row {
        Row { what: what.into(), value, unit: unit.to_owned(), limit }
    }

    /// Whether the figure keeps to its limit. One that could not be measured does not.
    pub(crate) fn holds(&self) -> bool {
        match self.limit {
            Limit::None => true,
            Limit::AtLeast(limit) => self.value >= limit,
            Limit::AtMost(limit) => self.value <= limit,
            Limit::Below(limit) => self.value < limit,
        }
    }

    /// The limit as text, and what came of it; nothing for a peer.
    fn judged(&self) -> (String, &'static str) {
        let limit = match self.limit {
            Limit::None => return (String::new(), ""),
            Limit::AtLeast(limit) => format!(">= {}", number(limit)),
            Limit::AtMost(limit) => format!("<= {}", number(limit)),
            Limit::Below(limit) => format!("< {}", number(limit)),
        };
        (limit, if self.holds() { "ok" } else { "MISSED" })
    }

    fn line(&self, width: usize) -> String {
        let (limit, verdict) = self.judged();
        let Row { what, unit, .. } = self;
        let value = number(self.value);
        format!("{what:<width$}{value:>10} {unit:<26}{limit:>10}  {verdict}").trim_end().to_owned()
    }

    /// The name of what belongs to the row before it.
    fn belonging(&self) -> Option<&str> {
        self.what.strip_prefix("  ").map(str::trim_start)
    }

    /// A line of Markdown; what belongs to the line before it is set off.
    fn markdown(&self) -> String {
        match self.belonging() {
            Some(peer) => self.markdown_as(&format!("· {peer}")),
            None => self.markdown_as(&self.what),
        }
    }

    fn markdown_as(&self, what: &str) -> String {
        let (limit, verdict) = self.judged();
        let verdict = if verdict == "MISSED" { " **missed**" } else { "" };
        format!("| {what} | {} {} | {limit}{verdict} |", number(self.value), self.unit)
    }
}

/// Three digits or more: those of a ratio matter, those of a rate do not.
fn number(value: f64) -> String {
    match value {
        large if large >= 100.0 => {
            let digits = format!("{large:.0}");
            let from_end = |(n, digit)| match digits.len() - n {
                left if left % 3 == 0 && n > 0 => format!(",{digit}"),
                _ => format!("{digit}"),
            };
            digits.chars().enumerate().map(from_end).collect()
        }
        middle if middle >= 10.0 => format!("{middle:.1}"),
        small => format!("{small:.2}"),
    }
}

/// Prints the table, with how busy the machine was.
pub(crate) fn print(rows: &[Row], load_before: &str, load_after: &str) {
    let width = rows.iter().map(|row| row.what.chars().count() + 2).max().unwrap_or(0);
    println!("{:<width$}{:>10} {:<26}{:>10}", "figure", "value", "unit", "limit");
    rows.iter().for_each(|row| println!("{}", row.line(width)));
    println!("\n{}", machine(load_before, load_after));
}

/// The same as Markdown.
pub(crate) fn markdown(rows: &[Row], load_before: &str, load_after: &str) -> String {
    markdown_of(rows.iter().map(Row::markdown), load_before, load_after)
}

/// What has a limit, as Markdown, for whoever has a minute.
pub(crate) fn headline(rows: &[Row], load_before: &str, load_after: &str) -> String {
    let mut of = "";
    let mut lines = Vec::new();
    for row in rows {
        let part = row.belonging();
        of = if part.is_none() { &row.what } else { of };
        if !matches!(row.limit, Limit::None) {
            // The row it belongs to may not be there.
            let what = part.map_or_else(|| of.to_owned(), |part| format!("{of}: {part}"));
            lines.push(row.markdown_as(&what));
        }
    }
    markdown_of(lines.into_iter(), load_before, load_after)
}

fn markdown_of(rows: impl Iterator<Item = String>, before: &str, after: &str) -> String {
    let mut text = "| figure | measured | limit |\n|---|---|---|\n".to_owned();
    for row in rows {
        // Writing into a string does not fail.
        let _ = writeln!(text, "{row}");
    }
    let _ = writeln!(text, "\n{}", machine(before, after));
    text
}

fn machine(load_before: &str, load_after: &str) -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let model = model.unwrap_or("unknown CPU");
    format!("{cores} cores, {model}; load {load_before} before, {load_after} after.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_kept_or_missed_at_its_edge() {
        let holds = |value, limit| Row::new("x", value, "ns", limit).holds();
        assert!(holds(1.5, Limit::AtMost(1.5)) && !holds(1.51, Limit::AtMost(1.5)));
        assert!(holds(15.0, Limit::AtLeast(15.0)) && !holds(14.9, Limit::AtLeast(15.0)));
        assert!(!holds(30.0, Limit::Below(30.0)) && holds(29.9, Limit::Below(30.0)));
        assert!(!holds(f64::NAN, Limit::AtMost(1.0)) && holds(f64::NAN, Limit::None));
    }

    #[test]
    fn a_missed_limit_stands_out() {
        let row = Row::new("node", 700_000.0, "lines a CPU second", Limit::AtLeast(8e5));
        assert!(row.line(10).ends_with(">= 800,000  MISSED"), "{}", row.line(10));
        assert_eq!(row.markdown(), "| node | 700,000 lines a CPU second | >= 800,000 **missed** |");
    }

    #[test]
    fn the_headline_has_what_has_a_limit_be_it_kept_or_missed() {
        let rows = [
            Row::new("node", 9e5, "lines", Limit::AtLeast(8e5)),
            Row::new("  a loop in Python", 2e5, "lines", Limit::None),
            Row::new("ledger", 2.0, "ns", Limit::None),
            Row::new("  over a map", 1.0, "x", Limit::AtMost(1.5)),
            Row::new("page", 320.0, "KB", Limit::AtMost(300.0)),
        ];
        let text = headline(&rows, "0", "1");
        let ledger = "| ledger: over a map | 1.00 x | <= 1.50 |\n| page | 320 KB |";
        assert!(text.contains("| node | 900,000 lines | >= 800,000 |\n") && text.contains(ledger));
        assert!(text.contains("**missed**") && !text.contains("Python"), "{text}");
        assert!(markdown(&rows, "0", "1").contains("| · a loop in Python | 200,000 lines |  |"));
    }

    #[test]
    fn thousands_are_set_off() {
        let shown = [0.5, 12.34, 999.6, 1_234.0, 1_234_567.0].map(number);
        assert_eq!(shown, ["0.50", "12.3", "1,000", "1,234", "1,234,567"]);
    }
}
