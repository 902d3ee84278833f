use super::*;

const OLD: Served = Served { requests: 1_000, failures: 5 };
const CLIENTS: u64 = 2_000;

fn served(requests: u64, failures: u64) -> Served {
    Served { requests, failures }
}

/// The fleet: 500 clients, of whom each makes four requests a minute, and `failures` of all
/// fail, another client's every time.
fn fleet(watch: &mut Watch, failures: u64, at_s: u32) {
    for client in 0..500 {
        let place = (client + u64::from(at_s / 60) * 211) % 500;
        let failed = failures / 500 + u64::from(place < failures % 500);
        watch.count(client, served(4, failed), OLD, at_s);
    }
}

fn watch() -> Watch {
    let mut watch = Watch::new(Config::default());
    watch.count_old(served(1_000_000, 5_000));
    watch
}

/// Plays `minutes`; when the client was called sick, and how many others were.
fn play(
    minutes: u32,
    all: impl Fn(u32) -> u64,
    own: impl Fn(u32) -> Served,
) -> (Option<u32>, usize) {
    let (mut watch, mut found) = (watch(), None);
    for minute in 0..minutes {
        fleet(&mut watch, all(minute), minute * 60);
        watch.count(99_999, own(minute), OLD, minute * 60);
        for finding in watch.tick(minute * 60 + 60, CLIENTS) {
            if finding.client == 99_999 {
                found = found.or(Some(minute));
            }
        }
    }
    let others = watch.sick().filter(|it| it.client != 99_999).count();
    (found, others)
}

#[test]
fn a_client_that_fails_alone_is_found_within_minutes() {
    let (found, others) = play(60, |_| 10, |_| served(10, 10));
    assert!((3..=6).contains(&found.unwrap()), "{found:?}");
    assert_eq!(others, 0);
    // A third of its requests; and few requests.
    let (found, _) = play(60, |_| 10, |_| served(10, 3));
    assert!(found.is_some_and(|minute| minute < 20), "{found:?}");
    let (found, _) = play(100, |_| 10, |_| served(1, 1));
    assert!(found.is_some_and(|minute| minute < 30), "{found:?}");
}

#[test]
fn one_that_fails_as_it_did_and_as_others_do_is_well() {
    let (found, others) = play(500, |_| 10, |minute| served(10, u64::from(minute % 20 == 0)));
    assert_eq!((found, others), (None, 0));
}

#[test]
fn when_everybody_fails_nobody_is_sick() {
    let (found, others) =
        play(120, |minute| if minute < 20 { 10 } else { 1_800 }, |_| served(10, 9));
    // It did fail before the others.
    assert!(found.is_some_and(|minute| minute < 10));
    assert_eq!(others, 0);
    let (found, others) = play(
        120,
        |minute| if minute < 20 { 0 } else { 1_800 },
        |minute| if minute < 20 { served(10, 0) } else { served(10, 9) },
    );
    assert_eq!((found, others), (None, 0));
}

#[test]
fn one_that_was_well_for_long_is_found_as_soon() {
    let broken = |minute| {
        if minute < 3_000 { served(10, u64::from(minute % 50 == 0)) } else { served(10, 10) }
    };
    let (found, _) = play(3_060, |_| 10, broken);
    assert!((3_003..3_015).contains(&found.unwrap()), "{found:?}");
}

#[test]
fn a_minute_of_retries_accuses_nobody() {
    let (found, _) =
        play(200, |_| 10, |minute| if minute % 100 < 2 { served(500, 500) } else { served(10, 0) });
    assert_eq!(found, None);
}

#[test]
fn more_clients_and_more_tries_ask_for_more() {
    let mut needed = Vec::new();
    for clients in [100, 10_000, 1_000_000] {
        let mut watch = watch();
        let found = (0..60).find_map(|minute| {
            fleet(&mut watch, 10, minute * 60);
            watch.count(99_999, served(10, 10), OLD, minute * 60);
            watch.tick(minute * 60 + 60, clients).first().copied()
        });
        needed.push(found.unwrap().needed);
    }
    assert!(needed[0] < needed[1] && needed[1] < needed[2], "{needed:?}");
}

#[test]
fn what_was_found_is_said_with_its_evidence() {
    let mut watch = watch();
    let found = (0..60).find_map(|minute| {
        fleet(&mut watch, 10, minute * 60);
        watch.count(99_999, served(10, 10), OLD, minute * 60);
        watch.tick(minute * 60 + 60, CLIENTS).first().copied()
    });
    let finding = found.unwrap();
    assert!(watch.is_sick(99_999) && finding.log_e >= finding.needed);
    assert_eq!(watch.sick().next(), Some(finding));
    let sentence = finding.sentence("partner-7", "v1", "v2");
    let start = "partner-7 fails on v2: 40 of 40 requests (100 %), on v1 0.5 % of 1000, all others on \
                 v2 0.5 %; evidence 10^";
    assert!(sentence.starts_with(start), "{sentence}");
    watch.lift(99_999);
    assert!(!watch.is_sick(99_999) && watch.sick().next().is_none());
}

#[test]
fn suspects_are_bounded_whatever_fails() {
    let mut watch = watch();
    for minute in 0..5u32 {
        for client in 0..10_000 {
            watch.count(client, served(1, 1), OLD, minute * 60);
        }
        watch.tick(minute * 60 + 60, 10_000);
        assert!(watch.suspects().0 <= SUSPECTS_MAX);
    }
    assert!(watch.suspects().1 > 0);
    assert_eq!(watch.sick().count(), 0);
}

#[test]
fn a_watch_that_was_saved_goes_on_as_it_was() {
    let mut watch = watch();
    for minute in 0..3 {
        fleet(&mut watch, 50, minute * 60);
        watch.count(99_999, served(10, 10), OLD, minute * 60);
        watch.tick(minute * 60 + 60, CLIENTS);
    }
    let mut again: Watch = borsh::from_slice(&borsh::to_vec(&watch).unwrap()).unwrap();
    assert_eq!(again, watch);
    for minute in 3..9 {
        for watch in [&mut watch, &mut again] {
            fleet(watch, 10, minute * 60);
            watch.count(99_999, served(10, 10), OLD, minute * 60);
        }
        assert_eq!(watch.tick(minute * 60 + 60, CLIENTS), again.tick(minute * 60 + 60, CLIENTS));
    }
    assert!(again.is_sick(99_999));
}

#[test]
fn nonsense_counts_are_borne() {
    let mut watch = Watch::new(Config { min_requests: 0, ..Config::default() });
    watch.tick(0, 0);
    watch.count(1, served(0, 5), served(0, 9), 100);
    watch.count(1, served(u64::MAX, u64::MAX), OLD, 50);
    watch.count(2, served(3, 7), OLD, 50);
    watch.tick(10, 0);
    watch.tick(u32::MAX, u64::MAX);
    watch.lift(3);
    assert!(watch.sick().all(|it| it.log_e.is_finite()));
}
