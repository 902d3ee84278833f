//! Clients: who is on which version, who was named, who was harmed.

use crossfade_protocol::{BUCKETS, Share};

use super::Version;
use crate::chance::Chance;

/// Clients whose first request of a step is reported by itself: so many the engine looks
/// at to see whether the share is the one asked for.
const NAMED_MAX: u32 = 2048;

/// A fixed number of clients. With sticky routing the first ones are on v2.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    all: u32,
    sticky: bool,
    share: Option<Share>,
    /// How many are on v2; with sticky routing only.
    on_new: u32,
    named: Marks,
    named_count: u32,
    harmed: Marks,
}

impl Clients {
    pub(super) fn new(all: u32, sticky: bool) -> Clients {
        Clients {
            all,
            sticky,
            share: None,
            on_new: 0,
            named: Marks::new(all),
            named_count: 0,
            harmed: Marks::new(all),
        }
    }

    /// Routes by this share. Each client of v1 goes to v2 by itself, as their hashed ids
    /// would have it, so v2 has its share only in the mean.
    pub(super) fn route(&mut self, share: Share, chance: &mut Chance) {
        if self.share == Some(share) {
            return;
        }
        let before = f64::from(self.share.unwrap_or(Share::ZERO).buckets());
        let now = f64::from(share.buckets());
        self.share = Some(share);
        self.named.clear();
        self.named_count = 0;
        if !self.sticky {
            return;
        }
        if now >= before {
            let moves = (now - before) / (f64::from(BUCKETS) - before).max(1.0);
            let moved = (self.on_new..self.all).filter(|_| chance.happens(moves)).count();
            self.on_new += moved as u32;
        } else {
            let stays = now / before;
            self.on_new = (0..self.on_new).filter(|_| chance.happens(stays)).count() as u32;
        }
    }

    /// v2's part of the requests.
    pub(super) fn part_on_new(&self, share: f64) -> f64 {
        if self.sticky { f64::from(self.on_new) / f64::from(self.all) } else { share }
    }

    fn on(&self, version: Version) -> u32 {
        match version {
            Version::Old => self.all - self.on_new,
            Version::New => self.on_new,
        }
    }

    /// A client of this version, each as likely.
    pub(super) fn draw(&self, version: Version, chance: &mut Chance) -> u32 {
        if !self.sticky {
            return chance.below(self.all);
        }
        match version {
            Version::Old => self.on_new + chance.below(self.on(version)),
            Version::New => chance.below(self.on(version)),
        }
    }

    /// Whether there may be clients to be named yet. Without sticky routing the share is
    /// checked by requests, and nobody need be.
    pub(super) fn are_unnamed(&self) -> bool {
        self.sticky && self.named_count < NAMED_MAX.min(self.all)
    }

    /// Names a client; false when that has been done in this step.
    pub(super) fn name(&mut self, client: u32) -> bool {
        let new = self.named.set(client);
        self.named_count += u32::from(new);
        new
    }

    /// Notes that a client was harmed; false when it was before.
    pub(super) fn harm(&mut self, client: u32) -> bool {
        self.harmed.set(client)
    }
}

/// A bit for each client.
#[derive(Debug, Clone)]
struct Marks(Vec<u64>);

impl Marks {
    fn new(clients: u32) -> Marks {
        Marks(vec![0; (clients as usize).div_ceil(64)])
    }

    fn clear(&mut self) {
        self.0.fill(0);
    }

    /// True when it was not set.
    fn set(&mut self, client: u32) -> bool {
        let Some(word) = self.0.get_mut(client as usize / 64) else { return false };
        let bit = 1u64 << (client % 64);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}
