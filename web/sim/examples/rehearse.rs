//! Plays four hours at 10 % in the simulated world, with the engine linked in, and says
//! what came of it and how long it took.
//!
//! ```text
//! cargo run --release -p crossfade-sim --example rehearse -- [REQUESTS_PER_S [FAILURES [TIMES]]]
//! ```

#[path = "../../src/linked.rs"]
mod linked;

use std::error::Error;
use std::time::Instant;

use crossfade_core::guest::Guest;
use crossfade_sim::{Fault, Rehearsal, Scenario, Traffic, WALL_CLOCK};
use linked::Linked;

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().skip(1);
    let mut next = |default: f64| numbers.next().map_or(Ok(default), |number| number.parse());
    let traffic = Traffic::new(next(100.0)?, next(0.001)?)?;
    let rehearsal = Rehearsal {
        scenario: Scenario::new(traffic).with(Fault::Times(next(1.0)?)),
        rollout: r#"{"type":"gradual_rollout","steps":[{"percentage":10,"duration_minutes":240}]}"#
            .to_owned(),
        versions: ["v1".to_owned(), "v2".to_owned()],
        start_ms: 0,
        lasts_ms: 4 * 3_600_000,
    };
    for seed in 0..5 {
        let began = Instant::now();
        let engine = Guest::init(WALL_CLOCK.as_bytes(), 0, seed, &mut Vec::new());
        let story = rehearsal.play(&mut Linked(engine), seed)?;
        println!("{:?} after {} s, in {:?}", story.end, story.ended_ms / 1_000, began.elapsed());
    }
    Ok(())
}
