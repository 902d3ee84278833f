//! Plays the conformance suite on every build that speaks the protocol, and prints what
//! each did. `cargo xtask conformance` builds them first and runs this.
//!
//! Usage: `conformance [--seed N] [--requests N]`

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use crossfade_tests::conformance::{self, Script, generated};
use crossfade_tests::driver::{Driver, DriverError, Native, Wasm};
use crossfade_tests::vectors;

fn main() -> Result<ExitCode, DriverError> {
    let option = |name: &str, default: u64| {
        let mut args = std::env::args().skip_while(|arg| arg != name).skip(1);
        args.next().map_or(Ok(default), |text| text.parse())
    };
    let (seed, requests) = (option("--seed", 1)?, option("--requests", 10_000)?);
    let vectors = conformance::vector_scripts(&vectors::read(&vectors::folder())?);
    let groups = generated::groups(seed, requests as usize);
    let generated = groups.iter().enumerate().map(|(index, g)| generated::script(g, index));
    let suites = Suites { vectors, generated: generated.collect(), requests };
    println!(
        "{requests} generated requests of seed {seed}; again with \
         `cargo xtask conformance --seed {seed}`"
    );
    println!("{:<30}{:>10}{:>12}{:>8}   result", "build", "vectors", "requests", "time");
    let native = suites.play(&mut by(Native::new()))?;
    let (cases, requests) = (suites.vectors.len(), suites.requests);
    let native_row = "what the others are compared with";
    println!("{:<30}{cases:>10}{requests:>12}{:>8}   {native_row}", "native", "");
    let mut failed = 0;
    for (name, mut build) in builds()? {
        let started = Instant::now();
        match suites.play(&mut build) {
            Ok(traces) => failed += suites.report(name, &native, &traces, started),
            Err(error) => {
                failed += 1;
                println!("{name:<30}{:>10}{:>12}{:>8}   FAILED: {error}", "", "", "");
            }
        }
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Gives a trace for each script.
type Play = Box<dyn FnMut(&[Script]) -> Result<Vec<String>, DriverError>>;

fn by(mut driver: impl Driver + 'static) -> Play {
    Box::new(move |scripts| {
        scripts.iter().map(|script| conformance::play(&mut driver, script)).collect()
    })
}

fn by_node(runner: &'static str) -> Play {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    Box::new(move |scripts| conformance::play_by("node", &[runner], &root, scripts))
}

fn builds() -> Result<Vec<(&'static str, Play)>, DriverError> {
    Ok(vec![
        ("crossfade.wasm in wasmtime", by(Wasm::new()?)),
        ("crossfade.wasm in Node", by_node("edge/worker/test/conformance.node.mjs")),
        ("crossfade.wasm in workerd", by_node("edge/worker/test/conformance.workerd.mjs")),
        ("JavaScript façade in Node", by_node("web/test/conformance.node.mjs")),
    ])
}

struct Suites {
    vectors: Vec<Script>,
    generated: Vec<Script>,
    requests: u64,
}

impl Suites {
    fn play(&self, play: &mut Play) -> Result<[Vec<String>; 2], DriverError> {
        Ok([play(&self.vectors)?, play(&self.generated)?])
    }

    /// Prints a build's row, and where it differs; gives how many cases differ.
    fn report(
        &self,
        name: &str,
        native: &[Vec<String>; 2],
        got: &[Vec<String>; 2],
        started: Instant,
    ) -> usize {
        let [vectors, generated] = [&self.vectors, &self.generated];
        let mut differences = conformance::differences(vectors, &native[0], &got[0]);
        differences.extend(conformance::differences(generated, &native[1], &got[1]));
        let seconds = format!("{:.1} s", started.elapsed().as_secs_f64());
        let verdict = match differences.len() {
            0 => "the same bytes".to_owned(),
            count => format!("DIFFERS in {count} cases"),
        };
        let (cases, requests) = (vectors.len(), self.requests);
        println!("{name:<30}{cases:>10}{requests:>12}{seconds:>8}   {verdict}");
        differences.iter().take(5).for_each(|difference| println!("{difference}\n"));
        differences.len()
    }
}
