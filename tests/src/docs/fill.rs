//! Writes the answers of a build into a page.

use std::collections::BTreeMap;

use super::{Page, Row};
use crate::driver::{Driver, DriverError};

/// The page with every reply and every answer as `driver` gives it. All else stays.
///
/// # Errors
/// The page cannot be played, or the build broke.
pub fn fill(text: &str, driver: &mut dyn Driver) -> Result<String, DriverError> {
    let page = Page::read(text)?;
    // By line of the page: what stands there from now on, and what follows it.
    let mut replies: BTreeMap<usize, String> = BTreeMap::new();
    let mut rows: BTreeMap<usize, String> = BTreeMap::new();
    let mut dropped: Vec<usize> = Vec::new();
    for exchange in &page.exchanges {
        exchange.play(driver, |step, got| {
            let got = String::from_utf8_lossy(&got);
            replies.insert(step.line, got.lines().map(|reply| format!("< {reply}\n")).collect());
            dropped.extend(step.line + 1..=step.line + step.replies.len());
        })?;
    }
    for row in &page.rows {
        if let Some(got) = row.play(driver)? {
            rows.insert(row.line, written(row, &String::from_utf8_lossy(&got)));
        }
    }
    let mut out = String::new();
    for (index, old) in text.lines().enumerate() {
        let line = index + 1;
        if dropped.contains(&line) {
            continue;
        }
        out.push_str(rows.get(&line).map_or(old, String::as_str));
        out.push('\n');
        out.push_str(replies.get(&line).map_or("", String::as_str));
    }
    Ok(out)
}

fn written(row: &Row, got: &str) -> String {
    let list = |lines: &mut dyn Iterator<Item = &str>| {
        let spans: Vec<_> = lines.map(span).collect();
        if spans.is_empty() { "nothing".to_owned() } else { spans.join(" ") }
    };
    let lines = list(&mut row.lines.iter().map(String::as_str));
    format!("| {} | {lines} | {} |", row.what, list(&mut got.lines()))
}

/// A code span around text that may have backticks of its own.
fn span(text: &str) -> String {
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}
