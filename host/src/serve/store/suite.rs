//! What every store must do. Each implementation plays all of it.

use std::fmt::Debug;

use serde_json::json;
use serde_json::value::RawValue;

use super::{AuditRow, Checkpoint, Commit, EventRow, PolicyRow, Receipt, Store};
use crate::serve::calls::{Call, Calls};

/// Plays every case, each on a new store. `open` gives the store of that name: the same
/// name again is a second start on what the first one left.
pub(crate) fn play<S: Store + Debug>(mut open: impl FnMut(&str) -> S) {
    a_new_store_holds_nothing(open("new"));
    what_was_committed_is_there_after_a_second_start(|| open("second-start"));
    a_checkpoint_takes_the_place_of_the_calls_before_it(|| open("checkpoint"));
    lists_are_cut_where_they_are_asked_to_be(open("lists"));
    an_id_that_is_taken_is_refused_and_nothing_of_its_commit_is_kept(open("whole"));
    a_large_checkpoint_comes_back_as_it_was(|| open("large"));
    receipts_are_kept_with_their_act_until_a_checkpoint_leaves_them_out(|| open("receipts"));
}

pub(crate) fn calls(lines: &str) -> Calls {
    let mut calls = Calls::default();
    calls.push(Call::Handle { lines: lines.as_bytes(), now_ms: 5 });
    calls.push(Call::Tick { now_ms: 6 });
    calls
}

pub(crate) fn policy(revision: u64) -> PolicyRow {
    let (who, why) = ("alice".to_owned(), "more memory".to_owned());
    PolicyRow { revision, at_ms: 10 * revision, who, why, document: json!({ "api": "é" }) }
}

pub(crate) fn event(id: u64) -> EventRow {
    let body = RawValue::from_string(format!(r#"{{"type":"event","n":{id}}}"#)).unwrap();
    EventRow { id, at_ms: id, body }
}

pub(crate) fn act(id: u64) -> AuditRow {
    let (who, what) = ("bob".to_owned(), "pause".to_owned());
    AuditRow { id, at_ms: id, who, what, why: "lunch\n\"quoted\"".to_owned(), revision: 1 }
}

pub(crate) fn commit(at_ms: u64, lines: &str) -> Commit {
    Commit { at_ms, calls: calls(lines), ..Commit::default() }
}

pub(crate) fn state(bytes: usize) -> Checkpoint {
    let snapshot = (0..bytes).map(|place| (place * 31 % 251) as u8).collect();
    let (engine, module) = ("e5".to_owned(), Some(vec![0, 1]));
    Checkpoint { snapshot, engine, module, at_ms: 7, receipts: Vec::new() }
}

fn a_new_store_holds_nothing(mut store: impl Store) {
    let saved = store.load().unwrap();
    assert!(saved.checkpoint.is_none() && saved.calls.is_empty() && saved.policy.is_none());
    assert_eq!((saved.at_ms, saved.last_event, saved.last_audit), (0, 0, 0));
    assert!(store.events(0, 10).unwrap().is_empty());
    assert!(store.audit(0, 10).unwrap().is_empty());
    assert!(store.policies(u64::MAX, 10).unwrap().is_empty());
}

fn what_was_committed_is_there_after_a_second_start<S: Store>(mut open: impl FnMut() -> S) {
    let mut store = open();
    store.load().unwrap();
    let first = Commit {
        policy: Some(policy(3)),
        events: vec![event(1), event(2)],
        audit: vec![act(1)],
        ..commit(11, "a\n")
    };
    store.commit(&first).unwrap();
    store.commit(&commit(12, "b\n")).unwrap();
    // What a commit leaves out is not forgotten.
    store.commit(&Commit { at_ms: 13, events: vec![event(3)], ..Commit::default() }).unwrap();
    drop(store);

    let mut store = open();
    let saved = store.load().unwrap();
    assert_eq!(saved.calls, [calls("a\n"), calls("b\n")]);
    assert_eq!(saved.policy, Some(policy(3)));
    assert_eq!((saved.at_ms, saved.last_event, saved.last_audit), (12, 3, 1));
    let bodies = |rows: Vec<EventRow>| rows.iter().map(|r| r.body.get().to_owned()).collect();
    let all: Vec<String> = bodies(store.events(0, 10).unwrap());
    assert_eq!(all, bodies(vec![event(1), event(2), event(3)]));
    assert_eq!(store.audit(0, 10).unwrap(), [act(1)]);
    assert_eq!(store.policy().unwrap(), Some(policy(3)));
}

fn a_checkpoint_takes_the_place_of_the_calls_before_it<S: Store>(mut open: impl FnMut() -> S) {
    let mut store = open();
    store.load().unwrap();
    store.commit(&Commit { policy: Some(policy(1)), ..commit(1, "a\n") }).unwrap();
    store.checkpoint(&state(100)).unwrap();
    store.commit(&commit(9, "b\n")).unwrap();
    drop(store);

    let mut store = open();
    let saved = store.load().unwrap();
    assert_eq!(saved.checkpoint, Some(state(100)));
    assert_eq!(saved.calls, [calls("b\n")]);
    assert_eq!(saved.at_ms, 9);
    assert_eq!(saved.policy, Some(policy(1)), "policies outlive a checkpoint");
    store.checkpoint(&Checkpoint { module: None, ..state(10) }).unwrap();
    let saved = store.load().unwrap();
    assert_eq!(saved.checkpoint, Some(Checkpoint { module: None, ..state(10) }));
    assert!(saved.calls.is_empty());
    assert_eq!(saved.at_ms, 7);
}

fn lists_are_cut_where_they_are_asked_to_be(mut store: impl Store) {
    store.load().unwrap();
    for id in 1..=5 {
        let part = Commit {
            policy: Some(policy(id)),
            events: vec![event(id)],
            audit: vec![act(id)],
            ..commit(id, "x\n")
        };
        store.commit(&part).unwrap();
    }
    let ids: Vec<u64> = store.events(2, 2).unwrap().iter().map(|row| row.id).collect();
    assert_eq!(ids, [3, 4]);
    let mut before = |id, limit| -> Vec<u64> {
        store.audit_before(id, limit).unwrap().iter().map(|row| row.id).collect()
    };
    assert_eq!(before(i64::MAX as u64, 2), [4, 5], "the newest, in their order");
    assert_eq!((before(4, 2), before(4, 9)), (vec![2, 3], vec![1, 2, 3]));
    assert_eq!((before(1, 9), before(0, 9)), (vec![], vec![]));
    let ids: Vec<u64> = store.audit(3, 10).unwrap().iter().map(|row| row.id).collect();
    assert_eq!(ids, [4, 5]);
    let revisions: Vec<u64> =
        store.policies(4, 2).unwrap().iter().map(|row| row.revision).collect();
    assert_eq!(revisions, [4, 3]);
    assert!(store.events(5, 10).unwrap().is_empty());
}

fn an_id_that_is_taken_is_refused_and_nothing_of_its_commit_is_kept(mut store: impl Store) {
    store.load().unwrap();
    store.commit(&Commit { events: vec![event(1)], ..commit(1, "a\n") }).unwrap();
    let twice = Commit { events: vec![event(1)], audit: vec![act(1)], ..commit(2, "b\n") };
    assert!(store.commit(&twice).is_err());
    let saved = store.load().unwrap();
    assert_eq!(saved.calls, [calls("a\n")]);
    assert_eq!((saved.last_event, saved.last_audit), (1, 0));
    store.commit(&commit(3, "c\n")).unwrap();
    assert_eq!(store.load().unwrap().calls.len(), 2);
}

fn a_large_checkpoint_comes_back_as_it_was<S: Store>(mut open: impl FnMut() -> S) {
    let mut store = open();
    store.load().unwrap();
    // Several times what one message of a network store may hold.
    store.checkpoint(&state(5 << 20)).unwrap();
    drop(store);
    assert_eq!(open().load().unwrap().checkpoint, Some(state(5 << 20)));
}

fn receipt(n: u64) -> Receipt {
    let (who, key) = ("alice".to_owned(), format!("k-{n}"));
    let (request, reply) = ("5e".to_owned(), r#"{"é":"\n"}"#.to_owned());
    Receipt { at_ms: n, who, key, request, reply, revision: n }
}

fn receipts_are_kept_with_their_act_until_a_checkpoint_leaves_them_out<S: Store>(
    mut open: impl FnMut() -> S,
) {
    let mut store = open();
    store.load().unwrap();
    let with = |n: u64| Commit { receipts: vec![receipt(n)], ..commit(n, "a\n") };
    store.commit(&Commit { events: vec![event(1)], ..with(1) }).unwrap();
    store.commit(&with(2)).unwrap();
    // One that fails leaves none behind.
    assert!(store.commit(&Commit { events: vec![event(1)], ..with(3) }).is_err());
    drop(store);

    let mut store = open();
    assert_eq!(store.load().unwrap().receipts, [receipt(1), receipt(2)]);
    store.checkpoint(&Checkpoint { receipts: vec![receipt(2)], ..state(10) }).unwrap();
    store.commit(&with(4)).unwrap();
    drop(store);
    assert_eq!(open().load().unwrap().receipts, [receipt(2), receipt(4)]);
}
