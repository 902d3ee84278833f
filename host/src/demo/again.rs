//! A record, played again: every call is made of a fresh engine, and must say the same.

use std::path::PathBuf;

use serde_json::json;

use super::record::{Head, Reader};
use crate::exit::{Exit, Failure};
use crate::module::Module;
use crate::output::{Output, counted, print, print_json};
use crate::plugin::{Plugin, PluginOptions};
use crate::replay::grouped;
use crate::replay::text::shown;

/// Characters around a difference that are shown.
const SHOWN_MAX: usize = 100;

/// What came of it.
struct Played {
    calls: u64,
    decisions: u64,
    /// Whether the record has its last line.
    complete: bool,
    differs: Option<Difference>,
}

struct Difference {
    line: u64,
    call: u64,
    recorded: String,
    said: String,
}

/// Plays the record that is named, if one is; `None` when all are something else. `given`
/// are the options for logs that were given, of which a record needs none.
///
/// # Errors
/// More than a record is named, the record cannot be read or holds no call, or the engine
/// does not start.
pub(crate) fn again(
    logs: &[PathBuf],
    given: &[String],
    output: Option<Output>,
    module: impl FnOnce() -> Result<Module, Failure>,
) -> Result<Option<Exit>, Failure> {
    let mut found = None;
    for log in logs {
        if let Some(record) = Reader::open(log)? {
            found = Some(record);
            break;
        }
    }
    let Some((head, mut reader)) = found else { return Ok(None) };
    let name = reader.name().to_owned();
    let usage = |text: String| Failure::new(Exit::Usage, text);
    if logs.len() > 1 {
        let text = format!("{name} is a record of `crossfade demo`: it is played again by itself");
        return Err(usage(text));
    }
    let Some(output) = output.filter(|_| given.is_empty()) else {
        let given = if given.is_empty() { "--output csv".to_owned() } else { given.join(", ") };
        return Err(usage(format!(
            "{name} is a record of `crossfade demo`, and {given} is for logs: a record takes \
             --module, and --output human or json"
        )));
    };
    let played = play(&head, &mut reader, module()?)?;
    let same = played.differs.is_none();
    match output {
        Output::Json => {
            let differs = played.differs.as_ref().map(|found| {
                json!({
                    "line": found.line, "call": found.call,
                    "recorded": found.recorded, "said": found.said,
                })
            });
            print_json(&json!({
                "calls": played.calls, "decisions": played.decisions, "same": same,
                "complete": played.complete, "difference": differs,
            }))?;
        }
        Output::Human => print(&(played.text(&name) + "\n"))?,
    }
    Ok(Some(if same { Exit::Ok } else { Exit::Unhealthy }))
}

fn play(head: &Head, reader: &mut Reader, module: Module) -> Result<Played, Failure> {
    let internal = |error: &dyn std::fmt::Display| Failure::new(Exit::Internal, error);
    let data = |text: String| Failure::new(Exit::Data, format!("{}: {text}", reader.name()));
    let (mut plugin, said) = Plugin::start(module, PluginOptions::default(), head.start())
        .map_err(|error| internal(&error))?;
    if !said.is_empty() {
        let said = shown(said.trim_ascii_end(), SHOWN_MAX * 4);
        return Err(data(format!("the engine refuses to start as the record says: {said}")));
    }
    let none = data("a record without any call: there is nothing to play again".to_owned());
    let mut played = Played { calls: 0, decisions: 0, complete: false, differs: None };
    while let Some((line, call)) = reader.next()? {
        let said = call.make(&mut plugin).map_err(|error| internal(&error))?;
        let recorded = call.said();
        played.calls += 1;
        if said != recorded.as_bytes() {
            let said = String::from_utf8_lossy(said).into_owned();
            played.differs = Some(Difference { line, call: played.calls, recorded, said });
            return Ok(played);
        }
        played.decisions += u64::from(call.is_decision());
    }
    played.complete = reader.ended();
    if played.calls == 0 { Err(none) } else { Ok(played) }
}

impl Played {
    fn text(&self, name: &str) -> String {
        let (calls, decisions) = (counted(self.calls, "call"), grouped(self.decisions));
        let Some(found) = &self.differs else {
            let end = match self.complete {
                true => "",
                false => {
                    "\nThe record has no end: whoever wrote it was stopped before, and calls may be missing"
                }
            };
            return format!(
                "{calls} played again, {decisions} of them decisions: every byte is the same{end}"
            );
        };
        let from =
            found.recorded.bytes().zip(found.said.bytes()).take_while(|(a, b)| a == b).count();
        let part = |text: &str| {
            let from = from.saturating_sub(SHOWN_MAX / 2);
            let bytes = text.as_bytes().get(from..).unwrap_or_default();
            let dots = if from > 0 { "…" } else { "" };
            format!("{dots}{}", shown(bytes.trim_ascii_end(), SHOWN_MAX))
        };
        format!(
            "{name}, line {}: call {} says something else, after {decisions} decisions that are \
             the same\n  recorded  {}\n  now       {}",
            found.line,
            grouped(found.call),
            part(&found.recorded),
            part(&found.said),
        )
    }
}
