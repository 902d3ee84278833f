//! The report as tables, for people.

pub(crate) use crate::output::grouped;
use std::fmt::Write as _;

use comfy_table::Table;

use super::report::{RampRow, Report};
use super::{text, time};
use crate::output::counted;
use crate::tables::{self, table};

/// A client's name where the width of the page is not known.
const CLIENT_CHARS: usize = 60;

/// How the page looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page {
    /// Columns of the terminal, when it is one.
    pub(super) width: Option<u16>,
    /// Whether headings may be bold.
    pub(super) color: bool,
}

/// Writes the whole report.
pub(super) fn render(report: &Report, span: Option<(u64, u64)>, page: Page) -> String {
    let mut out = String::new();
    summary(&mut out, report, span, page);
    section(&mut out, "Where requests would have gone", page, versions(report));
    section(&mut out, "Why", page, reasons(report));
    if !report.ramp.is_empty() {
        let new = report.versions.last().map_or("the new version", |row| row.version.as_str());
        let new = shown(new, 20);
        let title = format!("A ramp to {new}: what each step moves (+), and what is on {new} then");
        section(&mut out, &title, page, ramp(report));
    }
    if !report.top.is_empty() {
        section(&mut out, "Busiest clients", page, top(report, page));
    }
    if !report.notes.is_empty() {
        out.push('\n');
    }
    for note in &report.notes {
        paragraph(&mut out, note, page);
    }
    out
}

fn summary(out: &mut String, report: &Report, span: Option<(u64, u64)>, page: Page) {
    let Report { input, policy, .. } = report;
    let requests = counted(report.requests, "request");
    let clients = counted(report.clients, "client");
    let _ = writeln!(out, "{}", bold(&format!("{requests} of {clients}"), page));
    if let Some((first, last)) = span {
        let _ = writeln!(
            out,
            "{} to {} UTC ({})",
            time::shown(first),
            time::shown(last),
            crate::units::span(last - first)
        );
    }
    let mut lines = format!("{} read, {} bad", counted(input.lines, "line"), grouped(input.bad));
    for (count, what) in [
        (input.blank, "blank"),
        (input.out_of_order, "out of order"),
        (input.without_key, "without a client key"),
        (input.without_status, "without a status"),
    ] {
        if count > 0 {
            let _ = write!(lines, ", {} {what}", grouped(count));
        }
    }
    let _ = writeln!(out, "{lines}");
    let _ = writeln!(out, "policy: {}; client key: {}", policy.name, shown(&policy.key, 60));
}

fn versions(report: &Report) -> Table {
    let header = ["Version", "Requests", "Share", "Clients", "Share", "Failures", "Ratio"];
    let rows = report.versions.iter().map(|row| {
        [
            shown(&row.version, 30),
            grouped(row.requests),
            percent(row.request_percent),
            grouped(row.clients),
            percent(row.client_percent),
            grouped(row.failures),
            percent(row.failure_percent),
        ]
    });
    table(header, rows)
}

fn reasons(report: &Report) -> Table {
    let rows = report
        .reasons
        .iter()
        .map(|row| [shown(&row.reason, 40), grouped(row.requests), percent(row.percent)]);
    table(["Reason", "Requests", "Share"], rows)
}

fn ramp(report: &Report) -> Table {
    let header = ["Step", "+ Clients", "+ Requests", "Clients", "Share", "Requests", "Share"];
    let rows = report.ramp.iter().map(|row: &RampRow| {
        [
            format!("{} %", row.percentage),
            grouped(row.clients_moved),
            grouped(row.requests_moved),
            grouped(row.clients),
            percent(row.client_percent),
            grouped(row.requests),
            percent(row.request_percent),
        ]
    });
    table(header, rows)
}

fn top(report: &Report, page: Page) -> Table {
    let row = |client: String, row: &super::report::ClientRow| {
        [
            client,
            shown(&row.versions.join(", "), 30),
            grouped(row.requests),
            percent(row.percent),
            grouped(row.failures),
        ]
    };
    let header = ["Client", "Version", "Requests", "Share", "Failures"];
    // What the other columns leave is the client's, so that no line breaks.
    let without = table(header, report.top.iter().map(|client| row(String::new(), client)));
    let taken = without.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    let room = match page.width {
        Some(width) => (usize::from(width) + "Client".len()).saturating_sub(taken + 1).max(10),
        None => CLIENT_CHARS,
    };
    table(header, report.top.iter().map(|client| row(shown(&client.client, room - 1), client)))
}

fn section(out: &mut String, title: &str, page: Page, table: Table) {
    let _ = writeln!(out, "\n{}", bold(title, page));
    tables::write(out, &table);
}

/// A note, broken at spaces so that no terminal breaks it in a word.
pub(super) fn paragraph(out: &mut String, text: &str, page: Page) {
    let width = usize::from(page.width.unwrap_or(80)).clamp(20, 100);
    let mut column = 0;
    for (i, word) in text.split(' ').enumerate() {
        let length = word.chars().count();
        if i == 0 {
            out.push_str("- ");
            column = 2;
        } else if column + 1 + length > width {
            out.push_str("\n  ");
            column = 2;
        } else {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out.push('\n');
}

fn bold(text: &str, page: Page) -> String {
    if page.color { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}

fn shown(value: &str, chars_max: usize) -> String {
    text::shown(value.as_bytes(), chars_max)
}

fn percent(percent: f64) -> String {
    format!("{percent:.2} %")
}

#[cfg(test)]
mod tests {
    use super::super::report::{ClientRow, Input, PolicyReport, SHAPE};
    use super::*;

    fn report(client: &str) -> Report {
        Report {
            report: SHAPE,
            policy: PolicyReport {
                name: "canary 10 %".into(),
                document: serde_json::Value::Null,
                key: "address+agent".into(),
                seed: 1,
            },
            input: Input::default(),
            requests: 1,
            clients: 1,
            versions: Vec::new(),
            reasons: Vec::new(),
            ramp: Vec::new(),
            top: vec![ClientRow {
                client: client.into(),
                version: "v2".into(),
                versions: vec!["v1".into(), "v2".into()],
                requests: 1,
                percent: 100.0,
                failures: 0,
            }],
            bad_lines: Vec::new(),
            notes: vec!["word ".repeat(60)],
        }
    }

    #[test]
    fn the_page_keeps_to_the_terminal() {
        for width in [70, 80, 120] {
            let page = Page { width: Some(width), color: false };
            let text = render(&report(&"Mozilla/5.0 ".repeat(30)), None, page);
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= usize::from(width), "{widest} > {width}\n{text}");
            // A long client takes the room there is.
            let row = text.lines().find(|line| line.contains("Mozilla")).unwrap();
            assert!(row.contains('…') && row.chars().count() > usize::from(width) - 3, "{row}");
        }
    }

    #[test]
    fn a_client_is_shown_whole_where_it_fits_and_safely() {
        let page = Page { width: Some(80), color: false };
        assert!(render(&report("10.0.0.1"), None, page).contains(" 10.0.0.1 "));
        assert!(render(&report("\u{1b}[31m"), None, page).contains(" \\x1b[31m "));
    }

    #[test]
    fn headings_are_bold_only_where_colour_is_wanted() {
        for color in [false, true] {
            let text = render(&report("a"), None, Page { width: None, color });
            assert_eq!(text.contains("\u{1b}[1mWhy\u{1b}[0m"), color);
            assert_eq!(text.contains('\u{1b}'), color);
        }
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, expected) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")]
        {
            assert_eq!(grouped(number), expected);
        }
        assert_eq!(grouped(u64::MAX), "18,446,744,073,709,551,615");
    }
}
