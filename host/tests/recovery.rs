//! What a misbehaving guest costs: one error reply per guilty line, and nothing else.
//!
//! The guests number the lines they serve, so a line that was lost, or served twice,
//! changes every number after it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

mod support;

use std::time::Duration;

use crossfade::{Plugin, PluginError, PluginOptions};
use support::{guest_module, lines, plugin};

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

/// Serves 3,000 lines with a poisoned one in the middle, after 1,000 others, and
/// compares with the replies to the same lines without it.
fn check(guest: &str, options: PluginOptions) {
    let (before, first, second) = (good(1000), good(1500), good(1499));
    let mut honest = plugin("guest_counts", PluginOptions::default());
    let mut spoiled = plugin(guest, options);
    assert_eq!(
        lines(spoiled.handle(before.as_bytes(), 5).unwrap()),
        lines(honest.handle(before.as_bytes(), 5).unwrap()),
    );

    let batch = format!("{first}{POISON}\n{second}");
    let found = spoiled.handle(batch.as_bytes(), 9).unwrap().to_vec();
    // The honest guest is given the refusal that the host writes, in the same place.
    let refusal = r#"{"type":"refuse"}"#;
    let batch = format!("{first}{refusal}\n{second}");
    let expected = honest.handle(batch.as_bytes(), 9).unwrap();
    assert_eq!(lines(&found), lines(expected));
    assert_eq!(lines(&found)[1500], r#"{"type":"refused","n":2501,"now_ms":9}"#);
    assert_eq!(spoiled.calls_lost(), 0);

    // The replacement is as good as new: it fails, and is replaced, just the same.
    let again = spoiled.handle(format!("{POISON}\n{}", good(1)).as_bytes(), 9).unwrap();
    assert_eq!(
        lines(again),
        [r#"{"type":"refused","n":4001,"now_ms":9}"#, r#"{"type":"counted","n":4002,"now_ms":9}"#]
    );
    assert_eq!(spoiled.restarts(), 4, "one for each batch, and one for each guilty line");
}

#[test]
fn a_guest_that_panics_costs_one_line() {
    check("guest_panics", PluginOptions::default());
}

#[test]
fn a_guest_that_loops_costs_one_line() {
    check("guest_loops", impatient());
}

#[test]
fn a_guest_that_grows_costs_one_line() {
    check("guest_grows", PluginOptions { memory_bytes_max: 32 << 20, ..PluginOptions::default() });
}

#[test]
fn a_guest_that_recurses_costs_one_line() {
    check("guest_recurses", PluginOptions::default());
}

#[test]
fn a_hundred_poisoned_lines_in_a_row_cost_a_hundred_replies() {
    let mut spoiled = plugin("guest_panics", PluginOptions::default());
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
    let mut spoiled = plugin("guest_panics", PluginOptions::default());
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
    let mut spoiled = plugin("guest_panics", PluginOptions::default());
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
    let mut spoiled = plugin("guest_panics", PluginOptions::default());
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
    counting.reload(guest_module("guest_panics")).unwrap();
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
