//! What the misbehaving modules under `examples/` have in common. Each becomes one
//! `guest_*.wasm`; the host's tests build and load them.
//!
//! *Does:* serve lines as an honest engine does, until one carries [`POISON`].
//! *Does not:* belong to anything that is shipped.

use std::marker::PhantomData;

use crossfade_core::guest::Guest;
use crossfade_core::protocol::abi::RouteWord;

/// A line with these bytes brings out what is wrong with a guest.
pub const POISON: &[u8] = b"\"user_id\":\"poison\"";

/// One way to misbehave.
pub trait Mischief {
    /// Called for each line, before the engine sees it.
    fn line(line: &[u8]) {
        if contains(line, POISON) {
            Self::act();
        }
    }

    /// Called before a snapshot is read.
    fn restore() {}

    /// Called with a snapshot that was written.
    fn written(_: &mut Vec<u8>) {}

    /// Misbehaves.
    fn act();
}

/// Whether `needle` stands somewhere in `line`.
pub fn contains(line: &[u8], needle: &[u8]) -> bool {
    line.windows(needle.len()).any(|window| window == needle)
}

/// An engine that works, but for its mischief.
///
/// Lines before a poisoned one of the same call have been served when it acts: the
/// state it leaves behind is a half-served batch.
#[derive(Debug)]
pub struct Spoiled<G, M>(G, PhantomData<M>);

impl<G: Guest, M: Mischief> Guest for Spoiled<G, M> {
    fn init(document: &[u8], now_ms: u64, seed: u64, out: &mut Vec<u8>) -> Self {
        Spoiled(G::init(document, now_ms, seed, out), PhantomData)
    }

    fn handle(&mut self, lines: &[u8], now_ms: u64, out: &mut Vec<u8>) {
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            M::line(line);
            self.0.handle(line, now_ms, out);
        }
    }

    fn route(&mut self, key: &[u8], draw: u32) -> RouteWord {
        if key == b"poison" {
            M::act();
        }
        self.0.route(key, draw)
    }

    fn tick(&mut self, now_ms: u64, out: &mut Vec<u8>) {
        self.0.tick(now_ms, out);
    }

    fn totals(&mut self, out: &mut Vec<u8>) {
        self.0.totals(out);
    }

    fn merge(&mut self, totals: &[u8], out: &mut Vec<u8>) {
        if contains(totals, POISON) {
            M::act();
        }
        self.0.merge(totals, out);
    }

    fn snapshot(&mut self, out: &mut Vec<u8>) {
        self.0.snapshot(out);
        M::written(out);
    }

    fn restore(&mut self, snapshot: &[u8], out: &mut Vec<u8>) {
        M::restore();
        self.0.restore(snapshot, out);
    }
}

/// The least engine whose answers tell whether state was lost: it numbers its lines.
///
/// A merge and a fast-path call count like a line; ticks have a count of their own. A
/// snapshot is both counts in decimal, as in `12 3`.
#[derive(Debug, Default)]
pub struct Counter {
    lines: u64,
    ticks: u64,
}

impl Guest for Counter {
    fn init(_: &[u8], _: u64, _: u64, _: &mut Vec<u8>) -> Self {
        Counter::default()
    }

    fn handle(&mut self, lines: &[u8], now_ms: u64, out: &mut Vec<u8>) {
        for line in lines.split(|byte| *byte == b'\n') {
            if line.trim_ascii().is_empty() {
                continue;
            }
            self.lines += 1;
            let kind = if contains(line, b"\"type\":\"refuse\"") { "refused" } else { "counted" };
            let n = self.lines;
            let reply = format!("{{\"type\":\"{kind}\",\"n\":{n},\"now_ms\":{now_ms}}}\n");
            out.extend_from_slice(reply.as_bytes());
        }
    }

    fn route(&mut self, key: &[u8], _: u32) -> RouteWord {
        self.lines += 1;
        RouteWord(key.len() as u32)
    }

    fn tick(&mut self, now_ms: u64, out: &mut Vec<u8>) {
        self.ticks += 1;
        if self.ticks.is_multiple_of(10) {
            out.extend_from_slice(b"{\"type\":\"event\",\"event\":\"ten\"}\n");
        }
        // On a virtual clock nothing is late.
        if self.ticks == 5 && now_ms > 0 {
            out.extend_from_slice(b"{\"type\":\"late_reply\"}\n");
        }
    }

    fn totals(&mut self, out: &mut Vec<u8>) {
        self.snapshot(out);
    }

    fn merge(&mut self, _: &[u8], out: &mut Vec<u8>) {
        self.lines += 1;
        out.extend_from_slice(b"{\"type\":\"merge_ok\"}\n");
    }

    fn snapshot(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("{} {}", self.lines, self.ticks).as_bytes());
    }

    fn restore(&mut self, snapshot: &[u8], out: &mut Vec<u8>) {
        let counts = std::str::from_utf8(snapshot).ok().and_then(|text| {
            let (lines, ticks) = text.split_once(' ')?;
            Some(Counter { lines: lines.parse().ok()?, ticks: ticks.parse().ok()? })
        });
        match counts {
            Some(counts) => *self = counts,
            None => {
                out.extend_from_slice(b"{\"type\":\"error\",\"code\":22,\"text\":\"no count\"}\n")
            }
        }
    }
}
