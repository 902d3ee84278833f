//! Two questions that every tool of this kind is asked for each request, asked of Crossfade
//! and of evaluators that others have published in Rust, in the same process and on the same
//! keys. One line of JSON; `cargo xtask bench` reads it.
//!
//! *Does:* ask, count allocations, check that each answers with the share it was told to.
//! *Does not:* judge. A figure is of this question alone; what else an evaluator can do has
//! its price, and none of them was made for this.
//!
//! ```text
//! cargo run --release --manifest-path bench/peers/Cargo.toml
//! ```

mod crossfade;
mod eppo;
mod flagd;
mod growthbook;
mod unleash;

use std::error::Error;
use std::hint::black_box;
use std::process::ExitCode;

use cpu_time::ThreadTime;
use serde_json::{Value, json};

/// Rounds, in each of which everybody has a turn: what disturbs the machine for a while
/// disturbs all alike.
const ROUNDS: usize = 25;

/// Questions of a turn, a key each.
const KEYS: usize = 2_000;

/// Turns of those who are quick have several passes, so that the clock is not what is
/// measured.
const TURN_NS: f64 = 3_000_000.0;

/// Something that can be asked.
trait Evaluator {
    /// As it is published, with its version and the function that is called.
    fn name(&self) -> &'static str;

    /// Whether this user is among the 10 % who get the new version.
    fn tenth(&self, user: &str) -> bool;

    /// Whether a user from this country gets the new version: half of those in Sweden do.
    fn half_of_sweden(&self, user: &str, country: &str) -> bool;
}

fn main() -> ExitCode {
    match measure() {
        Ok(figures) => {
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("the peers cannot be measured: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<Value, Box<dyn Error>> {
    let all: Vec<Box<dyn Evaluator>> = vec![
        Box::new(crossfade::Crossfade::new()?),
        Box::new(unleash::Unleash::new()?),
        Box::new(eppo::Eppo::new()?),
        Box::new(growthbook::GrowthBook::new()?),
        Box::new(flagd::Flagd::new()),
    ];
    let users: Vec<(String, &str)> = (0..KEYS)
        .map(|n| (format!("user-{}", 100_000 + n * 97), if n % 2 == 0 { "SE" } else { "NO" }))
        .collect();
    let tenth = |it: &dyn Evaluator, user: &(String, &str)| it.tenth(&user.0);
    let sweden = |it: &dyn Evaluator, user: &(String, &str)| it.half_of_sweden(&user.0, user.1);
    Ok(json!({
        "questions": [
            asked("10 % of users, by id", 0.10, &all, &users, tenth)?,
            asked("half of Sweden, by id", 0.25, &all, &users, sweden)?,
        ],
    }))
}

fn asked(
    question: &str,
    share: f64,
    all: &[Box<dyn Evaluator>],
    users: &[(String, &str)],
    ask: impl Fn(&dyn Evaluator, &(String, &str)) -> bool,
) -> Result<Value, Box<dyn Error>> {
    let mut figures = Vec::new();
    for it in all {
        let yes = users.iter().filter(|user| ask(it.as_ref(), user)).count();
        let seen = yes as f64 / users.len() as f64;
        // Five standard deviations of a fair draw.
        let far = 5.0 * (share * (1.0 - share) / users.len() as f64).sqrt();
        if (seen - share).abs() > far {
            return Err(format!("{}: {question}: {seen} instead of {share}", it.name()).into());
        }
        if users.iter().any(|user| ask(it.as_ref(), user) != ask(it.as_ref(), user)) {
            return Err(format!("{}: {question}: another answer to the same", it.name()).into());
        }
        let counted = allocation_counter::measure(|| {
            for user in users {
                black_box(ask(it.as_ref(), black_box(user)));
            }
        });
        let once = pass(it.as_ref(), users, &ask);
        figures.push(Figure {
            name: it.name(),
            share: seen,
            allocations: counted.count_total as f64 / users.len() as f64,
            passes: (TURN_NS / (once * users.len() as f64)).ceil().max(1.0) as usize,
            ns: Vec::new(),
        });
    }
    for _ in 0..ROUNDS {
        for (it, figure) in all.iter().zip(&mut figures) {
            let passes = (0..figure.passes).map(|_| pass(it.as_ref(), users, &ask));
            figure.ns.push(passes.sum::<f64>() / figure.passes as f64);
        }
    }
    let evaluators: Vec<Value> = figures.iter().map(Figure::told).collect();
    Ok(json!({ "question": question, "evaluators": evaluators }))
}

/// Nanoseconds of this thread for one question.
fn pass(
    it: &dyn Evaluator,
    users: &[(String, &str)],
    ask: impl Fn(&dyn Evaluator, &(String, &str)) -> bool,
) -> f64 {
    let began = ThreadTime::now();
    for user in users {
        black_box(ask(it, black_box(user)));
    }
    began.elapsed().as_nanos() as f64 / users.len() as f64
}

struct Figure {
    name: &'static str,
    share: f64,
    allocations: f64,
    passes: usize,
    ns: Vec<f64>,
}

impl Figure {
    fn told(&self) -> Value {
        json!({
            "name": self.name,
            "share": self.share,
            "allocations": self.allocations,
            "ns": self.ns,
        })
    }
}
