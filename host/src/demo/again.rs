//! A record, played again: every call is made of a fresh engine, and must say the same.

use std::path::Path;

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
    differs: Option<Difference>,
}

struct Difference {
    line: u64,
    call: u64,
    recorded: String,
    said: String,
}

/// Plays the record in this file, if it is one; `None` when it is something else.
///
/// # Errors
/// The record cannot be read, or the engine does not start.
pub(crate) fn again(
    path: &Path,
    output: Output,
    module: impl FnOnce() -> Result<Module, Failure>,
) -> Result<Option<Exit>, Failure> {
    let Some((head, reader)) = Reader::open(path)? else { return Ok(None) };
    let played = play(&head, reader, module()?)?;
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
                "difference": differs,
            }))?;
        }
        Output::Human => print(&(played.text(path) + "\n"))?,
    }
    Ok(Some(if same { Exit::Ok } else { Exit::Unhealthy }))
}

fn play(head: &Head, mut reader: Reader, module: Module) -> Result<Played, Failure> {
    let internal = |error: &dyn std::fmt::Display| Failure::new(Exit::Internal, error);
    let (mut plugin, _) = Plugin::start(module, PluginOptions::default(), head.start())
        .map_err(|error| internal(&error))?;
    let mut played = Played { calls: 0, decisions: 0, differs: None };
    while let Some((line, call)) = reader.next()? {
        let said = call.make(&mut plugin).map_err(|error| internal(&error))?;
        let recorded = call.said();
        played.calls += 1;
        if said != recorded.as_bytes() {
            let said = String::from_utf8_lossy(said).into_owned();
            played.differs = Some(Difference { line, call: played.calls, recorded, said });
            break;
        }
        played.decisions += u64::from(call.is_decision());
    }
    Ok(played)
}

impl Played {
    fn text(&self, path: &Path) -> String {
        let (calls, decisions) = (counted(self.calls, "call"), grouped(self.decisions));
        let Some(found) = &self.differs else {
            return format!(
                "{calls} played again, {decisions} of them decisions: every byte is the same"
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
            "{}, line {}: call {} says something else, after {decisions} decisions that are the \
             same\n  recorded  {}\n  now       {}",
            path.display(),
            found.line,
            grouped(found.call),
            part(&found.recorded),
            part(&found.said),
        )
    }
}
