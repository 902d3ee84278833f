//! What a request and a report cost the ledger, beside a general map of rows of the same
//! size: `cargo run --release --example ledger_speed -p crossfade-ledger`. Takes the number
//! of clients, 10,000,000 by default.
//!
//! The maps are the standard library's, which is hashbrown, with the ledger's own hash: one
//! by key, and one by a number, which has no key to look at and is the quickest there is.
//! They do less: neither keeps a rhythm. Rounds of the three follow each other, so that a
//! machine that has other work is as slow for all.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Instant;

use crossfade_ledger::protocol::clients::{ClientCount, ClientRow, ClientsReport, Identity};
use crossfade_ledger::{Call, Filter, Ledger, Order};
use foldhash::fast::FixedState;

/// As large as a row of the ledger without its key.
#[derive(Debug, Clone, Copy, Default)]
struct Row {
    rhythm: u64,
    requests: [u32; 2],
    failures: [u32; 2],
    first_s: [u32; 2],
    last_s: [u32; 2],
}

impl Row {
    fn count(&mut self, version: usize, at_s: u32) {
        if self.requests[version] == 0 {
            self.first_s[version] = at_s;
        }
        self.requests[version] += 1;
        self.failures[version] += u32::from(at_s.is_multiple_of(64));
        self.last_s[version] = self.last_s[version].max(at_s);
        self.rhythm = self.rhythm.wrapping_add(1);
    }
}

type Map = HashMap<Box<[u8]>, Row, FixedState>;

/// A key of 15 bytes.
fn key(mut client: u64) -> [u8; 15] {
    let mut key = *b"client-00000000";
    for digit in key.iter_mut().skip(7).rev() {
        *digit = b'0' + (client % 10) as u8;
        client /= 10;
    }
    key
}

/// Visits every client once, in an order that no cache likes; nanoseconds for each.
fn visit(clients: u64, round: u32, mut see: impl FnMut(&[u8], usize, u32)) -> f64 {
    let began = Instant::now();
    // Prime, so that every client comes once.
    let step = 7_368_787;
    let mut client = u64::from(round);
    for n in 0..clients {
        client = (client + step) % clients;
        let at_s = 1_800_000_000 + round * 86_400 + (n % 86_400) as u32;
        see(&key(client), usize::from(client.is_multiple_of(3)), at_s);
    }
    began.elapsed().as_nanos() as f64 / clients as f64
}

fn main() {
    let asked = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let clients: u64 = asked.unwrap_or(10_000_000);
    let mut ledger = Ledger::new(clients as usize, 7);
    let mut map = Map::with_hasher(FixedState::with_seed(7));
    println!("{clients} clients, keys of 15 bytes; ns a request");
    println!("{:>12} {:>8} {:>10} {:>13}", "", "ledger", "map by key", "map by number");
    let mut numbers: HashMap<u64, Row, FixedState> = HashMap::with_hasher(FixedState::with_seed(7));
    let mut ratios = [Vec::new(), Vec::new()];
    let mut record_ns = f64::INFINITY;
    for round in 0..6 {
        let ours = visit(clients, round, |key, version, at_s| {
            let failed = at_s.is_multiple_of(64);
            ledger.record(key, Identity::Key, Call { version: version as u8, failed, at_s });
        });
        let by_key = visit(clients, round, |key, version, at_s| match map.get_mut(key) {
            Some(row) => row.count(version, at_s),
            None => map.entry(key.into()).or_default().count(version, at_s),
        });
        let by_number = visit(clients, round, |key, version, at_s| {
            let digits = key.get(7..).and_then(|rest| rest.first_chunk()).copied();
            let number = u64::from_le_bytes(digits.unwrap_or_default());
            numbers.entry(number).or_default().count(version, at_s);
        });
        let name = if round == 0 { "first call" } else { "again" };
        println!("{name:>12} {ours:>8.0} {by_key:>10.0} {by_number:>13.0}");
        if round > 0 {
            record_ns = record_ns.min(ours);
            ratios[0].push(ours / by_key);
            ratios[1].push(ours / by_number);
        }
    }
    let [by_key, by_number] = ratios.map(|mut ratios| {
        ratios.sort_by(f64::total_cmp);
        ratios[ratios.len() / 2]
    });
    println!(
        "a later call: {by_key:.2} of a map by key, {by_number:.2} of one by number (medians)"
    );
    let ours = ledger.memory_bytes() as f64 / ledger.len() as f64;
    // A slot and a byte for each there is room for, and the key by itself.
    let slot = size_of::<(Box<[u8]>, Row)>() + 1;
    let theirs = (map.capacity() * 8 / 7 * slot + map.len() * 16) as f64 / map.len() as f64;
    println!("{ours:.1} bytes a client in the ledger, about {theirs:.1} in the map by key");
    drop((ledger, map, numbers));
    let reports_ms = merge();
    println!(
        "{}",
        serde_json::json!({
            "record_ns": record_ns,
            "over_map_by_key": by_key,
            "over_map_by_number": by_number,
            "bytes_per_client": ours,
            "reports_ms": reports_ms,
        })
    );
}

/// What an edge tells of 750 clients.
fn report(number: u64, clients: u64) -> ClientsReport {
    let row = |n: u64| {
        let client = (number * 750 + n) * 7_368_787 % clients;
        let version = u8::from(client.is_multiple_of(3));
        let first_s = 1_800_200_000 + n as u32;
        let last_s = first_s + 50;
        ClientRow {
            key: String::from_utf8_lossy(&key(client)).into_owned(),
            identity: Identity::Key,
            agent: Some(format!("partner-sdk/{}.{}", client % 40, client % 7)),
            on: version,
            counts: vec![ClientCount { version, requests: 9, failures: 1, first_s, last_s }],
            refused: 0,
            says: None,
        }
    };
    ClientsReport {
        node: format!("edge-{number}"),
        epoch: 1,
        sequence: 1,
        revision: 1,
        more: false,
        theta: u64::MAX,
        dropped: 0,
        versions: vec!["v1".to_owned(), "v2".to_owned()],
        clients: (0..750).map(row).collect(),
    }
}

/// A thousand reports into a table of a million; milliseconds.
fn merge() -> f64 {
    const CLIENTS: u64 = 1_000_000;
    let ms = |began: Instant| began.elapsed().as_secs_f64() * 1000.0;
    let mut ledger = Ledger::new(CLIENTS as usize, 7);
    visit(CLIENTS, 0, |key, version, at_s| {
        let call = Call { version: version as u8, failed: false, at_s };
        ledger.record(key, Identity::Key, call);
    });
    let reports: Vec<ClientsReport> = (0..1000).map(|number| report(number, CLIENTS)).collect();
    let bytes = serde_json::to_vec(&reports[0]).map_or(0, |text| text.len());
    let began = Instant::now();
    for report in &reports {
        black_box(ledger.take(report, &[0, 1], 1_800_300_000)).ok();
    }
    let taken_ms = ms(began);
    println!(
        "1,000 reports of 750 clients ({} KB of JSON each, read before) into a million: {taken_ms:.0} ms",
        bytes / 1000,
    );
    let began = Instant::now();
    let listed = ledger.select(&Filter::default(), Order::OldRequests, false, 0, 100);
    println!("the first 100 of {} listed in {:.0} ms", listed.total.value, ms(began));
    let mut saved = Vec::new();
    let began = Instant::now();
    ledger.save(&mut saved);
    let save = ms(began);
    let began = Instant::now();
    let loaded = Ledger::load(&saved).map_or(0, |ledger| ledger.len());
    println!(
        "saved in {save:.0} ms as {:.1} MB; {loaded} clients loaded in {:.0} ms",
        saved.len() as f64 / 1e6,
        ms(began),
    );
    // One more than there is room for: half of the rows go, and frequent callers are
    // counted from now on.
    let began = Instant::now();
    ledger.record(
        b"one more",
        Identity::Key,
        Call { version: 0, failed: false, at_s: 1_800_300_000 },
    );
    println!("the first client too many: {:.0} ms, {} rows then", ms(began), ledger.len());
    let began = Instant::now();
    while ledger.len() > 400_000 {
        ledger.set_limit(ledger.len() - 1);
    }
    println!("half of the old side: {:.0} ms, {} rows then", ms(began), ledger.len());
    taken_ms
}
