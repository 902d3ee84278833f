//! Any bytes, to the native engine: it never panics, every line that is not blank gets
//! one answer, every answer is a line of JSON, and a state that has been carried over
//! is the state that was saved.

use crossfade_core::Engine;
use crossfade_core::guest::Guest;
use crossfade_protocol::request::{Clock, InitDocument};

use super::script::{Call, script, unescaped};

/// Plays it.
///
/// # Panics
/// Something does not hold.
pub fn run(bytes: &[u8]) {
    let (init, calls) = script(bytes);
    let mut run = Run::start(init);
    calls.into_iter().for_each(|call| run.play(call));
}

struct Run<'s> {
    /// What every engine of the run is started with, as a host does.
    init: &'s [u8],
    engine: Engine,
    now_ms: u64,
    /// Whether answers can be counted: on the wall clock some come later than their line.
    countable: bool,
    /// Whether the state is this engine's own. One that was damaged and yet taken may owe
    /// answers, and repeats the texts it was given; it must not panic all the same.
    own: bool,
}

impl Run<'_> {
    fn start(init: &[u8]) -> Run<'_> {
        let mut out = Vec::new();
        let engine = Engine::init(init, 0, 7, &mut out);
        json_lines(&out);
        let clock = InitDocument::read(init).unwrap_or_default().clock;
        Run { init, engine, now_ms: 0, countable: clock == Clock::Virtual, own: true }
    }

    fn play(&mut self, call: Call<'_>) {
        let mut out = Vec::new();
        match call {
            Call::Handle(lines) => {
                self.engine.handle(lines, self.now_ms, &mut out);
                let answers = self.json_lines(&out);
                if self.countable && self.own {
                    assert_eq!(answers, lines_to_answer(lines), "{}", out.escape_ascii());
                }
            }
            Call::At(now_ms) => self.now_ms = now_ms,
            Call::Tick(now_ms) => {
                self.now_ms = now_ms;
                self.engine.tick(now_ms, &mut out);
                self.json_lines(&out);
            }
            Call::Route(key) => drop(self.engine.route(key, self.now_ms as u32)),
            Call::Totals => {
                self.engine.totals(&mut out);
                let answers = self.json_lines(&out);
                assert!(answers == 1 || !self.own, "{answers} answers");
            }
            Call::Merge(totals) => {
                self.engine.merge(totals, &mut out);
                let answers = self.json_lines(&out);
                assert!(answers == 1 || !self.own, "{answers} answers");
            }
            Call::Reload => {
                let saved = self.saved();
                assert!(self.restore(&saved), "its own snapshot was refused");
                let again = self.saved();
                let (was, is) = (saved.escape_ascii(), again.escape_ascii());
                assert!(again == saved, "a snapshot changed on its way\nfrom {was}\nto   {is}");
            }
            Call::Restore(snapshot) => {
                self.own &= !self.restore(&unescaped(snapshot));
            }
            Call::Damage(damage) => {
                let mut saved = self.saved();
                damage.to(&mut saved);
                self.own &= !self.restore(&saved);
            }
            Call::Forge(damage) => {
                let mut saved = self.saved();
                damage.to_state(&mut saved);
                let mut fresh = Engine::init(self.init, self.now_ms, 8, &mut Vec::new());
                fresh.restore(&saved, &mut out);
                json_lines(&out);
            }
        }
    }

    /// How many lines these are, each a JSON object if the state is our own.
    fn json_lines(&self, out: &[u8]) -> usize {
        match self.own {
            true => json_lines(out),
            false => lines_to_answer(out),
        }
    }

    fn saved(&mut self) -> Vec<u8> {
        let mut saved = Vec::new();
        self.engine.snapshot(&mut saved);
        saved
    }

    /// Goes on with a fresh engine in this state; with the one before if it refuses.
    fn restore(&mut self, snapshot: &[u8]) -> bool {
        let mut fresh = Engine::init(self.init, self.now_ms, 8, &mut Vec::new());
        let mut out = Vec::new();
        fresh.restore(snapshot, &mut out);
        if json_lines(&out) > 0 {
            return false;
        }
        self.engine = fresh;
        true
    }
}

/// How many lines these are, each a JSON object.
fn json_lines(out: &[u8]) -> usize {
    let lines = out.split_inclusive(|byte| *byte == b'\n');
    lines
        .map(|line| {
            let object: Result<serde_json::Map<_, serde_json::Value>, _> =
                serde_json::from_slice(line);
            assert!(object.is_ok(), "no JSON object: {}", line.escape_ascii());
            assert!(line.ends_with(b"\n"), "no whole line: {}", line.escape_ascii());
        })
        .count()
}

/// Lines that must be answered: all that are not ASCII white space.
fn lines_to_answer(lines: &[u8]) -> usize {
    lines.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count()
}
