//! Any bytes, to the built wasm module in the host and to the native engine: the module
//! never traps, and every call gives the same bytes on both.

use crossfade::{Module, Plugin, PluginError, PluginOptions, Start};
use crossfade_core::Engine;
use crossfade_core::guest::Guest;

use super::script::{Call, script, unescaped};

/// Plays it, with this module.
///
/// # Panics
/// Something does not hold.
pub fn run(module: &Module, bytes: &[u8]) {
    let (init, calls) = script(bytes);
    let mut pair = Pair::start(module, init, 7);
    calls.into_iter().for_each(|call| pair.play(call));
}

/// The same engine twice.
struct Pair<'s> {
    module: &'s Module,
    /// What every engine of the run is started with, as a host does.
    init: &'s [u8],
    native: Engine,
    wasm: Plugin,
    now_ms: u64,
}

impl Pair<'_> {
    fn start<'s>(module: &'s Module, init: &'s [u8], seed: u64) -> Pair<'s> {
        let mut said = Vec::new();
        let native = Engine::init(init, 0, seed, &mut said);
        let start = Start { document: init.to_vec(), seed, now_ms: 0 };
        let (wasm, wasm_said) =
            Plugin::start(module.clone(), PluginOptions::default(), start).expect("it starts");
        same(&said, &wasm_said);
        Pair { module, init, native, wasm, now_ms: 0 }
    }

    fn play(&mut self, call: Call<'_>) {
        let mut out = Vec::new();
        match call {
            Call::Handle(lines) => {
                // The host gives whole lines only.
                let mut lines = lines.to_vec();
                if !lines.ends_with(b"\n") {
                    lines.push(b'\n');
                }
                self.native.handle(&lines, self.now_ms, &mut out);
                same(&out, whole(self.wasm.handle(&lines, self.now_ms)));
            }
            Call::At(now_ms) => self.now_ms = now_ms,
            Call::Tick(now_ms) => {
                self.now_ms = now_ms;
                self.native.tick(now_ms, &mut out);
                same(&out, whole(self.wasm.tick(now_ms)));
            }
            Call::Route(key) => {
                let draw = self.now_ms as u32;
                assert_eq!(self.native.route(key, draw), whole(self.wasm.route(key, draw)));
            }
            Call::Totals => {
                self.native.totals(&mut out);
                same(&out, whole(self.wasm.totals()));
            }
            Call::Merge(totals) => {
                self.native.merge(totals, &mut out);
                same(&out, whole(self.wasm.merge(totals)));
            }
            Call::Reload => {
                let saved = self.saved();
                *self = self.restored(&saved).expect("they take their own state");
            }
            Call::Restore(snapshot) => {
                if let Some(fresh) = self.restored(&unescaped(snapshot)) {
                    *self = fresh;
                }
            }
            Call::Damage(damage) => {
                let mut saved = self.saved();
                damage.to(&mut saved);
                if let Some(fresh) = self.restored(&saved) {
                    *self = fresh;
                }
            }
            Call::Forge(damage) => {
                let mut saved = self.saved();
                damage.to_state(&mut saved);
                let mut fresh = Pair::start(self.module, self.init, 8);
                fresh.native.restore(&saved, &mut out);
                // A number that nobody wrote may fit one's words and not the other's.
                match fresh.wasm.restore(&saved) {
                    Ok(()) | Err(PluginError::Refused { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
        assert_eq!(self.wasm.restarts(), 0, "the module trapped");
    }

    fn saved(&mut self) -> Vec<u8> {
        let mut saved = Vec::new();
        self.native.snapshot(&mut saved);
        same(&saved, whole(self.wasm.snapshot()));
        saved
    }

    /// Fresh engines in this state, if both take it; neither may alone.
    fn restored(&self, snapshot: &[u8]) -> Option<Self> {
        let mut fresh = Pair::start(self.module, self.init, 8);
        fresh.now_ms = self.now_ms;
        let mut out = Vec::new();
        fresh.native.restore(snapshot, &mut out);
        match fresh.wasm.restore(snapshot) {
            Ok(()) => assert!(out.is_empty(), "only native refuses: {}", out.escape_ascii()),
            Err(PluginError::Refused { answer, .. }) => {
                let out = String::from_utf8_lossy(&out);
                assert!(out.contains(answer.trim()), "native: {out}\nwasm: {answer}");
                return None;
            }
            Err(error) => panic!("{error}"),
        }
        Some(fresh)
    }
}

/// The host took the call; a trap would have been answered in the module's place.
fn whole<T>(answer: Result<T, PluginError>) -> T {
    answer.unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn same(native: &[u8], wasm: &[u8]) {
    assert!(native == wasm, "native: {}\nwasm:   {}", native.escape_ascii(), wasm.escape_ascii());
}
