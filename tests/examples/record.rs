//! Prints a vector file with the answers filled in that it does not have yet:
//!
//! ```text
//! cargo run --example record -- tests/vectors/new.json > filled.json
//! ```
//!
//! Answers come from the native engine of this working copy. Read every one before it
//! is checked in: from then on it is the truth. Answers that are there stay, right or
//! wrong; the tests tell. With `--again` they are all replaced, for a change of the
//! protocol that is meant; read the difference.

use std::error::Error;
use std::process::ExitCode;

use crossfade_protocol::Reason;
use crossfade_tests::driver::{Driver, Native};
use crossfade_tests::vectors::Action;
use crossfade_tests::vectors::written::{CaseText, FileText, StepText, compact};
use serde_json::json;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (path, again) = match arguments.as_slice() {
        [path] if path != "--again" => (path, false),
        [flag, path] if flag == "--again" => (path, true),
        _ => {
            eprintln!("usage: cargo run --example record -- [--again] VECTORS.json > FILLED.json");
            return ExitCode::from(64);
        }
    };
    match record(path, again) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{path}: {error}");
            ExitCode::from(65)
        }
    }
}

fn record(path: &str, again: bool) -> Result<String, Box<dyn Error>> {
    let mut file: FileText = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    if again {
        for case in &mut file.cases {
            case.says = None;
            case.exchange.iter_mut().for_each(|step| step.expect = None);
        }
    }
    let cases: Result<Vec<_>, _> = file.cases.iter().map(case).collect();
    let about = json!(file.about);
    Ok(format!("{{\n  \"about\": {about},\n  \"cases\": [\n{}\n  ]\n}}\n", cases?.join(",\n")))
}

fn case(case: &CaseText) -> Result<String, Box<dyn Error>> {
    let mut driver = Native::new();
    let mut now_ms = case.exchange.first().and_then(|step| step.now_ms).unwrap_or(0);
    let init = case.init.as_ref().map(|init| compact(init.get()));
    let said = driver.start(init.as_deref().unwrap_or_default().as_bytes(), now_ms, case.seed);
    let says =
        case.says.as_ref().map_or_else(|| lines(&said.unwrap_or_default()), |s| compact(s.get()));
    let mut fields = vec![format!("      \"name\": {}", json!(case.name))];
    fields.push(format!("      \"seed\": {}", case.seed));
    fields.extend(init.map(|init| format!("      \"init\": {init}")));
    if says != "null" {
        fields.push(format!("      \"says\": {says}"));
    }
    let mut steps = Vec::new();
    for step in &case.exchange {
        now_ms = step.now_ms.unwrap_or(now_ms);
        steps.push(format!("        {}", self::step(&mut driver, step, now_ms)?));
    }
    if !steps.is_empty() {
        fields.push(format!("      \"exchange\": [\n{}\n      ]", steps.join(",\n")));
    }
    Ok(format!("    {{\n{}\n    }}", fields.join(",\n")))
}

fn step(driver: &mut Native, step: &StepText, now_ms: u64) -> Result<String, Box<dyn Error>> {
    let answer = match step.action()? {
        Action::Send { lines: sent, .. } => {
            Some(lines(&driver.handle(&sent, now_ms).map_err(plain)?))
        }
        Action::Tick { .. } => Some(lines(&driver.tick(now_ms).map_err(plain)?)),
        Action::Route { key, draw, .. } => Some(route(driver, &key, draw)?),
        Action::Reload => {
            driver.reload(now_ms).map_err(plain)?;
            None
        }
    };
    let answer = step.expect.as_ref().map(|expect| compact(expect.get())).or(answer);
    let fields = [
        ("now_ms", step.now_ms.map(|now_ms| now_ms.to_string())),
        ("send", step.send.as_ref().map(|send| compact(send.get()))),
        ("send_hex", step.send_hex.as_ref().map(|hex| json!(hex).to_string())),
        ("repeat", step.repeat.map(|repeat| repeat.to_string())),
        ("tick", step.tick.then(|| "true".to_owned())),
        ("route", step.route.as_ref().map(|key| json!(key).to_string())),
        ("draw", step.draw.map(|draw| draw.to_string())),
        ("reload", step.reload.then(|| "true".to_owned())),
        ("expect", answer),
    ];
    let written =
        fields.into_iter().filter_map(|(name, text)| Some(format!("\"{name}\": {}", text?)));
    Ok(format!("{{{}}}", written.collect::<Vec<_>>().join(", ")))
}

/// An output as an `expect` is written.
fn lines(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let lines: Vec<_> = text.lines().collect();
    match lines.as_slice() {
        [] => "null".to_owned(),
        [one] => (*one).to_owned(),
        several => format!("[{}]", several.join(", ")),
    }
}

fn route(driver: &mut Native, key: &str, draw: u32) -> Result<String, Box<dyn Error>> {
    let word = driver.route(key.as_bytes(), draw).map_err(plain)?;
    let Some(index) = word.version() else { return Ok("null".to_owned()) };
    let version = driver.version_name(usize::from(index))?;
    let reason = word.reason().map(Reason::as_str);
    let canary = word.canary();
    Ok(json!({ "index": index, "version": version, "canary": canary, "reason": reason })
        .to_string())
}

fn plain(error: Box<dyn Error + Send + Sync>) -> Box<dyn Error> {
    error
}
