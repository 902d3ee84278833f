//! Our own rule: the engine itself, told what is reported, deciding by its own rollout.

use crossfade_core::guest::Guest;
use crossfade_sim::{Reporter, Tick, WALL_CLOCK, happened};

use super::rules::Rule;

/// An engine in the one step of a rollout that lasts four hours.
pub(crate) struct Ours {
    engine: crossfade_core::Engine,
    reporter: Reporter,
    lines: Vec<u8>,
    out: Vec<u8>,
    over: bool,
    proven: bool,
}

impl Ours {
    /// Begins the step.
    pub(crate) fn new(share: f64, seed: u64) -> Ours {
        let mut out = Vec::new();
        let mut engine: crossfade_core::Engine =
            Guest::init(WALL_CLOCK.as_bytes(), 0, seed, &mut out);
        let rollout = format!(
            r#"{{"type":"gradual_rollout","steps":[{{"percentage":{share},"duration_minutes":240}}],"gate":{{"on_inconclusive":"hold"}}}}"#
        );
        engine.handle(rollout.as_bytes(), 0, &mut out);
        assert!(out.is_empty(), "{}", String::from_utf8_lossy(&out));
        engine.tick(0, &mut out);
        let reporter = Reporter::new("v1", "v2");
        Ours { engine, reporter, lines: Vec::new(), out, over: false, proven: false }
    }

    /// Whether the step passed with the verdict "healthy".
    pub(crate) fn is_proven_healthy(&self) -> bool {
        self.proven
    }
}

impl Rule for Ours {
    fn rolls_back(&mut self, tick: &Tick) -> bool {
        if self.over {
            return false;
        }
        self.lines.clear();
        self.out.clear();
        self.reporter.write(tick, &mut self.lines);
        self.engine.handle(&self.lines, tick.to_ms, &mut self.out);
        self.engine.tick(tick.to_ms, &mut self.out);
        for event in happened(&self.out) {
            match event.event.as_str() {
                "rollback_started" => self.over = true,
                "step_passed" => self.proven = event.verdict.as_deref() == Some("healthy"),
                _ => {}
            }
        }
        self.over
    }
}
