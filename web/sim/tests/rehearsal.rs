//! Whole rollouts in the simulated world, with the engine linked in.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what helps a test may fail as one")]

use std::convert::Infallible;

use crossfade_core::guest::Guest;
use crossfade_sim::{
    End, Engine, Fault, Latency, Rehearsal, RehearsalError, Scenario, Story, Traffic, WALL_CLOCK,
};

/// The engine, linked in; keeps all that it was told and said.
struct Native {
    engine: crossfade_core::Engine,
    log: Vec<u8>,
}

impl Native {
    fn new() -> Native {
        let mut log = Vec::new();
        let engine = Guest::init(WALL_CLOCK.as_bytes(), 0, 7, &mut log);
        assert!(log.is_empty(), "{}", String::from_utf8_lossy(&log));
        Native { engine, log }
    }
}

impl Engine for Native {
    type Error = Infallible;

    fn handle(&mut self, lines: &[u8], now_ms: u64, out: &mut Vec<u8>) -> Result<(), Infallible> {
        self.log.extend_from_slice(lines);
        self.engine.handle(lines, now_ms, out);
        self.log.extend_from_slice(out);
        Ok(())
    }

    fn tick(&mut self, now_ms: u64, out: &mut Vec<u8>) -> Result<(), Infallible> {
        self.engine.tick(now_ms, out);
        self.log.extend_from_slice(out);
        Ok(())
    }
}

const TWO_STEPS: &str = r#"{"type":"gradual_rollout","steps":[{"percentage":10,"duration_minutes":30},{"percentage":50,"duration_minutes":30}],"gate":{"on_inconclusive":"hold"}}"#;

fn rehearsal(scenario: Scenario) -> Rehearsal {
    Rehearsal {
        scenario,
        rollout: TWO_STEPS.to_owned(),
        versions: ["v1".to_owned(), "v2".to_owned()],
        start_ms: 1_800_000_000_000,
        lasts_ms: 4 * 3_600_000,
    }
}

fn traffic() -> Traffic {
    Traffic::new(100.0, 0.005).unwrap()
}

fn play(scenario: Scenario, seed: u64) -> (Story, Vec<u8>) {
    let mut engine = Native::new();
    let story = rehearsal(scenario).play(&mut engine, seed).unwrap();
    (story, engine.log)
}

#[test]
fn a_healthy_version_gets_all_steps_by_proof() {
    let (story, _) = play(Scenario::new(traffic()), 1);
    assert_eq!(story.end, End::Completed);
    assert_eq!(story.ended_ms, 3_600_000);
    let steps: Vec<_> = story.steps.iter().map(|s| (s.number, s.share.percent())).collect();
    assert_eq!(steps, [(1, 10.0), (2, 50.0)]);
    for step in &story.steps {
        assert_eq!(step.passed.as_deref(), Some("healthy"));
        assert_eq!((step.to_ms - step.from_ms, step.harmed_clients), (1_800_000, 0));
        let [old, new] = step.served;
        let share = new.requests as f64 / (old.requests + new.requests) as f64;
        assert!((share - step.share.percent() / 100.0).abs() < 0.01, "{share}");
    }
}

#[test]
fn an_outage_is_taken_back_and_its_harm_is_counted() {
    let (story, _) = play(Scenario::new(traffic()).with_from(600_000, Fault::Outage), 1);
    assert_eq!(story.end, End::RolledBack { because: "unhealthy".to_owned() });
    assert!((605_000..=660_000).contains(&story.ended_ms), "{}", story.ended_ms);
    let step = &story.steps[0];
    assert_eq!(step.to_ms, story.ended_ms);
    let seconds = (story.ended_ms - 600_000) / 1_000;
    let harmed = step.served[1].harmed;
    assert!((7 * seconds..13 * seconds).contains(&harmed), "{harmed} in {seconds} s");
    assert!(step.harmed_clients <= harmed && step.harmed_clients > harmed / 2);
}

#[test]
fn metrics_that_stay_away_hold_the_step() {
    let (story, _) = play(Scenario::new(traffic()).with_from(600_000, Fault::MetricsLost), 1);
    assert_eq!(story.end, End::Unfinished, "{story:?}");
    assert_eq!(story.steps.len(), 1);
    assert_eq!(story.steps[0].held_ms, Some(1_800_000));
    assert!(story.verdict.is_some());
}

#[test]
fn a_slower_version_is_taken_back_by_the_latency_gate() {
    let traffic = traffic().latency(Latency::new(80.0, 0.5).unwrap());
    let scenario = Scenario::new(traffic).with_from(600_000, Fault::Slower(1.5));
    let mut rehearsal = rehearsal(scenario);
    rehearsal.rollout = TWO_STEPS.replace(r#""gate":{"#, r#""gate":{"latency":{},"#);
    let story = rehearsal.play(&mut Native::new(), 1).unwrap();
    assert!(matches!(story.end, End::RolledBack { .. }), "{story:?}");
    assert!(story.ended_ms > 600_000);
    assert_eq!(story.steps[0].harmed_clients, 0);
}

/// Every message and every answer, byte for byte.
#[test]
fn a_seed_replays_a_rollout() {
    let scenario = Scenario::new(traffic()).with_from(900_000, Fault::Times(3.0));
    let (story, log) = play(scenario.clone(), 42);
    assert_eq!((story.clone(), log.clone()), play(scenario.clone(), 42));
    let (other, other_log) = play(scenario, 43);
    assert!(other_log != log && other.steps[0].served != story.steps[0].served);
}

#[test]
fn a_rollout_that_the_engine_refuses_is_an_error_with_its_reason() {
    let mut rehearsal = rehearsal(Scenario::new(traffic()));
    rehearsal.rollout = r#"{"type":"gradual_rollout","steps":[]}"#.to_owned();
    let error = rehearsal.play(&mut Native::new(), 1).unwrap_err();
    assert!(
        matches!(&error, RehearsalError::Refused(text) if text.starts_with("line 1: steps: no steps")),
        "{error}"
    );
    rehearsal.rollout = TWO_STEPS.to_owned();
    rehearsal.versions[1] = "v3".to_owned();
    let error = rehearsal.play(&mut Native::new(), 1).unwrap_err();
    assert!(error.to_string().contains("unknown version `v3`"), "{error}");
}
