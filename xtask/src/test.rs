//! `cargo xtask test`: every check there is, in an order that fails early.
//!
//! Each stage selects the same packages and features as plain `cargo build` and
//! `cargo test` do, so that they all share one compiled wasmtime. The wasm-only crates
//! and `xtask` are stages' own commands: together with the rest in one `--workspace`,
//! their dependencies' features would change everyone else's.

use std::time::{Duration, Instant};

use crate::command::{Run, TaskError, say};
use crate::{
    conformance, deny, test_e2e, test_edge, test_fleet, test_page, test_serve, test_web,
    wasm_target,
};

/// Run every test: format, lints, tests, docs, web
///
/// Stops at the first failure with exit code 1 and says how to run that stage again.
/// Name stages to run only those.
#[derive(Debug, clap::Args)]
#[command(after_help = stages_help())]
pub(crate) struct Args {
    /// Stages to run; all of them when none is named
    #[arg(value_name = "STAGE")]
    stages: Vec<String>,
}

#[derive(Debug)]
struct Stage {
    name: &'static str,
    about: &'static str,
    run: fn() -> Result<(), TaskError>,
}

const STAGES: [Stage; 14] = [
    Stage { name: "format", about: "rustfmt changes nothing (mend: cargo fmt --all)", run: format },
    Stage { name: "lints", about: "clippy has no warning, native or wasm", run: lints },
    Stage { name: "deny", about: "licences and sources of what is linked", run: denied },
    Stage { name: "tests", about: "unit, integration and documentation tests", run: tests },
    Stage {
        name: "validity",
        about: "rollouts, sunsets and clients by the thousand",
        run: validity,
    },
    Stage { name: "golden", about: "Python computes the same buckets", run: golden },
    Stage { name: "web", about: "the façade and the vectors in Node", run: web },
    Stage { name: "page", about: "the page in Chromium", run: page },
    Stage { name: "edge", about: "the filter in Envoy, the Worker in workerd", run: edge },
    Stage { name: "serve", about: "the control plane, asked by other people's tools", run: serve },
    Stage { name: "fleet", about: "the store of a fleet, on NATS servers", run: fleet },
    Stage { name: "e2e", about: "whole migrations, with every part as it runs", run: e2e },
    Stage {
        name: "conformance",
        about: "every build of the engine gives the same bytes",
        run: conformance,
    },
    Stage { name: "docs", about: "rustdoc has no warning", run: docs },
];

const PYTHON_HINT: &str = "install Python 3.8 or later";

/// See [`Args`].
pub(crate) fn run(args: &Args) -> Result<(), TaskError> {
    let chosen = choose(&args.stages)?;
    wasm_target::require(wasm_target::TARGET)?;
    wasm_target::require(wasm_target::FILTER_TARGET)?;
    let started = Instant::now();
    let mut done = Vec::new();
    for stage in chosen {
        say(&format!("\n=== {}: {}", stage.name, stage.about));
        let stage_started = Instant::now();
        let result = (stage.run)();
        done.push((stage.name, stage_started.elapsed()));
        if let Err(source) = result {
            say(&summary(&done, false));
            return Err(TaskError::Stage { stage: stage.name, source: Box::new(source) });
        }
    }
    say(&summary(&done, true));
    say(&format!("All passed in {}.", seconds(started.elapsed())));
    Ok(())
}

fn choose(names: &[String]) -> Result<Vec<&'static Stage>, TaskError> {
    for name in names {
        if !STAGES.iter().any(|stage| stage.name == name) {
            let known = STAGES.map(|stage| stage.name).join(", ");
            return Err(TaskError::NoStage { name: name.clone(), known });
        }
    }
    let chosen = |stage: &&Stage| names.is_empty() || names.iter().any(|name| name == stage.name);
    Ok(STAGES.iter().filter(chosen).collect())
}

fn format() -> Result<(), TaskError> {
    Run::cargo(&["fmt", "--all", "--check"]).show()
}

fn lints() -> Result<(), TaskError> {
    Run::cargo(&["clippy", "--all-targets", "--", "-D", "warnings"]).show()?;
    Run::cargo(&["clippy", "--all-targets", "--package=xtask", "--", "-D", "warnings"]).show()?;
    let fleet = ["clippy", "--lib", "--tests", "--package=crossfade", "--features=test-nats"];
    Run::cargo(&[fleet.as_slice(), &["--", "-D", "warnings"]].concat()).show()?;
    let edge =
        ["--package=crossfade-envoy", "--package=crossfade-edge-tests", "--package=crossfade-e2e"];
    let args = [&["clippy", "--all-targets"], edge.as_slice(), &["--", "-D", "warnings"]].concat();
    Run::cargo(&args).show()?;
    let filter = ["--package=crossfade-envoy", "--features=crossfade-envoy/test-trap"];
    let filters = [filter.as_slice(), &["--package=crossfade-noop"]].concat();
    let portable = WASM_ONLY.map(|package| (wasm_target::TARGET, vec![package]));
    for (target, packages) in portable.into_iter().chain([(wasm_target::FILTER_TARGET, filters)]) {
        let which = ["--target", target, "--", "-D", "warnings"];
        let args = [&["clippy"], packages.as_slice(), &which].concat();
        Run::cargo(&args).without_native_flags().show()?;
    }
    Ok(())
}

fn denied() -> Result<(), TaskError> {
    deny::run(&deny::Args::default())
}

/// The crates outside `default-members` that exist only as wasm.
const WASM_ONLY: [&str; 3] =
    ["--package=crossfade-module", "--package=crossfade-web", "--package=crossfade-tenants"];

fn tests() -> Result<(), TaskError> {
    Run::cargo(&["test", "--no-fail-fast"]).show()?;
    // The example of a plugin: a module, so not among what plain cargo builds.
    Run::cargo(&["test", "--package=crossfade-tenants"]).show()?;
    Run::cargo(&["test", "--package=xtask"]).show()
}

/// Ignored by plain `cargo test`: they take minutes even with optimisation. And what has to
/// be tested with it.
fn validity() -> Result<(), TaskError> {
    let which = ["--", "--ignored", "--nocapture"];
    for test in [
        ["--release", "--package=crossfade-worlds", "--test=worlds"],
        ["--release", "--package=crossfade-core", "--test=gate_validity"],
        ["--release", "--package=crossfade-ledger", "--test=validity"],
    ] {
        Run::cargo(&[&["test"], test.as_slice(), &which].concat()).show()?;
    }
    // What reads untrusted text, as it is compiled for production: see `clients/read.rs`.
    Run::cargo(&["test", "--release", "--package=crossfade-protocol", "--lib"]).show()
}

fn golden() -> Result<(), TaskError> {
    Run::program("python3", PYTHON_HINT, &["tests/vectors/buckets.py", "--check"]).show()
}

fn web() -> Result<(), TaskError> {
    test_web::run(&test_web::Args {})
}

fn page() -> Result<(), TaskError> {
    test_page::run(&test_page::Args {})
}

fn edge() -> Result<(), TaskError> {
    test_edge::run(&test_edge::Args {})
}

fn serve() -> Result<(), TaskError> {
    test_serve::run(&test_serve::Args {})
}

fn fleet() -> Result<(), TaskError> {
    test_fleet::run(&test_fleet::Args {})
}

fn e2e() -> Result<(), TaskError> {
    test_e2e::run(&test_e2e::Args { long: false })
}

fn conformance() -> Result<(), TaskError> {
    conformance::run(&conformance::Args::default())
}

/// These docs are for readers of the code: they show private items and may link to them.
const DOC_FLAGS: &str = "-D warnings -A rustdoc::private-intra-doc-links";

fn docs() -> Result<(), TaskError> {
    let native = ["doc", "--no-deps", "--document-private-items"];
    Run::cargo(&native).env("RUSTDOCFLAGS", DOC_FLAGS).show()?;
    let target = ["--package=crossfade-web", "--target", wasm_target::TARGET];
    let wasm = [native.as_slice(), &target].concat();
    Run::cargo(&wasm).without_native_flags().env("RUSTDOCFLAGS", DOC_FLAGS).show()
}

fn stages_help() -> String {
    let lines = STAGES.map(|stage| format!("  {:<11} {}", stage.name, stage.about));
    format!("Stages, in order:\n{}", lines.join("\n"))
}

/// A line for each stage that ran; the last of them failed unless `passed`.
fn summary(done: &[(&str, Duration)], passed: bool) -> String {
    let mut text = String::from("\n=== summary");
    for (index, (name, time)) in done.iter().enumerate() {
        let failed = !passed && index + 1 == done.len();
        let word = if failed { "FAILED" } else { "passed" };
        text = format!("{text}\n{word}  {name:<11} {:>8}", seconds(*time));
    }
    text
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_run_in_their_own_order_whatever_order_they_are_named_in() {
        let names = ["docs".to_owned(), "format".to_owned()];
        let chosen: Vec<_> = choose(&names).unwrap().iter().map(|stage| stage.name).collect();
        assert_eq!(chosen, ["format", "docs"]);
        assert_eq!(choose(&[]).unwrap().len(), STAGES.len());
    }

    #[test]
    fn an_unknown_stage_is_named_together_with_the_known_ones() {
        let error = choose(&["dosc".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("`dosc`") && error.contains("docs"), "{error}");
    }

    #[test]
    fn only_the_last_stage_of_a_failed_run_is_marked() {
        let done = [("format", Duration::from_millis(1500)), ("lints", Duration::ZERO)];
        let text = summary(&done, false);
        assert!(text.contains("passed  format         1.5 s"), "{text}");
        assert!(text.contains("FAILED  lints"), "{text}");
        assert!(!summary(&done, true).contains("FAILED"));
    }
}
