//! More clients than there is room for: what is said then, against the truth.

use allocation_counter::measure;
use crossfade_ledger::protocol::clients::{
    ClientCount, ClientRow, ClientsReport, Declared, Identity,
};
use crossfade_ledger::{Call, Counted, Filter, Flags, Ledger, Order, Side};

fn call(version: u8, at_s: u32) -> Call {
    Call { version, failed: false, at_s }
}

/// A key that nobody could guess from its number.
fn key(seed: u64, n: u64) -> Vec<u8> {
    format!("{seed:x}-{n:x}").into_bytes()
}

fn covers(counted: Counted, truth: u64) -> bool {
    counted.low <= truth && truth <= counted.high
}

fn report(theta: u64, dropped: u64, clients: Vec<ClientRow>) -> ClientsReport {
    ClientsReport {
        node: "edge".to_owned(),
        epoch: 1,
        sequence: 1,
        revision: 1,
        more: false,
        theta,
        dropped,
        versions: vec!["v1".to_owned(), "v2".to_owned()],
        clients,
    }
}

/// 200 tables of 400 rows at most, each given another number of clients who go to v1 and
/// partly on to v2: of the intervals for all, for v1 and for v2, 95 of 100 should hold the
/// truth, and 90 must.
#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    const TRIALS: u64 = 200;
    let (mut held, mut sampled, mut errors) = ([0; 3], 0, 0.0);
    for seed in 0..TRIALS {
        let clients = 300 + seed * 61;
        let moved = |n: u64| n % 8 < seed % 8;
        let mut ledger = Ledger::new(400, seed);
        for n in 0..clients {
            ledger.record(&key(seed, n), Identity::Key, call(0, n as u32));
        }
        for n in (0..clients).filter(|n| moved(*n)) {
            ledger.record(&key(seed, n), Identity::Key, call(1, (clients + n) as u32));
        }
        let new = (0..clients).filter(|n| moved(*n)).count() as u64;
        let said =
            [ledger.clients(None), ledger.count(Side::Old, None), ledger.count(Side::New, None)];
        assert_eq!(ledger.by_version()[..2], said[1..], "seed {seed}");
        let truths = [clients, clients - new, new];
        for ((held, said), truth) in held.iter_mut().zip(said).zip(truths) {
            *held += u64::from(covers(said, truth));
            assert!(!said.exact || said.value == truth, "seed {seed}: {said:?} of {truth}");
        }
        assert!(ledger.len() <= 400, "seed {seed}");
        sampled += u64::from(!said[1].exact);
        errors += (said[0].value as f64 / clients as f64 - 1.0).abs();
    }
    println!("of {TRIALS}: {held:?} held, {sampled} sampled, mean error {:.3}", errors / 200.0);
    assert!(sampled > TRIALS * 9 / 10);
    assert!(held.iter().all(|held| *held >= TRIALS * 9 / 10), "{held:?} of {TRIALS}");
}

/// The new version has a hundred thousand callers, the old one 250 that are left, at a limit
/// of 2,000: all of those are known.
#[test]
fn stragglers_are_exact_however_many_have_moved() {
    let mut ledger = Ledger::new(2_000, 3);
    for n in 0..100_000 {
        ledger.record(&key(1, n), Identity::Key, call(1, n as u32));
        if n % 400 == 0 {
            ledger.record(&key(2, n), Identity::Key, call(0, n as u32));
        }
    }
    let old = ledger.count(Side::Old, None);
    assert_eq!(old, Counted { value: 250, exact: true, low: 250, high: 250 });
    let new = ledger.count(Side::New, None);
    assert!(!new.exact && covers(new, 100_000), "{new:?}");
    let listed = ledger.select(
        &Filter { side: Some(Side::Old), ..Filter::default() },
        Order::Key,
        false,
        0,
        1_000,
    );
    assert_eq!((listed.total, listed.clients.len()), (old, 250));
}

/// All begin on the old version, and go: as they do, everybody who still calls it has a
/// row again, and what is said of the time since is exact.
#[test]
fn when_few_are_left_on_the_old_version_they_become_exact_again() {
    let mut ledger = Ledger::new(1_000, 5);
    const CLIENTS: u64 = 20_000;
    for n in 0..CLIENTS {
        ledger.record(&key(7, n), Identity::Key, call(0, 1));
    }
    assert!(!ledger.count(Side::Old, None).exact);
    let mut now_s = 10;
    for day in 0..40 {
        now_s += 86_400;
        // A share that falls; the same clients call at any time of the day.
        for n in 0..CLIENTS {
            let left = n % 100 < 100_u64.saturating_sub(day * 7).max(1);
            ledger.record(&key(7, n), Identity::Key, call(u8::from(!left), now_s + n as u32));
        }
        let old = ledger.count(Side::Old, Some(now_s));
        let truth = CLIENTS / 100 * 100_u64.saturating_sub(day * 7).max(1);
        assert!(old.value > 0 && old.low <= truth * 6 / 5 && truth * 4 / 5 <= old.high, "{old:?}");
    }
    let old = ledger.count(Side::Old, Some(now_s));
    assert_eq!(old, Counted { value: 200, exact: true, low: 200, high: 200 });
    assert!(!ledger.count(Side::Old, None).exact, "of the time before, nobody can say");
    ledger.forget_before(now_s);
    assert!(ledger.count(Side::Old, None).exact, "nobody is left of the time before");
}

/// An edge whose report was refused for good tells their number in the next one, without a
/// threshold: whose they were nobody knows.
#[test]
fn dropped_calls_end_what_is_exact_until_they_are_long_ago() {
    let mut ledger = Ledger::new(100, 1);
    ledger.record(b"ann", Identity::Key, call(0, 400));
    ledger.take(&report(u64::MAX, 0, Vec::new()), &[0, 1], 450).expect("room for a node");
    assert!(ledger.clients(None).exact && ledger.sampled_until_s().is_none());
    let dropped = ClientsReport { sequence: 2, ..report(u64::MAX, 77, Vec::new()) };
    ledger.take(&dropped, &[0, 1], 500).expect("a node that is known");
    ledger.record(b"bob", Identity::Key, call(1, 600));
    let mut saved = Vec::new();
    ledger.save(&mut saved);
    for ledger in [&ledger, &Ledger::load(&saved).unwrap()] {
        assert_eq!((ledger.untold(None), ledger.sampled_until_s()), (77, Some(500)));
        let all = Counted { value: 2, exact: false, low: 2, high: 79 };
        assert_eq!((ledger.clients(None), ledger.clients(Some(300))), (all, all));
        assert!(!ledger.by_version()[0].exact && !ledger.count(Side::Old, Some(500)).exact);
        let since = Counted { value: 1, exact: true, low: 1, high: 1 };
        assert_eq!((ledger.clients(Some(501)), ledger.untold(Some(501))), (since, 0));
    }
}

#[test]
fn a_sample_never_says_nobody() {
    let mut ledger = Ledger::new(100, 1);
    // An edge that kept one client in a million.
    let theta = u64::MAX / 1_000_000;
    ledger.take(&report(theta, 77, Vec::new()), &[0, 1], 500).expect("room for a node");
    for side in [Side::Old, Side::New] {
        let counted = ledger.count(side, None);
        assert_eq!((counted.value, counted.exact, counted.low), (0, false, 0));
        assert!((2_999_000..=3_001_000).contains(&counted.high), "{counted:?}");
    }
    assert_eq!((ledger.dropped(), ledger.sampled_until_s()), (77, Some(500)));
    let since = ledger.count(Side::Old, Some(501));
    assert_eq!(since, Counted { value: 0, exact: true, low: 0, high: 0 });
    assert!(!ledger.count(Side::Old, Some(500)).exact);
}

/// The 64 edges of a fleet keep half of their clients each, by the same hash.
#[test]
fn what_edges_left_out_is_honoured() {
    let clients = 4_000;
    let rows = (0..clients).filter_map(|n| {
        let key = format!("client-{n}");
        let hash = crossfade_ledger::protocol::clients::client_hash(key.as_bytes(), Identity::Key);
        (hash <= u64::MAX / 2).then(|| ClientRow {
            key,
            identity: Identity::Key,
            agent: None,
            on: 0,
            counts: vec![ClientCount {
                version: 0,
                requests: 1,
                failures: 0,
                first_s: 5,
                last_s: 9,
            }],
            refused: 0,
            says: None,
        })
    });
    let mut ledger = Ledger::new(10_000, 1);
    ledger.take(&report(u64::MAX / 2, 2_000, rows.collect()), &[0, 1], 9).expect("room for a node");
    let old = ledger.count(Side::Old, None);
    assert!(!old.exact && covers(old, clients) && old.high < clients * 11 / 10, "{old:?}");
    let found = ledger.select(&Filter::default(), Order::Key, false, 0, 1);
    assert!(!found.total.exact && covers(found.total, clients));
}

/// Two million names, each once, at a limit of 20,000. A billion would only halve the
/// threshold nine times more, which takes no memory.
#[test]
fn memory_is_flat_whatever_names_come() {
    let names = 2_000_000;
    let mut sizes = Vec::new();
    let mut table = None;
    let counted = measure(|| {
        let mut ledger = Ledger::new(20_000, 9);
        for n in 0..names {
            ledger.record(&key(9, n), Identity::Key, call(0, n as u32 / 1000));
            if n % 500_000 == 499_999 {
                sizes.push(ledger.memory_bytes());
            }
        }
        table = Some(ledger);
    });
    let ledger = table.expect("it was made");
    println!("at most {} bytes; table {sizes:?}", counted.bytes_max);
    assert!(counted.bytes_max < 20_000 * 64 + 500_000, "{}", counted.bytes_max);
    let old = ledger.count(Side::Old, None);
    assert!(covers(old, names), "{old:?}");
}

/// Names of 1,024 bytes take no more than the rows that there may be.
#[test]
fn long_names_are_bounded_in_bytes() {
    let mut ledger = Ledger::new(1_000, 9);
    for n in 0..5_000 {
        let name = format!("{n:01024}");
        ledger.record(name.as_bytes(), Identity::Key, call(0, n));
    }
    assert!(ledger.memory_bytes() < 1_000 * 256 + 64 * 16_384, "{}", ledger.memory_bytes());
    let old = ledger.count(Side::Old, None);
    assert!(!old.exact && covers(old, 5_000), "{old:?}");
}

/// Of 20,000 clients some call old versions much more often than others; only 500 have
/// rows. The most frequent are known, within the bounds that are stated.
#[test]
fn the_heaviest_are_known_without_rows() {
    let calls = |n: u64| 40_000 / (n + 1) + 1;
    let mut ledger = Ledger::new(500, 11);
    let clients = 20_000;
    let mut all = 0;
    // Smallest first and interleaved, so that the heavy ones come late.
    for n in (0..clients).rev() {
        ledger.record(&key(3, n), Identity::Key, call(0, 1));
        all += 1;
    }
    for round in 0..40 {
        for n in (0..clients).filter(|n| calls(*n) > 1) {
            for _ in 0..calls(n) / 40 {
                ledger.record(&key(3, n), Identity::Key, call(0, 2 + round));
                all += 1;
            }
        }
    }
    let truth = |n: u64| 1 + calls(n) / 40 * 40;
    let heavy = ledger.heaviest(20);
    for (n, heavy) in (0..).zip(&heavy) {
        let found = (0..clients).find(|n| key(3, *n) == heavy.key).expect("somebody we know");
        assert!(heavy.low <= truth(found) && truth(found) <= heavy.high, "{n}: {heavy:?}");
        // Twice the calls by the number of counters.
        assert!(heavy.high - heavy.low <= all * 2 / 1024, "{heavy:?} of {all}");
        assert!(n >= 10 || found == n, "place {n} is {found}");
    }
    assert_eq!(heavy.len(), 20);
    // The heaviest moves on, with or without a row of its own.
    ledger.record(&heavy[0].key, Identity::Key, call(1, 99));
    assert_eq!(ledger.heaviest(1)[0].key, heavy[1].key);
}

#[test]
fn the_heaviest_are_exact_while_everybody_has_a_row() {
    let mut ledger = Ledger::new(500, 11);
    for n in 0..100 {
        for _ in 0..n % 7 {
            ledger.record(&key(3, n), Identity::Key, call((n % 2) as u8, 1));
        }
    }
    let heavy = ledger.heaviest(1_000);
    assert_eq!(heavy.len(), (0..100).filter(|n| n % 2 == 0 && n % 7 > 0).count());
    assert!(heavy.iter().all(|heavy| heavy.low == heavy.high));
    assert_eq!((heavy[0].low, &heavy[0].key), (6, &key(3, 20)));
}

/// Whoever is marked stays, on whichever side, when everybody else is only sampled; and
/// those who mark themselves in crowds do not crowd out the others.
#[test]
fn who_is_marked_is_spared() {
    let mut ledger = Ledger::new(1_000, 5);
    for n in 0..100 {
        ledger.record(&key(1, n), Identity::Key, call((n % 2) as u8, 1));
        let flag = [Flags::READY, Flags::BLOCKED, Flags::PINNED_BACK][n as usize % 3];
        assert!(ledger.set_flag(&key(1, n), Identity::Key, flag, true));
    }
    for n in 0..100_000 {
        ledger.record(&key(2, n), Identity::Key, call((n % 3 % 2) as u8, 2));
    }
    assert!((0..100).all(|n| ledger.get(&key(1, n), Identity::Key).is_some()));
    assert!(ledger.len() <= 1_000 && covers(ledger.clients(None), 100_100), "{ledger:?}");
    // One who moves stays, too.
    ledger.record(&key(1, 2), Identity::Key, call(1, 3));
    assert!(ledger.get(&key(1, 2), Identity::Key).is_some());
    let mut bytes = Vec::new();
    ledger.save(&mut bytes);
    let mut again = Ledger::load(&bytes).unwrap();
    let crowd = (0..20_000).map(|n| ClientRow {
        key: format!("crowd-{n}"),
        identity: Identity::Key,
        agent: None,
        on: 0,
        counts: vec![ClientCount { version: 0, requests: 1, failures: 0, first_s: 4, last_s: 4 }],
        refused: 0,
        says: Some(Declared::Ready),
    });
    again.take(&report(u64::MAX, 0, crowd.collect()), &[0, 1], 5).unwrap();
    assert!(again.len() <= 1_000);
    let others = again.select(&Filter::default(), Order::Key, false, 0, 1_000).clients;
    let others = others.iter().filter(|client| !client.key.starts_with(b"crowd")).count();
    assert!(others > 50, "{others} of the others are left");
}
