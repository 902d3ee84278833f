//! What the table takes, by counting what was allocated.

use allocation_counter::measure;
use crossfade_ledger::protocol::clients::Identity;
use crossfade_ledger::{Call, Ledger, Side};

fn call(version: u8, at_s: u32) -> Call {
    Call { version, failed: false, at_s }
}

/// The bound, at its size and with the longest of the usual keys, which have 11 to
/// 17 bytes: every client has called both sides and has a rhythm.
#[test]
fn a_million_clients_take_64_bytes_each_at_most() {
    let mut table = None;
    let counted = measure(|| {
        let mut ledger = Ledger::new(1_000_000, 1);
        for n in 0..1_000_000 {
            let key = format!("account-{n:09}");
            ledger.record(key.as_bytes(), Identity::Key, call(0, n));
            ledger.record(key.as_bytes(), Identity::Key, call((n % 2) as u8, n + 3_600));
        }
        table = Some(ledger);
    });
    let ledger = table.expect("it was made");
    assert_eq!((ledger.len(), ledger.sampled_until_s()), (1_000_000, None));
    assert_eq!(ledger.count(Side::Old, None).value, 500_000);
    let each = counted.bytes_current as f64 / 1e6;
    let most = counted.bytes_max as f64 / 1e6;
    println!("{each:.1} bytes a client, {most:.1} at most while it grew");
    assert!(each <= 64.0, "{each:.1} bytes a client");
    assert!(most <= 64.0, "{most:.1} bytes a client while it grew");
    assert!(ledger.memory_bytes().abs_diff(counted.bytes_current as usize) < 65_536);
}
