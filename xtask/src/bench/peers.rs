//! Evaluators of others, asked the same in one process: `bench/peers`.

use serde::Deserialize;

use super::median;
use super::table::{Limit, Row};
use crate::command::{Run, TaskError, root};

/// What `bench/peers` prints.
#[derive(Debug, Deserialize)]
struct Answered {
    questions: Vec<Question>,
}

#[derive(Debug, Deserialize)]
struct Question {
    question: String,
    /// Crossfade is the first.
    evaluators: Vec<Evaluator>,
}

#[derive(Debug, Deserialize)]
struct Evaluator {
    name: String,
    allocations: f64,
    ns: Vec<f64>,
}

/// Builds and runs it.
pub(super) fn rows() -> Result<Vec<Row>, TaskError> {
    let manifest = "--manifest-path=bench/peers/Cargo.toml";
    let target = root().join("target/peers");
    let folder = format!("--target-dir={}", target.display());
    Run::cargo(&["build", "--release", "--locked", manifest, &folder]).show()?;
    let told = Run::built(target.join("release/crossfade-peers")).output()?;
    let told: Answered =
        serde_json::from_str(&told).map_err(|source| TaskError::Figures { source })?;
    Ok(told.questions.iter().flat_map(of_question).collect())
}

fn of_question(asked: &Question) -> Vec<Row> {
    let ns: Vec<f64> = asked.evaluators.iter().map(|it| median(it.ns.clone())).collect();
    let (ours, others) = ns.split_first().map_or((f64::NAN, &[][..]), |(ours, rest)| (*ours, rest));
    let quickest = others.iter().copied().fold(f64::INFINITY, f64::min);
    let each = asked.evaluators.iter().zip(&ns).map(|(it, ns)| {
        let unit = format!("ns, {} allocations", it.allocations);
        Row::new(format!("  {}", it.name), *ns, &unit, Limit::None)
    });
    let ratio = ours / quickest;
    let what = format!("{}: over the quickest peer", asked.question);
    std::iter::once(Row::new(what, ratio, "x", Limit::AtMost(1.0))).chain(each).collect()
}
