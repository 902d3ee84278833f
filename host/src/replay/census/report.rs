//! Who is there, for people, spreadsheets and programs.

use std::fmt::Write as _;
use std::io;

use serde::Serialize;
use serde_json::{Value, json};

use super::ledger::PAGE;
use super::{Engine, Known, Seen};
use crate::clients::{self, Listed, Sunset, csv_rows};
use crate::output::{counted, csv_text, warn};
use crate::replay::reading::Reading;
use crate::replay::report::{BadLineRow, Input, percent};
use crate::replay::table::grouped;
use crate::replay::{Output, ReplayArgs, ReplayError, text, time};
use crate::tables::{self, table};

/// The name and number of the JSON report's shape.
const SHAPE: &str = "crossfade-census/1";

/// The JSON report.
#[derive(Serialize)]
struct Report<'a> {
    /// Always [`SHAPE`].
    report: &'static str,
    input: Input,
    /// What tells clients apart, as given to `--key`.
    key: String,
    /// Oldest first.
    versions: Vec<Value>,
    /// Requests of no version.
    other_requests: u64,
    /// Requests that came when their time had been handed on.
    late_requests: u64,
    /// The reply `clients`: the busiest on a version other than the newest.
    clients: Value,
    /// The reply `sunset`, at the end of the logs.
    sunset: Value,
    bad_lines: &'a [BadLineRow],
    notes: &'a [String],
}

/// Writes the report.
///
/// # Errors
/// The engine fails, or `out` does.
pub(super) fn write<E: Engine>(
    known: Known<E>,
    reading: Reading,
    args: &ReplayArgs,
    out: &mut dyn io::Write,
) -> Result<(), ReplayError> {
    match args.output {
        Output::Csv => csv(known, out),
        Output::Human | Output::Json => {
            let text = whole(known, reading, args)?;
            out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(ReplayError::Write)
        }
    }
}

/// Every client, the busiest first.
fn csv<E: Engine>(mut known: Known<E>, out: &mut dyn io::Write) -> Result<(), ReplayError> {
    let now_ms = known.seen.clock.span.map_or(0, |(_, last)| last);
    let wrong = |failure: crate::exit::Failure| ReplayError::Census(failure.to_string());
    let (mut offset, mut written) = (0, 0);
    loop {
        let question = json!({ "offset": offset, "limit": PAGE });
        let listed = known.ledger.clients(question, now_ms)?;
        let text = csv_text(clients::HEADER, csv_rows(&listed.clients)).map_err(wrong)?;
        // One header for all pages.
        let skip = if offset == 0 { 0 } else { text.find('\n').map_or(0, |end| end + 1) };
        out.write_all(&text.as_bytes()[skip..]).map_err(ReplayError::Write)?;
        written += listed.clients.len() as u64;
        if (listed.clients.len() as u64) < PAGE {
            if let Some(sampled) = listed.sampled(written) {
                warn(&sampled);
            }
            return out.flush().map_err(ReplayError::Write);
        }
        offset += PAGE;
    }
}

fn whole<E: Engine>(
    known: Known<E>,
    reading: Reading,
    args: &ReplayArgs,
) -> Result<String, ReplayError> {
    let Known { mut ledger, policy, versions, seen, late } = known;
    let (first_ms, now_ms) = seen.clock.span.unwrap_or_default();
    let Reading { mut input, bad_lines, .. } = reading;
    input.first = Some(time::rfc3339(first_ms));
    input.last = Some(time::rfc3339(now_ms));
    input.span_ms = now_ms - first_ms;
    let mut rows = Vec::new();
    for (version, requests) in versions.iter().zip(&seen.requests) {
        let question = json!({ "version": version, "limit": 0 });
        let total = ledger.clients(question, now_ms)?;
        rows.push((version.as_str(), *requests, total));
    }
    let oldest = versions.first().map_or("", String::as_str);
    let question = json!({ "version": oldest, "limit": args.top });
    let (top_written, top): (Value, Listed) = ledger.ask("get_clients", question, now_ms)?;
    let (mut sunset_written, _) = ledger.ask::<Value>("get_sunset", json!({}), now_ms)?;
    let newest = versions.last().map_or("", String::as_str);
    super::checks::of_logs(&mut sunset_written, &policy, seen.quiet(), newest);
    let sunset: Sunset = serde_json::from_value(sunset_written.clone()).map_err(|error| {
        ReplayError::Unexpected { request: "get_sunset", reply: error.to_string() }
    })?;
    let notes = notes(&seen, late, &versions);
    if args.output == Output::Json {
        let version = |(version, requests, total): &(&str, u64, Listed)| {
            json!({
                "version": version,
                "requests": requests,
                "clients": total.total,
                "exact": total.exact,
                "low": total.low,
                "high": total.high,
            })
        };
        let report = Report {
            report: SHAPE,
            input,
            key: args.key.to_string(),
            versions: rows.iter().map(version).collect(),
            other_requests: seen.other,
            late_requests: late,
            clients: top_written,
            sunset: sunset_written,
            bad_lines: &bad_lines,
            notes: &notes,
        };
        let json = serde_json::to_string_pretty(&report);
        let json = json.map_err(|source| ReplayError::Write(source.into()))?;
        return Ok(text::json_escaped(&json) + "\n");
    }
    let page = crate::replay::page();
    let mut out = String::new();
    summary(&mut out, &input, (first_ms, now_ms), args);
    out.push('\n');
    versions_table(&mut out, &rows, seen.other);
    out.push('\n');
    let candidates = (args.top as usize, "`--top 20` shows more, `--output csv` has every client");
    out += &sunset.text(page.width, page.color, now_ms, candidates);
    if !top.clients.is_empty() {
        let _ = writeln!(out, "\nBusiest on {}", text::shown(oldest.as_bytes(), 30));
        clients::rows(&mut out, &top.clients, page.width, page.color, now_ms);
    }
    if !notes.is_empty() {
        out.push('\n');
    }
    for note in &notes {
        crate::replay::table::paragraph(&mut out, note, page);
    }
    Ok(out)
}

fn summary(out: &mut String, input: &Input, (first, last): (u64, u64), args: &ReplayArgs) {
    let _ = writeln!(
        out,
        "{} to {} UTC ({})",
        time::shown(first),
        time::shown(last),
        crate::units::span(last - first)
    );
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
    let key = text::shown(args.key.to_string().as_bytes(), 60);
    let _ = writeln!(out, "{lines}; client key: {key}");
}

fn versions_table(out: &mut String, versions: &[(&str, u64, Listed)], other: u64) {
    let all = versions.iter().map(|(_, requests, _)| requests).sum::<u64>() + other;
    let share = |requests: u64| format!("{:.2} %", percent(requests, all));
    let known = versions.iter().map(|(version, requests, total)| {
        [
            text::shown(version.as_bytes(), 30),
            grouped(*requests),
            share(*requests),
            total.estimate().text(),
        ]
    });
    let none =
        (other > 0).then(|| ["no version".to_owned(), grouped(other), share(other), String::new()]);
    let header = ["Version", "Requests", "Share", "Clients whose last call it had"];
    tables::write(out, &table(header, known.chain(none)));
}

fn notes(seen: &Seen, late: u64, versions: &[String]) -> Vec<String> {
    let mut notes = vec![
        "What a log tells of clients is as good as what tells them apart: several behind one \
         address are one here, and one with two addresses are two."
            .to_owned(),
    ];
    if let Some(example) = seen.other_example.as_ref().filter(|_| seen.other > 0) {
        notes.push(format!(
            "Of no version: {}, such as {}; see --version-of.",
            counted(seen.other, "request"),
            text::shown(example.as_bytes(), 80)
        ));
    }
    if seen.unversioned > 0 {
        let example = seen.other_example.as_deref().unwrap_or_default();
        notes.push(format!(
            "No request names a version (the first is {}): all {} are taken for {}'s. \
             --version-of tells versions apart.",
            text::shown(example.as_bytes(), 80),
            grouped(seen.unversioned),
            text::shown(versions[0].as_bytes(), 30),
        ));
        return notes;
    }
    for (version, _) in versions.iter().zip(&seen.requests).filter(|(_, requests)| **requests == 0)
    {
        let version = text::shown(version.as_bytes(), 30);
        notes.push(format!("Not one request is of {version}: is its pattern right?"));
    }
    if late > 0 {
        notes.push(format!(
            "More than a day out of order: {}. That is counted, but not in the intervals. Name each log alone, so that they are read in order.",
            counted(late, "request")
        ));
    }
    notes
}
