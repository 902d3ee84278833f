//! The table against a map that is easy to see through.

#![expect(clippy::unwrap_used, reason = "a test falls over")]

use std::collections::BTreeMap;

use crossfade_ledger::protocol::clients::{
    ClientCount, ClientRow, ClientsReport, Declared, Identity,
};
use crossfade_ledger::{Call, Client, Filter, Flags, Ledger, On, Order, Side};
use proptest::prelude::*;

const PLACES: [u8; 3] = [0, 1, 2];

/// Versions 0 and 1 are old, 2 is new.
fn ledger() -> Ledger {
    let mut ledger = Ledger::new(1000, 7);
    ledger.renumber(&PLACES, 2);
    ledger
}

fn call(version: u8, at_s: u32) -> Call {
    Call { version, failed: false, at_s }
}

fn keys<'a>(clients: &[Client<'a>]) -> Vec<&'a str> {
    clients.iter().map(|client| std::str::from_utf8(client.key).unwrap()).collect()
}

fn row(key: &str, on: u8, counts: &[(u8, u64, u64, u32, u32)]) -> ClientRow {
    ClientRow {
        key: key.to_owned(),
        identity: Identity::Key,
        agent: None,
        on,
        counts: counts.iter().map(|count| ClientCount::from(*count)).collect(),
        refused: 0,
        says: None,
    }
}

fn report(node: &str, sequence: u64, clients: Vec<ClientRow>) -> ClientsReport {
    ClientsReport {
        node: node.to_owned(),
        epoch: 1,
        sequence,
        revision: 1,
        more: false,
        theta: u64::MAX,
        dropped: 0,
        versions: ["v1", "v2", "v3"].map(str::to_owned).to_vec(),
        clients,
    }
}

#[test]
fn a_client_has_both_sides_and_the_version_of_its_last_call() {
    let mut ledger = ledger();
    ledger.record(b"ann", Identity::Key, call(0, 120));
    ledger.record(b"ann", Identity::Key, call(1, 190));
    ledger.record(b"ann", Identity::Key, Call { version: 2, failed: true, at_s: 250 });
    let ann = ledger.get(b"ann", Identity::Key).unwrap();
    assert_eq!(ann.old, On { requests: 2, failures: 0, first_s: 120, last_s: 190 });
    assert_eq!(ann.new, On { requests: 1, failures: 1, first_s: 240, last_s: 250 });
    assert_eq!(
        (ann.version, ann.requests(), ann.last_seen_s(), ann.first_seen_s()),
        (2, 3, 250, 120)
    );
    assert_eq!((ledger.on_version(1), ledger.on_version(2), ledger.len()), (0, 1, 1));
    let old = ledger.count(Side::Old, None);
    assert_eq!((old.value, old.exact), (0, true));
    assert_eq!(ledger.get(b"bob", Identity::Key), None);
}

#[test]
fn time_that_goes_back_makes_no_gap_and_lowers_nothing() {
    let mut ledger = ledger();
    ledger.record(b"ann", Identity::Key, call(2, 9_000));
    ledger.record(b"ann", Identity::Key, call(0, 600));
    let ann = ledger.get(b"ann", Identity::Key).unwrap();
    assert_eq!((ann.last_seen_s(), ann.version), (9_000, 2), "the latest call tells");
    assert_eq!((ann.first_seen_s(), ann.old.last_s), (600, 600));
    assert_eq!(ann.rhythm, crossfade_ledger::rhythm::Rhythm::NEW);
    ledger.record(b"ann", Identity::Key, call(0, 9_100));
    let ann = ledger.get(b"ann", Identity::Key).unwrap();
    assert_eq!(ann.rhythm, crossfade_ledger::rhythm::Rhythm::NEW.gap(8_500, 9_100));
    assert_eq!(ann.version, 0);
}

#[test]
fn in_one_second_the_later_call_tells_here_and_the_older_version_elsewhere() {
    let mut ledger = ledger();
    ledger.record(b"ann", Identity::Key, call(0, 60));
    ledger.record(b"ann", Identity::Key, call(2, 60));
    assert_eq!(ledger.get(b"ann", Identity::Key).unwrap().version, 2);
    ledger.absorb(&row("ann", 0, &[(0, 1, 0, 60, 60)]), &PLACES, 60);
    assert_eq!(ledger.get(b"ann", Identity::Key).unwrap().version, 0);
    ledger.absorb(&row("ann", 2, &[(2, 1, 0, 60, 60)]), &PLACES, 60);
    assert_eq!(ledger.get(b"ann", Identity::Key).unwrap().version, 0);
}

#[test]
fn a_report_is_taken_in_once_and_its_future_is_now() {
    let mut ledger = ledger();
    let one = report("edge", 1, vec![row("ann", 1, &[(1, 5, 2, 100, 5_000)])]);
    assert_eq!(ledger.take(&one, &PLACES, 700), Ok(true));
    assert_eq!(ledger.take(&one, &PLACES, 700), Ok(false));
    assert_eq!(ledger.sequence("edge", 1), 1);
    let ann = ledger.get(b"ann", Identity::Key).unwrap();
    assert_eq!(ann.old, On { requests: 5, failures: 2, first_s: 60, last_s: 700 });
    let before = report("edge", 0, vec![row("bob", 1, &[(1, 5, 2, 100, 200)])]);
    assert_eq!(ledger.take(&before, &PLACES, 700), Ok(false));
    assert_eq!(ledger.len(), 1);
}

#[test]
fn a_version_that_comes_makes_what_was_new_old() {
    let mut ledger = ledger();
    ledger.record(b"ann", Identity::Key, call(2, 60));
    ledger.record(b"ann", Identity::Key, call(0, 70));
    ledger.record(b"bob", Identity::Key, call(2, 60));
    ledger.renumber(&[1, 2, 0], 0);
    assert_eq!((ledger.on_version(0), ledger.on_version(1)), (1, 1));
    assert_eq!(ledger.get(b"bob", Identity::Key).unwrap().new.requests, 1, "only its place is new");
    ledger.renumber(&[0, 1, 2], 3);
    let ann = ledger.get(b"ann", Identity::Key).unwrap();
    assert_eq!((ann.old.requests, ann.new.requests, ann.old.last_s), (2, 0, 70));
    assert_eq!(ledger.count(Side::Old, None).value, 2);
}

#[test]
fn what_is_marked_is_seen_and_lifted() {
    let mut ledger = ledger();
    ledger.record(b"ann", Identity::Key, call(0, 60));
    ledger.record(b"bob", Identity::Key, call(0, 60));
    assert!(ledger.set_flag(b"ann", Identity::Key, Flags::PINNED_BACK, true));
    assert!(!ledger.set_flag(b"ann", Identity::Key, Flags::PINNED_BACK, true), "no change");
    assert!(!ledger.set_flag(b"cleo", Identity::Key, Flags::PINNED_BACK, true), "not known");
    let blocked = Declared::Blocked("needs XML".to_owned());
    assert!(ledger.declare(b"bob", Identity::Key, Some(&blocked)));
    assert!(!ledger.declare(b"bob", Identity::Key, Some(&blocked)));
    let bob = ledger.get(b"bob", Identity::Key).unwrap();
    assert!(bob.flags.has(Flags::BLOCKED) && !bob.flags.has(Flags::READY));
    assert_eq!(ledger.reason(bob.reason.unwrap()), Some("needs XML"));
    let pinned = Filter { flags: Flags::PINNED_BACK, ..Filter::default() };
    assert_eq!(keys(&ledger.select(&pinned, Order::Key, false, 0, 9).clients), ["ann"]);
    assert!(ledger.declare(b"bob", Identity::Key, Some(&Declared::Ready)));
    let bob = ledger.get(b"bob", Identity::Key).unwrap();
    assert!(bob.flags.has(Flags::READY) && !bob.flags.has(Flags::BLOCKED));
    assert_eq!(bob.reason, None);
    assert!(ledger.declare(b"bob", Identity::Key, None));
    assert_eq!(ledger.get(b"bob", Identity::Key).unwrap().flags, Flags::NONE);
}

#[test]
fn refused_calls_and_software_are_counted() {
    let mut ledger = ledger();
    for (at, agent) in [(60, "curl/8.5.0"), (70, "curl/8.5.0 (x)"), (80, "curl/9")] {
        let told = ClientRow {
            agent: Some(agent.to_owned()),
            refused: 2,
            ..row("ann", 0, &[(0, 1, 0, at, at)])
        };
        ledger.absorb(&told, &PLACES, 99);
    }
    ledger.record(b"bob", Identity::Key, call(2, 60));
    let ann = ledger.get(b"ann", Identity::Key).unwrap();
    assert_eq!((ann.refused, ann.requests()), (6, 3));
    assert_eq!(ledger.software(ann.software.unwrap()), Some("curl/9"));
    let everybody = Filter::default();
    assert_eq!(ledger.by_software(&everybody), [(None, 1, 0), (Some("curl/9"), 1, 3)]);
    for (software, found) in [("curl", 1), ("curl/9", 1), ("curl/8.5.0", 0), ("cur", 0)] {
        let filter = Filter { software: Some(software), ..everybody };
        assert_eq!(
            ledger.select(&filter, Order::Key, false, 0, 9).total.value,
            found,
            "{software}"
        );
    }
}

#[test]
fn lists_are_in_order_from_an_offset_and_the_other_way_round() {
    let mut ledger = ledger();
    for (key, times, version, from) in
        [("a", 3, 0, 600), ("b", 1, 2, 1200), ("c", 3, 0, 60), ("d", 2, 1, 6000)]
    {
        for n in 0..times {
            ledger.record(key.as_bytes(), Identity::Key, call(version, from + n * n * 100));
        }
    }
    let list = |order, reverse, offset, limit| {
        keys(&ledger.select(&Filter::default(), order, reverse, offset, limit).clients).join("")
    };
    assert_eq!(list(Order::Requests, false, 0, 9), "acdb");
    assert_eq!(list(Order::Requests, true, 0, 9), "bdca");
    assert_eq!(list(Order::Requests, false, 1, 2), "cd");
    assert_eq!(list(Order::OldRequests, false, 0, 9), "acdb");
    assert_eq!(list(Order::LastSeen, false, 0, 9), "dbac");
    assert_eq!(list(Order::FirstSeen, false, 0, 9), "dbac");
    assert_eq!(list(Order::LastOld, false, 0, 9), "dacb");
    assert_eq!(list(Order::Key, true, 0, 3), "dcb");
    assert_eq!(list(Order::By(&|client| u64::from(client.key[0] == b'c')), false, 0, 2), "ca");
    assert_eq!(list(Order::Key, false, 4, 9), "");
    assert_eq!(list(Order::Key, false, 0, 0), "");
    let old =
        Filter { side: Some(Side::Old), also: Some(&|c| c.old.requests > 2), ..Filter::default() };
    let found = ledger.select(&old, Order::Key, false, 0, 1);
    assert_eq!((keys(&found.clients), found.total.value), (vec!["a"], 2));
    let since = Filter { since_s: Some(1000), version: Some(1), ..Filter::default() };
    assert_eq!(keys(&ledger.select(&since, Order::Key, false, 0, 9).clients), ["d"]);
}

#[test]
fn somebody_who_is_forgotten_has_left_no_trace() {
    let mut ledger = ledger();
    for n in 0..900 {
        ledger.record(format!("client-{n}").as_bytes(), Identity::Key, call(0, 60 + n));
    }
    let secret = ClientRow {
        agent: Some("annsown/1".to_owned()),
        says: Some(Declared::Blocked("ann is ill".to_owned())),
        ..row("ann@example.org", 0, &[(0, 9_000, 0, 60, 60)])
    };
    ledger.absorb(&secret, &PLACES, 99);
    let as_sender = ClientRow { identity: Identity::Sender, ..secret };
    ledger.absorb(&as_sender, &PLACES, 99);
    let holds = |ledger: &Ledger, what: &str| {
        let mut saved = Vec::new();
        ledger.save(&mut saved);
        saved.windows(what.len()).any(|part| part == what.as_bytes())
    };
    assert!(
        holds(&ledger, "ann@example.org") && holds(&ledger, "annsown") && holds(&ledger, "is ill")
    );
    let mut forget = |identity| ledger.forget(b"ann@example.org", identity);
    assert!(forget(Identity::Key) && !forget(Identity::Key));
    assert!(holds(&ledger, "ann@example.org"), "somebody else has that name");
    assert!(ledger.forget(b"ann@example.org", Identity::Sender));
    for what in ["ann@example.org", "annsown", "is ill"] {
        assert!(!holds(&ledger, what), "{what}");
    }
    // What is in memory and not saved, too: the text of everything held.
    let text: String = format!("{ledger:?}").split_whitespace().collect();
    let bytes: Vec<String> = "ann@example.org".bytes().map(|byte| byte.to_string()).collect();
    assert!(!text.contains(&bytes.join(",")));
    assert!(ledger.heaviest(3).iter().all(|heavy| heavy.low < 9_000));
}

#[test]
fn those_who_have_long_been_away_can_be_forgotten() {
    let mut ledger = ledger();
    for n in 0..500 {
        ledger.record(format!("client-{n}").as_bytes(), Identity::Key, call((n % 3) as u8, n));
    }
    assert_eq!(ledger.forget_before(400), 400);
    assert_eq!((ledger.len(), ledger.iter().count()), (100, 100));
    assert!((0..500).all(|n| {
        ledger.get(format!("client-{n}").as_bytes(), Identity::Key).is_some() == (n >= 400)
    }));
    assert_eq!((0..3).map(|place| ledger.on_version(place)).sum::<u64>(), 100);
}

/// What the table should say of a client.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Known {
    old: On,
    new: On,
    version: u8,
    flags: Flags,
    refused: u32,
}

#[derive(Debug, Clone)]
enum Step {
    Record(usize, u8, u32, bool),
    Refuse(usize, u32),
    Declare(usize, Option<bool>),
    Pin(usize, bool),
    Forget(usize),
    ForgetBefore(u32),
    Renumber(bool),
    SaveAndLoad,
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..120usize;
    let at = 0..100_000u32;
    prop_oneof![
        20 => (who.clone(), 0..3u8, at.clone(), any::<bool>())
            .prop_map(|(who, version, at, failed)| Step::Record(who, version, at, failed)),
        4 => (who.clone(), 0..9u32).prop_map(|(who, calls)| Step::Refuse(who, calls)),
        3 => (who.clone(), any::<Option<bool>>()).prop_map(|(who, says)| Step::Declare(who, says)),
        2 => (who.clone(), any::<bool>()).prop_map(|(who, on)| Step::Pin(who, on)),
        2 => who.prop_map(Step::Forget),
        1 => (0..20_000u32).prop_map(Step::ForgetBefore),
        1 => any::<bool>().prop_map(Step::Renumber),
        1 => Just(Step::SaveAndLoad),
    ]
}

/// Keys that differ in a byte or in their length.
fn key(who: usize) -> String {
    let len = [1, 2, 7, 8, 9, 15, 16, 17, 64, 1024][who % 10];
    let letter = char::from(b'a' + (who / 10) as u8);
    format!("{letter}{}", "x".repeat(len - 1))
}

fn on(side: &mut On, at_s: u32, failed: bool) {
    let minute = at_s / 60 * 60;
    side.first_s = if side.requests == 0 { minute } else { side.first_s.min(minute) };
    side.last_s = side.last_s.max(at_s);
    side.requests += 1;
    side.failures += u32::from(failed);
}

impl Known {
    fn last_s(&self) -> u32 {
        self.old.last_s.max(self.new.last_s)
    }
}

fn known(client: &Client<'_>) -> Known {
    Known {
        old: client.old,
        new: client.new,
        version: client.version,
        flags: client.flags.without(Flags::WAVERED),
        refused: client.refused,
    }
}

proptest! {
    #[test]
    fn it_counts_as_a_plain_map_does(steps in prop::collection::vec(step(), 1..600)) {
        let mut ledger = ledger();
        let mut model: BTreeMap<Vec<u8>, Known> = BTreeMap::new();
        let mut newest = 2;
        for step in steps {
            match step {
                Step::Record(who, version, at_s, failed) => {
                    ledger.record(key(who).as_bytes(), Identity::Key, Call { version, failed, at_s });
                    let client = model.entry(key(who).into_bytes()).or_default();
                    if at_s >= client.last_s() {
                        client.version = version;
                    }
                    let side = if version == newest { &mut client.new } else { &mut client.old };
                    on(side, at_s, failed);
                }
                Step::Refuse(who, calls) => {
                    if let Some(client) = model.get_mut(key(who).as_bytes()) {
                        client.refused += calls;
                        let told = ClientRow { refused: calls.into(), ..row(&key(who), 0, &[]) };
                        ledger.absorb(&told, &PLACES, 0);
                    }
                }
                Step::Declare(who, ready) => {
                    let says = ready.map(|ready| match ready {
                        true => Declared::Ready,
                        false => Declared::Blocked(format!("reason {who}")),
                    });
                    ledger.declare(key(who).as_bytes(), Identity::Key, says.as_ref());
                    if let Some(client) = model.get_mut(key(who).as_bytes()) {
                        client.flags = client.flags.without(Flags::READY.with(Flags::BLOCKED));
                        client.flags = client.flags.with(match ready {
                            Some(true) => Flags::READY,
                            Some(false) => Flags::BLOCKED,
                            None => Flags::NONE,
                        });
                    }
                }
                Step::Pin(who, on) => {
                    ledger.set_flag(key(who).as_bytes(), Identity::Key, Flags::PINNED_BACK, on);
                    if let Some(client) = model.get_mut(key(who).as_bytes()) {
                        client.flags = client.flags.without(Flags::PINNED_BACK);
                        client.flags = if on { client.flags.with(Flags::PINNED_BACK) } else { client.flags };
                    }
                }
                Step::Forget(who) => {
                    let had = model.remove(key(who).as_bytes()).is_some();
                    prop_assert_eq!(ledger.forget(key(who).as_bytes(), Identity::Key), had);
                }
                Step::ForgetBefore(at_s) => {
                    model.retain(|_, client| client.last_s() >= at_s);
                    ledger.forget_before(at_s);
                }
                Step::Renumber(other_newest) => {
                    let places = [1, 2, 0];
                    let place = places[usize::from(newest)];
                    newest = if other_newest { (place + 1) % 3 } else { place };
                    ledger.renumber(&places, newest);
                    for client in model.values_mut() {
                        client.version = places[usize::from(client.version)];
                        // What was found against a version is not held against the next.
                        if other_newest {
                            client.flags = client.flags.without(Flags::PINNED_BACK);
                        }
                        if other_newest && client.new.requests > 0 {
                            let new = std::mem::take(&mut client.new);
                            let first = if client.old.requests == 0 { u32::MAX } else { client.old.first_s };
                            client.old.first_s = first.min(new.first_s);
                            client.old.last_s = client.old.last_s.max(new.last_s);
                            client.old.requests += new.requests;
                            client.old.failures += new.failures;
                        }
                    }
                }
                Step::SaveAndLoad => {
                    let mut saved = Vec::new();
                    ledger.save(&mut saved);
                    ledger = Ledger::load(&saved).unwrap();
                }
            }
        }
        let counted: BTreeMap<_, _> =
            ledger.iter().map(|client| (client.key.to_vec(), known(&client))).collect();
        prop_assert_eq!(&counted, &model);
        prop_assert_eq!(ledger.iter().count(), model.len());
        for (key, client) in &model {
            prop_assert_eq!(ledger.get(key, Identity::Key).map(|c| known(&c)), Some(*client));
        }
        for version in 0..3 {
            let on = model.values().filter(|client| client.version == version).count();
            prop_assert_eq!(ledger.on_version(version), on as u64);
        }
        let by_key = ledger.select(&Filter::default(), Order::Key, false, 0, usize::MAX);
        prop_assert!(by_key.clients.iter().map(|client| client.key).eq(model.keys()));
    }

    /// Three nodes tell of the same clients, in any order, some of it twice.
    #[test]
    fn reports_come_in_any_order(
        (told, order) in prop::collection::vec(
            (0..9usize, 0..3u8, 1..5u64, 0..3u64, 0..50u32, 0..20u32),
            1..60,
        )
        .prop_flat_map(|told| {
            let twice: Vec<usize> = (0..told.len()).chain(0..told.len() / 2).collect();
            (Just(told), Just(twice).prop_shuffle())
        })
    ) {
        // A node of its own each: order within a node is what its sequence is for.
        let reports: Vec<ClientsReport> = told
            .iter()
            .enumerate()
            .map(|(n, (who, version, requests, failures, first_s, more_s))| {
                let counts = [(*version, *requests, *failures, *first_s, first_s + more_s)];
                let agent = Some(format!("agent/{who}"));
                let told = ClientRow { agent, ..row(&key(*who), *version, &counts) };
                report(&format!("edge-{n}"), 1, vec![told])
            })
            .collect();
        let taken = |order: &[usize]| {
            let mut ledger = ledger();
            for n in order {
                ledger.take(&reports[*n], &PLACES, 1000).unwrap();
            }
            let rows = ledger.iter().map(|client| {
                let software = client.software.and_then(|number| ledger.software(number));
                (client.key.to_vec(), known(&client), software.map(str::to_owned))
            });
            let mut rows: Vec<_> = rows.collect();
            rows.sort_by(|a, b| a.0.cmp(&b.0));
            rows
        };
        let straight: Vec<usize> = (0..reports.len()).collect();
        let (a, b) = (taken(&straight), taken(&order));
        prop_assert!(a == b, "{a:?}\n{b:?}");
    }
}
