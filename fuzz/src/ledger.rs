//! The ledger: reports of clients, and the bytes it is saved as.
//!
//! Lines that begin with `{` are reports. `!PLACE BITS` damages one byte of what is saved
//! (0 cuts it off there), `<BYTES` loads these (`\xHH` is one byte), and any other line is a
//! search.

use crossfade_ledger::protocol::clients::ClientsReport;
use crossfade_ledger::{Filter, Ledger, Order};

use super::script::{Damage, unescaped};

/// When reports are taken in, in seconds since 1970.
const NOW_S: u32 = 1_800_000_000;

/// Plays it. What is taken in is saved, and read back as the same bytes; damaged bytes are
/// refused, or are a ledger that can be used.
///
/// # Panics
/// Something does not hold.
pub fn run(bytes: &[u8]) {
    let mut ledger = Ledger::new(64, 7);
    for (place, line) in bytes.split(|byte| *byte == b'\n').take(64).enumerate() {
        match line.split_first() {
            Some((b'{', _)) => {
                let Ok(report) = ClientsReport::read(line) else { continue };
                let places: Vec<u8> = (0..report.versions.len()).map(|at| at as u8 % 2).collect();
                let now_s = NOW_S + place as u32;
                let first = ledger.take(&report, &places, now_s);
                let again = ledger.take(&report, &places, now_s);
                assert!(first.is_err() || again == Ok(false), "a report was counted twice");
            }
            Some((b'!', rest)) => {
                let mut saved = saved(&ledger);
                Damage::read(rest).to(&mut saved);
                used(Ledger::load(&saved));
            }
            Some((b'<', snapshot)) => used(Ledger::load(&unescaped(snapshot))),
            _ => look(&ledger, line),
        }
        let bytes = saved(&ledger);
        let loaded = Ledger::load(&bytes).expect("what was saved can be read");
        assert_eq!(saved(&loaded), bytes, "it changed on its way");
    }
}

fn saved(ledger: &Ledger) -> Vec<u8> {
    let mut saved = Vec::new();
    ledger.save(&mut saved);
    saved
}

/// One from damaged bytes can be asked, and saved.
fn used(ledger: Option<Ledger>) {
    if let Some(ledger) = ledger {
        look(&ledger, b"a");
        let bytes = saved(&ledger);
        assert!(Ledger::load(&bytes).is_some(), "what it saves cannot be read");
    }
}

fn look(ledger: &Ledger, line: &[u8]) {
    let filter = Filter { contains: (!line.is_empty()).then_some(line), ..Filter::default() };
    let found = ledger.select(&filter, Order::LastOld, false, 0, 8);
    assert!(found.clients.len() <= 8, "more than was asked for");
    assert!(ledger.iter().count() <= ledger.len(), "more rows than there are");
    for client in ledger.iter() {
        assert!(ledger.get(client.key, client.identity).is_some(), "a row that is not found");
    }
}
