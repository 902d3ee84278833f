use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn names(versions: &[&str]) -> Vec<String> {
    versions.iter().map(|name| (*name).to_owned()).collect()
}

fn buffer() -> Changes {
    let mut changes = Changes::new(7);
    changes.set_versions(&names(&["v1", "v2"]));
    changes
}

fn call(key: &[u8], version: u8) -> Call<'_> {
    Call { key, version, requests: 1, ..Call::default() }
}

fn read(report: &InFlight) -> ClientsReport {
    assert!(report.text.len() <= CLIENTS_REPORT_BYTES_MAX, "{} bytes", report.text.len());
    let read = ClientsReport::read(report.text.as_bytes()).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), report.text, "as serde writes it");
    read
}

fn take(changes: &mut Changes) -> Option<ClientsReport> {
    let report = read(changes.next("n", 1, 3)?);
    changes.acknowledge(report.sequence);
    Some(report)
}

fn requests(report: &ClientsReport) -> u64 {
    let counts = report.clients.iter().flat_map(|client| &client.counts);
    counts.map(|count| count.requests).sum::<u64>() + report.dropped
}

#[test]
fn a_client_is_told_once_with_all_that_it_did() {
    let mut changes = buffer();
    assert_eq!(changes.next("n", 1, 3), None, "nothing to report");
    let software = "okhttp/4.12.0";
    changes.record(&Call { agent: Some(software), ..call(b"ann", 0) }, 100);
    changes.record(&Call { failures: 1, ..call(b"ann", 1) }, 90);
    changes.record(&call(b"bob", 0), 100);
    changes.record(&Call { refused: 1, says: Some(&Declared::Ready), ..call(b"ann", 0) }, 160);
    changes.record(&Call { identity: Identity::Jwt, ..call(b"bob", 0) }, 170);
    let report = changes.next("edge \"1\"", 0xabc, 3).unwrap();
    assert_eq!(
        report.text,
        concat!(
            r#"{"node":"edge \"1\"","epoch":"0000000000000abc","sequence":1,"revision":3,"versions":["v1","v2"],"clients":["#,
            r#"{"key":"ann","agent":"okhttp/4.12.0","on":0,"counts":[[0,2,0,100,160],[1,1,1,90,90]],"refused":1,"says":"ready"},"#,
            r#"{"key":"bob","on":0,"counts":[[0,1,0,100,100]]},"#,
            r#"{"key":"bob","identity":"jwt","on":0,"counts":[[0,1,0,170,170]]}]}"#
        )
    );
    assert_eq!(report.requests, 5);
}

#[test]
fn a_report_stays_as_it_is_until_it_is_acknowledged() {
    let mut changes = buffer();
    changes.record(&call(b"ann", 0), 1);
    let first = changes.next("n", 1, 3).unwrap().clone();
    changes.record(&call(b"ann", 0), 2);
    assert_eq!(changes.next("other", 2, 4), Some(&first));
    changes.acknowledge(0);
    assert_eq!(changes.next("n", 1, 4), Some(&first), "an earlier one was acknowledged");
    changes.acknowledge(1);
    let second = changes.next("n", 1, 4).unwrap();
    assert_eq!((second.sequence, second.requests), (2, 1));
    changes.acknowledge(2);
    assert_eq!(changes.next("n", 1, 4), None);
}

#[test]
fn what_was_refused_counts_as_dropped() {
    let mut changes = buffer();
    changes.record(&call(b"ann", 0), 1);
    changes.record(&call(b"ann", 0), 2);
    changes.next("n", 1, 3).unwrap();
    changes.refused(7);
    changes.refused(1);
    changes.refused(1);
    let report = take(&mut changes).unwrap();
    assert_eq!((report.sequence, report.dropped, report.clients.len()), (2, 2, 0));
    assert_eq!(take(&mut changes), None);
}

#[test]
fn what_was_saved_is_read_with_everything_in_it() {
    let mut changes = buffer();
    for n in 0..3_000 {
        changes.record(&call(format!("client with a long name {n}").as_bytes(), 1), 9);
    }
    changes.record(&call(b"nobody knows this version", 9), 9);
    changes.next("n", 1, 3);
    assert!(changes.more() && changes.dropped_ever() == 1 && changes.clients() > 0);
    let loaded = Changes::load(&changes.save(), &names(&["v1", "v2"])).unwrap();
    assert_eq!((loaded.more(), loaded.dropped_ever()), (true, 1));
    assert_eq!((loaded.clients(), loaded.save()), (changes.clients(), changes.save()));
}

#[test]
fn failures_of_calls_that_were_told_before_come_alone() {
    let mut changes = buffer();
    changes.record(&Call { requests: 0, failures: 1, ..call(b"ann", 1) }, 9);
    changes.record(&Call { requests: 0, agent: Some("a/1"), ..call(b"bob", 1) }, 9);
    let report = take(&mut changes).unwrap();
    assert_eq!(report.clients[0].counts, [(1, 0, 1, 9, 9).into()]);
    assert_eq!(
        (report.clients[1].counts.len(), report.clients[1].agent.as_deref()),
        (0, Some("a/1"))
    );
}

#[test]
fn rows_keep_their_versions_when_a_policy_has_others() {
    let mut changes = buffer();
    changes.record(&call(b"ann", 0), 1);
    changes.record(&call(b"ann", 1), 2);
    changes.set_versions(&names(&["v2", "v3"]));
    assert_eq!((changes.place_of(0), changes.place_of(1), changes.place_of(2)), (1, 2, u8::MAX));
    assert_eq!(
        (changes.place("v2"), changes.place("v1"), changes.place("v4")),
        (Some(1), Some(0), None)
    );
    changes.record(&call(b"ann", 2), 3);
    changes.record(&call(b"bob", 7), 3);
    let report = take(&mut changes).unwrap();
    assert_eq!((report.versions.as_slice(), report.dropped), (&names(&["v1", "v2", "v3"])[..], 1));
    let counts = [(0, 1, 0, 1, 1).into(), (1, 1, 0, 2, 2).into(), (2, 1, 0, 3, 3).into()];
    assert_eq!((report.clients[0].on, &report.clients[0].counts[..]), (2, &counts[..]));
    // With nobody in it there are the policy's versions and no others.
    changes.set_versions(&names(&["v2", "v3"]));
    assert_eq!((changes.place_of(0), changes.place("v1")), (0, None));
    // More names than there may be: what is in it is dropped.
    changes.record(&call(b"ann", 0), 5);
    let many: Vec<String> = (0..VERSIONS_MAX).map(|n| format!("w{n}")).collect();
    changes.set_versions(&many);
    let report = take(&mut changes).unwrap();
    assert_eq!((report.clients.len(), report.dropped, report.versions), (0, 1, many));
}

/// Whatever keys are made of, a report is no longer than it may be, and all come.
#[test]
fn a_report_has_64_kilobytes_at_most_whatever_the_keys() {
    let reason = Declared::Blocked("\u{7f}\u{1}".repeat(200));
    for pattern in ["a", "ä", "😀", "\u{1}", "\"", "\\", "\u{2028}"] {
        let mut changes = buffer();
        let tail = pattern.repeat(1100 / pattern.len());
        let keys: Vec<String> = (0..500).map(|n| format!("{n} {tail}")).collect();
        for key in &keys {
            let agent = Some("\u{1}".repeat(100));
            let more =
                Call { agent: agent.as_deref(), says: Some(&reason), ..call(key.as_bytes(), 1) };
            changes.record(&more, 1);
        }
        let mut found = Vec::new();
        let mut reports = 0;
        while let Some(report) = take(&mut changes) {
            assert_eq!((report.theta, report.dropped), (u64::MAX, 0));
            reports += 1;
            found.extend(report.clients.into_iter().map(|client| client.key));
            assert_eq!(report.more, found.len() < keys.len());
        }
        assert!(reports >= 500 * 1024 / CLIENTS_REPORT_BYTES_MAX, "{reports} reports");
        let cut: Vec<&str> = keys.iter().map(|key| cut(key, KEY_BYTES_MAX)).collect();
        assert_eq!(found, cut, "{pattern:?}");
    }
}

#[test]
fn keys_that_are_no_text_are_replaced_and_no_key_is_dropped() {
    let mut changes = buffer();
    changes.record(&call(b"a\xff", 0), 1);
    changes.record(&call(&[0xff; 1024], 0), 1);
    changes.record(&call(b"", 0), 1);
    let report = take(&mut changes).unwrap();
    assert_eq!(report.clients[0].key, "a\u{fffd}");
    assert_eq!(report.clients[1].key, "\u{fffd}".repeat(KEY_BYTES_MAX / 3));
    assert_eq!(report.dropped, 1);
}

#[test]
fn a_sample_holds_everybody_whose_hash_is_small_enough() {
    let mut changes = buffer();
    let clients = 100_000_u64;
    for n in 0..clients {
        changes.record(&call(n.to_string().as_bytes(), 0), 1);
        assert!(changes.clients() <= EDGE_CLIENTS_MAX);
    }
    let mut found = BTreeMap::new();
    let (mut dropped, mut theta) = (0, u64::MAX);
    while let Some(report) = take(&mut changes) {
        dropped += report.dropped;
        theta = theta.min(report.theta);
        found.extend(report.clients.into_iter().map(|client| (client.key, client.counts)));
    }
    let wanted = |n: &u64| client_hash(n.to_string().as_bytes(), Identity::Key) <= theta;
    let expected: BTreeMap<_, _> = (0..clients)
        .filter(wanted)
        .map(|n| (n.to_string(), vec![(0, 1, 0, 1, 1).into()]))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(found.len() as u64 + dropped, clients);
    // The sample is one: its size tells how many there were.
    let estimate = found.len() as f64 * (u64::MAX as f64 / theta as f64);
    assert!((estimate / clients as f64 - 1.0).abs() < 0.05, "{estimate}");
    // Once it was all told, everybody counts again.
    changes.record(&call(b"ann", 0), 2);
    assert_eq!(take(&mut changes).unwrap().theta, u64::MAX);
}

#[derive(Debug, Clone)]
enum Step {
    Call {
        client: u8,
        version: u8,
        failed: bool,
    },
    /// A report is sent: so many copies arrive now, and so many with a later one.
    Send {
        copies: usize,
        late: usize,
        answered: bool,
    },
    Refuse,
    Versions(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..20_u8, 0..2_u8, any::<bool>())
            .prop_map(|(client, version, failed)| Step::Call { client, version, failed }),
        3 => (0..3_usize, 0..2_usize, any::<bool>())
            .prop_map(|(copies, late, answered)| Step::Send { copies, late, answered }),
        1 => Just(Step::Refuse),
        1 => (0..3_u8).prop_map(Step::Versions),
    ]
}

/// Whoever collects: the highest sequence counts.
#[derive(Debug, Default)]
struct Collector {
    highest: u64,
    requests: BTreeMap<(String, String), u64>,
    failures: u64,
    dropped: u64,
}

impl Collector {
    fn take(&mut self, report: &ClientsReport) {
        if report.sequence <= self.highest {
            return;
        }
        self.highest = report.sequence;
        self.dropped += report.dropped;
        for client in &report.clients {
            for count in &client.counts {
                let version = report.versions[usize::from(count.version)].clone();
                *self.requests.entry((client.key.clone(), version)).or_default() += count.requests;
                self.failures += count.failures;
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_the_network_does_every_call_is_told_once_or_dropped(
        steps in proptest::collection::vec(step(), 0..200),
    ) {
        let lists = [names(&["v1", "v2"]), names(&["v2", "v1"]), names(&["v2", "v3"])];
        let mut list = &lists[0];
        let mut changes = buffer();
        let mut collector = Collector::default();
        let mut delayed: Vec<ClientsReport> = Vec::new();
        let mut fed: BTreeMap<(String, String), u64> = BTreeMap::new();
        let (mut calls, mut failures, mut refused) = (0, 0, 0);
        for step in steps {
            match step {
                Step::Call { client, version, failed } => {
                    let key = format!("client {client}");
                    let place = changes.place_of(version.into());
                    let call = Call { failures: failed.into(), ..call(key.as_bytes(), place) };
                    changes.record(&call, 1);
                    *fed.entry((key, list[usize::from(version)].clone())).or_default() += 1;
                    calls += 1;
                    failures += u64::from(failed);
                }
                Step::Send { copies, late, answered } => {
                    let Some(report) = changes.next("n", 1, 1).map(read) else { continue };
                    delayed.drain(..).for_each(|report| collector.take(&report));
                    for _ in 0..copies {
                        collector.take(&report);
                    }
                    delayed.extend(std::iter::repeat_n(report, late));
                    if answered && copies > 0 {
                        changes.acknowledge(collector.highest);
                    }
                }
                Step::Refuse => {
                    // One that was taken in is never refused.
                    let report = changes.next("n", 1, 1).map(read);
                    delayed.clear();
                    if let Some(report) = report.filter(|r| r.sequence > collector.highest) {
                        refused += requests(&report);
                        changes.refused(report.sequence);
                    }
                }
                Step::Versions(place) => {
                    list = &lists[usize::from(place)];
                    changes.set_versions(list);
                }
            }
        }
        while let Some(report) = changes.next("n", 1, 1).map(read) {
            collector.take(&report);
            delayed.drain(..).for_each(|report| collector.take(&report));
            changes.acknowledge(report.sequence);
        }
        prop_assert_eq!(collector.requests.values().sum::<u64>() + collector.dropped, calls);
        if refused == 0 {
            prop_assert_eq!(collector.dropped, 0);
            prop_assert_eq!(collector.requests, fed);
            prop_assert_eq!(collector.failures, failures);
        }
    }
}
