//! Routing a bare key, which is what `crossfade_route` does.
//!
//! A policy without rules sends a key to the same version until it is replaced, so a
//! client's decision is kept beside their count, and the second request finds both in
//! one look-up.

use crossfade_protocol::abi::RouteWord;
use crossfade_protocol::limits::KEY_BYTES_MAX;

use super::Engine;
use crate::census::{Identity, Terms};
use crate::request::Request;

impl Engine {
    /// Decides for a key, and counts the request and the client.
    #[inline(always)]
    pub(super) fn route_key(&mut self, key: &[u8], draw: u32) -> RouteWord {
        match self.census.again(key, self.terms(), self.now_ms) {
            Some(word) => {
                if !word.refuses() {
                    self.count_version((word.0 & 0xFFFF) as u16);
                }
                word
            }
            None => self.route_anew(key, draw),
        }
    }

    /// The same for a key that has not been decided under this policy yet.
    #[inline(never)]
    fn route_anew(&mut self, key: &[u8], draw: u32) -> RouteWord {
        if self.policy.needs_attributes() || key.len() > KEY_BYTES_MAX {
            return RouteWord::CANNOT;
        }
        let request = Request { guard_tripped: self.guard.tripped(), ..Request::of_key(key) };
        let decision = self.policy.decide(&request, draw);
        let canary = decision.canary == Some(true);
        let word = RouteWord::new(decision.version, canary, decision.reason);
        let refused = decision.reason.refuses();
        if !refused {
            self.count_version(decision.version);
        }
        let Some(key) = request.key else { return word };
        // Where clients are reported every request has to be seen, so none is found decided.
        if !self.policy.is_by_key_alone() || self.changes.is_some() {
            self.count_client(key, Identity::Key, decision.version, refused);
            return word;
        }
        let complete = self.census.uncounted() == 0;
        self.census.record_decided(key, word, self.terms(), self.now_ms);
        if complete && self.census.uncounted() > 0 {
            self.clients_full();
        }
        word
    }

    /// All but the key that decides where a policy goes by the key alone.
    #[inline(always)]
    fn terms(&self) -> Terms {
        let (revision, turn) = (self.policy.revision(), self.policy.turn());
        Terms { revision, turn, guard_tripped: self.guard.tripped() }
    }
}

#[cfg(test)]
mod tests;
