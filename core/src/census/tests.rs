use super::*;
use crossfade_protocol::limits::TIME_MS_MAX;

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
