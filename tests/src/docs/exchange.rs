//! Blocks marked `exchange`: calls and the lines they give.

use super::DocError;
use crate::driver::{Driver, DriverError};

/// One block: calls on one engine.
#[derive(Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Line of its fence.
    pub line: usize,
    /// Goes on with the engine of the block before, instead of a fresh one.
    pub continued: bool,
    /// The init document, when the block begins with one.
    pub init: Option<String>,
    /// At least one call.
    pub steps: Vec<Step>,
}

/// One call and the lines that must come of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// Line of the call.
    pub line: usize,
    /// The call.
    pub call: Call,
    /// Every line that comes back.
    pub replies: Vec<String>,
}

/// What is done with the engine.
#[derive(Debug, PartialEq, Eq)]
pub enum Call {
    /// `> LINE`: the line is served.
    Send(String),
    /// `tick MS`: it is this time now, and time acts.
    Tick(u64),
    /// `totals`: the engine's counts.
    Totals,
    /// `merge TOTALS`: takes in another's.
    Merge(String),
}

impl Exchange {
    /// Plays the block, giving each call's output to `seen`.
    pub(super) fn play(
        &self,
        driver: &mut dyn Driver,
        mut seen: impl FnMut(&Step, Vec<u8>),
    ) -> Result<(), DriverError> {
        if !self.continued {
            let said = driver.start(self.init.as_deref().unwrap_or_default().as_bytes(), 0, 0)?;
            if !said.is_empty() {
                return Err(String::from_utf8_lossy(&said).into());
            }
        }
        let mut now_ms = 0;
        for step in &self.steps {
            let got = match &step.call {
                Call::Send(line) => driver.handle(format!("{line}\n").as_bytes(), now_ms)?,
                Call::Tick(at_ms) => {
                    now_ms = *at_ms;
                    driver.tick(now_ms)?
                }
                Call::Totals => driver.totals()?,
                Call::Merge(totals) => driver.merge(totals.as_bytes())?,
            };
            seen(step, got);
        }
        Ok(())
    }
}

/// What a line of a block is.
enum Line<'t> {
    Init(&'t str),
    Call(Call),
    Reply(&'t str),
}

impl Line<'_> {
    fn read(text: &str) -> Option<Line<'_>> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        Some(match (word, rest) {
            ("init", document) if !document.is_empty() => Line::Init(document),
            (">", line) => Line::Call(Call::Send(line.to_owned())),
            ("<", reply) if !reply.is_empty() => Line::Reply(reply),
            ("tick", ms) => Line::Call(Call::Tick(ms.parse().ok()?)),
            ("totals", "") => Line::Call(Call::Totals),
            ("merge", totals) if !totals.is_empty() => Line::Call(Call::Merge(totals.to_owned())),
            _ => return None,
        })
    }
}

/// Kinds of blocks a page may have beside exchanges.
const OTHER_KINDS: [&str; 3] = ["yaml", "json", "text"];

/// A fenced block: the line of its fence, its kind, and its lines.
pub(super) struct Fence<'t> {
    pub(super) line: usize,
    pub(super) kind: &'t str,
    pub(super) lines: Vec<&'t str>,
}

pub(super) fn fences(text: &str) -> Result<Vec<Fence<'_>>, DocError> {
    let mut fences = Vec::new();
    let mut open: Option<Fence<'_>> = None;
    for (index, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(kind), None) => {
                open = Some(Fence { line: index + 1, kind, lines: Vec::new() });
            }
            (Some(_), Some(_)) => fences.extend(open.take()),
            (None, Some(fence)) => fence.lines.push(line),
            (None, None) => {}
        }
    }
    match open {
        Some(fence) => DocError::at(fence.line, "this block is never closed"),
        None => Ok(fences),
    }
}

pub(super) fn read(text: &str) -> Result<Vec<Exchange>, DocError> {
    let mut exchanges: Vec<Exchange> = Vec::new();
    for fence in fences(text)? {
        let continued = match fence.kind {
            "exchange" => false,
            "exchange continued" if exchanges.is_empty() => {
                return DocError::at(fence.line, "there is no block before to continue");
            }
            "exchange continued" => true,
            kind if OTHER_KINDS.contains(&kind) => continue,
            kind => {
                let known = OTHER_KINDS.join(", ");
                let why = format!(
                    "a block is `exchange`, `exchange continued`, or one of {known}; not `{kind}`"
                );
                return DocError::at(fence.line, why);
            }
        };
        exchanges.push(exchange(&fence, continued)?);
    }
    Ok(exchanges)
}

fn exchange(fence: &Fence<'_>, continued: bool) -> Result<Exchange, DocError> {
    let mut exchange = Exchange { line: fence.line, continued, init: None, steps: Vec::new() };
    for (index, text) in fence.lines.iter().enumerate() {
        let line = fence.line + 1 + index;
        match Line::read(text) {
            Some(Line::Init(document)) if index == 0 && !continued => {
                exchange.init = Some(document.to_owned());
            }
            Some(Line::Init(_)) => {
                return DocError::at(line, "`init` begins a block, and starts a fresh engine");
            }
            Some(Line::Call(call)) => {
                exchange.steps.push(Step { line, call, replies: Vec::new() });
            }
            Some(Line::Reply(reply)) => match exchange.steps.last_mut() {
                Some(step) => step.replies.push(reply.to_owned()),
                None => return DocError::at(line, "a reply without a call before it"),
            },
            None => {
                let why = "not `> LINE`, `< REPLY`, `tick MS`, `totals`, `merge TOTALS` or \
                           `init DOCUMENT`";
                return DocError::at(line, why);
            }
        }
    }
    if exchange.steps.is_empty() {
        return DocError::at(fence.line, "an exchange without a call");
    }
    Ok(exchange)
}
