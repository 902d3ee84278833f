use super::*;
use crossfade_protocol::Reason;
use crossfade_protocol::limits::TIME_MS_MAX;
use proptest::prelude::*;

fn census(clients: &[(&str, u16)]) -> Census {
    let mut census = Census::new(7);
    for (key, version) in clients {
        census.record(key.as_bytes(), Identity::Key, *version, 1_000);
    }
    census
}

#[test]
fn a_client_counts_to_the_version_that_served_it_last() {
    let census = census(&[("a", 0), ("b", 0), ("a", 1), ("c", 1), ("c", 1)]);
    assert_eq!((census.len(), census.on_version(0), census.on_version(1)), (3, 1, 2));
    assert_eq!(census.get(b"c", Identity::Key).unwrap().requests, 2);
    assert_eq!(census.get(b"d", Identity::Key), None);
}

#[test]
fn a_sender_is_not_the_user_of_the_same_name() {
    let mut census = census(&[("a", 0)]);
    census.record(b"a", Identity::Sender, 1, 0);
    assert_eq!((census.len(), census.on_version(0), census.on_version(1)), (2, 1, 1));
}

#[test]
fn who_is_forgotten_is_in_no_byte_and_the_others_are_as_before() {
    let mut census = census(&[("ann", 0), ("bob", 1), ("ann", 1), ("cal", 0)]);
    census.record(b"ann", Identity::Sender, 0, 9_000);
    let terms = Terms { revision: 1, ..Terms::default() };
    let word = RouteWord::new(1, true, Reason::Canary);
    census.record_decided(b"bob", word, terms, 2_000);
    let before: Vec<_> = census.iter().map(|client| format!("{client:?}")).collect();
    assert!(census.forget(b"ann", Identity::Key) && !census.forget(b"ann", Identity::Key));
    let others: Vec<_> = census.iter().map(|client| format!("{client:?}")).collect();
    assert_eq!(others, before[1..]);
    assert_eq!((census.len(), census.on_version(0), census.on_version(1)), (3, 2, 1));
    assert_eq!(census.again(b"bob", terms, 3_000), Some(word), "what was decided still is");
    assert!(census.forget(b"ann", Identity::Sender));
    let mut saved = Vec::new();
    census.save(&mut saved);
    assert!(!saved.windows(3).any(|part| part == b"ann"));
    assert!(Census::load(&census.head(), &saved).unwrap().iter().eq(census.iter()));
}

#[test]
fn time_that_goes_back_changes_nothing() {
    let mut census = census(&[]);
    census.record(b"a", Identity::Key, 0, 9_000);
    census.record(b"a", Identity::Key, 0, 1_000);
    assert_eq!(census.get(b"a", Identity::Key).unwrap().last_seen_s, 9);
    for beyond_ms in [4_294_967_295_000, 4_294_967_296_000, TIME_MS_MAX] {
        census.record(b"a", Identity::Key, 0, beyond_ms);
        assert_eq!(census.get(b"a", Identity::Key).unwrap().last_seen_s, u32::MAX);
    }
}

#[test]
fn the_busiest_come_first_and_ties_by_key() {
    let census = census(&[("b", 0), ("a", 1), ("c", 0), ("c", 0)]);
    let keys = |version, limit| {
        census.busiest(version, limit).iter().map(|c| c.key.to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(keys(None, 2), [b"c".to_vec(), b"a".to_vec()]);
    assert_eq!(keys(Some(0), 9), [b"c".to_vec(), b"b".to_vec()]);
    assert!(keys(None, 0).is_empty());
}

#[test]
fn saved_and_loaded_is_the_same() {
    let mut census = census(&[("a", 0), ("é", 1), ("", 0)]);
    census.record(&[b'x'; 1024], Identity::Sender, 1, 5_000);
    let mut saved = Vec::new();
    census.save(&mut saved);
    let head = census.head();
    let loaded = Census::load(&head, &saved).unwrap();
    assert!(loaded.iter().eq(census.iter()));
    assert_eq!(loaded.on_version(1), 2);
    assert!(Census::load(&head, &saved[..saved.len() - 1]).is_none());
    assert!(Census::load(&Head { clients: 3, ..head }, &saved).is_none());
    let twice = Head { clients: 2, ..head };
    let rows = [&saved[..SAVED_ROW_BYTES], &saved[..SAVED_ROW_BYTES], b"aa"].concat();
    assert!(Census::load(&twice, &rows).is_none());
}

#[test]
fn renumbering_keeps_everyone() {
    let mut census = census(&[("a", 0), ("b", 1)]);
    census.renumber(&[2, 0]);
    assert_eq!((census.on_version(2), census.on_version(0)), (1, 1));
    assert_eq!(census.get(b"a", Identity::Key).unwrap().version, 2);
}

/// The bound, at its size: a million clients with keys of 11 to 17 bytes, at
/// most 64 bytes each, and the limit answered clearly one client later.
#[test]
fn a_million_clients_fit_in_64_bytes_each_and_the_next_is_refused() {
    let mut census = Census::new(1);
    for i in 0..CLIENTS_MAX {
        census.record(format!("customer-{i}").as_bytes(), Identity::Key, (i % 2) as u16, 0);
    }
    assert_eq!((census.len(), census.uncounted()), (CLIENTS_MAX, 0));
    let each = census.memory_bytes() as f64 / CLIENTS_MAX as f64;
    assert!(each <= 64.0, "{each:.1} bytes a client");
    census.record(b"one more", Identity::Key, 0, 0);
    census.record(b"customer-5", Identity::Key, 0, 0);
    assert_eq!((census.len(), census.uncounted()), (CLIENTS_MAX, 1));
}

/// A table that is easy to see through.
#[derive(Default)]
struct Model {
    clients: std::collections::BTreeMap<(Vec<u8>, bool), (u16, u32, u32)>,
    decided: std::collections::BTreeMap<Vec<u8>, (RouteWord, Terms)>,
}

impl Model {
    fn record(&mut self, key: &[u8], identity: Identity, version: u16, now_s: u32) {
        let place = (key.to_vec(), identity == Identity::Sender);
        let client = self.clients.entry(place).or_insert((version, 0, 0));
        *client = (version, client.1 + 1, client.2.max(now_s));
    }
}

#[derive(Debug, Clone)]
enum Step {
    Record(usize, bool, u16),
    Decide(usize, u16),
    Again(usize),
    Renumber,
    Terms(u64, bool),
    SaveAndLoad,
}

/// Keys that differ in one byte, in their length, or only in zeros at their end.
fn alike(which: usize) -> Vec<u8> {
    let len = [0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 23, 24, 25, 36, 64, 65, 1024][which % 20];
    let mut key = vec![b'a'; len];
    match (which / 20) % 6 {
        1 => key.iter_mut().take(1).for_each(|byte| *byte = b'b'),
        2 => key.iter_mut().rev().take(1).for_each(|byte| *byte = b'b'),
        3 => key.iter_mut().skip(len / 2).take(1).for_each(|byte| *byte = b'b'),
        4 => key.iter_mut().rev().take(1).for_each(|byte| *byte = 0),
        5 => key.fill(0),
        _ => {}
    }
    key
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0..120usize;
    prop_oneof![
        4 => (which.clone(), any::<bool>(), 0..3u16).prop_map(|(w, i, v)| Step::Record(w, i, v)),
        8 => (which.clone(), 0..3u16).prop_map(|(w, v)| Step::Decide(w, v)),
        16 => which.prop_map(Step::Again),
        1 => Just(Step::Renumber),
        1 => (1..3u64, any::<bool>()).prop_map(|(r, g)| Step::Terms(r, g)),
        1 => Just(Step::SaveAndLoad),
    ]
}

proptest! {
    #[test]
    fn it_counts_as_a_plain_map_does(steps in prop::collection::vec(step(), 1..400)) {
        let (mut census, mut model) = (Census::new(5), Model::default());
        let mut terms = Terms { revision: 1, turn: 0, guard_tripped: false };
        for (now_s, step) in steps.into_iter().enumerate() {
            let now_s = now_s as u32;
            let now_ms = u64::from(now_s) * 1000;
            match step {
                Step::Record(which, sender, version) => {
                    let identity = if sender { Identity::Sender } else { Identity::Key };
                    census.record(&alike(which), identity, version, now_ms);
                    model.record(&alike(which), identity, version, now_s);
                }
                Step::Decide(which, version) => {
                    let key = alike(which);
                    let word = RouteWord::new(version, which % 2 == 0, Reason::Canary);
                    census.record_decided(&key, word, terms, now_ms);
                    model.record(&key, Identity::Key, version, now_s);
                    model.decided.insert(key, (word, terms));
                }
                Step::Again(which) => {
                    let key = alike(which);
                    if let Some(word) = census.again(&key, terms, now_ms) {
                        prop_assert_eq!(model.decided.get(&key), Some(&(word, terms)));
                        let version = word.version().unwrap();
                        let counted = model.clients[&(key.clone(), false)];
                        prop_assert_eq!(counted.0, version);
                        model.record(&key, Identity::Key, version, now_s);
                    }
                }
                // As an engine does it: a new policy is in force afterwards.
                Step::Renumber => {
                    census.renumber(&[1, 2, 0]);
                    terms.revision += 10;
                    model.clients.values_mut().for_each(|client| client.0 = (client.0 + 1) % 3);
                }
                Step::Terms(revision, guard_tripped) => {
                    terms.revision += revision;
                    terms.guard_tripped = guard_tripped;
                }
                Step::SaveAndLoad => {
                    let mut saved = Vec::new();
                    census.save(&mut saved);
                    census = Census::load(&census.head(), &saved).unwrap();
                    model.decided.clear();
                }
            }
        }
        let mut counted: Vec<_> = census.iter().collect();
        counted.sort_by(|a, b| (a.key, a.identity as u8).cmp(&(b.key, b.identity as u8)));
        let expected = model.clients.iter().map(|((key, sender), client)| Client {
            key,
            identity: if *sender { Identity::Sender } else { Identity::Key },
            version: client.0,
            requests: client.1,
            last_seen_s: client.2,
        });
        prop_assert_eq!(counted, expected.collect::<Vec<_>>());
        for version in 0..3 {
            let on = model.clients.values().filter(|client| client.0 == version).count();
            prop_assert_eq!(census.on_version(version), on as u64);
        }
    }
}

#[test]
fn generations_that_have_run_out_begin_again() {
    let mut census = census(&[]);
    let terms = |revision| Terms { revision, turn: 0, guard_tripped: false };
    let word = RouteWord::new(1, true, Reason::Canary);
    census.record_decided(b"user123", word, terms(1), 0);
    assert_eq!(census.again(b"user123", terms(1), 0), Some(word));
    assert_eq!(census.again(b"user123", terms(2), 0), None);
    census.generation = u32::MAX;
    census.record_decided(b"user456", word, terms(2), 0);
    assert_eq!(census.generation, 1);
    assert_eq!(census.again(b"user123", terms(2), 0), None);
    assert_eq!(census.again(b"user456", terms(2), 0), Some(word));
}
