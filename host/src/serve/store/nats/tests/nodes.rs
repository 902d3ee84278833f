//! Nodes of a fleet, with the users and permissions of `examples/nats`.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use super::super::member::Member;
use super::super::names::{Names, POLICY_STREAM};
use super::*;

fn join(url: &str, node: &str) -> (Member, Receiver<Arc<PolicyRow>>) {
    let (deliver, policies) = channel();
    let member =
        Member::join(&access(url), "users", node, move |policy| deliver.send(policy).is_ok());
    (member.unwrap(), policies)
}

fn totals(node: &str, sequence: u64) -> String {
    format!(r#"{{"node":"{node}","epoch":"a1","sequence":{sequence}}}"#)
}

fn put(store: &mut Nats, revision: u64) {
    store.commit(&Commit { policy: Some(policy(revision)), ..Commit::default() }).unwrap();
}

fn arrives(store: &mut Nats, expected: &str) {
    until("totals", || {
        store
            .incoming(usize::MAX)
            .unwrap()
            .iter()
            .any(|line| line == expected.as_bytes())
            .then_some(())
    });
}

#[test]
fn a_node_hears_every_policy_and_its_totals_arrive() {
    let (servers, runtime) = (Servers::three(), runtime());
    let mut store = leader(&servers, &runtime, "users");
    store.load().unwrap();
    put(&mut store, 1);
    let (member, policies) = join(&servers.url("eu-1"), "eu-1");
    assert_eq!(*policies.recv_timeout(DEADLINE).unwrap(), policy(1));
    put(&mut store, 7);
    assert_eq!(*policies.recv_timeout(DEADLINE).unwrap(), policy(7));
    member.tell(totals("eu-1", 1).as_bytes());
    arrives(&mut store, &totals("eu-1", 1));
    // A part of the node, as a worker thread of a proxy is one.
    member.tell(totals("eu-1/3", 1).as_bytes());
    arrives(&mut store, &totals("eu-1/3", 1));
    member.tell(totals("eu-1", 2).as_bytes());
    member.leave();
    arrives(&mut store, &totals("eu-1", 2));
}

#[test]
fn a_node_may_start_before_its_fleet_and_outlive_it() {
    let (mut servers, runtime) = (Servers::one(), runtime());
    servers.kill(0);
    let (member, policies) = join(&servers.url("eu-1"), "eu-1");
    member.tell(totals("eu-1", 1).as_bytes());
    servers.start(0);
    let mut store = leader(&servers, &runtime, "users");
    store.load().unwrap();
    put(&mut store, 1);
    assert_eq!(policies.recv_timeout(DEADLINE).unwrap().revision, 1);
    arrives(&mut store, &totals("eu-1", 1));

    servers.kill(0);
    member.tell(totals("eu-1", 2).as_bytes());
    servers.start(0);
    until("the lead", || {
        (store.try_lead().unwrap() == Lead::Ours && store.load().is_ok()).then_some(())
    });
    put(&mut store, 2);
    assert_eq!(policies.recv_timeout(DEADLINE).unwrap().revision, 2);
    arrives(&mut store, &totals("eu-1", 2));
}

#[test]
fn a_nodes_reports_of_clients_arrive_each_once_it_could() {
    let (mut servers, runtime) = (Servers::one(), runtime());
    let mut store = leader(&servers, &runtime, "users");
    store.load().unwrap();
    let (mut member, _policies) = join(&servers.url("eu-1"), "eu-1");
    let report = |sequence: u64| {
        format!(r#"{{"node":"eu-1","epoch":"a1","sequence":{sequence},"clients":[]}}"#)
    };
    assert!(member.has_told_clients(), "there is none to tell");
    member.tell_clients(report(1).as_bytes());
    assert!(member.wait_for_clients());
    member.tell_clients(report(2).as_bytes());
    assert!(member.wait_for_clients());
    arrives(&mut store, &report(2));
    servers.kill(0);
    member.tell_clients(report(3).as_bytes());
    assert!(!member.wait_for_clients() && !member.has_told_clients());
    servers.start(0);
    until("the servers to have it", || member.has_told_clients().then_some(()));
    servers.wait_until_healthy();
    drop(store);
    let mut store = open(&servers, &runtime, "users", "http://b");
    until("the lead again", || (store.try_lead().ok()? == Lead::Ours).then_some(()));
    store.load().unwrap();
    arrives(&mut store, &report(3));
}

#[test]
fn a_nodes_user_writes_no_policy_and_speaks_for_no_other_node() {
    let (servers, runtime) = (Servers::three(), runtime());
    let mut store = leader(&servers, &runtime, "users");
    store.load().unwrap();
    put(&mut store, 1);
    let names = Names::new("users");
    let subjects = [
        names.policy_key(),
        names.policy_push(),
        names.lease_key(),
        names.log(),
        names.audit(),
        names.totals_of("eu-2", "a1"),
        names.clients_of("eu-2", "a1", 1),
        format!("$JS.API.STREAM.PURGE.{POLICY_STREAM}"),
        format!("$JS.API.STREAM.DELETE.{}", names.log_stream()),
        format!("$JS.API.CONSUMER.CREATE.{}", names.log_stream()),
    ];
    // What was committed is copied by then.
    store.policies(u64::MAX, 1).unwrap();
    let before = runtime.block_on(sequences(&store));
    let refused = runtime.block_on(async {
        let client = access(&servers.url("eu-1")).connect_whenever("eu-1").await.unwrap();
        let mut refused = Vec::new();
        for subject in &subjects {
            // No answer comes: that is how a refusal looks from here.
            let asked = client.request(subject.clone(), "{}".into());
            let answer = tokio::time::timeout(Duration::from_millis(300), asked).await;
            if !matches!(answer, Ok(Ok(_))) {
                refused.push(subject.clone());
            }
        }
        refused
    });
    assert_eq!(refused, subjects);
    assert_eq!(runtime.block_on(sequences(&store)), before, "and nothing arrived");

    // Its own subject it has; what it says there for another is not taken.
    let (member, _policies) = join(&servers.url("eu-1"), "eu-1");
    let subject = names.totals_of("eu-1", "a1");
    let lie = totals("eu-2", 9);
    runtime.block_on(async {
        let access = access(&servers.url("eu-1"));
        let client = access.connect_whenever("eu-1").await.unwrap();
        access.context(client).publish(subject, lie.clone().into()).await.unwrap().await.unwrap();
    });
    member.tell(totals("eu-1", 1).as_bytes());
    let mut lines = Vec::new();
    until("totals", || {
        lines.extend(store.incoming(usize::MAX).unwrap());
        lines.contains(&totals("eu-1", 1).into_bytes()).then_some(())
    });
    assert!(!lines.contains(&lie.into_bytes()), "{lines:?}");
}

/// Of every stream that a node has no business with, its newest message.
async fn sequences(store: &Nats) -> Vec<u64> {
    let Streams { log, events, audit, policies, totals, policy, .. } = &store.streams;
    let mut sequences = Vec::new();
    for stream in [log, events, audit, policies, totals, policy] {
        sequences.push(stream.get_info().await.unwrap().state.last_sequence);
    }
    sequences
}

#[test]
fn a_remote_site_takes_part_over_one_connection() {
    let (servers, runtime) = (Servers::three(), runtime());
    let mut store = leader(&servers, &runtime, "users");
    store.load().unwrap();
    put(&mut store, 1);
    let site = servers.site();
    let (member, policies) = join(&format!("{}?domain=hub", site.url("lab")), "lab/1");
    assert_eq!(policies.recv_timeout(DEADLINE).unwrap().revision, 1);
    put(&mut store, 2);
    assert_eq!(policies.recv_timeout(DEADLINE).unwrap().revision, 2);
    member.tell(totals("lab/1", 1).as_bytes());
    arrives(&mut store, &totals("lab/1", 1));
}

/// Two servers that stand by hand on what one node told each, the earlier one later.
#[test]
fn totals_that_were_overtaken_do_not_take_the_place_of_those_that_overtook_them() {
    let (servers, runtime) = (Servers::three(), runtime());
    let mut slow = open(&servers, &runtime, "users", "http://a");
    let mut quick = open(&servers, &runtime, "users", "http://b");
    let both = format!("{}\n{}\n", totals("eu-1", 2), totals("eu-2", 1));
    quick.forward(both.as_bytes()).unwrap();
    slow.forward(format!("{}\n", totals("eu-1", 1)).as_bytes()).unwrap();
    // What comes again may be kept again, and what is newer is.
    slow.forward(format!("{}\n", totals("eu-1", 2)).as_bytes()).unwrap();
    quick.forward(format!("{}\n", totals("eu-2", 2)).as_bytes()).unwrap();
    drop(quick);
    until("the lead", || (slow.try_lead().unwrap() == Lead::Ours).then_some(()));
    slow.load().unwrap();
    let mut heard = Vec::new();
    until("both", || {
        heard.extend(slow.incoming(usize::MAX).unwrap());
        (heard.len() >= 2).then_some(())
    });
    heard.sort();
    assert_eq!(heard, [totals("eu-1", 2), totals("eu-2", 2)].map(String::into_bytes));
}
