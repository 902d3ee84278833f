//! What a misbehaving guest costs: one error reply per guilty line, and nothing else.
//!
//! Some guests number the lines they serve: one that was lost, or served twice, changes
//! every number after it. The
//! engine counts its clients and draws chance for each line: so do those built on it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

mod support;

use std::time::Duration;

use crossfade::{Plugin, PluginError, PluginOptions};
use support::{builtin, guest_module, lines, plugin};

const POISON: &str =
    r#"{"src":"c1","dest":"n1","body":{"type":"get_users","msg_id":7,"user_id":"poison"}}"#;

fn good(count: usize) -> String {
    (1..=count)
        .map(|n| format!("{{\"type\":\"get_users\",\"msg_id\":{n},\"user_id\":\"u{n}\"}}\n"))
        .collect()
}

/// Short deadlines: a guest that loops is waited for.
fn impatient() -> PluginOptions {
    PluginOptions { call_deadline: Duration::from_millis(200), ..PluginOptions::default() }
}

/// The line that brings a guest down is the 1,501st of 3,000, after 1,000 others. Its
/// reply is the error, enveloped like the rest; all others, and the counts at the end,
/// are those of an engine that was asked to refuse that line.
fn check(guest: &str, options: PluginOptions, cause: &str) {
    let init = r#"{"src":"c0","dest":"n1","body":{"type":"init","msg_id":1,"node_id":"n1","node_ids":["n1"]}}"#;
    let refusal =
        r#"{"src":"c1","dest":"n1","body":{"type":"refuse","msg_id":7,"code":13,"text":"why"}}"#;
    let stats = r#"{"src":"c0","dest":"n1","body":{"type":"get_migration_stats","msg_id":2}}"#;
    let before = format!("{init}\n{}", requests(1000, "a"));
    let (first, second) = (requests(1500, "b"), requests(1499, "c"));
    let mut honest = builtin();
    let mut spoiled = plugin(guest, options);
    assert_eq!(
        lines(spoiled.handle(before.as_bytes(), 5).unwrap()),
        lines(honest.handle(before.as_bytes(), 5).unwrap()),
    );

    let batch = format!("{first}{POISON}\n{second}{stats}\n");
    let found = spoiled.handle(batch.as_bytes(), 9).unwrap().to_vec();
    let found = lines(&found);
    let batch = format!("{first}{refusal}\n{second}{stats}\n");
    let expected = honest.handle(batch.as_bytes(), 9).unwrap().to_vec();
    let expected = lines(&expected);
    assert_eq!(found.len(), 3001);
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        if index == 1500 {
            let (start, end) = expected.split_once("why").unwrap();
            let why = found.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
            let why = why.unwrap_or_else(|| panic!("{found} is not like {expected}"));
            assert!(why.starts_with("the engine trapped on this line: "), "{why}");
            assert!(why.ends_with("; it was replaced"), "{why}");
            assert!(why.contains(cause), "{why}");
        } else {
            assert_eq!(found, expected, "reply {index}");
        }
    }
    assert!(found[3000].contains("\"total_clients\":3999"), "{}", found[3000]);
    assert_eq!(spoiled.calls_lost(), 0);

    // The replacement is as good as new: it fails, and is replaced, just the same.
    spoiled.handle(format!("{POISON}\n{stats}\n").as_bytes(), 9).unwrap();
    honest.handle(format!("{refusal}\n{stats}\n").as_bytes(), 9).unwrap();
    assert_eq!(spoiled.restarts(), 4, "one for each batch, and one for each guilty line");
    assert!(spoiled.snapshot().unwrap() == honest.snapshot().unwrap(), "the same state");
}

fn requests(count: usize, clients: &str) -> String {
    (1..=count)
        .map(|n| {
            format!(
                "{{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{{\"type\":\"get_users\",\"msg_id\":{n},\
                 \"user_id\":\"{clients}{n}\"}},\"canary_percentage\":50}}\n"
            )
        })
        .collect()
}

#[test]
fn a_guest_that_panics_costs_one_line() {
    check("guest_panics", PluginOptions::default(), "this line is \\\"poison\\\"");
}

#[test]
fn a_guest_that_loops_costs_one_line() {
    check("guest_loops", impatient(), "no answer within 200ms");
}

#[test]
fn a_guest_that_grows_costs_one_line() {
    let options = PluginOptions { memory_bytes_max: 32 << 20, ..PluginOptions::default() };
    check("guest_grows", options, "of memory, the limit is 32 MiB");
}

#[test]
fn a_guest_that_recurses_costs_one_line() {
    check("guest_recurses", PluginOptions::default(), "");
}

#[test]
fn a_hundred_poisoned_lines_in_a_row_cost_a_hundred_replies() {
    let mut spoiled = plugin("guest_stumbles", PluginOptions::default());
    let batch = format!("{}{}{}", good(500), format!("{POISON}\n").repeat(100), good(500));
    let found = spoiled.handle(batch.as_bytes(), 0).unwrap().to_vec();
    let found = lines(&found);
    assert_eq!(found.len(), 1100);
    for (index, line) in found.iter().enumerate() {
        let kind = if (500..600).contains(&index) { "refused" } else { "counted" };
        assert_eq!(*line, format!("{{\"type\":\"{kind}\",\"n\":{},\"now_ms\":0}}", index + 1));
    }
}

/// The restore is from a snapshot, not only from the start: more is journalled here
/// than a journal holds.
#[test]
fn state_survives_snapshots_too() {
    let mut spoiled = plugin("guest_stumbles", PluginOptions::default());
    let batch = good(10_000);
    for round in 1..=20 {
        let replies = spoiled.handle(batch.as_bytes(), 0).unwrap();
        let last = lines(replies).last().copied().unwrap().to_owned();
        assert_eq!(last, format!("{{\"type\":\"counted\",\"n\":{},\"now_ms\":0}}", round * 10_000));
    }
    let reply = spoiled.handle(format!("{POISON}\n").as_bytes(), 0).unwrap();
    assert_eq!(lines(reply), [r#"{"type":"refused","n":200001,"now_ms":0}"#]);
}

#[test]
fn every_kind_of_call_is_replayed() {
    let mut spoiled = plugin("guest_stumbles", PluginOptions::default());
    assert_eq!(spoiled.route(b"user123", 0).unwrap().0, 7);
    spoiled.tick(1).unwrap();
    spoiled.merge(b"{}").unwrap();
    spoiled.handle(good(1).as_bytes(), 1).unwrap();
    assert_eq!(spoiled.totals().unwrap(), b"3 1");
    let reply = spoiled.handle(format!("{POISON}\n").as_bytes(), 2).unwrap();
    assert_eq!(lines(reply), [r#"{"type":"refused","n":4,"now_ms":2}"#]);
    assert_eq!(spoiled.snapshot().unwrap(), b"4 1");
}

#[test]
fn a_fault_outside_of_lines_is_an_error_and_no_more() {
    let mut spoiled = plugin("guest_stumbles", PluginOptions::default());
    spoiled.handle(good(3).as_bytes(), 0).unwrap();
    let word = spoiled.route(b"poison", 0).unwrap();
    assert_eq!(word.version(), None, "the key cannot be decided on the fast path");
    let error = spoiled.merge(POISON.as_bytes()).unwrap_err();
    assert!(matches!(error, PluginError::Fault(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("this line is \"poison\"") && text.contains("crossfade_merge"), "{text}");
    assert_eq!(spoiled.totals().unwrap(), b"3 0");
    assert_eq!(spoiled.restarts(), 2);
}

#[test]
fn a_batch_that_is_only_too_long_as_a_whole_is_answered_in_full() {
    let options =
        PluginOptions { call_deadline: Duration::from_millis(60), ..PluginOptions::default() };
    let mut slow = plugin("guest_dawdles", options);
    let replies = slow.handle(good(1000).as_bytes(), 0).unwrap().to_vec();
    assert_eq!(lines(&replies).len(), 1000);
    assert_eq!(lines(&replies)[999], r#"{"type":"counted","n":1000,"now_ms":0}"#);
    assert_eq!(slow.restarts(), 1, "the batch was meant to miss its deadline");
}

/// Asked to refuse the line it just fell over, this guest falls again: the host answers.
#[test]
fn a_guest_that_cannot_even_refuse_is_answered_for() {
    let mut stubborn = plugin("guest_stubborn", PluginOptions::default());
    let batch = format!("{}{POISON}\n{}", good(2), good(1));
    let replies = stubborn.handle(batch.as_bytes(), 0).unwrap().to_vec();
    let replies = lines(&replies);
    assert_eq!(replies.len(), 4);
    assert!(
        replies[2].starts_with(
            r#"{"type":"error","in_reply_to":7,"code":13,"text":"the engine trapped on this line: panicked at "#
        ) && replies[2].ends_with(r#" no; it was replaced"}"#),
        "{}",
        replies[2]
    );
    assert_eq!(replies[3], r#"{"type":"counted","n":3,"now_ms":0}"#, "state survived");
}

/// A snapshot that cannot be restored loses the state, says so, and ends nothing.
#[test]
fn a_snapshot_that_cannot_be_restored_leaves_an_engine_that_serves() {
    let mut amnesiac = plugin("guest_amnesiac", PluginOptions::default());
    amnesiac.handle(good(10).as_bytes(), 0).unwrap();
    amnesiac.snapshot().unwrap();
    amnesiac.handle(good(5).as_bytes(), 0).unwrap();
    let reply = amnesiac.handle(format!("{POISON}\n").as_bytes(), 0).unwrap();
    assert_eq!(lines(reply), [r#"{"type":"refused","n":1,"now_ms":0}"#]);
    assert_eq!(amnesiac.calls_lost(), 1, "the call after the snapshot");
}

#[test]
fn a_reload_keeps_the_state_and_a_bad_one_the_old_engine() {
    let mut counting = plugin("guest_counts", PluginOptions::default());
    counting.handle(good(10).as_bytes(), 0).unwrap();
    counting.reload(guest_module("guest_stumbles")).unwrap();
    let reply = counting.handle(format!("{POISON}\n").as_bytes(), 0).unwrap();
    assert_eq!(lines(reply), [r#"{"type":"refused","n":11,"now_ms":0}"#]);

    let error = counting.reload(guest_module("guest_amnesiac")).unwrap_err();
    assert!(error.to_string().contains("I remember nothing"), "{error}");
    let reply = counting.handle(good(1).as_bytes(), 0).unwrap();
    assert_eq!(lines(reply), [r#"{"type":"counted","n":12,"now_ms":0}"#]);
}

#[test]
fn a_state_that_is_none_is_refused_and_changes_nothing() {
    let mut counting = plugin("guest_counts", PluginOptions::default());
    counting.handle(good(10).as_bytes(), 0).unwrap();
    let error = counting.restore(b"nonsense").unwrap_err();
    assert!(error.to_string().contains("no count"), "{error}");
    assert_eq!(counting.totals().unwrap(), b"10 0");
    counting.restore(b"41 0").unwrap();
    assert_eq!(
        lines(counting.handle(good(1).as_bytes(), 0).unwrap())[0],
        r#"{"type":"counted","n":42,"now_ms":0}"#
    );
}

#[test]
fn a_memory_limit_below_what_a_module_starts_with_is_an_error() {
    let options = PluginOptions { memory_bytes_max: 1 << 20, ..PluginOptions::default() };
    let error = Plugin::start(guest_module("guest_counts"), options, Default::default());
    let text = error.map(drop).unwrap_err().to_string();
    assert!(text.contains("the limit is 1 MiB"), "{text}");
}
