//! The policy that requests are decided by: from a file, or made from two options.

use std::path::Path;

use crossfade_protocol::Problem;
use crossfade_protocol::share::{Share, Weight};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::ReplayError;
use super::driver::{Engine, Pace, unexpected};
use crate::yaml::{Document, DocumentError, read_document};

/// A policy document, and what the report says of it.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    /// What the engine is configured with.
    pub(super) document: Value,
    /// How it is called in the report: `canary 10 %`, or a file's name.
    pub(super) name: String,
    /// Its file, when it came from one.
    pub(super) file: Option<Document>,
}

impl Policy {
    /// These versions, and nothing that decides: for counting.
    pub(super) fn counting(versions: &[String]) -> Policy {
        let document = base(json!(versions), "");
        Policy { document: document.into(), name: "none".to_owned(), file: None }
    }

    /// Everybody falls in or out of the canary by key.
    pub(super) fn canary(share: Share, salt: &str) -> Policy {
        let mut document = base(json!({ "from": "v1", "to": "v2" }), salt);
        document.insert("canary_percentage".into(), json!(share));
        Policy { document: document.into(), name: format!("canary {share}"), file: None }
    }

    /// Weights by version; by key when `sticky`, else each request for itself.
    pub(super) fn split(weights: &Weights, sticky: bool, salt: &str) -> Policy {
        let mut document = base(json!(weights.names()), salt);
        document.insert("split".into(), weights.document());
        document.insert("sticky".into(), sticky.into());
        let shown: Vec<String> =
            weights.0.iter().map(|(name, weight)| format!("{name} {}", json!(weight))).collect();
        let how = if sticky { "split by client" } else { "split by request" };
        let name = format!("{how}: {}", shown.join(", "));
        Policy { document: document.into(), name, file: None }
    }

    /// A document from a file.
    pub(super) fn read(path: &Path) -> Result<Policy, DocumentError> {
        let document = read_document(path)?;
        let name = super::source::name(path);
        Ok(Policy { document: document.value.clone(), name, file: Some(document) })
    }

    /// The versions it names, oldest first.
    pub(super) fn versions(&self) -> Vec<String> {
        let names = match self.document.get("versions") {
            Some(Value::Array(names)) => names.iter().collect(),
            Some(Value::Object(pair)) => {
                [pair.get("from"), pair.get("to")].into_iter().flatten().collect()
            }
            _ => Vec::new(),
        };
        names.into_iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// How closely the engine must follow the log for this policy.
    pub(super) fn pace(&self) -> Pace {
        let looks_on =
            ["rollout", "guard", "brownouts", "deprecation"].iter().any(|field| self.has(field));
        if looks_on { Pace::Exact } else { Pace::Batched }
    }

    /// A problem with its place in the file.
    fn locate(&self, problem: &Problem) -> String {
        let place = self.file.as_ref().and_then(|file| file.position(&problem.path));
        match place {
            Some((line, column)) => format!("{}:{line}:{column}: {problem}", self.name),
            None => problem.to_string(),
        }
    }

    /// Whether the document has something under this name.
    pub(super) fn has(&self, field: &str) -> bool {
        match self.document.get(field) {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::Array(items)) => !items.is_empty(),
            Some(Value::Object(fields)) => !fields.is_empty(),
            Some(_) => true,
        }
    }
}

/// Gives the engine the policy, and gives back its warnings, by line as the errors.
///
/// # Errors
/// [`ReplayError::Policy`] with every problem in it, by line where there is a file.
pub(super) fn configure<E: Engine>(
    engine: &mut E,
    policy: &Policy,
    now_ms: u64,
) -> Result<Vec<String>, ReplayError> {
    let mut line = json!({ "type": "check_policy", "document": policy.document }).to_string();
    line.push('\n');
    let reply = engine.handle(line.as_bytes(), now_ms)?;
    let checked: Checked =
        serde_json::from_slice(reply).map_err(|_| unexpected("check_policy", reply))?;
    if !checked.problems.is_empty() {
        let mut problems: Vec<String> =
            checked.problems.iter().map(|problem| policy.locate(problem)).collect();
        if checked.more > 0 {
            problems.push(format!("and {} problems more", checked.more));
        }
        let from_file = policy.file.is_some();
        return Err(ReplayError::Policy { from_file, problems: problems.join("\n") });
    }
    let mut line = json!({ "type": "configure", "document": policy.document }).to_string();
    line.push('\n');
    let reply = engine.handle(line.as_bytes(), now_ms)?;
    if !reply.starts_with(br#"{"type":"configure_ok""#) {
        return Err(unexpected("configure", reply));
    }
    Ok(checked.warnings.iter().map(|warning| policy.locate(warning)).collect())
}

#[derive(Deserialize)]
struct Checked {
    problems: Vec<Problem>,
    more: u64,
    warnings: Vec<Problem>,
}

fn base(versions: Value, salt: &str) -> Map<String, Value> {
    let mut document = Map::new();
    document.insert("api".into(), "replay".into());
    document.insert("versions".into(), versions);
    document.insert("key".into(), json!({ "attribute": "client" }));
    if !salt.is_empty() {
        document.insert("salt".into(), salt.into());
    }
    document
}

/// `v1=50,v2=50`, oldest version first.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights(Vec<(String, Weight)>);

impl Weights {
    /// Reads `v1=50,v2=50`.
    ///
    /// # Errors
    /// What is wrong with the text, and what would be right.
    pub fn read(text: &str) -> Result<Weights, String> {
        let mut weights: Vec<(String, Weight)> = Vec::new();
        for pair in text.split(',') {
            let Some((name, weight)) = pair.trim().split_once('=').filter(|(n, _)| !n.is_empty())
            else {
                return Err(format!("`{pair}` is not VERSION=WEIGHT, such as v1=50"));
            };
            let weight = weight.parse().ok().and_then(Weight::from_number).ok_or_else(|| {
                format!("`{weight}` is not a weight: 0 to 1000000 in steps of 0.01")
            })?;
            if weights.iter().any(|(other, _)| other == name) {
                return Err(format!("`{name}` is given twice"));
            }
            weights.push((name.to_owned(), weight));
        }
        if weights.len() < 2 {
            return Err("a split needs two versions at least, oldest first".to_owned());
        }
        if weights.iter().all(|(_, weight)| *weight == Weight::default()) {
            return Err("all weights are 0: one at least must be above".to_owned());
        }
        Ok(Weights(weights))
    }
}

impl Weights {
    /// The versions, in the order given.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// As a document's `split`.
    pub(crate) fn document(&self) -> Value {
        let weight = |(name, weight): &(String, Weight)| (name.clone(), json!(weight));
        self.0.iter().map(weight).collect::<Map<String, Value>>().into()
    }
}

/// `1,5,25,100`: shares of a ramp, rising.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ramp(pub(super) Vec<Share>);

impl Ramp {
    /// Reads `1,5,25,100`.
    ///
    /// # Errors
    /// What is wrong with the text, and what would be right.
    pub fn read(text: &str) -> Result<Ramp, String> {
        let steps: Vec<Share> = text.split(',').map(read_share).collect::<Result<_, _>>()?;
        if steps.len() > crossfade_protocol::limits::STEPS_MAX {
            return Err(format!("more than {} steps", crossfade_protocol::limits::STEPS_MAX));
        }
        if !steps.is_sorted_by(|a, b| a < b) {
            return Err("each step must be above the one before".to_owned());
        }
        Ok(Ramp(steps))
    }
}

/// Reads a percentage: `10`, `0.05`.
///
/// # Errors
/// What is wrong with the text, and what would be right.
pub(crate) fn read_share(text: &str) -> Result<Share, String> {
    let text = text.trim();
    let number = text.strip_suffix('%').unwrap_or(text).trim_end();
    number
        .parse()
        .ok()
        .and_then(Share::from_percent)
        .ok_or_else(|| format!("`{text}` is {}", crossfade_protocol::share::NOT_A_PERCENTAGE))
}

/// Which statuses are failures: `500-599,429`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureStatus(Vec<std::ops::RangeInclusive<u16>>);

impl FailureStatus {
    /// Reads `500-599,429`.
    ///
    /// # Errors
    /// What is wrong with the text, and what would be right.
    pub fn read(text: &str) -> Result<FailureStatus, String> {
        let ranges = text.split(',').map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let status =
                |text: &str| text.trim().parse::<u16>().ok().filter(|s| (100..=999).contains(s));
            match (status(first), status(last)) {
                (Some(first), Some(last)) if first <= last => Ok(first..=last),
                _ => Err(format!("`{part}` is no status and no range such as 500-599")),
            }
        });
        ranges.collect::<Result<_, _>>().map(FailureStatus)
    }

    pub(super) fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_documents() {
        let share = read_share("0.5").unwrap();
        assert_eq!(
            Policy::canary(share, "").document,
            json!({"api": "replay", "versions": {"from": "v1", "to": "v2"},
                   "key": {"attribute": "client"}, "canary_percentage": 0.5})
        );
        let weights = Weights::read("old=90, new=10").unwrap();
        let policy = Policy::split(&weights, true, "x");
        assert_eq!(
            policy.document,
            json!({"api": "replay", "versions": ["old", "new"], "key": {"attribute": "client"},
                   "salt": "x", "split": {"old": 90, "new": 10}, "sticky": true})
        );
        assert_eq!(policy.versions(), ["old", "new"]);
        assert_eq!(policy.name, "split by client: old 90, new 10");
        assert_eq!(Policy::canary(share, "").versions(), ["v1", "v2"]);
        assert!(policy.has("split") && policy.has("salt") && !policy.has("rules"));
    }

    #[test]
    fn options_that_cannot_work_say_what_can() {
        fn check<T: std::fmt::Debug>(
            read: fn(&str) -> Result<T, String>,
            text: &str,
            expected: &str,
        ) {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        for text in ["-1", "101", "0.005", "ten", "", "NaN"] {
            check(read_share, text, "not a percentage");
        }
        check(Weights::read, "v1=50", "two versions");
        check(Weights::read, "v1=50,v1=50", "twice");
        check(Weights::read, "v1,v2", "is not VERSION=WEIGHT");
        check(Weights::read, "v1=0,v2=0", "all weights are 0");
        check(Weights::read, "v1=-1,v2=5", "not a weight");
        check(Weights::read, "v1=NaN,v2=5", "not a weight");
        check(Ramp::read, "1,5,5", "above the one before");
        check(Ramp::read, "5,1", "above the one before");
        check(Ramp::read, "", "not a percentage");
        check(FailureStatus::read, "5xx", "no status");
        check(FailureStatus::read, "599-500", "no status");
        check(FailureStatus::read, "", "no status");
    }

    #[test]
    fn failures_are_the_statuses_named() {
        let failures = FailureStatus::read("500-599, 429").unwrap();
        let statuses = [200, 428, 429, 430, 499, 500, 599, 600];
        assert_eq!(
            statuses.map(|s| failures.contains(s)),
            [false, false, true, false, false, true, true, false]
        );
    }
}
