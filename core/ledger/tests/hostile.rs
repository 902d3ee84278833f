//! What clients, edges and snapshots may send that they should not.

#![expect(clippy::unwrap_used, reason = "a test falls over")]

use crossfade_ledger::protocol::clients::{
    ClientCount, ClientRow, ClientsReport, Declared, Identity,
};
use crossfade_ledger::protocol::limits::{AGENTS_MAX, KEY_BYTES_MAX, TOTALS_SOURCES_MAX};
use crossfade_ledger::{Call, Filter, Flags, Ledger, Order, SourcesFull};
use proptest::prelude::*;

fn call(version: u8, at_s: u32) -> Call {
    Call { version, failed: false, at_s }
}

fn row(key: &str) -> ClientRow {
    let count = ClientCount { version: 0, requests: 1, failures: 0, first_s: 5, last_s: 9 };
    ClientRow {
        key: key.to_owned(),
        identity: Identity::Key,
        agent: None,
        on: 0,
        counts: vec![count],
        refused: 0,
        says: None,
    }
}

fn report(node: &str, epoch: u64) -> ClientsReport {
    ClientsReport {
        node: node.to_owned(),
        epoch,
        sequence: 1,
        revision: 1,
        more: false,
        theta: u64::MAX,
        dropped: 0,
        versions: vec!["v1".to_owned()],
        clients: Vec::new(),
    }
}

fn saved(ledger: &Ledger) -> Vec<u8> {
    let mut saved = Vec::new();
    ledger.save(&mut saved);
    saved
}

#[test]
fn keys_of_every_length_are_kept_and_others_are_not() {
    let mut ledger = Ledger::new(10_000, 7);
    let key = |len: usize| vec![0xC3; len];
    for len in 0..=KEY_BYTES_MAX + 1 {
        ledger.record(&key(len), Identity::Key, call(0, 60));
    }
    assert_eq!((ledger.len(), ledger.dropped()), (KEY_BYTES_MAX, 2));
    let loaded = Ledger::load(&saved(&ledger)).unwrap();
    for len in 1..=KEY_BYTES_MAX {
        for ledger in [&ledger, &loaded] {
            assert_eq!(ledger.get(&key(len), Identity::Key).unwrap().requests(), 1, "{len}");
        }
    }
    let none = [0, KEY_BYTES_MAX + 1, 70_000].map(|len| ledger.get(&key(len), Identity::Key));
    assert_eq!(none, [None; 3]);
}

#[test]
fn a_client_that_alternates_is_one_client() {
    let mut ledger = Ledger::new(10, 7);
    for n in 0..10_001 {
        ledger.record(b"ann", Identity::Key, call((n % 2) as u8, 60 + n / 100));
    }
    let ann = ledger.get(b"ann", Identity::Key).unwrap();
    assert_eq!((ledger.len(), ann.old.requests, ann.new.requests), (1, 5_001, 5_000));
    assert_eq!((ann.version, ledger.on_version(0), ledger.on_version(1)), (0, 1, 0));
}

#[test]
fn one_name_from_two_places_is_two_clients_side_by_side() {
    let mut ledger = Ledger::new(10, 7);
    ledger.record(b"partner-7", Identity::Key, call(0, 60));
    ledger.record(b"partner-7", Identity::Mtls, call(1, 70));
    ledger.record(b"partner-71", Identity::Key, call(1, 70));
    ledger.record(b"other", Identity::Key, call(1, 70));
    let both = Filter { contains: Some(b"ner-7"), ..Filter::default() };
    let found = ledger.select(&both, Order::Key, false, 0, 9);
    let listed: Vec<_> =
        found.clients.iter().map(|client| (client.key, client.identity, client.version)).collect();
    let expected: [(&[u8], _, _); 3] = [
        (b"partner-7", Identity::Key, 0),
        (b"partner-7", Identity::Mtls, 1),
        (b"partner-71", Identity::Key, 1),
    ];
    assert_eq!(listed, expected);
}

#[test]
fn nothing_but_printable_ascii_is_kept_of_software() {
    let mut ledger = Ledger::new(10, 7);
    for agent in ["\u{1b}[31mred/1\r\nx: y", "\0\n\t", "näme/1", "a/\u{7f}b", ""] {
        ledger.absorb(&ClientRow { agent: Some(agent.to_owned()), ..row("ann") }, &[0], 99);
        let ann = ledger.get(b"ann", Identity::Key).unwrap();
        let software = ann.software.and_then(|number| ledger.software(number)).unwrap_or_default();
        assert!(software.bytes().all(|byte| byte.is_ascii_graphic()), "{software:?}");
    }
}

#[test]
fn software_beyond_its_number_of_names_is_other_until_one_is_free() {
    let mut ledger = Ledger::new(10_000, 7);
    let told = |ledger: &mut Ledger, n: usize| {
        let told = ClientRow { agent: Some(format!("app-{n}/1")), ..row(&format!("client-{n}")) };
        ledger.absorb(&told, &[0], 99);
        let client = ledger.get(told.key.as_bytes(), Identity::Key).unwrap();
        ledger.software(client.software.unwrap()).unwrap().to_owned()
    };
    for n in 0..AGENTS_MAX + 10 {
        let expected = if n < AGENTS_MAX - 2 { format!("app-{n}/1") } else { "other".to_owned() };
        assert_eq!(told(&mut ledger, n), expected);
    }
    ledger.forget(b"client-5", Identity::Key);
    assert_eq!(told(&mut ledger, 6_000), "app-6000/1");
    assert_eq!(told(&mut ledger, 6_001), "other");
    let mut loaded = Ledger::load(&saved(&ledger)).unwrap();
    assert_eq!(saved(&loaded), saved(&ledger));
    assert_eq!(told(&mut loaded, 6_001), "other");
    assert_eq!(told(&mut loaded, 17), "app-17/1");
}

#[test]
fn absurd_numbers_stop_and_say_so() {
    let mut ledger = Ledger::new(10, 7);
    let most = ClientCount {
        version: 0,
        requests: u64::MAX,
        failures: u64::MAX,
        first_s: u32::MAX,
        last_s: u32::MAX,
    };
    let told = ClientRow { counts: vec![most; 40], refused: u64::MAX, on: 200, ..row("ann") };
    for _ in 0..3 {
        ledger.absorb(&told, &[255], u32::MAX);
    }
    let ann = ledger.get(b"ann", Identity::Key).unwrap();
    assert!(ann.saturated);
    assert_eq!((ann.old.requests, ann.refused, ann.last_seen_s()), (u32::MAX, u32::MAX, u32::MAX));
    ledger.record(b"bob", Identity::Key, call(255, 3));
    ledger.renumber(&[], 0);
    assert_eq!((ledger.on_version(0), ledger.len()), (2, 2));
    assert_eq!(Ledger::load(&saved(&ledger)).map(|ledger| saved(&ledger)), Some(saved(&ledger)));
}

#[test]
fn runs_of_nodes_are_bounded() {
    let mut ledger = Ledger::new(10, 7);
    for epoch in 0..TOTALS_SOURCES_MAX as u64 {
        assert_eq!(ledger.take(&report("edge", epoch), &[0], 9), Ok(true));
    }
    assert_eq!(ledger.take(&report("newcomer", 1), &[0], 9), Err(SourcesFull));
    let again = ClientsReport { sequence: 2, ..report("edge", 3) };
    assert_eq!(ledger.take(&again, &[0], 9), Ok(true), "known ones still report");
}

/// A table with all that a snapshot can hold.
fn full() -> Ledger {
    let mut ledger = Ledger::new(50, 7);
    for n in 0..200 {
        ledger.record(format!("client-{n}").as_bytes(), Identity::Key, call(0, 60 + n));
    }
    for n in 0..9 {
        let told = ClientRow {
            identity: Identity::ALL[n % 6],
            agent: Some(format!("app/{n}")),
            refused: 3,
            says: Some(Declared::Blocked(format!("reason {n}"))),
            ..row(&format!("client-{n}"))
        };
        ledger.absorb(&told, &[0], 300);
    }
    ledger.take(&report("edge", 1), &[0], 400).unwrap();
    ledger
}

proptest! {
    #[test]
    fn what_was_never_saved_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let versioned = [&[1], bytes.as_slice()].concat();
        for bytes in [bytes, versioned] {
            if let Some(ledger) = Ledger::load(&bytes) {
                prop_assert!(ledger.len() <= bytes.len() / 41);
            }
        }
    }

    /// A snapshot with some of its bytes changed, cut off or added is refused, or is a table
    /// like any other.
    #[test]
    fn a_damaged_snapshot_is_refused_or_sound(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
        more in prop::collection::vec(any::<u8>(), 0..3),
    ) {
        let mut bytes = saved(&full());
        let whole = bytes.clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        bytes.extend(more);
        let loaded = Ledger::load(&bytes);
        prop_assert!(bytes != whole || loaded.is_some());
        if let Some(mut ledger) = loaded {
            let again = Ledger::load(&saved(&ledger));
            prop_assert!(again.is_some());
            for n in 0..100 {
                let key = format!("more-{n}");
                ledger.record(key.as_bytes(), Identity::Key, call((n % 3) as u8, n));
                ledger.forget(format!("client-{n}").as_bytes(), Identity::Key);
            }
            ledger.renumber(&[2, 0, 1], 2);
            ledger.forget_before(50);
            ledger.heaviest(5);
            ledger.clients(None);
            let flagged = Filter { flags: Flags::BLOCKED, ..Filter::default() };
            ledger.select(&flagged, Order::Interval, true, 1, 3);
            let counted: u64 = (0..16).map(|version| ledger.on_version(version)).sum();
            prop_assert_eq!(counted, ledger.len() as u64);
        }
    }
}

#[test]
fn what_is_saved_comes_back_whole() {
    let ledger = full();
    assert!(ledger.sampled_until_s().is_some() && ledger.dropped() > 0);
    let bytes = saved(&ledger);
    let loaded = Ledger::load(&bytes).unwrap();
    assert_eq!(saved(&loaded), bytes);
    assert_eq!(loaded.heaviest(99), ledger.heaviest(99));
    assert_eq!(loaded.clients(None), ledger.clients(None));
    assert_eq!(loaded.sequence("edge", 1), 1);
    assert!(loaded.iter().eq(ledger.iter()));
    assert!(bytes.len() < 50 * 80 + 200 * 40);
    assert!(Ledger::load(&[&bytes[..], &[0]].concat()).is_none());
    assert!(Ledger::load(&bytes[..bytes.len() - 1]).is_none());
}
