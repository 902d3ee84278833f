//! An engine with one rule of its own: all users of a tenant are on one version.
//!
//! A plan looks at keys as a whole. Where keys are `tenant/user`, as in `acme/alice`, and
//! the users of a tenant share data, they have to move together. Here the engine that
//! Crossfade ships sees the tenant alone, and so hashes, pins and counts tenants.
//!
//! *Does:* cut what follows the first `/` from every key, and leave the rest to the engine.
//! *Does not:* decide anything, or keep anything: its state is the engine's.

use std::borrow::Cow;

use crossfade_core::Engine;
use crossfade_core::guest::Guest;
use crossfade_core::protocol::abi::RouteWord;
use serde_json::Value;

/// The engine, asked about tenants.
pub struct Tenants(Engine);

/// The part of a key that decides.
fn tenant(key: &str) -> &str {
    key.split_once('/').map_or(key, |(tenant, _)| tenant)
}

/// A line with tenants in the place of its keys; one that is no JSON as it came, since the
/// engine knows best what to answer.
fn by_tenant(line: &[u8]) -> Cow<'_, [u8]> {
    // Most lines have no such key, and reading JSON is most of the work.
    if !line.contains(&b'/') {
        return Cow::Borrowed(line);
    }
    let Ok(mut message) = serde_json::from_slice::<Value>(line) else { return Cow::Borrowed(line) };
    if !cut(&mut message) {
        return Cow::Borrowed(line);
    }
    let mut line = message.to_string().into_bytes();
    line.push(b'\n');
    Cow::Owned(line)
}

/// Cuts the keys of a message, also in its envelope and in lists of outcomes; tells whether
/// there were any. What a plan or attributes hold is no key.
fn cut(message: &mut Value) -> bool {
    let mut any = false;
    match message {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("user_id" | "key", Value::String(key)) => {
                        key.truncate(tenant(key).len());
                        any = true;
                    }
                    ("attributes" | "config", _) => {}
                    (_, value) => any |= cut(value),
                }
            }
        }
        Value::Array(values) => {
            for value in values {
                any |= cut(value);
            }
        }
        _ => {}
    }
    any
}

impl Guest for Tenants {
    fn init(document: &[u8], now_ms: u64, seed: u64, out: &mut Vec<u8>) -> Self {
        Tenants(Engine::init(document, now_ms, seed, out))
    }

    fn handle(&mut self, lines: &[u8], now_ms: u64, out: &mut Vec<u8>) {
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            self.0.handle(&by_tenant(line), now_ms, out);
        }
    }

    /// The fast path: a bare key, no JSON.
    fn route(&mut self, key: &[u8], draw: u32) -> RouteWord {
        let tenant = key.split(|byte| *byte == b'/').next().unwrap_or(key);
        self.0.route(tenant, draw)
    }

    fn tick(&mut self, now_ms: u64, out: &mut Vec<u8>) {
        self.0.tick(now_ms, out);
    }

    fn totals(&mut self, out: &mut Vec<u8>) {
        self.0.totals(out);
    }

    fn merge(&mut self, totals: &[u8], out: &mut Vec<u8>) {
        self.0.merge(totals, out);
    }

    fn snapshot(&mut self, out: &mut Vec<u8>) {
        self.0.snapshot(out);
    }

    fn restore(&mut self, snapshot: &[u8], out: &mut Vec<u8>) {
        self.0.restore(snapshot, out);
    }
}

crossfade_core::export_abi!(Tenants, vectors: include_bytes!("vectors.txt"));

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &str) {
        assert_eq!(String::from_utf8_lossy(&by_tenant(line.as_bytes())), expected);
    }

    #[test]
    fn keys_become_tenants_and_nothing_else_changes() {
        check(
            "{\"type\":\"get_users\",\"user_id\":\"acme/alice/x\",\"canary_percentage\":0.10}\n",
            "{\"type\":\"get_users\",\"user_id\":\"acme\",\"canary_percentage\":0.1}\n",
        );
        check("{\"body\":{\"key\":\"a/b\"}}\n", "{\"body\":{\"key\":\"a\"}}\n");
        check("{\"outcomes\":[{\"user_id\":\"a/b\"}]}\n", "{\"outcomes\":[{\"user_id\":\"a\"}]}\n");
        for same in [
            "{\"user_id\":\"acme\"}\n",
            "{\"attributes\":{\"key\":\"a/b\"}}\n",
            "{\"link\":\"a/b\"}\n",
            "a/b\n",
            "\n",
        ] {
            check(same, same);
        }
    }
}
