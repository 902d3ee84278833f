//! Vectors as they are written, and what that writing stands for.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Action, Case, Golden, Step, VectorError};

/// The largest integer up to which a JavaScript number holds every one.
const SEED_MAX: u64 = (1 << 53) - 1;

/// A vector file, field by field as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileText {
    /// What the file shows.
    pub about: String,
    /// Exchanges.
    #[serde(default)]
    pub cases: Vec<CaseText>,
    /// Golden buckets; only in `buckets.json`.
    #[serde(default)]
    pub buckets: Vec<Golden>,
}

/// A case as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseText {
    /// The claim.
    pub name: String,
    /// The engine's seed.
    #[serde(default)]
    pub seed: u64,
    /// The configuration document.
    pub init: Option<Box<RawValue>>,
    /// What the engine says at its start; nothing when absent.
    pub says: Option<Box<RawValue>>,
    /// What is done.
    #[serde(default)]
    pub exchange: Vec<StepText>,
}

/// A step as it is written: one of `send`, `send_hex`, `tick`, `route` and `reload`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepText {
    /// The time; the step before's when absent.
    pub now_ms: Option<u64>,
    /// Lines.
    pub send: Option<Box<RawValue>>,
    /// Bytes that are no text, in hexadecimal.
    pub send_hex: Option<String>,
    /// How often the bytes are written one after the other; once when absent.
    pub repeat: Option<usize>,
    /// Time acts.
    #[serde(default)]
    pub tick: bool,
    /// A key for the fast path.
    pub route: Option<String>,
    /// The chance that goes with `route`; 0 when absent.
    pub draw: Option<u32>,
    /// A fresh engine takes over.
    #[serde(default)]
    pub reload: bool,
    /// What must come back. `None` when absent, and `null` when it says so.
    #[serde(default, deserialize_with = "present")]
    pub expect: Option<Box<RawValue>>,
}

/// Keeps an explicit `null`, which `Option` alone would take for absence.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(from).map(Some)
}

impl CaseText {
    pub(super) fn checked(self, file: &str) -> Result<Case, VectorError> {
        let place = format!("{file}: {}", self.name);
        let problem = |why| VectorError::Case { place: place.clone(), why };
        let says = self.says.map(|says| lines(&says)).unwrap_or_default();
        if !says.is_empty() && !self.exchange.is_empty() {
            return Err(problem(
                "a refused `init` ends a case: builds differ in what they do next",
            ));
        }
        if self.seed > SEED_MAX {
            return Err(problem("`seed` is over 2^53 - 1, which JavaScript cannot pass on"));
        }
        let mut now_ms = 0;
        let mut steps = Vec::new();
        for (index, step) in self.exchange.into_iter().enumerate() {
            now_ms = step.now_ms.unwrap_or(now_ms);
            let action =
                step.action().and_then(|action| action.with_expectation(step.expect.as_deref()));
            let place = format!("{place}, step {}", index + 1);
            let action = action.map_err(|why| VectorError::Case { place, why })?;
            steps.push(Step { now_ms, action });
        }
        let init = self.init.map(|init| compact(init.get()).into_bytes()).unwrap_or_default();
        Ok(Case { place, seed: self.seed, init, says, steps })
    }
}

impl StepText {
    /// The call, without its expectation.
    ///
    /// # Errors
    /// What is wrong with the step.
    pub fn action(&self) -> Result<Action, &'static str> {
        let sent = match (&self.send, &self.send_hex) {
            (Some(send), None) => Some(message(send)),
            (None, Some(hex)) => Some(bytes(hex).ok_or("`send_hex` needs pairs of hex digits")?),
            (None, None) => None,
            (Some(_), Some(_)) => return Err("`send` and `send_hex` exclude each other"),
        };
        match (sent, self.tick, &self.route, self.reload) {
            (Some(lines), false, None, false) => {
                let lines = lines.repeat(self.repeat.unwrap_or(1));
                Ok(Action::Send { lines, expect: Vec::new() })
            }
            (None, true, None, false) => Ok(Action::Tick { expect: Vec::new() }),
            (None, false, Some(key), false) => {
                let (key, draw) = (key.clone(), self.draw.unwrap_or(0));
                Ok(Action::Route { key, draw, expect: None })
            }
            (None, false, None, true) => Ok(Action::Reload),
            _ => Err("a step has one of `send`, `send_hex`, `tick`, `route`, `reload`"),
        }
    }
}

impl Action {
    fn with_expectation(self, expect: Option<&RawValue>) -> Result<Action, &'static str> {
        let given = expect.ok_or("`expect` is missing; write null for no answer");
        Ok(match self {
            Action::Send { lines: sent, .. } => Action::Send { lines: sent, expect: lines(given?) },
            Action::Tick { .. } => Action::Tick { expect: lines(given?) },
            Action::Route { key, draw, .. } => {
                let expect = serde_json::from_str(given?.get())
                    .map_err(|_| "`route` expects {index, version, canary, reason} or null")?;
                Action::Route { key, draw, expect }
            }
            Action::Reload if expect.is_some() => return Err("`reload` expects nothing"),
            Action::Reload => Action::Reload,
        })
    }
}

/// The bytes that a `send` stands for: a string's own, anything else compact; the
/// elements of an array are lines.
fn message(send: &RawValue) -> Vec<u8> {
    if let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(send.get()) {
        return elements.into_iter().map(message).collect::<Vec<_>>().join(&b'\n');
    }
    match serde_json::from_str::<String>(send.get()) {
        Ok(text) => text.into_bytes(),
        Err(_) => compact(send.get()).into_bytes(),
    }
}

/// The output that an `expect` stands for: nothing for `null`, a line for each element
/// of an array, one line for anything else.
fn lines(expect: &RawValue) -> Vec<u8> {
    let elements = match serde_json::from_str::<Vec<&RawValue>>(expect.get()) {
        Ok(elements) => elements,
        Err(_) if expect.get() == "null" => Vec::new(),
        Err(_) => vec![expect],
    };
    elements.into_iter().map(|line| compact(line.get()) + "\n").collect::<String>().into_bytes()
}

/// JSON text without the white space between its tokens, and otherwise untouched: no
/// digit, escape or order of keys changes.
pub fn compact(json: &str) -> String {
    let mut in_string = false;
    let mut escaped = false;
    let mut kept = String::with_capacity(json.len());
    for character in json.chars() {
        if in_string {
            in_string = character != '"' || escaped;
            escaped = character == '\\' && !escaped;
        } else if character.is_ascii_whitespace() {
            continue;
        } else {
            in_string = character == '"';
        }
        kept.push(character);
    }
    kept
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    hex.as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(json: &str) -> Result<Action, &'static str> {
        let step: StepText = serde_json::from_str(json).unwrap();
        step.action()?.with_expectation(step.expect.as_deref())
    }

    fn sent(json: &str) -> String {
        match step(json).unwrap() {
            Action::Send { lines, .. } => String::from_utf8(lines).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_white_space_between_tokens_is_dropped() {
        for (written, kept) in [
            (" { \"b\" : 1.0 ,\n\t\"a\" : [ ] } ", "{\"b\":1.0,\"a\":[]}"),
            (r#"{"a b":"c \" d","e":"\\"  ,"f":1e400}"#, r#"{"a b":"c \" d","e":"\\","f":1e400}"#),
        ] {
            assert_eq!(compact(written), kept);
        }
    }

    #[test]
    fn what_is_sent_is_the_text_of_the_message() {
        assert_eq!(
            sent(r#"{"send": {"b": 1, "a": 1e400}, "expect": null}"#),
            r#"{"b":1,"a":1e400}"#
        );
        assert_eq!(sent(r#"{"send": "{oops\r\n", "expect": null}"#), "{oops\r\n");
        assert_eq!(sent(r#"{"send": [{"a": 1}, "b"], "expect": null}"#), "{\"a\":1}\nb");
        assert_eq!(sent(r#"{"send": "ab", "repeat": 3, "expect": null}"#), "ababab");
        assert_eq!(sent(r#"{"send_hex": "7b0A", "expect": null}"#), "{\n");
    }

    #[test]
    fn what_is_expected_is_whole_lines() {
        for (json, output) in
            [("null", ""), ("{\"a\": 1}", "{\"a\":1}\n"), ("[{\"a\": 1}, {}]", "{\"a\":1}\n{}\n")]
        {
            let raw: Box<RawValue> = serde_json::from_str(json).unwrap();
            assert_eq!(lines(&raw), output.as_bytes());
        }
    }

    #[test]
    fn a_step_that_cannot_be_played_is_refused() {
        for json in [
            r#"{"send": "x"}"#,
            r#"{"tick": true}"#,
            r#"{"expect": null}"#,
            r#"{"send": "x", "tick": true, "expect": null}"#,
            r#"{"send": "x", "send_hex": "00", "expect": null}"#,
            r#"{"send_hex": "0", "expect": null}"#,
            r#"{"route": "k", "expect": {"version": "v1"}}"#,
            r#"{"reload": true, "expect": null}"#,
        ] {
            assert!(step(json).is_err(), "{json}");
        }
        assert!(serde_json::from_str::<StepText>(r#"{"sned": "x", "expect": null}"#).is_err());
    }

    #[test]
    fn time_stands_still_until_a_step_moves_it() {
        let case: CaseText = serde_json::from_str(
            r#"{"name": "n", "exchange": [
                {"tick": true, "expect": null},
                {"now_ms": 5, "tick": true, "expect": null},
                {"reload": true}]}"#,
        )
        .unwrap();
        let case = case.checked("f.json").unwrap();
        let times: Vec<_> = case.steps.iter().map(|step| step.now_ms).collect();
        assert_eq!(times, [0, 5, 5]);
    }

    #[test]
    fn nothing_follows_a_refused_start() {
        let case: CaseText = serde_json::from_str(
            r#"{"name": "n", "init": 1, "says": {"type": "error"}, "exchange": [{"reload": true}]}"#,
        )
        .unwrap();
        let error = case.checked("f.json").unwrap_err().to_string();
        assert!(error.starts_with("f.json: n: a refused `init`"), "{error}");
    }
}
