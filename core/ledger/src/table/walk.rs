//! All clients, one after the other, and where one of them is.

use crossfade_protocol::clients::Identity;

use super::shard::{PLACE_BITS, Shard};
use super::{Client, Ledger, read, shard_of};

impl Ledger {
    /// Every client that has a row, in no order.
    pub fn iter(&self) -> impl Iterator<Item = Client<'_>> {
        self.walk().map(|(_, client)| client)
    }

    /// The same with their places.
    pub(crate) fn walk(&self) -> Walk<'_> {
        Walk { shards: &self.shards, at: 0 }
    }

    /// The clients of one of [`PARTS`](super::PARTS) parts. A client stays in its part.
    pub fn part(&self, part: usize) -> impl Iterator<Item = Client<'_>> {
        let shards = self.shards.get(..=part).unwrap_or_default();
        Walk { shards, at: (part << PLACE_BITS) as u32 }.map(|(_, client)| client)
    }

    /// A number that finds this client again, and tells nobody its key.
    pub fn id(&self, key: &[u8], identity: Identity) -> u64 {
        self.hasher.hash(key, identity as u8)
    }

    /// The client with this number.
    pub fn with_id(&self, id: u64) -> Option<Client<'_>> {
        let part = shard_of(id);
        let place = self.shards.get(part)?.with_hash(id, &self.hasher)?;
        self.client_at((part as u32) << PLACE_BITS | place)
    }

    /// The client at a place, as [`walk`](Ledger::walk) gives it.
    pub(crate) fn client_at(&self, at: u32) -> Option<Client<'_>> {
        let shard = self.shards.get((at >> PLACE_BITS) as usize)?;
        shard.at(at & ((1 << PLACE_BITS) - 1)).and_then(read).map(Client::new)
    }
}

/// All clients, one after the other.
pub(crate) struct Walk<'a> {
    shards: &'a [Shard],
    /// The next place to look at.
    at: u32,
}

impl<'a> Iterator for Walk<'a> {
    type Item = (u32, Client<'a>);

    /// Not inlined: it is gone through in many places, and would be code in each.
    #[inline(never)]
    fn next(&mut self) -> Option<(u32, Client<'a>)> {
        loop {
            let shard = self.shards.get((self.at >> PLACE_BITS) as usize)?;
            let at = self.at;
            match shard.next(at & ((1 << PLACE_BITS) - 1)) {
                Some((place, found, next)) => {
                    let shard = at >> PLACE_BITS << PLACE_BITS;
                    self.at = shard | next;
                    return Some((shard | place, Client::new(found)));
                }
                None => self.at = ((at >> PLACE_BITS) + 1) << PLACE_BITS,
            }
        }
    }
}
