//! What is too short for a process of its own to be measured in: a decision, a call of
//! `crossfade_route`, a client of the census. One line of JSON; `cargo xtask bench`
//! reads it and says what it may be.
//!
//! ```text
//! cargo run --release -p crossfade-tests --example figures [decision|reports]
//! ```
//!
//! With a word it measures one thing, and the rest of the line is empty.

use std::hint::black_box;
use std::process::ExitCode;

use cpu_time::ThreadTime;
use crossfade::{Module, Plugin, PluginOptions, Start};
use crossfade_core::census::{Census, Identity};
use crossfade_core::{Policy, Request};
use crossfade_protocol::abi;
use crossfade_protocol::limits::{CLIENTS_MAX, CLIENTS_REPORT_BYTES_MAX};
use crossfade_protocol::plan::Plan;
use crossfade_tests::driver::DriverError;
use serde::Serialize;
use serde_json::{Value, json};
use wasmtime::{Config, Engine, Instance, Memory, Store, TypedFunc};
use xxhash_rust::xxh64::xxh64;

/// Rounds, each of which measures everything once: what disturbs the machine for a
/// while disturbs all figures alike.
const ROUNDS: usize = 25;

const KEYS: usize = 1024;
const MANY_KEYS: usize = 100 * KEYS;

/// How often a round goes through all keys.
const PASSES: usize = 200;

#[derive(Default, Serialize)]
struct Figures {
    /// Thread CPU time a call, in nanoseconds, by round.
    bare_hash_ns: Vec<f64>,
    decide_ns: Vec<f64>,
    /// `Plugin::route`, all that a host pays: the call within its limits, and the journal
    /// that brings the engine back.
    route_ns: Vec<f64>,
    /// The same with a hundred times as many clients, each of whom comes once a round.
    route_many_ns: Vec<f64>,
    /// The export called by wasmtime's typed function, with the key written before:
    /// without a journal, and without a deadline that is set anew.
    route_bare_ns: Vec<f64>,
    /// The same for an export that does nothing: what the border costs.
    border_ns: Vec<f64>,
    /// A tick in the last of 20 steps with four gates, after fresh reports.
    tick_ns: Vec<f64>,
    census_bytes_per_client: f64,
    clients: usize,
    /// 1,000 reports as large as an edge's may be, of clients that nobody has heard of, and
    /// then of the same: thread CPU time through `Plugin::merge`, by round.
    reports_of_new_ms: Vec<f64>,
    reports_of_known_ms: Vec<f64>,
}

fn main() -> ExitCode {
    let asked = std::env::args().nth(1);
    let measured = match asked.as_deref() {
        None => measure(),
        Some("decision") => decision(),
        Some("reports") => reports(Figures::default()),
        Some(other) => {
            Err(format!("`{other}` is not measured: `decision` and `reports` are").into())
        }
    };
    match measured {
        Ok(figures) => {
            println!("{}", json!(figures));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("the figures cannot be measured: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A canary of 10 % by id.
fn document() -> Value {
    json!({
        "api": "users", "versions": ["v1", "v2"], "key": {"header": "x-user-id"},
        "canary_percentage": 10,
    })
}

fn policy() -> Result<Policy, DriverError> {
    let plan = Plan::read(&document()).map_err(|problems| problems.to_string())?;
    Ok(Policy::new(plan, 1, None))
}

fn users(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("user{}", 100_000 + n * 97)).collect()
}

/// The decision and the bare hash.
fn decision() -> Result<Figures, DriverError> {
    let (policy, users) = (policy()?, users(KEYS));
    let keys: Vec<&[u8]> = users.iter().map(String::as_bytes).collect();
    let mut figures = Figures::default();
    for _ in 0..ROUNDS {
        figures.decide(&policy, &keys)?;
    }
    Ok(figures)
}

impl Figures {
    fn decide(&mut self, policy: &Policy, keys: &[&[u8]]) -> Result<(), DriverError> {
        self.bare_hash_ns.push(each(PASSES, keys, |key| {
            black_box(xxh64(black_box(key), 0) % 10_000);
            Ok(())
        })?);
        self.decide_ns.push(each(PASSES, keys, |key| {
            black_box(policy.decide(&Request::of_key(black_box(key)), 0));
            Ok(())
        })?);
        Ok(())
    }
}

fn measure() -> Result<Figures, DriverError> {
    let (document, policy) = (document(), policy()?);
    let init = json!({ "policy": document }).to_string().into_bytes();
    let start = Start { document: init, seed: 0, now_ms: 0 };
    let mut bare = Bare::start(&start.document)?;
    let module = Module::builtin()?;
    let start = || Plugin::start(module.clone(), PluginOptions::default(), start.clone());
    let ((mut plugin, _), (mut plugin_of_many, _)) = (start()?, start()?);

    let many = users(MANY_KEYS);
    let many: Vec<&[u8]> = many.iter().map(String::as_bytes).collect();
    let keys = &many[..KEYS];
    let mut figures = Figures {
        tick_ns: ticks()?,
        census_bytes_per_client: census_bytes_per_client(),
        clients: CLIENTS_MAX,
        ..Figures::default()
    };
    for _ in 0..ROUNDS {
        figures.decide(&policy, keys)?;
        figures.route_ns.push(each(PASSES, keys, |key| {
            black_box(plugin.route(black_box(key), 0)?);
            Ok(())
        })?);
        figures.route_many_ns.push(each(1, &many, |key| {
            black_box(plugin_of_many.route(black_box(key), 0)?);
            Ok(())
        })?);
        figures.route_bare_ns.push(each(PASSES, keys, |key| {
            black_box(bare.route(black_box(key))?);
            Ok(())
        })?);
        figures.border_ns.push(each(PASSES, keys, |_| {
            black_box(bare.version.call(&mut bare.store, ())?);
            Ok(())
        })?);
    }
    // The first round met everybody of the many for the first time.
    figures.route_many_ns.remove(0);
    reports(figures)
}

/// Reports of clients, and rounds of them.
const REPORTS: u64 = 1_000;
const REPORT_ROUNDS: usize = 3;
const NOW_S: u64 = 1_800_000_000;

/// What an edge tells of as many clients as there is room for.
fn report(number: u64, sequence: u64) -> Vec<u8> {
    let head = json!({
        "node": format!("edge-{number}"), "epoch": "0000000000000001", "sequence": sequence,
        "revision": 1, "versions": ["v1", "v2"],
    });
    let mut text = head.to_string();
    text.truncate(text.len() - 1);
    text.push_str(",\"clients\":[");
    for n in 0.. {
        // Prime, so that they come in no order, and each once.
        let client = (number * 1_000 + n) * 7_368_787 % (REPORTS * 1_000);
        let first_s = NOW_S - 3_600 + 60 * sequence + n % 60;
        let version = u64::from(client.is_multiple_of(3));
        let row = json!({
            "key": format!("client-{client:08}"),
            "agent": format!("partner-sdk/{}.{}", client % 40, client % 7),
            "on": version, "counts": [[version, 9, 1, first_s, first_s + 50]],
        });
        let row = row.to_string();
        if text.len() + row.len() + 3 > CLIENTS_REPORT_BYTES_MAX {
            break;
        }
        text.extend((n > 0).then_some(','));
        text.push_str(&row);
    }
    text.push_str("]}");
    text.into_bytes()
}

/// A thousand of them, twice in each round.
fn reports(mut figures: Figures) -> Result<Figures, DriverError> {
    let document = json!({"clock": "wall", "policy": document()}).to_string().into_bytes();
    let start = Start { document, seed: 0, now_ms: NOW_S * 1_000 };
    let module = Module::builtin()?;
    for _ in 0..REPORT_ROUNDS {
        let (mut plugin, _) =
            Plugin::start(module.clone(), PluginOptions::default(), start.clone())?;
        for (sequence, to) in
            (1..).zip([&mut figures.reports_of_new_ms, &mut figures.reports_of_known_ms])
        {
            let all: Vec<_> = (0..REPORTS).map(|number| report(number, sequence)).collect();
            let started = ThreadTime::now();
            for report in &all {
                plugin.merge(report)?;
            }
            to.push(started.elapsed().as_secs_f64() * 1e3);
            // Of the last one it says the same as of all before.
            let said =
                String::from_utf8_lossy(plugin.merge(&report(REPORTS, sequence))?).into_owned();
            if !said.starts_with("{\"type\":\"report_clients_ok\"") {
                return Err(format!("the module should take a report in: {said}").into());
            }
        }
    }
    Ok(figures)
}

/// The module without a host of ours.
struct Bare {
    store: Store<()>,
    memory: Memory,
    room: usize,
    route: TypedFunc<(u32, u32), u32>,
    version: TypedFunc<(), u32>,
}

impl Bare {
    fn start(document: &[u8]) -> Result<Bare, DriverError> {
        let mut config = Config::new();
        config.epoch_interruption(true);
        let engine = Engine::new(&config)?;
        let module = wasmtime::Module::new(&engine, crossfade::module::BUILTIN_WASM)?;
        let mut store = Store::new(&engine, ());
        store.set_epoch_deadline(1);
        let instance = Instance::new(&mut store, &module, &[])?;
        let memory = instance.get_memory(&mut store, abi::MEMORY).ok_or("no memory")?;
        let input = instance.get_typed_func::<u32, u32>(&mut store, abi::INPUT)?;
        let init = instance.get_typed_func::<(u32, f64, u32, u32), u32>(&mut store, abi::INIT)?;
        let room = input.call(&mut store, document.len() as u32)? as usize;
        memory.write(&mut store, room, document)?;
        init.call(&mut store, (document.len() as u32, 0.0, 0, 0))?;
        let route = instance.get_typed_func(&mut store, abi::ROUTE)?;
        let version = instance.get_typed_func(&mut store, abi::VERSION)?;
        Ok(Bare { store, memory, room, route, version })
    }

    fn route(&mut self, key: &[u8]) -> Result<u32, DriverError> {
        self.memory.write(&mut self.store, self.room, key)?;
        Ok(self.route.call(&mut self.store, (key.len() as u32, 0))?)
    }
}

/// Thread CPU time of one call, in nanoseconds.
fn each(
    passes: usize,
    keys: &[&[u8]],
    mut call: impl FnMut(&[u8]) -> Result<(), DriverError>,
) -> Result<f64, DriverError> {
    let started = ThreadTime::now();
    for _ in 0..passes {
        for key in keys {
            call(key)?;
        }
    }
    Ok(started.elapsed().as_nanos() as f64 / (passes * keys.len()) as f64)
}

/// Steps of the rollout whose ticks are measured, and the minutes each of them lasts.
const STEPS: u64 = 20;
const STEP_MINUTES: u64 = 30;

/// How long the module takes to judge all gates: failures and latency against v1, and
/// both against a bound. One batch of reports every five seconds, then one tick.
fn ticks() -> Result<Vec<f64>, DriverError> {
    const TICK_MS: u64 = 5_000;
    let steps: Vec<_> = (1..=STEPS)
        .map(|step| json!({"percentage": step, "duration_minutes": STEP_MINUTES}))
        .collect();
    let document = json!({
        "api": "users", "versions": ["v1", "v2"], "key": {"header": "x-user-id"},
        "rollout": {"steps": steps},
        "gate": {
            "latency": {"slo_ms": 300, "quantile": 0.9}, "slo": {"max_failure_ratio": 0.05},
            "on_inconclusive": "advance",
        },
    });
    let init = json!({"clock": "wall", "policy": document}).to_string().into_bytes();
    let start = Start { document: init, seed: 0, now_ms: 0 };
    let (mut plugin, _) = Plugin::start(Module::builtin()?, PluginOptions::default(), start)?;
    plugin.handle(b"{\"type\":\"gradual_rollout\"}\n", 0)?;
    let outcome = |version: &str, ok: bool, latency_ms: u64, count: u64| json!({"version": version, "ok": ok, "latency_ms": latency_ms, "count": count});
    let report = json!({"type": "report_outcomes", "outcomes": [
        outcome("v1", true, 40, 900), outcome("v1", true, 120, 90), outcome("v1", false, 90, 10),
        outcome("v2", true, 40, 90), outcome("v2", true, 120, 9), outcome("v2", false, 90, 1),
    ]});
    let report = format!("{report}\n").into_bytes();
    let (mut ticks, end_ms) = (Vec::new(), STEPS * STEP_MINUTES * 60_000);
    for now_ms in (TICK_MS..end_ms).step_by(TICK_MS as usize) {
        plugin.handle(&report, now_ms)?;
        let started = ThreadTime::now();
        plugin.tick(now_ms)?;
        if now_ms > end_ms - STEP_MINUTES * 60_000 + TICK_MS {
            ticks.push(started.elapsed().as_nanos() as f64);
        }
    }
    let state = plugin.handle(b"{\"type\":\"get_rollout\"}\n", end_ms - 1)?;
    let state = String::from_utf8_lossy(state).into_owned();
    let last = format!("\"phase\":\"progressing\",\"step\":{STEPS},");
    match state.contains(&last) {
        true => Ok(ticks),
        false => Err(format!("the rollout should be in its last step: {state}").into()),
    }
}

fn census_bytes_per_client() -> f64 {
    let mut census = Census::new(1);
    for client in 0..CLIENTS_MAX {
        census.record(format!("customer-{client}").as_bytes(), Identity::Key, 0, 0);
    }
    census.memory_bytes() as f64 / census.len() as f64
}
