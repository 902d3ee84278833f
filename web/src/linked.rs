//! The engine, linked in, as the simulated world speaks to it. Tests and examples of the
//! world include this file.

use std::convert::Infallible;

use crossfade_core::guest::Guest;
use crossfade_core::protocol::abi::RouteWord;
use crossfade_sim::{Engine, Router};

/// It never fails.
#[derive(Debug)]
pub(crate) struct Linked(pub(crate) crossfade_core::Engine);

impl Engine for Linked {
    type Error = Infallible;

    fn handle(&mut self, lines: &[u8], now_ms: u64, out: &mut Vec<u8>) -> Result<(), Infallible> {
        self.0.handle(lines, now_ms, out);
        Ok(())
    }

    fn tick(&mut self, now_ms: u64, out: &mut Vec<u8>) -> Result<(), Infallible> {
        self.0.tick(now_ms, out);
        Ok(())
    }
}

impl Router for Linked {
    fn route(&mut self, key: &[u8], draw: u32) -> Result<RouteWord, Infallible> {
        Ok(self.0.route(key, draw))
    }
}
