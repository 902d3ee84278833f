//! What must always hold, on long random runs of the whole engine.
//!
//! Each run is drawn from one number, its seed. A failure names it, and the command
//! that plays just that run again:
//!
//! ```text
//! CROSSFADE_SEED=17 cargo test -p crossfade-tests --test invariants NAME
//! ```
//!
//! `CROSSFADE_RUNS` sets how many seeds, from 0, are tried without it.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test falls over")]

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crossfade_protocol::limits::{
    ATTRIBUTE_BYTES_MAX, ATTRIBUTES_MAX, EVENTS_MAX, KEY_BYTES_MAX, LINE_BYTES_MAX,
};
use crossfade_tests::driver::{Driver, Native, Wasm};
use serde_json::{Value, json};

/// Plays `run` for each seed; of a failure it prints how to see it again.
fn for_each_seed(name: &str, runs: u64, run: impl Fn(&mut Chance)) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match number("CROSSFADE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("CROSSFADE_RUNS").unwrap_or(runs),
    };
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(&mut Chance(seed)))) {
            eprintln!(
                "seed {seed}; again: CROSSFADE_SEED={seed} cargo test -p crossfade-tests --test invariants {name}"
            );
            resume_unwind(panic);
        }
    }
}

/// Numbers from a seed (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// 0 to `n - 1`.
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn of<'t, T>(&mut self, list: &'t [T]) -> &'t T {
        &list[self.below(list.len() as u64) as usize]
    }

    fn steps(&mut self, from_buckets: u64) -> Vec<(f64, u64)> {
        let mut buckets = from_buckets;
        let mut steps = Vec::new();
        for _ in 0..=self.below(4) {
            buckets = (buckets + 1 + self.below(3_000)).min(10_000);
            steps.push((buckets as f64 / 100.0, self.below(30)));
        }
        steps
    }
}

fn steps_json(steps: &[(f64, u64)]) -> Value {
    let step = |(percentage, minutes): &(f64, u64)| json!({"percentage": percentage, "duration_minutes": minutes});
    steps.iter().map(step).collect()
}

fn plan(chance: &mut Chance) -> Value {
    let mut plan = json!({"api": "users", "versions": ["v1", "v2"], "key": {"header": "x",
        "on_missing_key": *chance.of(&["stable", "random"])}});
    match chance.below(3) {
        0 => plan["canary_percentage"] = json!(chance.below(10_001) as f64 / 100.0),
        1 => plan["split"] = json!({"v1": chance.below(9), "v2": 1 + chance.below(9)}),
        _ => {
            plan["rules"] = json!([{"name": "r", "when": {"attribute": "a", "equals": chance.below(3)}, "split": {"v1": 1, "v2": 1}}])
        }
    }
    if chance.below(3) == 0 {
        plan["guard"] = json!({"max_failure_ratio": 0.5, "min_requests": 20});
    }
    if chance.below(3) == 0 {
        plan["pins"] = json!({"u1": "v2", "u2": "v1"});
    }
    plan["sticky"] = json!(chance.below(4) > 0);
    plan["gate"] = json!({"on_inconclusive": *chance.of(&["hold", "advance"])});
    plan
}

/// One line of any kind, right or wrong.
fn line(chance: &mut Chance) -> Vec<u8> {
    let user = format!("u{}", chance.below(30));
    let body = match chance.below(24) {
        0..=6 => json!({"type": "get_users", "user_id": user}),
        7 => json!({"type": "get_users", "canary_percentage": chance.below(101)}),
        8 => {
            json!({"type": "get_users", "traffic_split": {"v1": 1 + chance.below(5), "v2": chance.below(5)}})
        }
        9 => json!({"type": "route", "key": user, "attributes": {"a": chance.below(4)}}),
        10 => json!({"type": "route", "canary_percentage": 50}),
        11 => {
            let by = |chance: &mut Chance| {
                json!({"version": *chance.of(&["v1", "v2"]), "ok": chance.below(3) > 0,
                    "user_id": format!("u{}", chance.below(30))})
            };
            let outcomes: Value = (0..1 + chance.below(40)).map(|_| by(chance)).collect();
            json!({"type": "report_outcomes", "outcomes": outcomes})
        }
        12 => json!({"type": "report_outcomes", "outcomes": [
            {"version": *chance.of(&["v1", "v2", "v2", "v3"]), "ok": chance.below(3) > 0, "count": 1 + chance.below(30), "latency_ms": chance.below(900)}]}),
        13 => json!({"type": "get_migration_stats", "window_ms": chance.below(3_000_000)}),
        14 => json!({"type": "get_clients", "limit": chance.below(9)}),
        15 => {
            let steps = chance.steps(0);
            json!({"type": "gradual_rollout", "steps": steps_json(&steps), "gate": {"on_inconclusive": *chance.of(&["hold", "advance"])}})
        }
        16..=18 => {
            json!({"type": *chance.of(&["pause_rollout", "resume_rollout", "promote_rollout", "abort_rollout", "retry_rollout", "undo_rollout"])})
        }
        19 => json!({"type": "configure", "document": plan(chance)}),
        20 => {
            json!({"type": *chance.of(&["get_config", "get_rollout", "explain_rollout", "get_sunset"])})
        }
        21 => json!({"type": "explain", "key": user, "traffic_split": {"v1": 1, "v2": 1}}),
        22 if chance.below(8) == 0 => json!({"type": "init", "node_id": "n"}),
        _ => {
            let broken: [&[u8]; 6] =
                [b"", b" \t\r", b"{\"type\":", b"\xff", b"[]", b"\xef\xbb\xbf{\"type\":\"nope\"}"];
            return broken[chance.below(6) as usize].to_vec();
        }
    };
    let mut body = body;
    if chance.below(4) > 0 {
        body["msg_id"] = json!(chance.next());
    }
    let message = match chance.below(3) {
        0 => body,
        _ => json!({"src": format!("c{}", chance.below(5)), "dest": "n", "body": body}),
    };
    message.to_string().into_bytes()
}

/// What is done with an engine, at a time.
enum Act {
    Lines(Vec<Vec<u8>>),
    Tick,
    Route(String, u32),
}

fn acts(chance: &mut Chance) -> Vec<(u64, Act)> {
    let mut now_ms = 1_700_000_000_000;
    let acts = (0..10 + chance.below(30)).map(|_| {
        now_ms += chance.below(4) * chance.below(1_200_000);
        let act = match chance.below(6) {
            0 => Act::Tick,
            1 => Act::Route(format!("u{}", chance.below(30)), chance.next() as u32),
            _ => Act::Lines((0..1 + chance.below(12)).map(|_| line(chance)).collect()),
        };
        (now_ms, act)
    });
    acts.collect()
}

/// Every byte that comes back, and the state in the end. `interrupt` may cut a block in
/// two after any line, and have another engine take over after any call.
fn play(
    driver: &mut dyn Driver,
    init: &[u8],
    seed: u64,
    acts: &[(u64, Act)],
    mut interrupt: impl FnMut() -> (bool, bool),
) -> (Vec<u8>, Vec<u8>) {
    let mut out = driver.start(init, acts[0].0, seed).unwrap();
    for (now_ms, act) in acts {
        let mut take_over = false;
        match act {
            Act::Lines(lines) => {
                let mut block = Vec::new();
                for line in lines {
                    block.extend_from_slice(line);
                    block.push(b'\n');
                    let (cut, reload) = interrupt();
                    take_over = reload;
                    if cut {
                        out.extend(driver.handle(&block, *now_ms).unwrap());
                        block.clear();
                        if reload {
                            restart(driver, init, *now_ms);
                        }
                    }
                }
                out.extend(driver.handle(&block, *now_ms).unwrap());
            }
            Act::Tick => out.extend(driver.tick(*now_ms).unwrap()),
            Act::Route(key, draw) => {
                let word = driver.route(key.as_bytes(), *draw).unwrap();
                out.extend_from_slice(format!("{:08x}\n", word.0).as_bytes());
            }
        }
        if take_over || interrupt().1 {
            restart(driver, init, *now_ms);
        }
    }
    let state = driver.snapshot().unwrap();
    (out, state)
}

/// A fresh engine, of another seed, goes on from a snapshot. Its clock is its own.
fn restart(driver: &mut dyn Driver, init: &[u8], now_ms: u64) {
    let snapshot = driver.snapshot().unwrap();
    driver.start(init, now_ms, 0xDEAD_BEEF).unwrap();
    driver.restore(&snapshot).unwrap();
}

fn init(chance: &mut Chance) -> Vec<u8> {
    let mut document = json!({"clock": *chance.of(&["virtual", "wall"])});
    if chance.below(2) == 0 {
        document["policy"] = plan(chance);
    }
    document.to_string().into_bytes()
}

fn same(what: &str, once: &(Vec<u8>, Vec<u8>), again: &(Vec<u8>, Vec<u8>)) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let pairs = [("answers", &once.0, &again.0), ("state", &once.1, &again.1)];
    for (part, once, again) in pairs {
        if once == again {
            continue;
        }
        let (once, again) = (text(once), text(again));
        let differ = once.lines().zip(again.lines()).find(|(a, b)| a != b);
        panic!("{what}: other {part}: {differ:?}");
    }
}

/// Invariant 1: the same messages, times and seed give the same bytes on every build,
/// wherever blocks are cut and whenever another engine takes over.
#[test]
fn the_same_input_gives_the_same_bytes_however_it_is_cut() {
    let wasm = RefCell::new(Wasm::new().unwrap());
    for_each_seed("the_same_input", 60, |chance| {
        let (init, seed) = (init(chance), chance.next());
        let acts = acts(chance);
        let native = &mut Native::new();
        let whole = || (false, false);
        let once = play(native, &init, seed, &acts, whole);
        assert!(!once.0.is_empty());
        same("played again", &once, &play(native, &init, seed, &acts, whole));
        same("line by line", &once, &play(native, &init, seed, &acts, || (true, false)));
        same(
            "taken over after every line",
            &once,
            &play(native, &init, seed, &acts, || (true, true)),
        );
        let mut anywhere = || (chance.below(3) == 0, chance.below(5) == 0);
        same("cut anywhere", &once, &play(native, &init, seed, &acts, &mut anywhere));
        let wasm = &mut *wasm.borrow_mut();
        same("as wasm", &once, &play(wasm, &init, seed, &acts, whole));
        same("as wasm, cut anywhere", &once, &play(wasm, &init, seed, &acts, &mut anywhere));
    });
}

const KEYS: usize = 400;

fn exposed(driver: &mut Native, now_ms: u64) -> (u64, Vec<bool>) {
    let ask = |driver: &mut Native, line: Value| -> Value {
        let out = driver.handle(line.to_string().as_bytes(), now_ms).unwrap();
        serde_json::from_slice(&out).unwrap()
    };
    let state = ask(driver, json!({"type": "get_rollout"}));
    let buckets = (state["percentage"].as_f64().unwrap() * 100.0).round() as u64;
    let on_new = |i| {
        let reply = ask(driver, json!({"type": "get_users", "user_id": format!("key-{i}")}));
        reply["version"] == "v2"
    };
    (buckets, (0..KEYS).map(on_new).collect())
}

/// Invariant 2: whatever commands, evidence and time do to a rollout, a larger share
/// takes no client back and a smaller one exposes none; and the share is what
/// `get_rollout` says.
#[test]
fn clients_move_only_the_way_the_share_does() {
    for_each_seed("clients_move", 40, |chance| {
        let salt = format!("s{}", chance.below(5));
        let before = chance.below(3_000);
        let init = json!({"clock": *chance.of(&["virtual", "wall"]), "policy": {
            "api": "users", "versions": ["v1", "v2"], "key": {"header": "x"}, "salt": salt,
            "canary_percentage": before as f64 / 100.0}});
        let mut driver = Native::new();
        driver.start(init.to_string().as_bytes(), 0, chance.next()).unwrap();
        let mut now_ms = 0;
        let mut last = exposed(&mut driver, now_ms);
        assert_eq!(last.0, before);
        let mut moves = 0;
        for _ in 0..40 {
            now_ms += chance.below(20) * 60_000;
            let message = match chance.below(10) {
                0 | 1 => {
                    json!({"type": "gradual_rollout", "steps": steps_json(&chance.steps(0)), "gate": {"on_inconclusive": *chance.of(&["hold", "advance"])}})
                }
                2 => json!({"type": "report_outcomes", "outcomes": [
                    {"version": "v1", "ok": true, "count": 500},
                    {"version": "v2", "ok": chance.below(6) > 0, "count": 200}]}),
                3 => json!({"type": "promote_rollout", "full": chance.below(4) == 0}),
                4 => json!({"type": "abort_rollout"}),
                5 => json!({"type": "retry_rollout"}),
                6 => json!({"type": "undo_rollout"}),
                7 => json!({"type": *chance.of(&["pause_rollout", "resume_rollout"])}),
                _ => {
                    driver.tick(now_ms).unwrap();
                    json!({"type": "get_rollout"})
                }
            };
            driver.handle(message.to_string().as_bytes(), now_ms).unwrap();
            let next = exposed(&mut driver, now_ms);
            for key in 0..KEYS {
                let (was, is) = (last.1[key], next.1[key]);
                assert!(next.0 < last.0 || !was || is, "{message}: key-{key} went back");
                assert!(next.0 > last.0 || was || !is, "{message}: key-{key} was exposed");
            }
            let count = next.1.iter().filter(|on| **on).count();
            let expected = KEYS as f64 * next.0 as f64 / 10_000.0;
            // Six standard deviations of a binomial count.
            let slack = 6.0 * (expected * (1.0 - next.0 as f64 / 10_000.0)).max(1.0).sqrt();
            assert!((count as f64 - expected).abs() <= slack, "{count} of {KEYS} at {}", next.0);
            moves += u32::from(next.0 != last.0);
            last = next;
        }
        assert!(moves > 0, "a run in which nothing moved shows nothing");
    });
}

/// Bytes of the whole state.
fn state_bytes(driver: &mut Native) -> usize {
    driver.snapshot().unwrap().len()
}

/// Invariant 6: hostile lines, keys and attributes leave nothing behind but clients,
/// and of those no more bytes than their keys have.
#[test]
fn hostile_input_leaves_nothing_behind_but_clients() {
    for_each_seed("hostile_input", 12, |chance| {
        let mut driver = Native::new();
        let policy = json!({"clock": "wall", "policy": {"api": "a", "versions": ["v1", "v2"],
            "key": {"header": "x"}, "canary_percentage": 50,
            "rules": [{"name": "r", "when": {"attribute": "a0", "prefix": "zz"}, "to": "v2"}]}});
        driver.start(policy.to_string().as_bytes(), 0, 1).unwrap();
        let empty = state_bytes(&mut driver);
        let (mut accepted, mut key_bytes) = (0, 0);
        for i in 0..300 {
            let long = |chance: &mut Chance, max: usize| {
                let length = *chance.of(&[1, max / 2, max - 1, max, max + 1, 2 * max]);
                let mut text = format!("{i}-");
                text.extend(std::iter::repeat_n('x', length.saturating_sub(text.len())));
                text
            };
            let count = *chance.of(&[0, 1, ATTRIBUTES_MAX as u64, ATTRIBUTES_MAX as u64 + 1, 500]);
            let attributes: serde_json::Map<String, Value> = (0..count)
                .map(|n| {
                    (
                        format!("a{n}"),
                        long(chance, if n == 0 { ATTRIBUTE_BYTES_MAX } else { 8 }).into(),
                    )
                })
                .collect();
            let key = long(chance, KEY_BYTES_MAX);
            let line = match chance.below(5) {
                0 => json!({"type": "get_users", "user_id": key}),
                1 => json!({"src": key, "dest": "n", "body": {"type": "get_users"}}),
                2 => json!({"type": long(chance, 5_000), "user_id": key}),
                3 => json!({"type": "get_users", "user_id": key, "junk": "y".repeat(50_000)}),
                _ => json!({"type": "route", "key": key, "attributes": attributes}),
            };
            let answer = driver.handle(line.to_string().as_bytes(), 0).unwrap();
            assert!(answer.len() < 4_000, "{} bytes of answer", answer.len());
            if !answer.starts_with(b"{\"type\":\"error\"") {
                accepted += 1;
                key_bytes += key.len();
            }
        }
        let junk = "j".repeat(LINE_BYTES_MAX + 1);
        let answer = driver.handle(junk.as_bytes(), 0).unwrap();
        assert!(answer.len() < 200);
        assert!(accepted > 20, "{accepted} of 300 lines were served");
        // A client costs its key and 12 bytes; that somebody was served is noted, too.
        let full = state_bytes(&mut driver);
        assert!(full <= empty + 64 + key_bytes + accepted * 12, "from {empty} to {full} bytes");
    });
}

/// Invariant 6: what operators do is remembered up to a limit, too.
#[test]
fn commands_without_end_leave_a_bounded_history() {
    let mut driver = Native::new();
    driver.start(br#"{"clock":"wall"}"#, 0, 1).unwrap();
    let cycle = br#"{"type":"gradual_rollout","steps":[{"percentage":10,"duration_minutes":1}]}"#;
    driver.handle(cycle, 0).unwrap();
    let round = b"{\"type\":\"pause_rollout\"}\n{\"type\":\"resume_rollout\"}\n";
    driver.handle(&round.repeat(EVENTS_MAX), 0).unwrap();
    let full = state_bytes(&mut driver);
    driver.handle(&round.repeat(EVENTS_MAX), 0).unwrap();
    let fuller = state_bytes(&mut driver);
    assert!(fuller <= full + 64, "the state grew from {full} to {fuller} bytes");
    let events = driver.tick(0).unwrap();
    assert_eq!(events.iter().filter(|byte| **byte == b'\n').count(), EVENTS_MAX + 1);
    assert!(events.starts_with(br#"{"type":"event","event":"events_dropped","count":"#));
    assert!(state_bytes(&mut driver) < full / 2, "taken events are gone");
}
