//! `cargo xtask operating-characteristics`: how often the gate is wrong, how soon it sees
//! what is wrong, and what that costs, beside the rules of other tools.
//!
//! The study itself is an example of `crossfade-sim`, which may link the engine and is
//! built with optimisation; here its numbers are judged and shown.

mod cells;
mod judge;
mod page;
mod plot;

use std::io::Write;
use std::path::PathBuf;

use crate::command::{Run, TaskError, root, say};

use cells::Study;

/// Simulate healthy and worse versions with the real engine, beside other tools' rules
///
/// Every rule sees the same four hours of traffic, drawn anew for each run. Writes
/// docs/operating-characteristics.md and .svg, unless one scenario or JSON is asked for.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Runs of each scenario with a healthy v2; a third as many of each with a worse one
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Seed of all runs
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Only this scenario, and the healthy one that belongs to it
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// Fail when a bar is missed that is not a known finding
    #[arg(long)]
    check: bool,
    /// What goes to standard output
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Show what an earlier run printed with `--output json`, instead of running
    #[arg(long, value_name = "FILE", conflicts_with = "scenario")]
    results: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
The same runs, seed and scenario give the same numbers. A thousand runs take about a
quarter of an hour on two cores; ten are enough to see how it looks.";

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Text,
    Json,
}

const PAGE: &str = "docs/operating-characteristics.md";
const PLOT: &str = "docs/operating-characteristics.svg";

/// See [`Args`].
pub(crate) fn run(args: &Args) -> Result<(), TaskError> {
    let json = match &args.results {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|source| TaskError::Read { path: path.display().to_string(), source })?,
        None => simulate(args)?,
    };
    let study: Study = serde_json::from_str(&json).map_err(|source| TaskError::Study { source })?;
    let judged = judge::all(&study.cells);
    if args.output == Output::Json {
        print(&json)?;
    } else {
        let text = page::text(&study, &judged);
        if args.scenario.is_some() {
            print(&text)?;
        } else {
            write(PAGE, &text)?;
            write(PLOT, &plot::svg(&study.cells))?;
        }
    }
    let missed: Vec<&judge::Judged> = judged.iter().filter(|judged| !judged.holds).collect();
    for judged in &missed {
        let known = judged.known().map_or(String::new(), |why| format!(" (known: {why})"));
        say(&format!("missed: {}: {}{known}", judged.scenario, judged.says));
    }
    let new = missed.iter().filter(|judged| judged.known().is_none()).count();
    match new {
        0 => Ok(()),
        _ if !args.check => Ok(()),
        _ => Err(TaskError::Bars { bars: new }),
    }
}

/// Builds the study and runs it; what it printed.
fn simulate(args: &Args) -> Result<String, TaskError> {
    let example = "operating_characteristics";
    Run::cargo(&["build", "--release", "--package=crossfade-sim", "--example", example]).show()?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    let built = root().join(target).join("release/examples").join(example);
    let (runs, seed) = (args.runs.to_string(), args.seed.to_string());
    let mut asked = vec![runs.as_str(), seed.as_str()];
    asked.extend(args.scenario.as_deref());
    let only = args.scenario.iter().fold(String::new(), |_, name| format!(" --scenario {name}"));
    say(&format!(
        "Seed {seed}; to replay: cargo xtask operating-characteristics --runs {runs} --seed {seed}{only}"
    ));
    Run::built(built).args(&asked).output()
}

fn print(text: &str) -> Result<(), TaskError> {
    let text = text.trim_end();
    match writeln!(std::io::stdout(), "{text}") {
        // Whoever reads has read enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written
            .map_err(|source| TaskError::Write { path: "standard output".to_owned(), source }),
    }
}

fn write(path: &str, text: &str) -> Result<(), TaskError> {
    std::fs::write(root().join(path), text)
        .map_err(|source| TaskError::Write { path: path.to_owned(), source })?;
    say(&format!("wrote {path}"));
    Ok(())
}
