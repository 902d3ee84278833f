//! How fast a script is played with the engine linked in: what `cargo xtask` measures for
//! the page, natively.
//!
//! ```text
//! cargo run --release -p crossfade-sim --example speed
//! ```

#[path = "../../src/linked.rs"]
mod linked;

use std::error::Error;
use std::time::Instant;

use crossfade_core::guest::Guest;
use crossfade_sim::{Asking, Play, START_MS, Script, init_document};
use linked::Linked;

const SCRIPT: &str = r#"{"seed":1,"plan":{"api":"users","versions":["v1","v2"],"key":{"header":"x"},
"rollout":{"steps":[{"percentage":10,"duration_minutes":60},{"percentage":50,"duration_minutes":60}]}}}"#;

fn main() -> Result<(), Box<dyn Error>> {
    let script = Script::read(SCRIPT)?;
    for (asking, shown) in [(Asking::Always, true), (Asking::Always, false), (Asking::Once, false)]
    {
        let document = init_document(&script);
        let engine = Guest::init(document.as_bytes(), START_MS, 1, &mut Vec::new());
        let (mut engine, mut play) = (Linked(engine), Play::new(&script, asking));
        let began = Instant::now();
        while play.now_ms() < 3_600_000 {
            play.step(&script, &mut engine, shown)?;
        }
        let (took, requests) = (began.elapsed(), play.outcome().requests);
        println!(
            "{asking:?}, shown {shown}: {requests} requests of an hour in {took:?}, {} ns each; {}",
            took.as_nanos() / u128::from(requests.max(1)),
            play.digest()
        );
    }
    Ok(())
}
