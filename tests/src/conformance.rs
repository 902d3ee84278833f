//! The conformance suite: the same cases on every build of the engine, and their traces
//! compared byte for byte.
//!
//! A case is a [`Script`]: one line of JSON that any build can read, in Rust or not; what
//! it gives back is one line too. `edge/worker/test/conformance.mjs` describes both
//! lines, and plays them on the module in JavaScript runtimes; [`play`] does on the builds
//! that Rust drives. An edge proxy speaks HTTP instead of the protocol: it is sent
//! [`generated::Request`]s, and those vectors that a request [can ask](asked); it is
//! compared by where each went and why.

pub mod asked;
pub mod generated;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::driver::{Driver, DriverError};
use crate::vectors::{Action, Case, Vectors};

/// One case: an engine from its start.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Script {
    /// The claim or the place; runners ignore it.
    pub name: String,
    /// The init document's text.
    pub init: String,
    /// The engine's seed, up to 2^53 - 1.
    pub seed: u64,
    /// What is done, in order.
    pub steps: Vec<Call>,
}

/// One call at one time.
#[derive(Debug, Clone, Serialize)]
pub struct Call {
    /// The engine's time.
    pub now_ms: u64,
    /// What is called.
    #[serde(flatten)]
    pub what: What,
}

/// What is called, with its input.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Lines to serve.
    Handle(String),
    /// Bytes to serve that are no text, in hexadecimal.
    HandleHex(String),
    /// One key for the fast path.
    Route {
        /// The routing key.
        key: String,
        /// The caller's chance.
        draw: u32,
    },
    /// Time acts.
    Tick(bool),
    /// The counts so far.
    Totals(bool),
    /// A fresh engine takes over by snapshot and restore.
    Reload(bool),
}

/// What a build gave back for a case.
#[derive(Debug, Serialize, Deserialize)]
pub struct Trace {
    /// What was said at the start, then one answer a step.
    pub answers: Vec<Answer>,
    /// The state at the end, in hexadecimal.
    pub snapshot: String,
}

/// Bytes that came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Answer {
    /// As text.
    Text(String),
    /// Not UTF-8.
    Hex {
        /// In hexadecimal.
        hex: String,
    },
}

impl Answer {
    fn of(bytes: Vec<u8>) -> Answer {
        String::from_utf8(bytes)
            .map_or_else(|no| Answer::Hex { hex: hex(no.as_bytes()) }, Answer::Text)
    }
}

/// Every vector as a script that ends with the totals.
pub fn vector_scripts(vectors: &Vectors) -> Vec<Script> {
    vectors.cases.iter().map(vector_script).collect()
}

fn vector_script(case: &Case) -> Script {
    let mut steps: Vec<Call> = case
        .steps
        .iter()
        .map(|step| {
            let what = match &step.action {
                Action::Send { lines, .. } => match std::str::from_utf8(lines) {
                    Ok(text) => What::Handle(text.to_owned()),
                    Err(_) => What::HandleHex(hex(lines)),
                },
                Action::Tick { .. } => What::Tick(true),
                Action::Route { key, draw, .. } => What::Route { key: key.clone(), draw: *draw },
                Action::Reload => What::Reload(true),
            };
            Call { now_ms: step.now_ms, what }
        })
        .collect();
    let now_ms = steps.last().map_or(0, |step| step.now_ms);
    steps.push(Call { now_ms, what: What::Totals(true) });
    Script {
        name: case.place.clone(),
        init: String::from_utf8_lossy(&case.init).into_owned(),
        seed: case.seed,
        steps,
    }
}

/// Plays a script and gives its trace as one line of JSON, without the newline.
///
/// # Errors
/// When the build broke.
pub fn play(driver: &mut dyn Driver, script: &Script) -> Result<String, DriverError> {
    let start_ms = script.steps.first().map_or(0, |call| call.now_ms);
    let mut answers =
        vec![Answer::of(driver.start(script.init.as_bytes(), start_ms, script.seed)?)];
    for Call { now_ms, what } in &script.steps {
        answers.push(match what {
            What::Handle(lines) => Answer::of(driver.handle(lines.as_bytes(), *now_ms)?),
            What::HandleHex(hex) => Answer::of(driver.handle(&unhex(hex)?, *now_ms)?),
            What::Route { key, draw } => {
                Answer::Text(driver.route(key.as_bytes(), *draw)?.0.to_string())
            }
            What::Tick(_) => Answer::of(driver.tick(*now_ms)?),
            What::Totals(_) => Answer::of(driver.totals()?),
            What::Reload(_) => {
                driver.reload(*now_ms)?;
                Answer::Text(String::new())
            }
        });
    }
    let snapshot = hex(&driver.snapshot()?);
    Ok(serde_json::to_string(&Trace { answers, snapshot })?)
}

/// Has a program play scripts: a line each on its stdin, a line each from its stdout.
///
/// # Errors
/// When it cannot be started, fails, or gives another number of lines.
pub fn play_by(
    program: &str,
    args: &[&str],
    folder: &Path,
    scripts: &[Script],
) -> Result<Vec<String>, DriverError> {
    let mut child = Command::new(program)
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start `{program}`: {error}"))?;
    let mut input = child.stdin.take().ok_or("no stdin")?;
    let output = std::thread::scope(|scope| {
        // Its input is written from another thread, or both could wait for each other.
        let writer = scope.spawn(move || -> Result<(), DriverError> {
            for script in scripts {
                serde_json::to_writer(&mut input, script)?;
                input.write_all(b"\n")?;
            }
            Ok(())
        });
        let output = child.wait_with_output();
        // A program that ended early broke the pipe: its status says more.
        let written = writer.join().map_err(|_| "the writer fell over")?;
        let output = output?;
        if output.status.success() {
            written?;
        }
        Ok::<_, DriverError>(output)
    })?;
    if !output.status.success() {
        return Err(format!("`{program} {}` failed: {}", args.join(" "), output.status).into());
    }
    let lines: Vec<String> = String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect();
    if lines.len() != scripts.len() {
        let (asked, got) = (scripts.len(), lines.len());
        return Err(format!("`{program} {}` gave {got} lines for {asked}", args.join(" ")).into());
    }
    Ok(lines)
}

/// The first places where traces differ from those of the native engine, in words.
pub fn differences(scripts: &[Script], native: &[String], other: &[String]) -> Vec<String> {
    let pairs = scripts.iter().zip(native.iter().zip(other));
    pairs.filter(|(_, (a, b))| a != b).map(|(script, (a, b))| difference(script, a, b)).collect()
}

fn difference(script: &Script, native: &str, other: &str) -> String {
    let at = native.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    let from = |text: &str| -> String {
        let start = (0..=at.saturating_sub(40)).rev().find(|at| text.is_char_boundary(*at));
        text.get(start.unwrap_or(0)..).unwrap_or_default().chars().take(160).collect()
    };
    format!("{}\n  native …{}\n  got    …{}", script.name, from(native), from(other))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(hex: &str) -> Result<Vec<u8>, DriverError> {
    let pair = |at: usize| hex.get(at..at + 2).ok_or("half a byte");
    (0..hex.len()).step_by(2).map(|at| Ok(u8::from_str_radix(pair(at)?, 16)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::Native;

    #[test]
    fn a_script_is_the_line_that_other_runtimes_read() {
        let steps = vec![
            Call { now_ms: 5, what: What::Handle("a".into()) },
            Call { now_ms: 6, what: What::Route { key: "k".into(), draw: 7 } },
            Call { now_ms: 6, what: What::Tick(true) },
        ];
        let script = Script { name: "n".into(), init: String::new(), seed: 3, steps };
        assert_eq!(
            serde_json::to_string(&script).unwrap(),
            r#"{"name":"n","init":"","seed":3,"steps":[{"now_ms":5,"handle":"a"},{"now_ms":6,"route":{"key":"k","draw":7}},{"now_ms":6,"tick":true}]}"#
        );
    }

    #[test]
    fn a_trace_has_an_answer_for_the_start_and_for_each_step() {
        let hello = r#"{"type":"get_users","msg_id":1,"user_id":"user123"}"#;
        let steps = vec![
            Call { now_ms: 0, what: What::Handle(hello.into()) },
            Call { now_ms: 0, what: What::HandleHex("ff0a".into()) },
            Call { now_ms: 0, what: What::Reload(true) },
        ];
        let script = Script { steps, ..Script::default() };
        let line = play(&mut Native::new(), &script).unwrap();
        let trace: Trace = serde_json::from_str(&line).unwrap();
        assert_eq!(trace.answers.len(), 4);
        assert_eq!(trace.answers[0], Answer::Text(String::new()));
        let Answer::Text(reply) = &trace.answers[1] else { panic!("{line}") };
        assert!(reply.contains(r#""version":"v1""#), "{reply}");
        assert!(!trace.snapshot.is_empty());
    }

    #[test]
    fn a_difference_is_shown_where_it_begins() {
        let script = Script { name: "n".into(), ..Script::default() };
        let same = "x".repeat(100);
        let (a, b) = (format!("{same}a"), format!("{same}b"));
        let shown = differences(std::slice::from_ref(&script), std::slice::from_ref(&a), &[b]);
        assert_eq!(shown.len(), 1);
        assert!(shown[0].contains("xa") && shown[0].contains("xb"), "{}", shown[0]);
        assert!(
            differences(&[script], std::slice::from_ref(&a), std::slice::from_ref(&a)).is_empty()
        );
    }
}
