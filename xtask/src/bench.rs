//! `cargo xtask bench`: how fast, how small, and beside what.
//!
//! Every figure comes from one run, beside its limit or a peer that did the same work in
//! the same run: programs take turns, round by round, so that a busy machine slows all of
//! them. Times are CPU time, and of several rounds the median counts; only the start is
//! wall time, and the fastest of its rounds counts, since waiting is what disturbs it.

mod clients;
mod input;
mod logs;
mod peers;
mod process;
mod readme;
mod sizes;
pub(crate) mod table;

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::command::{Run, TaskError, root, say};
use crate::{bench_edge, bench_serve};

use process::Program;
use table::{Limit, Row};

/// Measure speed, memory and size against their limits, beside peers that do the same
///
/// Installs nothing but, with --all, what the edges need. Peers in Rust are built from
/// bench/peers, which takes minutes the first time.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Lines in the file that is served
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    lines: u64,
    /// How often each program serves it
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Clients in the ledger
    #[arg(long, value_name = "N", default_value_t = 10_000_000)]
    clients: u64,
    /// Also what `bench-edge` and `bench-serve` measure
    #[arg(long)]
    all: bool,
    /// Put the table into docs/measured.md and what has a limit into README.md, in place of
    /// what is there
    #[arg(long)]
    readme: bool,
    /// Fail when a figure misses its limit
    #[arg(long)]
    check: bool,
}

const PYTHON_HINT: &str = "install Python 3.8 or later";

/// What `tests/examples/figures.rs` prints.
#[derive(Debug, Deserialize)]
struct Figures {
    bare_hash_ns: Vec<f64>,
    decide_ns: Vec<f64>,
    route_ns: Vec<f64>,
    route_many_ns: Vec<f64>,
    route_bare_ns: Vec<f64>,
    border_ns: Vec<f64>,
    tick_ns: Vec<f64>,
    census_bytes_per_client: f64,
    clients: u64,
    reports_of_new_ms: Vec<f64>,
    reports_of_known_ms: Vec<f64>,
}

/// See [`Args`].
pub(crate) fn run(args: &Args) -> Result<(), TaskError> {
    let built = build()?;
    let load_before = load();
    let file = built.join("bench-get-users.jsonl");
    input::write(&file, args.lines)?;

    let node = Program::new(built.join("crossfade"), &["node", "--seed", "0"]);
    let native = Program::new(built.join("examples/native_node"), &[]);
    let python = Program::new("python3", &["xtask/bench/loop.py"]).hint(PYTHON_HINT);

    say("Comparing the replies of the module and of the native engine...");
    process::same_replies(&node, &native, &file)?;
    let mut rows = throughput(args, &file, &node, &native, &python)?;
    rows.extend(process::instructions_a_line(&node, &file, args.lines)?);

    say("Measuring decisions, routes and clients...");
    let figures = Run::built(built.join("examples/figures")).output()?;
    let figures: Figures =
        serde_json::from_str(&figures).map_err(|source| TaskError::Figures { source })?;
    rows.extend(short_figures(&figures));

    say("Starting the host 20 times...");
    let starts: Result<Vec<f64>, TaskError> =
        (0..20).map(|_| process::first_answer_ms(&node)).collect();
    let fastest = starts?.into_iter().fold(f64::INFINITY, f64::min);
    rows.push(Row::new("start to first answer", fastest, "ms", Limit::Below(30.0)));

    say("Asking peers the same...");
    rows.extend(peers::rows()?);
    say("Recording requests and reports of clients...");
    rows.extend(clients::rows(&built, args.clients)?);
    say("Reading access logs...");
    rows.extend(logs::rows(&built)?);
    rows.extend(sizes::rows()?);
    if args.all {
        rows.extend(bench_edge::measure(&bench_edge::Args::default())?);
        rows.extend(bench_serve::measure(&bench_serve::Args::default())?);
    }

    let load_after = load();
    table::print(&rows, &load_before, &load_after);
    if args.readme {
        readme::write("README.md", &table::headline(&rows, &load_before, &load_after))?;
        readme::write("docs/measured.md", &table::markdown(&rows, &load_before, &load_after))?;
    }
    judge(&rows, args.check)
}

/// Fails when it is to, and a figure misses its limit.
pub(crate) fn judge(rows: &[Row], check: bool) -> Result<(), TaskError> {
    match rows.iter().filter(|row| !row.holds()).count() {
        0 => Ok(()),
        _ if !check => Ok(()),
        figures => Err(TaskError::Missed { figures }),
    }
}

/// Builds what is measured, and gives the folder it lies in.
fn build() -> Result<PathBuf, TaskError> {
    let packages = [
        "--package=crossfade",
        "--package=crossfade-core",
        "--package=crossfade-ledger",
        "--package=crossfade-tests",
    ];
    let what = ["--bins", "--example=native_node", "--example=figures", "--example=ledger_speed"];
    Run::cargo(&[&["build", "--release"], packages.as_slice(), &what].concat()).show()?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    Ok(root().join(target).join("release"))
}

fn throughput(
    args: &Args,
    file: &Path,
    node: &Program,
    native: &Program,
    python: &Program,
) -> Result<Vec<Row>, TaskError> {
    let mut rates = Vec::new();
    let (mut over_python, mut over_native) = (Vec::new(), Vec::new());
    let (mut native_rates, mut python_rates) = (Vec::new(), Vec::new());
    for round in 1..=args.rounds {
        say(&format!("Serving {} lines, round {round} of {}...", args.lines, args.rounds));
        let [node, native, python] = [node, native, python].map(|program| program.cpu_s(file));
        let (node, native, python) = (node?, native?, python?);
        let lines = args.lines as f64;
        rates.push(lines / node);
        native_rates.push(lines / native);
        python_rates.push(lines / python);
        over_python.push(python / node);
        over_native.push(node / native);
    }
    let lines_per_s = "lines a CPU second";
    Ok(vec![
        Row::new("node", median(rates), lines_per_s, Limit::AtLeast(800_000.0)),
        Row::new("  the same engine, native", median(native_rates), lines_per_s, Limit::None),
        Row::new("  a loop in Python", median(python_rates), lines_per_s, Limit::None),
        Row::new("node, speed over Python's", median(over_python), "x", Limit::AtLeast(15.0)),
        Row::new("node, time over native", median(over_native), "x", Limit::AtMost(3.0)),
    ])
}

fn short_figures(figures: &Figures) -> Vec<Row> {
    let ratios =
        figures.decide_ns.iter().zip(&figures.bare_hash_ns).map(|(ours, bare)| ours / bare);
    let census = format!("bytes a client, of {}", figures.clients);
    vec![
        Row::new(
            "decision, 10 % canary by id",
            median(figures.decide_ns.clone()),
            "ns",
            Limit::None,
        ),
        Row::new(
            "  bare xxh64(id) % 10000",
            median(figures.bare_hash_ns.clone()),
            "ns",
            Limit::None,
        ),
        Row::new(
            "decision, time over bare hash",
            median(ratios.collect()),
            "x",
            Limit::AtMost(1.5),
        ),
        Row::new(
            "crossfade_route in wasmtime",
            median(figures.route_ns.clone()),
            "ns",
            Limit::AtMost(60.0),
        ),
        Row::new(
            "  of 102,400 clients in turn",
            median(figures.route_many_ns.clone()),
            "ns",
            Limit::None,
        ),
        Row::new(
            "  without journal and deadline",
            median(figures.route_bare_ns.clone()),
            "ns",
            Limit::None,
        ),
        Row::new(
            "  a call that does nothing",
            median(figures.border_ns.clone()),
            "ns",
            Limit::None,
        ),
        Row::new(
            "tick of 20 steps, 4 gates, in wasmtime",
            median(figures.tick_ns.clone()) / 1000.0,
            "us",
            Limit::AtMost(100.0),
        ),
        Row::new("census", figures.census_bytes_per_client, &census, Limit::AtMost(64.0)),
        Row::new(
            "1,000 edge reports through the module, new clients",
            median(figures.reports_of_new_ms.clone()),
            "ms",
            Limit::Below(1_000.0),
        ),
        Row::new(
            "  of clients that it knows",
            median(figures.reports_of_known_ms.clone()),
            "ms",
            Limit::Below(1_000.0),
        ),
    ]
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => values[len / 2],
        len => (values[len / 2 - 1] + values[len / 2]) / 2.0,
    }
}

/// How busy the machine is: processes that run or want to, over the last minute.
pub(crate) fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().filter(|load| !load.is_empty()).unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }
}
