//! What each client would have seen: the one thing the replay counts itself, beside
//! the engine, since only the log knows it.

use std::collections::HashMap;

use crossfade_protocol::limits::{CLIENT_KEY_BYTES_MAX, CLIENTS_MAX};
use crossfade_protocol::share::{BUCKETS, Share};

/// One client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) requests: u64,
    pub(super) failures: u64,
    /// Where its key falls, when the engine says so.
    pub(super) bucket: Option<u16>,
    /// Index of the version that served it last.
    pub(super) version: usize,
    /// A bit for each version that ever served it.
    pub(super) versions: u32,
}

/// Clients and requests below some bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) clients: u64,
    pub(super) requests: u64,
}

/// All clients, as many as there is room for.
///
/// The room is that of the engine's own table. Beyond it a new client is not listed and
/// not counted as one; its requests still count, in [`moved`](Clients::moved) too.
#[derive(Debug)]
pub(super) struct Clients {
    table: HashMap<Box<str>, Client>,
    key_bytes: usize,
    room: usize,
    unlisted_requests: u64,
    requests_by_bucket: Vec<u64>,
}

impl Clients {
    pub(super) fn new() -> Clients {
        Clients::with_room(CLIENTS_MAX)
    }

    fn with_room(room: usize) -> Clients {
        Clients {
            table: HashMap::new(),
            key_bytes: 0,
            room,
            unlisted_requests: 0,
            requests_by_bucket: vec![0; usize::from(BUCKETS)],
        }
    }

    /// Counts one request.
    pub(super) fn record(&mut self, key: &str, version: usize, bucket: Option<u16>, failed: bool) {
        if let Some(requests) =
            bucket.and_then(|bucket| self.requests_by_bucket.get_mut(usize::from(bucket)))
        {
            *requests += 1;
        }
        let client = match self.table.get_mut(key) {
            Some(client) => client,
            None => {
                let is_full = self.table.len() >= self.room
                    || self.key_bytes + key.len() > CLIENT_KEY_BYTES_MAX;
                if is_full {
                    self.unlisted_requests += 1;
                    return;
                }
                self.key_bytes += key.len();
                let client = Client { requests: 0, failures: 0, bucket, version, versions: 0 };
                self.table.entry(key.into()).or_insert(client)
            }
        };
        client.requests += 1;
        client.failures += u64::from(failed);
        client.bucket = bucket;
        client.version = version;
        client.versions |= 1_u32.checked_shl(version as u32).unwrap_or(0);
    }

    /// What is known of a client.
    pub(super) fn get(&self, key: &str) -> Option<&Client> {
        self.table.get(key)
    }

    /// Clients listed.
    pub(super) fn len(&self) -> u64 {
        self.table.len() as u64
    }

    /// Requests of clients for which there was no room.
    pub(super) fn unlisted_requests(&self) -> u64 {
        self.unlisted_requests
    }

    /// Who and what a canary of this share would take.
    pub(super) fn moved(&self, share: Share) -> Moved {
        let buckets = share.buckets();
        let clients =
            self.table.values().filter(|client| client.bucket.is_some_and(|b| b < buckets));
        Moved {
            clients: clients.count() as u64,
            requests: self.requests_by_bucket.iter().take(usize::from(buckets)).sum(),
        }
    }

    /// The clients with the most requests, of equals the smaller key first.
    pub(super) fn busiest(&self, count: usize) -> Vec<(&str, &Client)> {
        let mut all: Vec<(&str, &Client)> =
            self.table.iter().map(|(key, client)| (&**key, client)).collect();
        let order = |a: &(&str, &Client), b: &(&str, &Client)| {
            b.1.requests.cmp(&a.1.requests).then_with(|| a.0.cmp(b.0))
        };
        if count < all.len() && count > 0 {
            // Sorting a million clients to show ten would take longer than reading them.
            all.select_nth_unstable_by(count - 1, order);
        }
        all.truncate(count);
        all.sort_unstable_by(order);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_come_first_and_equals_in_order_of_key() {
        let mut clients = Clients::new();
        for key in ["b", "c", "a", "c", "d", "c", "d"] {
            clients.record(key, 0, None, key == "c");
        }
        for count in 0..6 {
            let busiest = clients.busiest(count);
            let keys: Vec<_> = busiest.iter().map(|(key, _)| *key).collect();
            assert_eq!(keys, ["c", "d", "a", "b"][..count.min(4)], "{count}");
        }
        assert_eq!((clients.busiest(1)[0].1.requests, clients.busiest(1)[0].1.failures), (3, 3));
    }

    #[test]
    fn a_client_remembers_its_last_version_and_all_it_had() {
        let mut clients = Clients::new();
        for version in [0, 1, 1, 0] {
            clients.record("a", version, Some(7), false);
        }
        let (_, client) = clients.busiest(1)[0];
        assert_eq!((client.version, client.versions), (0, 0b11));
    }

    #[test]
    fn a_share_takes_the_buckets_below_it() {
        let mut clients = Clients::new();
        clients.record("a", 0, Some(99), false);
        clients.record("a", 0, Some(99), false);
        clients.record("b", 0, Some(100), false);
        clients.record("no bucket", 0, None, false);
        let moved = |percent| clients.moved(Share::from_percent(percent).unwrap());
        assert_eq!(moved(0.99), Moved::default());
        assert_eq!(moved(1.0), Moved { clients: 1, requests: 2 });
        assert_eq!(moved(1.01), Moved { clients: 2, requests: 3 });
        assert_eq!(moved(100.0), Moved { clients: 2, requests: 3 });
    }

    #[test]
    fn a_full_table_counts_requests_but_no_new_clients() {
        let mut clients = Clients::with_room(2);
        for key in ["a", "b", "c", "a", "c"] {
            clients.record(key, 0, Some(1), false);
        }
        assert_eq!((clients.len(), clients.unlisted_requests()), (2, 2));
        assert_eq!(clients.moved(Share::FULL), Moved { clients: 2, requests: 5 });
    }
}
