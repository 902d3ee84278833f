//! With real servers. What is shown: both numbers of servers do what every store must; a
//! leader that another one followed writes nothing more, whatever it believes; and what
//! was acknowledged is there after servers were killed.

mod failures;
mod nodes;
#[allow(dead_code, reason = "other tests use the rest of it")]
mod servers;

use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::connect::{Access, Address};
use super::*;
use crate::serve::store::suite::{self, act, calls, commit, event, policy, state};
use servers::{DEADLINE, Servers};

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn access(url: &str) -> Access {
    Access { address: Address::parse(url).unwrap(), login: None, ca: None }
}

fn options(url: &str, api: &str, address: &str) -> NatsOptions {
    NatsOptions { access: access(url), api: api.to_owned(), address: address.to_owned() }
}

/// A store of this API on these servers, which may lead or not.
fn open(servers: &Servers, runtime: &Runtime, api: &str, address: &str) -> Nats {
    let options = options(&servers.url("controller"), api, address);
    Nats::open(options, runtime.handle().clone()).unwrap()
}

/// Tries again until it gives something.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(since.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn lead(store: &mut Nats) {
    until("the lead", || (store.try_lead().unwrap() == Lead::Ours).then_some(()));
}

fn leader(servers: &Servers, runtime: &Runtime, api: &str) -> Nats {
    let mut store = open(servers, runtime, api, "http://a");
    lead(&mut store);
    store
}

#[test]
fn one_server_does_what_every_store_must() {
    let (servers, runtime) = (Servers::one(), runtime());
    suite::play(|name| leader(&servers, &runtime, name));
}

#[test]
fn three_servers_do_what_every_store_must() {
    let (servers, runtime) = (Servers::three(), runtime());
    suite::play(|name| leader(&servers, &runtime, name));
    let store = open(&servers, &runtime, "new", "http://a");
    assert_eq!(store.streams.log.cached_info().config.num_replicas, 3);
}

#[test]
fn a_leader_that_another_followed_is_refused_by_the_log_itself() {
    let (servers, runtime) = (Servers::one(), runtime());
    let mut old = leader(&servers, &runtime, "users");
    old.load().unwrap();
    old.commit(&commit(1, "a\n")).unwrap();

    // The lease is still with the old one, and it believes so.
    let mut new = open(&servers, &runtime, "users", "http://b");
    assert_eq!(new.take_over().unwrap().calls, [calls("a\n")]);
    let late = commit(2, "b\n");
    let entry = CommitHead::of(&late, 0).entry(&late.calls).unwrap();
    let error = runtime.block_on(old.log.append(&entry)).unwrap_err();
    assert!(matches!(error, StoreError::Superseded), "{error}");
    let error = runtime.block_on(old.log.append(&entry)).unwrap_err();
    assert!(error.to_string().contains("has to be read again first"), "{error}");
    assert!(old.commit(&late).is_err());

    let saved = old.load().unwrap();
    assert_eq!(saved.calls, [calls("a\n")], "what was refused is nowhere");
    old.commit(&commit(3, "c\n")).unwrap();
    assert_eq!(old.load().unwrap().calls.len(), 2);
}

#[test]
fn the_lease_goes_to_one_at_a_time_and_back_when_its_holder_ends() {
    let (servers, runtime) = (Servers::one(), runtime());
    let mut first = leader(&servers, &runtime, "users");
    let mut second = open(&servers, &runtime, "users", "http://b");
    let others = Lead::Others { address: Some("http://a".to_owned()) };
    assert_eq!(second.try_lead().unwrap(), others);
    assert!(matches!(second.load(), Err(StoreError::Superseded)));
    assert!(matches!(second.commit(&Commit::default()), Err(StoreError::Superseded)));
    first.load().unwrap();
    let (stream, key) = (first.streams.lease.clone(), first.names.lease_key());
    drop(first);
    // It was given back, not waited for.
    let value = runtime.block_on(stream.get_last_raw_message_by_subject(&key));
    let value = value.map(|message| message.payload).unwrap_or_default();
    assert!(!value.windows(8).any(|part| part == b"http://a"), "{value:?}");
    lead(&mut second);
    second.load().unwrap();
}

#[test]
fn what_an_earlier_leader_could_not_copy_or_drop_the_next_one_does() {
    let (servers, runtime) = (Servers::one(), runtime());
    let mut store = leader(&servers, &runtime, "users");
    store.load().unwrap();
    for id in 1..=3 {
        // As if it died between the log's answer and everything after.
        let facts = Commit { events: vec![event(id)], audit: vec![act(id)], ..commit(id, "a\n") };
        let facts = Commit { policy: Some(policy(id)), ..facts };
        let entry = CommitHead::of(&facts, 0).entry(&facts.calls).unwrap();
        runtime.block_on(store.log.append(&entry)).unwrap();
    }
    let head = CheckpointHead { last_event: 3, last_audit: 3, ..CheckpointHead::default() };
    let state = Checkpoint { module: None, ..state(100) };
    let entry = head.entry(&state).unwrap();
    let seq = runtime.block_on(store.log.append(&entry)).unwrap();

    store.load().unwrap();
    let ids: Vec<u64> = store.events(0, 9).unwrap().iter().map(|row| row.id).collect();
    assert_eq!(ids, [1, 2, 3]);
    assert_eq!(store.audit(0, 9).unwrap(), [act(1), act(2), act(3)]);
    assert_eq!(store.policies(2, 9).unwrap(), [policy(2), policy(1)]);
    let info = runtime.block_on(store.streams.log.get_info()).unwrap();
    assert_eq!(info.state.first_sequence, seq, "the log is cut where the state begins");
}

#[test]
fn streams_that_do_not_fit_each_other_are_refused() {
    let (servers, runtime) = (Servers::one(), runtime());
    let mut store = leader(&servers, &runtime, "users");
    store.load().unwrap();
    let facts = Commit { events: vec![event(1)], audit: vec![act(1)], ..commit(1, "a\n") };
    store.commit(&facts).unwrap();
    store.events(0, 1).unwrap();
    runtime.block_on(async { store.streams.log.purge().await }).unwrap();
    let error = store.load().unwrap_err().to_string();
    assert!(error.contains("empty log that was not"), "{error}");

    runtime.block_on(store.context.delete_stream(store.names.log_stream())).unwrap();
    drop(store);
    let error = leader(&servers, &runtime, "users").load().unwrap_err().to_string();
    assert!(error.contains("do not fit each other") && error.contains("event 0"), "{error}");
}

#[test]
fn what_no_message_can_hold_is_cut_but_for_a_policy() {
    let (servers, runtime) = (Servers::one(), runtime());
    let mut store = leader(&servers, &runtime, "users");
    store.load().unwrap();
    let large = "x".repeat(3 << 20);
    store.commit(&commit(1, &large)).unwrap();
    let document = serde_json::json!({ "api": &large[..1 << 20] });
    let wide = PolicyRow { document, ..policy(1) };
    let said = store.commit(&Commit { policy: Some(wide), ..commit(2, "b\n") }).unwrap_err();
    assert!(said.to_string().contains("raise `max_payload`"), "{said}");
    assert_eq!(store.load().unwrap().calls, [calls(&large)]);
    store.commit(&commit(3, "c\n")).unwrap();
}

#[test]
fn totals_reach_the_leader_and_again_the_next_one_until_a_commit_held_them() {
    let (servers, runtime) = (Servers::one(), runtime());
    let mut first = leader(&servers, &runtime, "users");
    first.load().unwrap();
    let mut standby = open(&servers, &runtime, "users", "http://b");
    let line = |node: &str, sequence: u64| {
        format!(r#"{{"node":"{node}","epoch":"a1","sequence":{sequence}}}"#)
    };
    standby.forward(format!("{}\n\n{}\n", line("n1", 1), line("n.2", 1)).as_bytes()).unwrap();
    let arrive = |store: &mut Nats, count: usize| {
        let mut lines = Vec::new();
        until("totals", || {
            lines.extend(store.incoming(1).unwrap());
            (lines.len() >= count).then_some(())
        });
        lines.into_iter().map(|line| String::from_utf8(line).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(arrive(&mut first, 2), [line("n1", 1), line("n.2", 1)]);

    // It dies with them: the next one gets them again, and those that came since.
    drop(first);
    standby.forward(line("n3", 1).as_bytes()).unwrap();
    lead(&mut standby);
    standby.load().unwrap();
    assert_eq!(arrive(&mut standby, 3), [line("n1", 1), line("n.2", 1), line("n3", 1)]);
    standby.commit(&commit(1, "a\n")).unwrap();
    standby.forward(line("n1", 2).as_bytes()).unwrap();
    assert_eq!(arrive(&mut standby, 1), [line("n1", 2)]);
    standby.load().unwrap();
    assert_eq!(arrive(&mut standby, 1), [line("n1", 2)], "what a commit held is not there again");

    let error = standby.forward(b"{}\n").unwrap_err().to_string();
    assert!(error.contains("line 1 of the totals names no node"), "{error}");
}

#[test]
fn no_report_of_clients_takes_the_place_of_another_or_of_totals() {
    let (servers, runtime) = (Servers::one(), runtime());
    let mut standby = open(&servers, &runtime, "users", "http://b");
    let totals = |sequence: u64| format!(r#"{{"node":"n","epoch":"a1","sequence":{sequence}}}"#);
    let clients = |sequence: u64| {
        format!(r#"{{"node":"n","epoch":"a1","sequence":{sequence},"clients":[]}}"#)
    };
    let lines = [totals(1), clients(1), clients(2), totals(2)];
    // While nobody leads; the network brings the first ones again, and late.
    standby.forward(lines.join("\n").as_bytes()).unwrap();
    standby.forward(clients(1).as_bytes()).unwrap();
    lead(&mut standby);
    standby.load().unwrap();
    standby.forward(totals(3).as_bytes()).unwrap();
    let mut arrived: Vec<Vec<u8>> = Vec::new();
    until("reports", || {
        arrived.extend(standby.incoming(1).unwrap());
        arrived.last().is_some_and(|line| *line == totals(3).as_bytes()).then_some(())
    });
    arrived.retain(|line| *line != totals(3).as_bytes() && *line != totals(2).as_bytes());
    let arrived: Vec<_> = arrived.iter().map(|line| String::from_utf8_lossy(line)).collect();
    assert_eq!(arrived, lines[1..3]);
}

#[test]
fn each_report_of_clients_reaches_the_leader_and_goes_when_a_commit_held_it() {
    let (servers, runtime) = (Servers::one(), runtime());
    let mut first = leader(&servers, &runtime, "users");
    let mut standby = open(&servers, &runtime, "users", "http://b");
    let totals = r#"{"node":"n1","epoch":"a1","sequence":1,"versions":[]}"#;
    let report = |sequence: u64| {
        format!(r#"{{"node":"n1","epoch":"a1","sequence":{sequence},"clients":[]}}"#)
    };
    let lines = [report(1), report(2), totals.to_owned(), report(3)];
    standby.forward(lines.join("\n").as_bytes()).unwrap();
    first.load().unwrap();
    let mut arrived = Vec::new();
    until("reports", || {
        arrived.extend(first.incoming(usize::MAX).unwrap());
        (arrived.len() >= lines.len()).then_some(())
    });
    assert_eq!(arrived, lines.map(String::into_bytes));
    let kept = |store: &Nats| {
        let stream = store.context.get_stream(store.names.totals_stream());
        store.runtime.block_on(stream).unwrap().cached_info().state.messages
    };
    assert_eq!(kept(&first), 4);
    first.commit(&commit(1, "a\n")).unwrap();
    until("reports to go", || (kept(&first) == 1).then_some(()));
    // Those that no commit holds stay.
    standby.forward(report(4).as_bytes()).unwrap();
    drop(first);
    lead(&mut standby);
    standby.load().unwrap();
    let last = until("the last report", || standby.incoming(usize::MAX).unwrap().pop());
    assert_eq!(last, report(4).into_bytes());
}

#[test]
fn a_standby_knows_the_policy_soon() {
    let (servers, runtime) = (Servers::one(), runtime());
    let mut first = leader(&servers, &runtime, "users");
    first.load().unwrap();
    let mut standby = open(&servers, &runtime, "users", "http://b");
    assert_eq!(standby.policy().unwrap(), None);
    for revision in [2, 5, 6] {
        first.commit(&Commit { policy: Some(policy(revision)), ..Commit::default() }).unwrap();
        let known = || standby.policy().unwrap().filter(|known| known.revision == revision);
        assert_eq!(until("the policy", known), policy(revision));
    }
    let error = first.commit(&Commit { policy: Some(policy(6)), ..Commit::default() });
    assert!(error.unwrap_err().to_string().contains("revision 6 does not follow 6"));
}
