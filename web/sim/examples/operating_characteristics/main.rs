//! Runs the study behind `docs/operating-characteristics.md` and prints it as JSON.
//! `cargo xtask operating-characteristics` builds and runs this, and makes the page of it.
//!
//! ```text
//! cargo run --release -p crossfade-sim --example operating_characteristics -- RUNS SEED [SCENARIO]
//! ```

mod study;

use std::error::Error;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use study::{Cell, Plan, scenarios};

fn main() -> ExitCode {
    match print_study() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody minds when this cannot be said.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print_study() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let runs: u32 = args.next().as_deref().unwrap_or("1000").parse()?;
    let seed: u64 = args.next().as_deref().unwrap_or("1").parse()?;
    let mut plans = scenarios::all();
    if let Some(name) = args.next() {
        let wanted = plans.iter().find(|plan| plan.name == name).map(|plan| plan.matching);
        let Some(matching) = wanted else {
            let known: Vec<&str> = plans.iter().map(|plan| plan.name).collect();
            return Err(format!("no scenario `{name}`: known are {}", known.join(", ")).into());
        };
        plans.retain(|plan| plan.name == name || plan.name == matching);
    }
    let cells = study::run(&plans, runs, seed, &progress(&plans));
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(
        &mut out,
        &serde_json::json!({"runs": runs, "seed": seed, "cells": cells}),
    )?;
    writeln!(out)?;
    Ok(())
}

/// Says on a terminal how far it is.
fn progress(plans: &[Plan]) -> impl Fn(usize, &Cell) + Sync {
    let all = plans.len();
    let terminal = std::io::stderr().is_terminal();
    move |done, cell: &Cell| {
        // Nobody minds when this cannot be said.
        let mut err = std::io::stderr().lock();
        let _ = if terminal {
            let end = if done == all { "\n" } else { "" };
            write!(err, "\r\x1b[K{done} of {all} scenarios, {} is done{end}", cell.scenario)
        } else {
            writeln!(err, "{done} of {all} scenarios, {} is done", cell.scenario)
        };
    }
}
