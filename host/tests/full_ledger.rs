//! As many clients as a plan may ask for, in the real module: they are kept, saved, and read
//! again by another one, within the memory and the time that an instance has.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

mod support;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crossfade::{Plugin, PluginOptions, Start};
use crossfade_protocol::limits::{CLIENTS_NATIVE_MAX, LEDGER_BYTES_MAX};
use serde_json::Value;
use support::builtin_module;

const NOW_MS: u64 = 1_800_000_000_000;

/// A call may take ten times as long as usual: other tests run on the same machine. What it
/// took is printed.
fn patient() -> Plugin {
    let call_deadline = Duration::from_secs(10);
    let options = PluginOptions { call_deadline, ..PluginOptions::default() };
    Plugin::start(builtin_module(), options, Start::default()).unwrap().0
}

fn fill(keys_of_bytes: usize, clients: u64) {
    let mut plugin = patient();
    let configure = format!(
        r#"{{"type":"configure","document":{{"api":"users","versions":["v1","v2"],"key":{{"header":"k"}},"clients":{{"limit":{CLIENTS_NATIVE_MAX}}}}}}}"#
    );
    let configured = plugin.handle(format!("{configure}\n").as_bytes(), NOW_MS).unwrap();
    assert!(configured.starts_with(b"{\"type\":\"configure_ok\""));
    let digits = keys_of_bytes - 7;
    let key = |n: u64| format!("client-{n:0>digits$}");
    let mut slowest = Duration::ZERO;
    // What an edge sends: 64 KB.
    let at_once = 65_536 / (keys_of_bytes as u64 + 64);
    for (sequence, first) in (0..clients).step_by(at_once as usize).enumerate() {
        let mut report = format!(
            r#"{{"node":"edge","epoch":"1","sequence":{},"revision":1,"versions":["v1","v2"],"clients":["#,
            sequence + 1
        );
        for n in first..clients.min(first + at_once) {
            let comma = if n > first { "," } else { "" };
            let at_s = NOW_MS / 1000 - n % 86_400;
            write!(
                report,
                r#"{comma}{{"key":"{}","on":{},"counts":[[{},3,1,{at_s},{at_s}]]}}"#,
                key(n),
                n % 2,
                n % 2
            )
            .unwrap();
        }
        report.push_str("]}");
        let begun = Instant::now();
        let taken = plugin.merge(report.as_bytes()).unwrap();
        assert!(taken.starts_with(b"{\"type\":\"report_clients_ok\""));
        slowest = slowest.max(begun.elapsed());
    }
    let said = |plugin: &mut Plugin, message: &str| {
        let answer = plugin.handle(format!("{message}\n").as_bytes(), NOW_MS).unwrap().to_vec();
        serde_json::from_slice::<Value>(&answer).unwrap()
    };
    let stats = said(&mut plugin, r#"{"type":"get_migration_stats"}"#);
    let fits = clients <= CLIENTS_NATIVE_MAX
        && clients * (keys_of_bytes as u64 + 41) <= LEDGER_BYTES_MAX as u64;
    assert_eq!(stats["clients_sampled"], if fits { Value::Null } else { true.into() }, "{stats}");
    if fits {
        assert_eq!(stats["total_clients"], clients);
    }
    // Before a tick has looked at anybody.
    let begun = Instant::now();
    let sunset = said(&mut plugin, r#"{"type":"get_sunset"}"#);
    assert_eq!(sunset["type"], "sunset", "{sunset}");
    let asked = begun.elapsed();
    plugin.tick(NOW_MS + 60_000).unwrap();
    let saved = plugin.snapshot().unwrap().to_vec();
    println!(
        "{clients} clients with keys of {keys_of_bytes} bytes: {} bytes, the slowest report took {slowest:?}, get_sunset {asked:?}",
        saved.len()
    );

    let mut other = patient();
    other.restore(&saved).unwrap();
    assert!(other.snapshot().unwrap() == saved, "the same state");
    assert_eq!(said(&mut other, r#"{"type":"get_migration_stats"}"#), stats);
    // Over what it has already, as a reload does.
    other.restore(&saved).unwrap();
    assert_eq!((plugin.restarts(), other.restarts(), other.calls_lost()), (0, 0, 0));
}

#[test]
#[ignore = "takes a minute and two gigabytes: `cargo test -p crossfade --test full_ledger -- --ignored`"]
fn as_many_clients_as_a_plan_may_ask_for_are_kept_saved_and_read_again() {
    fill(24, CLIENTS_NATIVE_MAX);
}

#[test]
#[ignore = "takes a minute and two gigabytes: `cargo test -p crossfade --test full_ledger -- --ignored`"]
fn more_clients_make_it_a_sample_and_not_a_crash() {
    fill(24, CLIENTS_NATIVE_MAX + 10_000);
}

#[test]
#[ignore = "takes a minute and two gigabytes: `cargo test -p crossfade --test full_ledger -- --ignored`"]
fn keys_as_long_as_they_may_be_make_it_a_sample_and_not_a_crash() {
    fill(1024, CLIENTS_NATIVE_MAX / 8);
}
